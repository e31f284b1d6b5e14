"""MediaPipe's short-range face detector, ported to PyTorch: weights from the ONNX file, channels first."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

UNITS = ((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1), (96, 2))
UNITS += ((96, 1),) * 4
"""Output channels and stride of each unit."""
COARSE = 11
"""The unit from which the map is 8×8."""


class Unit(nn.Module):
    """A depthwise and a pointwise convolution, added to the input (pooled and padded with channels where needed)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.more = stride, outputs - inputs
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1 if stride == 1 else 0, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.pointwise(self.depthwise(x if self.stride == 1 else F.pad(x, (0, 1, 0, 1))))
        if self.stride == 2:
            x = F.max_pool2d(x, 2)
        return F.relu(out + F.pad(x, (0, 0, 0, 0, 0, self.more)))


class Head(nn.Module):
    """Predictions of one map, one row for each anchor; the rows are cut from channels-last data."""

    def __init__(self, inputs: int, anchors: int, numbers: int, *, permute: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, anchors * numbers, 1)
        self.numbers, self.permute = numbers, permute

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.permute:
            x = x.permute(0, 2, 3, 1)
        return x.reshape(x.shape[0], -1, self.numbers)


class BlazeFace(nn.Module):
    """[N, 3, 128, 128] in -1..1 → boxes and keypoints [N, 896, 16], scores [N, 896, 1]."""

    def __init__(self, *, permute: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 5, 2)
        inputs = (24, *(channels for channels, _ in UNITS))
        self.units = nn.ModuleList(Unit(i, o, stride) for i, (o, stride) in zip(inputs, UNITS, strict=False))
        self.regressor_8 = Head(88, 2, 16, permute=permute)
        self.regressor_16 = Head(96, 6, 16, permute=permute)
        self.classificator_8 = Head(88, 2, 1, permute=permute)
        self.classificator_16 = Head(96, 6, 1, permute=permute)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.stem(F.pad(x, (1, 2, 1, 2))))
        for unit in self.units[:COARSE]:
            x = unit(x)
        fine = x
        for unit in self.units[COARSE:]:
            x = unit(x)
        regressors = torch.cat([self.regressor_8(fine), self.regressor_16(x)], dim=1)
        return regressors, torch.cat([self.classificator_8(fine), self.classificator_16(x)], dim=1)


def load(network: BlazeFace, path: Path) -> nn.Module:
    """Take the weights of the ONNX file: convolutions in its order, the heads by name."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    constants = {entry.name: entry for entry in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    heads = {node.name: node for node in convolutions if hasattr(network, node.name)}
    body = [node for node in convolutions if node.name not in heads]
    targets = [network.stem, *(conv for unit in network.units for conv in (unit.depthwise, unit.pointwise))]
    pairs = list(zip(body, targets, strict=True)) + [
        (node, getattr(network, name).conv) for name, node in heads.items()
    ]
    for node, conv in pairs:
        weight, bias = (torch.from_numpy(to_array(constants[name]).copy()) for name in node.input[1:])
        conv.load_state_dict({"weight": weight, "bias": bias})
    return network.eval()


def port() -> nn.Module:
    """The port as it was first written: the heads' rows are cut from channels-first data."""
    return load(BlazeFace(permute=False), Path(__file__).with_name("blazeface.onnx"))


def corrected() -> nn.Module:
    """The port that permutes before it reshapes."""
    return load(BlazeFace(), Path(__file__).with_name("blazeface.onnx"))
