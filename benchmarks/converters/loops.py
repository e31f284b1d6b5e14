"""Operations whose inside no run shows, live and traced against ONNX: ``python -m benchmarks.converters.loops``.

RoIAlign, NonMaxSuppression, Scan and Loop, each in a small network, clean and with faults inside, before and behind.
The operators of torchvision are written down here in plain PyTorch: the package is none of this project's needs.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its own name

from benchmarks.converters.blind.exporting import quiet

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
ROI = "roi_align(Tensor input, Tensor rois, float scale, int height, int width, int ratio, bool aligned) -> Tensor"
NMS = "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPSET = 17


def _bilinear(places: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """The samples before and after each place on an axis, and how far it is on; places lie inside."""
    before = places.clamp(0, length - 1).floor().long()
    return before, (before + 1).clamp(max=length - 1), places.clamp(0, length - 1) - before


def roi_align(
    maps: Tensor,
    rois: Tensor,
    scale: float,
    height: int,
    width: int,
    ratio: int,
    aligned: bool,
) -> Tensor:
    """Means of ``ratio``² bilinear samples in each cell of each box [map, x, y, x, y] → [boxes, C, height, width]."""
    found = []
    for roi in rois.double():
        x, y, right, bottom = (float(end) * scale - 0.5 * aligned for end in roi[1:])
        steps = [
            start + (torch.arange(cells * ratio, dtype=torch.float64) + 0.5) * (end - start) / (cells * ratio)
            for start, end, cells in ((y, bottom, height), (x, right, width))
        ]
        image = maps[int(roi[0])].double()
        (above, below, down), (left, beside, along) = (
            _bilinear(places, image.shape[axis]) for axis, places in zip((1, 2), steps, strict=True)
        )
        rows = image[:, above] * (1 - down)[:, None] + image[:, below] * down[:, None]
        cells = rows[:, :, left] * (1 - along) + rows[:, :, beside] * along
        found.append(cells.reshape(-1, height, ratio, width, ratio).mean((2, 4)))
    return torch.stack(found).to(maps.dtype)


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """The places of the boxes [x, y, x, y] that no better one overlaps by more."""
    left = scores.argsort(descending=True).tolist()
    areas, kept = (boxes[:, 2:] - boxes[:, :2]).prod(1), []
    while left:
        best, *left = left
        kept.append(best)
        ends = torch.minimum(boxes[best, 2:], boxes[left, 2:]) - torch.maximum(boxes[best, :2], boxes[left, :2])
        shared = ends.clamp(min=0).prod(1)
        over = shared / (areas[best] + areas[left] - shared)
        left = [place for place, share in zip(left, over.tolist(), strict=True) if share <= threshold]
    return torch.tensor(kept, dtype=torch.int64)


for schema, function in ((ROI, roi_align), (NMS, nms)):
    LIBRARY.define(schema)
    LIBRARY.impl(function.__name__, function, "CPU")


def _kept(graph: Any, *numbers: float, dtype: torch.dtype = torch.int64) -> Any:
    return graph.op("Constant", value_t=torch.tensor(numbers, dtype=dtype))


def _cut(graph: Any, value: Any, first: int, last: int) -> Any:
    return graph.op("Slice", value, *(_kept(graph, number) for number in (first, last, 1)))


@torch.onnx.symbolic_helper.parse_args("v", "v", "f", "i", "i", "i", "b")
def _roi_symbol(
    graph: Any, maps: Any, rois: Any, scale: float, height: int, width: int, ratio: int, aligned: bool
) -> Any:
    places = graph.op("Cast", graph.op("Squeeze", _cut(graph, rois, 0, 1), _kept(graph, 1)), to_i=7)
    mode = "half_pixel" if aligned else "output_half_pixel"
    sizes = {"output_height_i": height, "output_width_i": width, "sampling_ratio_i": ratio, "spatial_scale_f": scale}
    boxes = _cut(graph, rois, 1, 5)
    return graph.op("RoiAlign", maps, boxes, places, coordinate_transformation_mode_s=mode, **sizes)


@torch.onnx.symbolic_helper.parse_args("v", "v", "f")
def _nms_symbol(graph: Any, boxes: Any, scores: Any, threshold: float) -> Any:
    first = _kept(graph, 0)
    ranked = graph.op("Unsqueeze", graph.op("Unsqueeze", scores, first), first)
    limits = _kept(graph, 1 << 40), _kept(graph, threshold, dtype=torch.float32)
    kept = graph.op("NonMaxSuppression", graph.op("Unsqueeze", boxes, first), ranked, *limits)
    return graph.op("Squeeze", _cut(graph, kept, 2, 3), _kept(graph, 1))


class Pooled(nn.Module):
    """Cells of boxes of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(54, 5)
        self.register_buffer("rois", torch.tensor([[0, 2.0, 3, 17, 20], [0, 5, 1, 14, 9], [0, 8, 9, 20, 15]]))

    def forward(self, x: Tensor) -> Tensor:
        cells = torch.ops.torchvision.roi_align(torch.relu(self.conv(x)), self.rois, 0.5, 3, 3, 2, True)
        return self.head(torch.tanh(cells).flatten(1))


