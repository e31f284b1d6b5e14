"""ncnn's models, made by pnnx of a network, and layer by layer by hand."""

from __future__ import annotations

import subprocess

import numpy as np


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def network():
    """What pnnx turns into two dozen kinds of layers."""
    import torch
    from torch import nn
    from torch.nn import functional as F  # noqa: N812

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.deep, self.slope = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8), nn.PReLU(8)
            self.wide, self.group = nn.ConvTranspose2d(8, 6, 2, stride=2), nn.GroupNorm(2, 6)
            self.instance, self.other = nn.InstanceNorm2d(6, affine=True), nn.BatchNorm2d(6)
            self.point, self.layer = nn.Conv2d(6, 12, 1), nn.LayerNorm(64)
            self.dense, self.value = nn.Linear(64, 10), nn.Linear(10, 10)

        def forward(self, x):
            x = self.slope(self.deep(torch.relu(self.norm(self.first(x)))))
            x = F.silu(self.instance(self.group(F.leaky_relu(self.wide(x), 0.1))))
            x = F.max_pool2d(x, 2) + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
            x = torch.sigmoid(self.other(x)) * x
            left, right = torch.cat([x, torch.tanh(x)], 1).chunk(2, 1)
            x = F.interpolate(left - right * 0.5, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.interpolate(x, scale_factor=0.5, mode="nearest")
            x = F.pixel_shuffle(F.hardswish(self.point(x)), 2)
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")[:, :, 1:-1, 1:-1]
            x = self.layer(F.adaptive_avg_pool2d(x, (8, 8)).flatten(2))
            x = F.gelu(self.dense(x))
            x = torch.softmax(x @ x.transpose(1, 2), -1) @ self.value(x)
            return torch.exp(-x.permute(0, 2, 1).reshape(1, -1).abs())

    torch.manual_seed(0)
    made = Net().eval()
    for norm in (made.norm, made.other):
        norm.running_var.uniform_(0.5, 1.5)
        norm.running_mean.uniform_(-0.5, 0.5)
    return made


PICTURE = draw(1, 3, 16, 16, seed=4)


def convert(module, folder, *, half=False, example=PICTURE):
    """The module as pnnx writes it; ``half`` is how it does by itself."""
    import pnnx
    import torch

    folder.mkdir(exist_ok=True)
    torch.jit.trace(module, torch.from_numpy(example)).save(folder / "traced.pt")
    shape = ",".join(map(str, example.shape))
    names = ["ncnnparam=model.param", "ncnnbin=model.bin"]
    words = ["traced.pt", f"inputshape=[{shape}]", f"fp16={int(half)}", *names]
    subprocess.run([pnnx.EXEC_PATH, *words], cwd=folder, check=True, capture_output=True)
    return folder / "model.param"


def by_hand(folder, line, weights=(), inputs=1):
    """One layer: ``line`` is what stands behind its name's blobs, ``weights`` (array, tagged) in their order."""
    kind, *said = line.split()
    blobs = [f"in{number}" for number in range(inputs)]
    many = int(said.pop(0).removeprefix("->")) if said and said[0].startswith("->") else 1
    outs = [f"out{number}" for number in range(many)]
    lines = [f"Input {blob} 0 1 {blob}" for blob in blobs]
    lines.append(f"{kind} layer {inputs} {many} {' '.join((*blobs, *outs, *said))}")
    text = "\n".join(["7767517", f"{len(lines)} {inputs + many}", *lines]) + "\n"
    (folder / "layer.param").write_text(text)
    content = b"".join(
        (b"\0\0\0\0" if tagged else b"") + np.ascontiguousarray(array, np.float32).tobytes()
        for array, tagged in weights
    )
    (folder / "layer.bin").write_bytes(content)
    return folder / "layer.param"


_CONV = "0=4 1=3 11=2 2=1 12=2 3=2 13=1 4=1 14=0 15=0 16=1 5=1 6=72"
_KERNEL = [(draw(4, 3, 2, 3), True), (draw(4, seed=1), False)]
_PICTURE, _ROW = (1, 3, 9, 8), (1, 4, 6)

LAYERS = {
    "conv": (f"Convolution {_CONV}", _KERNEL, _PICTURE),
    "conv_two_samples": (f"Convolution {_CONV}", _KERNEL, (2, 3, 9, 8)),
    "conv_same_upper": ("Convolution 0=4 1=3 3=2 4=-233 5=0 6=108", [(draw(4, 3, 3, 3), True)], (1, 3, 8, 8)),
    "conv_same_lower": ("Convolution 0=4 1=3 3=2 4=-234 5=0 6=108", [(draw(4, 3, 3, 3), True)], (1, 3, 8, 8)),
    **{
        f"conv_{word}": (f"Convolution {_CONV} {said}", _KERNEL, _PICTURE)
        for word, said in {
            "relu": "9=1",
            "leaky": "9=2 -23310=1,0.2",
            "clip": "9=3 -23310=2,0.0,6.0",
            "clip_else": "9=3 -23310=2,-0.5,2.0",
            "sigmoid": "9=4",
            "mish": "9=5",
            "hardswish": "9=6 -23310=2,0.2,0.5",
        }.items()
    },
    "group": ("ConvolutionDepthWise 0=4 1=3 4=1 5=0 6=72 7=2", [(draw(4, 2, 3, 3), True)], (1, 4, 7, 7)),
    "conv1d": ("Convolution1D 0=4 1=3 4=1 5=1 6=48", [(draw(4, 4, 3), True), (draw(4), False)], _ROW),
    "transposed": (
        "Deconvolution 0=4 1=3 3=2 4=1 18=1 5=1 6=108",
        [(draw(4, 3, 3, 3), True), (draw(4), False)],
        (1, 3, 5, 6),
    ),
    "transposed_groups": ("DeconvolutionDepthWise 0=4 1=3 3=2 5=0 6=72 7=2", [(draw(4, 2, 3, 3), True)], (1, 4, 5, 5)),
    "max_pool": ("Pooling 0=0 1=3 2=2 3=1 5=1", [], _PICTURE),
    "max_pool_ceil": ("Pooling 0=0 1=2 2=2 5=0", [], _PICTURE),
    "max_pool_same": ("Pooling 0=0 1=3 2=2 5=2", [], _PICTURE),
    "avg_pool": ("Pooling 0=1 1=3 2=2 3=1 5=1 6=0", [], _PICTURE),
    "avg_pool_padded": ("Pooling 0=1 1=3 2=2 3=1 5=1 6=1", [], _PICTURE),
    "avg_pool_uneven": ("Pooling 0=1 1=3 11=2 2=1 12=2 3=1 13=0 14=0 15=1 5=1 6=0", [], _PICTURE),
    "avg_pool_whole": ("Pooling 0=1 4=1", [], _PICTURE),
    "adaptive": ("Pooling 0=1 7=1 8=3 18=2", [], _PICTURE),
    "dense": ("InnerProduct 0=5 1=1 2=30", [(draw(5, 6), True), (draw(5), False)], (1, 6)),
    "dense_relu": ("InnerProduct 0=5 1=0 2=30 9=1", [(draw(5, 6), True)], (1, 6)),
    "gemm": ("Gemm 3=1 5=1 6=1 7=4 8=5 9=6 10=4", [(draw(5, 6), True), (draw(1, 5), True)], (1, 4, 6)),
    "gemm_turned": ("Gemm 5=1 7=4 8=5 9=6 10=-1", [(draw(6, 5), True)], (1, 4, 6)),
    "batch_norm": ("BatchNorm 0=3 1=0.01", [(abs(draw(3, seed=k)) + 0.1, False) for k in range(4)], _PICTURE),
    "layer_norm": ("LayerNorm 0=8 1=0.01", [(draw(8), False), (draw(8, seed=1), False)], _PICTURE),
    "layer_norm_two": ("LayerNorm 0=72 1=0.01", [(draw(72), False), (draw(72, seed=1), False)], _PICTURE),
    "layer_norm_plain": ("LayerNorm 0=8 1=0.01 2=0", [], _PICTURE),
    "rms_norm": ("RMSNorm 0=8 1=0.01", [(draw(8), False)], _PICTURE),
    "instance_norm": ("InstanceNorm 0=3 1=0.01", [(draw(3), False), (draw(3, seed=1), False)], _PICTURE),
    "group_norm": ("GroupNorm 0=3 1=6 2=0.01", [(draw(6), False), (draw(6, seed=1), False)], (1, 6, 4, 4)),
    "prelu": ("PReLU 0=3", [(draw(3), False)], _PICTURE),
    "prelu_one": ("PReLU 0=1", [(draw(1), False)], _PICTURE),
    "softmax": ("Softmax 0=0 1=1", [], _PICTURE),
    "softmax_last": ("Softmax 0=-1 1=1", [], _PICTURE),
    **{
        f"interp_{word}": (f"Interp {said}", [], (1, 3, 6, 5))
        for word, said in {
            "nearest": "0=1 1=2.0 2=2.0",
            "bilinear": "0=2 1=2.0 2=2.0",
            "sized": "0=2 3=9 4=7",
            "corners": "0=2 3=9 4=7 6=1",
            "cubic": "0=3 1=2.0 2=2.0",
        }.items()
    },
    **{f"permute_{order}": (f"Permute 0={order}", [], _PICTURE) for order in range(6)},
    "permute_two": ("Permute 0=1", [], _ROW),
    "concat": ("Concat 0=0", [], _PICTURE, (1, 2, 9, 8)),
    "concat_last": ("Concat 0=-1", [], _PICTURE, (1, 3, 9, 2)),
    "slice": ("Slice ->2 -23300=2,1,-233 1=0", [], _PICTURE),
    "crop": ("Crop -23309=2,1,2 -23310=2,-233,-1 -23311=2,1,2", [], _PICTURE),
    "pad": ("Padding 0=1 1=2 2=0 3=3 4=0 5=1.5", [], _PICTURE),
    "pad_edge": ("Padding 0=1 1=2 2=0 3=3 4=1", [], _PICTURE),
    "pad_reflect": ("Padding 0=1 1=2 2=0 3=3 4=2", [], _PICTURE),
    "pixel_shuffle": ("PixelShuffle 0=2", [], (1, 8, 3, 3)),
    "pixel_shuffle_else": ("PixelShuffle 0=2 1=1", [], (1, 8, 3, 3)),
    "shuffle": ("ShuffleChannel 0=3", [], (1, 6, 3, 3)),
    "shuffle_reverse": ("ShuffleChannel 0=3 1=1", [], (1, 6, 3, 3)),
    **{
        f"reduce_{form}": (f"Reduction 0={form} 1=0 -23303=2,1,2 4=1 5=1", [], _PICTURE)
        for form in (0, 3, 4, 5, 6, 7, 8)
    },
    **{f"pair_{form}": (f"BinaryOp 0={form}", [], _PICTURE, _PICTURE) for form in (0, 1, 2, 3, 4, 5, 7, 8, 10, 11)},
    **{f"number_{form}": (f"BinaryOp 0={form} 1=1 2=1.5", [], _PICTURE) for form in (0, 1, 2, 3, 4, 5, 7)},
    "pair_row": ("BinaryOp 0=0", [], _PICTURE, (1, 8)),
    "pair_channels": ("BinaryOp 0=0", [], _PICTURE, (1, 3, 1, 1)),
    **{f"single_{form}": (f"UnaryOp 0={form}", [], _PICTURE) for form in (0, 1, 2, 3, 4, 7, 9, 10, 14, 15, 16, 18, 19)},
    "eltwise": ("Eltwise 0=1 -23301=2,0.5,-2.0", [], _PICTURE, _PICTURE),
    "eltwise_product": ("Eltwise 0=0", [], _PICTURE, _PICTURE),
    "matmul": ("MatMul", [], (1, 2, 3, 4), (1, 2, 4, 5)),
    "matmul_turned": ("MatMul 0=1", [], (1, 2, 3, 4), (1, 2, 5, 4)),
    **{
        word: (line, [], _PICTURE)
        for word, line in {
            "relu": "ReLU",
            "leaky_relu": "ReLU 0=0.2",
            "clip": "Clip 0=-0.5 1=0.7",
            "elu": "ELU 0=0.7",
            "selu": "SELU",
            "gelu": "GELU",
            "gelu_fast": "GELU 0=1",
            "silu": "Swish",
            "sigmoid": "Sigmoid",
            "tanh": "TanH",
            "mish": "Mish",
            "hardswish": "HardSwish 0=0.16666667 1=0.5",
            "hardsigmoid": "HardSigmoid 0=0.16666667 1=0.5",
            "softplus": "Softplus",
            "erf": "Erf",
            "abs": "AbsVal",
            "dropout": "Dropout",
            "flatten": "Flatten",
            "reshape": "Reshape 0=24 1=9",
        }.items()
    },
}
"""Name → what stands in the file, its weights, the shapes that it reads."""
