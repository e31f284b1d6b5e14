"""Comparison records made by hand, for tests of what renders them."""

from __future__ import annotations

from dataclasses import replace

from aligner.records.comparison import (
    Comparison,
    Coverage,
    Errors,
    FedInput,
    Finding,
    ModelSummary,
    Pair,
    Side,
    TensorStatistics,
    Tolerance,
    Unpaired,
)
from aligner.records.dissection import Dissection, RegionNode, Setting, WeightComparison, WeightFacts

STATISTICS = TensorStatistics(
    mean=0.0123456,
    min=-1.25,
    max=3.5,
    unique=65_536,
    unique_head=(-1.25, -1.2489, -1.2401),
    unique_tail=(3.4801, 3.4993, 3.5),
)

FRESH = TensorStatistics(
    mean=-0.00071,
    min=-0.1893,
    max=0.2011,
    unique=65_522,
    unique_head=(-0.18934, -0.18902, -0.18555),
    unique_tail=(0.19833, 0.19846, 0.20113),
)


def errors(max_abs: float = 0.0, **changes) -> Errors:
    plain = Errors(
        max_abs=max_abs,
        mean_abs=max_abs / 8,
        sum_abs=max_abs * 800,
        rmse=max_abs / 5,
        max_rel=max_abs * 3,
        cosine=0.7431 if max_abs > 1e-3 else 1.0,
        worst_index=(0, 3, 11, 2),
        beyond=0.981 if max_abs > 1e-3 else 0.0,
    )
    return replace(plain, **changes)


def side(name: str, op: str, **changes) -> Side:
    plain = Side(
        name=name,
        names=(),
        op=op,
        kind="conv" if "conv" in op.lower() else "other",
        node=name,
        index=None,
        scope=None,
        source=None,
        shape=(1, 64, 32, 32),
        dtype="float32",
        statistics=STATISTICS,
    )
    return replace(plain, **changes)


def pair(reference: Side, candidate: Side, verdict: str = "aligned", accumulated=2e-7, local=1e-7, **changes) -> Pair:
    plain = Pair(
        reference=reference,
        candidate=candidate,
        rule="provenance",
        confidence=1.0,
        axes=None,
        verdict=verdict,
        accumulated=None if accumulated is None else errors(accumulated),
        local=None if local is None else errors(local),
        bound=1.2e-5,
    )
    return replace(plain, **changes)


def convolution(scope: str, number: int, verdict: str = "aligned", accumulated=2e-7, local=1e-7, **changes) -> Pair:
    """A module's convolution in TorchScript words, and its ONNX answer."""
    path = scope.replace(".", "/")
    reference = side(
        f"input.{number}",
        "aten::_convolution",
        scope=scope,
        node=f"%input.{number}",
        source=f"face/decoder.py:{number + 40}",
    )
    candidate = side(f"/{path}/Conv_output_0", "Conv", node=f"/{path}/Conv", scope=scope)
    return pair(reference, candidate, verdict, accumulated, local, **changes)


PATH = ("encoder.0", "encoder.1", "encoder.2", "encoder.3", "middle", "lateral.3")


def pairs() -> tuple[Pair, ...]:
    before = [convolution(scope, place) for place, scope in enumerate(PATH[:-1])]
    guilty = convolution("lateral.3", 5, "introduced", 0.4123, 0.4123)
    guilty = replace(guilty, candidate=replace(guilty.candidate, statistics=FRESH))
    after = [
        convolution(f"decoder.blocks.{place}", place + 6, "inherited", 0.3 / (place + 1), 3e-7) for place in range(8)
    ]
    second = convolution("to_rgb", 14, "introduced", 0.8, 0.021)
    output = pair(
        side("image", "aten::tanh", scope="", node="%image", shape=(1, 3, 128, 128)),
        side("image", "Tanh", node="/Tanh", shape=(1, 3, 128, 128)),
        "inherited",
        0.62,
        2e-7,
    )
    return (*before, guilty, *after, second, output)


FINDING = Finding(
    id="weights-never-loaded",
    node="/lateral/3/Conv",
    confidence=0.98,
    evidence="lateral.3.weight has mean 0.0001 and standard deviation 0.0417 = 1/sqrt(576), a fresh initialisation; "
    "the reference's has 0.19",
    explained=0.9996,
    suggestion="load the checkpoint's inner dictionary params_ema before exporting, with strict=True",
)


