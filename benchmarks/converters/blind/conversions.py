"""ONNX files through other people's tools, as they are; each takes a path and gives one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.converters.graph import Array
from benchmarks.faults.onnx2tf_form import VARIABLE

Feeds = Mapping[str, Array]
Tool = Callable[[Path, Path, Feeds, np.random.Generator], Path]


def _onnxruntime(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """What onnxruntime writes of a model that it has optimised; the last level is for this machine."""
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = [levels.ORT_ENABLE_BASIC, levels.ORT_ENABLE_EXTENDED, levels.ORT_ENABLE_ALL][
        int(rng.integers(3))
    ]
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return target


def _transformers(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """onnxruntime's fusions of attention, normalisations, embeddings and GELU."""
    from onnxruntime.transformers import optimizer

    kinds = ["bert", "bert", "gpt2", "vit", "clip", "bart", "conformer", "unet", "t5"]
    made = optimizer.optimize_model(
        str(path), model_type=kinds[int(rng.integers(len(kinds)))], opt_level=int(rng.integers(0, 2)), use_gpu=False
    )
    made.save_model_to_file(str(target))
    return target


def _half(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=bool(rng.random() < 0.7)), target)
    return target


def _dynamic(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(path, target, weight_type=QuantType.QInt8, per_channel=bool(rng.random() < 0.5))
    return target


def _static(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(path),
        str(target),
        _Calibration(feeds, rng),
        quant_format=QuantFormat.QDQ,
        per_channel=bool(rng.random() < 0.5),
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8 if rng.random() < 0.6 else QuantType.QUInt8,
    )
    return target


class _Calibration:
    def __init__(self, feeds: Feeds, rng: np.random.Generator) -> None:
        moved = [{name: _noisy(array, rng) for name, array in feeds.items()} for _ in range(5)]
        self._left: Iterator[Feeds] = iter([feeds, *moved])

    def get_next(self) -> Feeds | None:
        return next(self._left, None)


def _operators(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:
    """Operators on integers (QLinearConv and others), in unsigned bits, which saturate on no processor."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(path),
        str(target),
        _Calibration(feeds, rng),
        quant_format=QuantFormat.QOperator,
        per_channel=False,
        weight_type=QuantType.QUInt8,
        activation_type=QuantType.QUInt8,
    )
    return target


def _functions(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """Runs of nodes moved into local functions, one each."""
    import onnx
    from onnx import helper

    model = onnx.load(path)
    nodes = [*model.graph.node]
    if any(each.type in {5, 10} for node in nodes for each in node.attribute):
        raise ValueError("graphs inside graphs")
    kept = {each.name for each in model.graph.output}
    made: list[onnx.NodeProto] = []
    place = 0
    while place < len(nodes):
        count = int(rng.integers(1, 5))
        run, rest = nodes[place : place + count], nodes[place + count :]
        place += count
        if count == 1:
            made += run
            continue
        given = list(dict.fromkeys(out for node in run for out in node.output if out))
        taken = list(dict.fromkeys(name for node in run for name in node.input if name and name not in given))
        read = {name for node in rest for name in node.input} | kept
        shown = [name for name in given if name in read]
        name = f"block_{len(model.functions)}"
        imports = list(model.opset_import)
        model.functions.append(helper.make_function("local", name, taken, shown, run, imports))
        made.append(helper.make_node(name, taken, shown, domain="local", name=name))
    del model.graph.node[:]
    model.graph.node.extend(made)
    model.opset_import.append(helper.make_opsetid("local", 1))
    del model.graph.value_info[:]
    onnx.save(model, target)
    return target


def _noisy(array: Array, rng: np.random.Generator) -> Array:
    if array.dtype.kind != "f":
        return array
    return (array + 0.3 * array.std() * rng.standard_normal(array.shape)).astype(array.dtype)


def _slim(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    import onnx
    import onnxslim

    onnx.save(onnxslim.slim(onnx.load(path)), target)
    return target


def _onnxscript(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    import onnx
    from onnxscript import optimizer, rewriter

    model = onnx.load(path)
    onnx.save(optimizer.optimize(model) if rng.random() < 0.5 else rewriter.rewrite(model), target)
    return target


def _for_ort(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """onnxscript's own fusions for onnxruntime."""
    import onnx_ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    made = optimize_for_ort(onnx_ir.load(path))
    onnx_ir.save(made[0] if isinstance(made, tuple) else made, target)
    return target


def _opset(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """Up or down, by onnx."""
    import onnx
    from onnx import version_converter

    model = onnx.load(path)
    opset = next(each.version for each in model.opset_import if not each.domain)
    onnx.save(version_converter.convert_version(model, opset + int(rng.choice([-2, -1, 1, 2, 4]))), target)
    return target


def _merged(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """Every name with a prefix, and an identity merged in front of each input and behind each output."""
    import onnx
    from onnx import compose, helper

    model = onnx.load(path)
    made = compose.add_prefix(model, "part/", rename_inputs=False, rename_outputs=False)
    rows = list(made.graph.output)
    nodes = [helper.make_node("Identity", [f"in_{row.name}"], [f"out_{row.name}"]) for row in rows]
    infos = [[onnx.ValueInfoProto() for _ in rows] for _ in "ab"]
    for side, stem in zip(infos, ("in_", "out_"), strict=True):
        for info, row in zip(side, rows, strict=True):
            info.CopyFrom(row)
            info.name = stem + row.name
    tail = helper.make_model(
        helper.make_graph(nodes, "tail", *infos), opset_imports=made.opset_import, ir_version=made.ir_version
    )
    onnx.save(compose.merge_models(made, tail, [(row.name, f"in_{row.name}") for row in rows]), target)
    return target


def _passes(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """onnx-ir's passes: common subexpressions, initialisers of one content, constants lifted, an order of its own."""
    import onnx_ir
    from onnx_ir.passes import common

    model = onnx_ir.load(path)
    for each in (
        common.LiftConstantsToInitializersPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.IdentityEliminationPass(),
        common.TopologicalSortPass(),
        common.RemoveUnusedNodesPass(),
    ):
        each(model)
    onnx_ir.save(model, target)
    return target


def _external(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    import onnx

    onnx.save(onnx.load(path), target, save_as_external_data=True, location=f"{target.name}.data", size_threshold=64)
    return target


def _renamed(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """Values by numbers, nodes without names."""
    import onnx

    model = onnx.load(path)
    if any(each.type in {5, 10} for node in model.graph.node for each in node.attribute):
        raise ValueError("graphs inside graphs")
    kept = {each.name for each in (*model.graph.input, *model.graph.output)} | {""}
    new: dict[str, str] = {}
    for stored in model.graph.initializer:
        if stored.name not in kept:
            stored.name = new.setdefault(stored.name, str(len(new)))
    for node in model.graph.node:
        node.name = ""
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name not in kept:
                    names[place] = new.setdefault(name, str(len(new)))
    del model.graph.value_info[:]
    onnx.save(model, target)
    return target


def _onnx2tf(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:  # noqa: ARG001
    """TFLite by onnx2tf in an environment of its own; activations that TFLite lacks by polynomials, at times."""
    with tempfile.TemporaryDirectory() as work:
        samples = np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32)
        np.save(Path(work) / "calibration_image_sample_data_20x128x128x3_float32.npy", samples)
        command = [os.environ[VARIABLE], "-m", "onnx2tf", "-i", str(path.resolve()), "-o", "made", "-n", "-osd"]
        if rng.random() < 0.4:
            command += ["-rtpo", "Erf", "GeLU", "HardSwish", "PReLU", "LeakyReLU"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, timeout=240)
        kind = "float16" if rng.random() < 0.15 else "float32"
        made = [*Path(work).glob(f"made/*_{kind}.tflite")]
        if not made:
            raise RuntimeError((done.stdout + done.stderr)[-500:])
        target = target.with_suffix(".tflite")
        target.write_bytes(made[0].read_bytes())
    return target


def _from_tflite(path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path:
    """Through TFLite and back to ONNX by tf2onnx."""
    lite = _onnx2tf(path, target, feeds, rng)
    command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", str(lite), "--output", str(target), "--opset", "17"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    return target


TOOLS: Mapping[str, Tool] = {
    "onnxruntime": _onnxruntime,
    "transformers": _transformers,
    "slim": _slim,
    "onnxscript": _onnxscript,
    "for_ort": _for_ort,
    "opset": _opset,
    "merged": _merged,
    "passes": _passes,
    "external": _external,
    "renamed": _renamed,
    "functions": _functions,
}
FEWER_BITS: Mapping[str, Tool] = {"half": _half, "dynamic": _dynamic, "static": _static, "operators": _operators}
"""Tools that declare lower precision; each is the last of its chain."""
LITE: Mapping[str, Tool] = {"onnx2tf": _onnx2tf, "from_tflite": _from_tflite} if os.environ.get(VARIABLE) else {}
"""Tools that need onnx2tf, which lives in an environment of its own; its Python is named by an environment variable."""


def through(name: str, path: Path, target: Path, feeds: Feeds, rng: np.random.Generator) -> Path | None:
    """What a tool makes of a file; None where it fails."""
    from benchmarks.converters.blind.exporting import quiet

    try:
        with quiet():
            return ({**TOOLS, **FEWER_BITS, **LITE})[name](path, target, feeds, rng)
    except Exception:  # noqa: BLE001 - whatever a tool raises on its own
        return None
