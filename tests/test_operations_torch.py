"""PyTorch's operators, eager and traced: each replayed from its operation is what PyTorch computed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from marks import requires_torch

from aligner.adapters.base import OpenOptions
from aligner.adapters.registry import open_model
from aligner.testing.operation_conformance import replay_session

pytestmark = requires_torch


def cases():
    import torch
    import torch.nn.functional as F  # noqa: N812 - its usual name

    k = torch.tensor([[0, 2], [1, 0]])
    weight = torch.linspace(-1, 1, 4 * 3 * 3 * 2).reshape(4, 3, 3, 2)
    deep = torch.linspace(-1, 1, 3 * 2 * 3 * 3).reshape(3, 2, 3, 3)
    matrix = torch.linspace(-1, 2, 30).reshape(5, 6)
    four = [torch.tensor([0.5, -1.0, 2.0]), torch.tensor([0.1, 0.2, -0.3]), torch.tensor([0.3, 0.0, 1.0])]
    fed = torch.linspace(-2, 2, 36).reshape(12, 3)
    grid = torch.linspace(-1.3, 1.2, 2 * 4 * 3 * 2).reshape(2, 4, 3, 2)
    mask = torch.tensor([[True, False, True, False, True], [False, True, True, True, False]]).reshape(2, 1, 1, 5)
    return {
        "conv": lambda x: F.conv2d(x, weight, None, (2, 1), (1, 0), (1, 2)),
        "gru_cell": lambda x: torch.gru_cell(
            matrix[:, :3], matrix[:, 2:4], fed[:6], fed[6:, :2], fed[:6, 0], fed[6:, 1]
        ),
        "lstm_cell": lambda x: torch.lstm_cell(
            matrix[:, :3], (four[0][:, None][[0, 1, 2, 0, 1]],) * 2, fed[:4], fed[4:8, :1]
        ),
        "conv_same": lambda x: F.conv2d(x, weight[:3], None, 1, "same"),
        "conv_grouped": lambda x: F.conv2d(x, weight[:3, :1], None, 1, 1, 1, 3),
        "conv_transpose": lambda x: F.conv_transpose2d(x, deep, None, 2, 1, 1, 1, 1),
        "max_pool": lambda x: F.max_pool2d(x, 3, 2, 1, 1, True),
        "max_pool_plain": lambda x: F.max_pool2d(x, 2),
        "avg_pool": lambda x: F.avg_pool2d(x, 3, 2, 1, True, False),
        "avg_pool_included": lambda x: F.avg_pool2d(x, (2, 3), padding=1),
        "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, None)),
        "adaptive_max": lambda x: F.adaptive_max_pool2d(x, 2),
        "batch_norm": lambda x: F.batch_norm(x, four[1], four[2].abs() + 1, four[0], four[2], eps=1e-3),
        "instance_norm": lambda x: F.instance_norm(x, None, None, four[0], four[1]),
        "group_norm": lambda x: F.group_norm(x, 3, four[0], four[1]),
        "layer_norm": lambda x: F.layer_norm(x, (5, 6), matrix, matrix, 1e-3),
        "rms_norm": lambda x: F.rms_norm(x, (6,), matrix[0]),
        "normalize": lambda x: F.normalize(x, dim=1),
        "local_response_norm": lambda x: F.local_response_norm(x, 2, 0.5, 0.75, 2.0),
        "linear": lambda x: F.linear(x, matrix, matrix[:, 0]),
        "matmul": lambda x: x @ matrix.t(),
        "rmatmul": lambda x: matrix.t() @ x,
        "addmm": lambda x: torch.addmm(matrix[:, :5], x[0, 0], matrix.t(), beta=0.5, alpha=2.0),
        "baddbmm": lambda x: torch.baddbmm(x[0] @ matrix.t(), x[0], matrix.t().expand(3, 6, 5), beta=2, alpha=0.5),
        "einsum": lambda x: torch.einsum("nchw,hw->ncw", x, matrix),
        "outer": lambda x: torch.outer(x[0, 0, 0], x[0, 1, :, 0]),
        "attention": lambda x: F.scaled_dot_product_attention(x, x + 1, x * 2, attn_mask=mask),
        "attention_causal": lambda x: F.scaled_dot_product_attention(x, x + 1, x * 2, is_causal=True, scale=0.3),
        "rsub": lambda x: 2 - x,
        "rsub_alpha": lambda x: torch.rsub(x, x * 2, alpha=3),
        "rdiv": lambda x: 2.5 / (x + 3),
        "rpow": lambda x: 2**x,
        "iadd": lambda x: (x * 1).add_(2, alpha=3),
        "div_floor": lambda x: torch.div(x, 0.3, rounding_mode="floor"),
        "div_trunc": lambda x: torch.div(x, 0.3, rounding_mode="trunc"),
        "floor_div": lambda x: x // 0.7,
        "remainder": lambda x: x % 0.7,
        "fmod": lambda x: torch.fmod(x, 0.7),
        "pow": lambda x: x**3,
        "lerp": lambda x: torch.lerp(x, x * 2, 0.3),
        "addcmul": lambda x: torch.addcmul(x, x, x + 1, value=0.5),
        "maximum": lambda x: torch.maximum(x, -x),
        "max_of_two": lambda x: torch.max(x, x * 0.5),
        "logical": lambda x: (x > 0) & (x < 1) | ~(x > 2),
        "where": lambda x: torch.where(x > 0, x, torch.zeros(())),
        "where_number": lambda x: torch.where(x > 0, x, 1.5),
        "masked_fill": lambda x: x.masked_fill(x > 0.5, -2.0),
        "slices_of_computed_bounds": lambda x: x[..., : x.shape[-1] // 2] - x[..., x.shape[-1] // 2 :],
        "slice_of_all": lambda x: x[..., x.shape[0] - 2 : x.shape[-1]] * 2,
        "repeats_computed": lambda x: matrix[:1].repeat(x.shape[0], 1, x.shape[2], 1) * x,
        "pads_computed": lambda x: F.pad(x, (0, -x.shape[-1] % 4, 2, 0)),
        "meshgrid": lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, :, 0], indexing="xy")[1] * 2,
        "places_listed": lambda x: (
            x[..., [-2], :] + x[:, [2, 0, 1]][..., [0, 1]].sum() + x[:, :, [True] * 4 + [False]].sum()
        ),
        "diff": lambda x: torch.diff(x, dim=2) + torch.diff(x > 0, dim=2),
        "weight_norm": lambda x: F.conv2d(x, torch._weight_norm(weight, 1 + weight[:, :1, :1, :1], 0)),
        "copied": lambda x: torch.zeros_like(x).copy_(x[:, :1]) + x.clone().fill_(2.0) + (x * 1).zero_(),
        "clamp": lambda x: x.clamp(-0.5, 0.7),
        "clamp_max": lambda x: x.clamp(max=0.7),
        "clamp_tensor": lambda x: torch.clamp(x, min=torch.tensor(-0.2)),
        "activations": lambda x: (
            F.gelu(x)
            + F.gelu(x, approximate="tanh")
            + F.silu(x)
            + F.mish(x)
            + F.softplus(x, 2.0, 1.0)
            + F.elu(x, 0.7)
            + F.selu(x)
            + F.celu(x, 0.6)
            + F.hardswish(x)
            + F.hardsigmoid(x)
            + F.hardtanh(x)
            + F.leaky_relu(x, 0.2)
            + F.relu6(x * 8)
            + F.logsigmoid(x)
            + F.softsign(x)
            + F.tanhshrink(x)
            + F.hardshrink(x, 0.3)
            + F.softshrink(x, 0.3)
            + F.threshold(x, 0.1, -3.0)
            + F.glu(torch.cat([x, x * 2], 1), 1)
        ),
        "prelu": lambda x: F.prelu(x, four[0]),
        "softmax": lambda x: F.softmax(x, 1) + F.log_softmax(x, -1) + F.softmin(x, 2),
        "functions": lambda x: (
            torch.erf(x)
            + torch.expm1(x)
            + torch.log1p(x.abs())
            + torch.rsqrt(x.abs() + 1)
            + torch.atan(x)
            + torch.sign(x)
            + torch.frac(x)
            + torch.exp2(x)
            + torch.round(x * 3)
            + torch.atan2(x, x + 3)
        ),
        "var_mean": lambda x: sum(torch.var_mean(x, dim=1, keepdim=True)) * x,
        "std": lambda x: x.std((2, 3), unbiased=False),
        "reductions": lambda x: (
            x.mean(1) + x.sum(1) + x.amax(1) + x.amin(1) + x.prod(1) + x.logsumexp(1) + torch.norm(x, dim=1)
        ),
        "max_along": lambda x: x.max(dim=1)[0] + x.min(dim=1)[1],
        "argmax": lambda x: x.argmax(1) + x.argmin(1) + (x > 0).any(1) + (x > 0).all(1),
        "cumsum": lambda x: x.cumsum(2) + x.cumprod(3),
        "topk": lambda x: torch.topk(x, 2, dim=2)[0] + torch.sort(x, 2, descending=True)[0][:, :, :2],
        "shapes": lambda x: x.view(2, -1).unsqueeze(1).squeeze(1).reshape(2, 3, 30).flatten(1).unflatten(1, (3, 30)),
        "moves": lambda x: x.permute(0, 2, 3, 1).transpose(1, -1).movedim(1, 3).swapaxes(0, 1),
        "repeats": lambda x: x.repeat(1, 2, 1, 1).repeat_interleave(2, dim=2).flip([1]).roll((1, 2), (2, 3)),
        "expand": lambda x: x[:, :1].expand(-1, 4, -1, -1) + x.new_zeros(4, 1, 1),
        "concat": lambda x: torch.stack([torch.cat([x, x * 2], -1), torch.cat([x, x], 3)], dim=1),
        "chunk": lambda x: torch.chunk(x, 2, 1)[1] + x.split([1, 2], 1)[0] + x.unbind(1)[2].unsqueeze(1),
        "slices": lambda x: x[:, 1:, ::2, -3:] + x[:, 1:][..., 0, None, :3] + x.narrow(3, 1, 3)[:, :2, :1],
        "lookups": lambda x: x[:, k].mean((1, 2)) + x.index_select(2, k[0])[:, :1, 0] + x[:, 0, 1, None],
        "gather": lambda x: torch.gather(x, 3, (x > 0).long()) + x.take_along_dim((x > 0).long(), 3),
        "scatter": lambda x: torch.scatter(x, 3, (x > 9).long(), 5.0) + x.scatter_add(3, (x > 9).long(), x),
        "triangles": lambda x: x.tril(-1) + x.triu(1),
        "pad": lambda x: F.pad(x, (1, 2, 0, 1), value=0.5).sum() + F.pad(x, (1, 2, 1, 0), mode="reflect"),
        "pad_replicate": lambda x: F.pad(x, (1, 2, 1, 0), mode="replicate") + F.pad(x, (1, 2, 1, 0), mode="circular"),
        "shuffle": lambda x: F.pixel_unshuffle(F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2), 2),
        "nearest": lambda x: F.interpolate(x, scale_factor=1.6) + F.interpolate(x, (8, 9), mode="nearest-exact"),
        "bilinear": lambda x: F.interpolate(x, (8, 9), mode="bilinear", align_corners=True),
        "bicubic": lambda x: F.interpolate(x, (8, 9), mode="bicubic", align_corners=False),
        "antialias": lambda x: F.interpolate(x, (3, 4), mode="bicubic", antialias=True),
        "antialias_linear": lambda x: F.interpolate(x, (3, 4), mode="bilinear", antialias=True),
        "grid_linear": lambda x: F.grid_sample(x, grid, align_corners=False),
        "nearest_on_edges": lambda x: (
            F.interpolate(x[..., :2, :2], (82, 61)) - F.interpolate(x[..., :2, :2], (82, 61), mode="nearest-exact")
        ),
        "grid_border": lambda x: F.grid_sample(x, grid, "nearest", "border", align_corners=True),
        "grid_cubic": lambda x: F.grid_sample(x, grid, "bicubic", "reflection", align_corners=False),
        "fft": lambda x: torch.fft.rfft(x, dim=2).abs() + torch.fft.fft2(x).real[:, :, :3],
        "ifft": lambda x: torch.fft.irfft(torch.fft.rfft(x, norm="ortho"), n=6, norm="ortho"),
        "one_hot": lambda x: F.one_hot((x > 0).long(), 3) * 2,
        "casts": lambda x: x.int().float() + x.double().to(torch.float32) + x.half().float() + (x > 0).type_as(x),
    }


NAMES = sorted(cases()) if not pytestmark.args[0] else []


def model(name):
    import torch

    class Net(torch.nn.Module):
        def forward(self, x):
            return cases()[name](x)

    return Net().eval()


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("name", NAMES)
def test_every_operator_is_translated_as_it_runs(name, traced, tmp_path):
    import torch

    torch.manual_seed(0)
    x = np.random.default_rng(5).standard_normal((2, 3, 5, 6)).astype(np.float32)
    net = model(name)
    target = net
    if traced:
        target = tmp_path / "traced.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.trace(net, torch.from_numpy(x), check_trace=False), target)
    session = open_model(target, OpenOptions())
    found = replay_session(session, {session.signature.inputs[0].name: x})
    session.close()
    wrong = [f"{one.node.op}: {one.fault}" for one in found if one.fault]
    opaque = [one.opaque for one in found if one.opaque]
    assert found and not wrong, wrong
    assert not opaque, opaque


def test_a_tensor_that_was_written_through_a_view_is_not_replayed_from_what_it_was(tmp_path):
    import torch

    class Net(torch.nn.Module):
        def forward(self, x):
            y = x * 2
            y[:, 1:] = 3.0
            return y[:, :2].sum() + (y + 1)

    x = np.ones((2, 3), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Net(), torch.from_numpy(x), check_trace=False), tmp_path / "net.pt")
    session = open_model(tmp_path / "net.pt", OpenOptions())
    found = replay_session(session, {session.signature.inputs[0].name: x})
    session.close()
    assert not [one.fault for one in found if one.fault]
    refused = [one.node.op for one in found if "written in part" in one.opaque]
    assert refused == ["aten::slice", "aten::add"]


def test_what_is_put_into_a_tensor_is_replayed(tmp_path):
    import torch

    class Put(torch.nn.Module):
        def forward(self, x):
            y, z, i = x * 1, x * 2, torch.tensor([1, 0])
            y[:, 1:] = 2.5
            z[:, 0] = x[:, 1]
            return y + z.index_put((i, i), x[0, 0]) + z.index_put((i, i), x[0, 0], accumulate=True)

    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    session = open_model(Put(), OpenOptions())
    found = replay_session(session, {session.signature.inputs[0].name: x})
    session.close()
    assert [one.node.attributes.get("accumulate") for one in found if one.opaque] == [True]
    assert not [one.fault for one in found if one.fault]


def test_places_of_equal_numbers_are_anyones():
    import torch

    class First(torch.nn.Module):
        def forward(self, x):
            return torch.topk(x, 2).indices, torch.argsort(x)

    session = open_model(First(), OpenOptions())
    found = replay_session(session, {session.signature.inputs[0].name: np.ones((1, 40), np.float32)})
    session.close()
    assert not [one.fault for one in found if one.fault]