DISSECTION = Dissection(
    pair=5,
    reference=(
        RegionNode(
            "%input.5",
            "aten::_convolution",
            "conv",
            "lateral.3",
            "face/decoder.py:45",
            {"pads": "(1, 1), (1, 1)", "strides": "1, 1"},
            ("lateral.3.weight 2×2×3×3 float32",),
        ),
    ),
    candidate=(
        RegionNode(
            "/lateral/3/Conv",
            "Conv",
            "conv",
            "lateral.3",
            None,
            {"pads": "(0, 2), (0, 2)", "strides": "1, 1"},
            ("lateral.3.weight 2×2×3×3 float32",),
        ),
    ),
    settings=(
        Setting(("%input.5", "/lateral/3/Conv"), "strides", "1, 1", "1, 1", False),
        Setting(("%input.5", "/lateral/3/Conv"), "pads", "(1, 1), (1, 1)", "(0, 2), (0, 2)", True),
    ),
    weights=(
        WeightComparison(
            nodes=("%input.5", "/lateral/3/Conv"),
            role="kernel",
            reference=WeightFacts("lateral.3.weight", (2, 2, 3, 3), 0.19, 0.31, -0.9, 1.1),
            candidate=WeightFacts("lateral.3.weight", (2, 2, 3, 3), 0.0001, 0.0417, -0.08, 0.07),
            max_abs=1.03,
            relative=0.97,
            correlation=0.02,
            differs=True,
        ),
        WeightComparison(
            nodes=("%input.5", "/lateral/3/Conv"),
            role="bias",
            reference=WeightFacts("lateral.3.bias", (2,), 0.5, 0.1, 0.4, 0.6),
            candidate=WeightFacts("lateral.3.bias", (2,), 0.5, 0.1, 0.4, 0.6),
            max_abs=0.0,
            relative=0.0,
            correlation=1.0,
            differs=False,
        ),
    ),
)


def diverged(**changes) -> Comparison:
    every = pairs()
    plain = Comparison(
        verdict="diverged",
        reason="The candidate's output leaves the tolerance, and two nodes err by themselves.",
        reference=ModelSummary("face.pt", "torchscript", "torch 2.13.0", 734),
        candidate=ModelSummary("face.onnx", "onnx", "onnxruntime 1.31.1 (CPUExecutionProvider)", 412, ("opset 17",)),
        tolerance=Tolerance(1e-5, 1e-5, "local error above the rounding bound of the node"),
        coverage=Coverage(0.984, 0.9996, 16, 5),
        first_divergence=every[5],
        introduced=(every[5], every[14]),
        causes=(FINDING,),
        outputs=(every[-1],),
        pairs=every,
        unpaired_reference=tuple(Unpaired(side(f"const.{place}", "prim::Constant"), "constant") for place in range(4)),
        unpaired_candidate=(Unpaired(side("/Mul_3_output_0", "Mul"), "no counterpart"),),
        inputs=(
            FedInput(
                "input", "1×3×128×128 float32, 0..1, RGB, NCHW", "1×128×128×3 float32, 0..1, RGB, NHWC", "face.png"
            ),
        ),
        notes=("exposing intermediates changed no output",),
        timing={"align": 0.21, "run": 1.93},
        command="align compare face.pt face.onnx --input face.png",
        next_step="align fix face.pt face.onnx --input face.png -o face.fixed.onnx",
        dissections=(DISSECTION,),
    )
    return replace(plain, **changes)


def aligned(**changes) -> Comparison:
    every = tuple(convolution(f"encoder.{place}", place, accumulated=(place + 1) * 1e-7) for place in range(12))
    plain = diverged(
        verdict="aligned",
        reason="",
        first_divergence=None,
        introduced=(),
        causes=(),
        outputs=(every[-1],),
        pairs=every,
        coverage=Coverage(1.0, 1.0, 12, 0),
        unpaired_reference=(),
        unpaired_candidate=(),
        dissections=(),
    )
    return replace(plain, **changes)


def inconclusive(**changes) -> Comparison:
    plain = aligned(
        verdict="inconclusive",
        reason="Only 12 of 98 tensors of the candidate found an answer in the reference.",
        coverage=Coverage(0.2, 0.122, 12, 86),
        unpaired_candidate=tuple(Unpaired(side(f"t{place}", "Add"), "no counterpart") for place in range(86)),
        inputs=(FedInput("input", "1×3×128×128 float32", "1×3×128×128 float32", "random, seed 0"),),
    )
    return replace(plain, **changes)