class Suppressed(nn.Module):
    """Boxes around the places of a map, the best of those that overlap kept."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.boxes = nn.Conv2d(3, 8, 3, padding=1, stride=4), nn.Conv2d(8, 4, 1)
        self.scores, self.head = nn.Conv2d(8, 1, 1), nn.Linear(8, 5)
        centres = torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="xy"), -1).reshape(-1, 2)
        self.register_buffer("centres", 4 * centres)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = torch.relu(self.conv(x))
        told, scores = self.boxes(maps).flatten(2)[0].t(), torch.sigmoid(self.scores(maps)).flatten()
        middle, size = self.centres + 4 * torch.tanh(told[:, :2]), torch.tensor([2.5, 3.5]) * torch.exp(told[:, 2:])
        boxes = torch.cat([middle - size, middle + size], 1)
        kept = torch.ops.torchvision.nms(boxes, scores, 0.3)[:12]
        return boxes[kept], scores[kept], self.head(maps.flatten(2)[0].t()[kept])


def _running(x: Tensor, gate: Tensor) -> Tensor:
    state = torch.zeros_like(x[:, 0])
    rows = []
    for step in range(x.size(1)):
        state = torch.tanh(gate * state + x[:, step])
        rows.append(state)
    return torch.stack(rows, 1)


_LOOP = torch.jit.script(_running)


class Recurrent(nn.Module):
    """A recurrence between layers; ``steps`` says how it is written."""

    def __init__(self, steps: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.into, self.out, self.gate, self.steps = (
            nn.Linear(6, 12),
            nn.Linear(12, 5),
            nn.Parameter(torch.rand(12)),
            steps,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.steps(F.silu(self.into(x)), torch.sigmoid(self.gate)))


def _scanned(x: Tensor, gate: Tensor) -> Tensor:
    from torch._higher_order_ops.scan import scan

    def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        after = torch.tanh(gate * state + row)
        return after, after.clone()

    return scan(step, torch.zeros_like(x[:, 0]), x, dim=1)[1]


def _nodes(graph: onnx.GraphProto, op: str) -> list[onnx.NodeProto]:
    """Nodes of an operator, those of bodies too."""
    found = [node for node in graph.node if node.op_type == op]
    bodies = [one.g for node in graph.node for one in node.attribute if one.type == onnx.AttributeProto.GRAPH]
    return found + [node for body in bodies for node in _nodes(body, op)]


def _set(op: str, name: str, value: Any, model: onnx.ModelProto) -> None:
    node = _nodes(model.graph, op)[0]
    others = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend([*others, helper.make_attribute(name, value)])


def _scale(ops: tuple[str, ...], which: int, place: int, factor: float, model: onnx.ModelProto) -> None:
    """A constant operand of a node times a factor."""
    name = [node for node in model.graph.node if node.op_type in ops][which].input[place]
    made = [node.attribute[0].t for node in model.graph.node if name in node.output and node.op_type == "Constant"]
    tensor = next(iter([*made, *(one for one in model.graph.initializer if one.name == name)]))
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array((array * factor).astype(array.dtype), tensor.name))


def _sigmoid_inside(model: onnx.ModelProto) -> None:
    _nodes(model.graph, "Tanh")[0].op_type = "Sigmoid"


_LAYER = ("MatMul", "Gemm")
_BESIDE = {"layer before": partial(_scale, _LAYER, 0, 1, 1.2), "layer behind": partial(_scale, _LAYER, -1, 1, 1.2)}
FAULTS: Mapping[str, Mapping[str, Callable[[onnx.ModelProto], None]]] = {
    "RoiAlign": {
        "samples": partial(_set, "RoiAlign", "sampling_ratio", 1),
        "scale": partial(_set, "RoiAlign", "spatial_scale", 0.25),
        "half a pixel": partial(_set, "RoiAlign", "coordinate_transformation_mode", "output_half_pixel"),
        "layer before": partial(_scale, ("Conv",), 0, 1, 1.2),
        "layer behind": _BESIDE["layer behind"],
    },
    "NonMaxSuppression": {
        "threshold": partial(_scale, ("NonMaxSuppression",), 0, 3, 0.03),
        "centres for corners": partial(_set, "NonMaxSuppression", "center_point_box", 1),
        "layer before": partial(_scale, ("Conv",), 1, 1, 1.3),
        "layer behind": _BESIDE["layer behind"],
    },
    "Loop": {"inside": _sigmoid_inside, **_BESIDE},
    "Scan": {"inside": _sigmoid_inside, "backwards": partial(_set, "Scan", "scan_input_directions", [1]), **_BESIDE},
}


def _made(name: str, folder: Path) -> tuple[nn.Module, Path, Tensor]:
    """A network as it is compared, its ONNX file, and what both are fed."""
    torch.manual_seed(0)
    path, pictures = folder / f"{name}.onnx", name in ("RoiAlign", "NonMaxSuppression")
    x = torch.rand(1, 3, 24, 24) if pictures else torch.randn(2, 5, 6)
    net: nn.Module = {"RoiAlign": Pooled, "NonMaxSuppression": Suppressed}.get(name, partial(Recurrent, _LOOP))().eval()
    if name == "Scan":  # an operator of programs: the live module has the same steps in a loop
        program = Recurrent(_scanned).eval()
        program.load_state_dict(net.state_dict())
        torch.onnx.export(program, (x,), dynamo=True, input_names=["x"], verbose=False).save(path)
    else:
        for word, symbol in (("roi_align", _roi_symbol), ("nms", _nms_symbol)):
            torch.onnx.register_custom_op_symbolic(f"torchvision::{word}", symbol, OPSET)
        torch.onnx.export(net, (x,), path, dynamo=False, input_names=["x"], opset_version=OPSET)
    return net, path, x


def main() -> int:
    """A row for each pair; 1 where a clean one is not aligned or a fault is not told."""
    import aligner

    failed = 0
    with tempfile.TemporaryDirectory(prefix="loops") as work, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, faults in FAULTS.items():
            with quiet():
                net, path, x = _made(name, Path(work))
                traced = Path(work) / f"{name}.pt"
                torch.jit.save(torch.jit.trace(net, (x,)), traced)
            for form, reference in (("live", net), ("traced", traced)):
                for fault, plant in {"clean": None, **faults}.items():
                    model = copy.deepcopy(onnx.load(path))
                    if plant is not None:
                        plant(model)
                    onnx.save(model, path.with_name("candidate.onnx"))
                    result = aligner.compare(reference, path.with_name("candidate.onnx"), (x,))
                    first = result.first_divergence
                    told = f"{first.candidate.op} {list(first.candidate_nodes)}" if first else ""
                    failed += result.verdict != ("diverged" if plant else "aligned")
                    print(f"{name:18} {form:7} {fault:20} {result.verdict:9} {told}", flush=True)
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
