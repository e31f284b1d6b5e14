"""Every example is built and compared as its README says, and the guilty node is the one that the story is about."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import marks
import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.iterdir() if (path / "run.py").is_file())
NEEDS = {
    "01_unloaded_weights": [marks.requires_torch, marks.requires_image],
    "02_noise": [marks.requires_torch, marks.requires_onnx, marks.requires_onnxscript],
    "03_same_padding": [marks.requires_torch, marks.requires_tflite],
    "04_palm_detection": [marks.requires_torch, marks.requires_onnx, marks.requires_tflite, marks.requires_image],
    "05_baked_scale": [marks.requires_torch, marks.requires_onnx],
    "06_dataparallel_prefix": [marks.requires_torch, marks.requires_onnx, marks.requires_image],
    "07_uint8_io": [marks.requires_torch, marks.requires_onnx],
    "08_fp16_overflow": [marks.requires_torch],
    "09_int8_twin": [marks.requires_torch, marks.requires_onnx],
    "10_simplified": [marks.requires_torch, marks.requires_onnx],
    "11_libtorch_cpp": [
        # Forty seconds of a compiler; tests/test_instrument.py holds the header and what an instrumented archive gives.
        marks.requires_torch, marks.requires_image, marks.requires_compiler, pytest.mark.slow
    ],
    "12_onnxruntime_node": [
        marks.requires_torch, marks.requires_onnx, marks.requires_image, marks.requires_onnxruntime_node
    ],
    "13_polygraphy": [marks.requires_torch, marks.requires_onnx, marks.requires_polygraphy],
    "14_openvino": [marks.requires_torch, marks.requires_openvino],
    "15_keras_port": [marks.requires_torch, marks.requires_tensorflow],
    "16_ncnn_param": [marks.requires_ncnn],
    "17_torch_export": [marks.requires_torch],
    "18_torch_compile": [marks.requires_torch],
    "19_torch_int8": [marks.requires_torch],
    "20_executorch": [marks.requires_executorch],
}  # fmt: skip


@dataclass(frozen=True)
class Built:
    """An example's files in a folder of their own, and what has been compared there."""

    script: ModuleType
    folder: Path
    documents: dict[str, Any]

    def compare(self, command: str) -> Any:
        """The JSON report of one of the README's commands, run in this process."""
        if command not in self.documents:
            from aligner.cli.commands import cli

            words = shlex.split(command)
            assert words[:2] == ["align", "compare"]
            target = self.folder / "report.json"
            code = cli.main([*words[1:], "--quiet", "--json", str(target)], standalone_mode=False)
            document = json.loads(target.read_text())
            assert code == {"aligned": 0, "diverged": 1, "inconclusive": 3}[document["verdict"]]
            self.documents[command] = document
        return self.documents[command]


_built: dict[str, Built] = {}


def _of_another(name: str, file: str | None) -> bool:
    """Whether a module's file is another example's: several have a classifier.py."""
    folder = None if file is None else Path(file).parent
    return folder is not None and folder.parent == FOLDER and folder.name != name


@pytest.fixture
def built(request: pytest.FixtureRequest, tmp_path_factory, monkeypatch) -> Iterator[Built]:
    name = request.param
    monkeypatch.syspath_prepend(FOLDER / name)
    for module in [key for key, one in sys.modules.items() if _of_another(name, getattr(one, "__file__", None))]:
        monkeypatch.delitem(sys.modules, module)
    if name not in _built:
        spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / name / "run.py")
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        folder = tmp_path_factory.mktemp(name)
        script.build(folder)
        _built[name] = Built(script, folder, {})
    monkeypatch.chdir(_built[name].folder)
    return _built[name]


def case(name: str, which: int, *expected: Any, xfail: str | None = None) -> Any:
    broken = [pytest.mark.xfail(strict=True, reason=xfail)] if xfail else []
    return pytest.param(name, which, *expected, marks=[*NEEDS[name], *broken], id=f"{name}-{which}")


def report(built: Built, which: int) -> Any:
    return built.compare(built.script.COMMANDS[which])


def place(side: dict[str, Any]) -> str:
    return " ".join(str(side[key]) for key in ("name", "node", "op", "scope"))


ALIGNED = [
    case("02_noise", 1, 1e-6),
    case("03_same_padding", 1, 5e-6),
    case("04_palm_detection", 0, 1e-3),
    case("04_palm_detection", 2, 1e-3),
    case("05_baked_scale", 0, 1e-6),
    case("05_baked_scale", 2, 1e-6),
    case("07_uint8_io", 0, 1),
    case("08_fp16_overflow", 1, 1e-2),
    case("09_int8_twin", 0, 1e-2),
    case("10_simplified", 0, 1e-6),
    case("11_libtorch_cpp", 1, 1e-4),
    case("14_openvino", 0, 1e-3),
    case("15_keras_port", 1, 1e-6),
    case("16_ncnn_param", 0, 1e-4),
    case("17_torch_export", 1, 1e-6),
    case("18_torch_compile", 1, 1e-6),
    case("19_torch_int8", 1, 0.1),
    case("20_executorch", 1, 1e-5),
]
"""Example, which of its commands, and how far apart the outputs may be."""


@pytest.mark.parametrize(("built", "which", "apart"), ALIGNED, indirect=["built"])
def test_what_is_no_fault_is_not_blamed(built, which, apart):
    document = report(built, which)
    assert document["verdict"] == "aligned"
    assert document["introduced"] == []
    assert max(pair["accumulated"]["max_abs"] for pair in document["outputs"]) <= apart


GUILTY = [
    case("01_unloaded_weights", 0, "conv2d network.conv_body_first", "aten::conv2d conv_body_first"),
    case("03_same_padding", 0, "conv2d_1", "layers.1"),
    case("04_palm_detection", 1, "reshape_1", "regressor_8/reshape.0"),
    case("05_baked_scale", 1, "interpolate.0", "Resize"),
    case("06_dataparallel_prefix", 0, "lr_branch.conv.", "lr_branch.conv"),
    case("07_uint8_io", 1, "round.0", "/Mul"),
    case("08_fp16_overflow", 0, "blocks.1", "aten::matmul network.blocks.1"),
    case("09_int8_twin", 1, "/block1/Relu", "/block1/Relu_output_0_QuantizeLinear"),
    case("10_simplified", 1, "/Div_1", "/Div_1"),
    case("11_libtorch_cpp", 0, "x.", "x."),
    case("12_onnxruntime_node", 0, "aten::_convolution body", "/body/Conv"),
    case("13_polygraphy", 0, "aten::_convolution head", "/head/Conv"),
    case("14_openvino", 1, "batch_norm", "norm"),
    case("15_keras_port", 0, "norm0", "blocks.0.1"),
    case("16_ncnn_param", 1, "interpolate", "upsample_nearest"),
    case("17_torch_export", 0, "blocks.0.norm", "batch_norm"),
    case("18_torch_compile", 0, "blocks.0.norm", "layer_norm"),
    case("19_torch_int8", 0, "up/conv_transpose2d", "quantize_per_tensor"),
    case("20_executorch", 0, "blocks.0.act", "gelu"),
]  # fmt: skip
"""Example, which of its commands, what the guilty node is called on either side."""


@pytest.mark.parametrize(("built", "which", "reference", "candidate"), GUILTY, indirect=["built"])
def test_the_guilty_node_is_found(built, which, reference, candidate):
    document = report(built, which)
    assert document["verdict"] == "diverged"
    first = document["first_divergence"]
    assert reference in place(first["reference"])
    assert candidate in place(first["candidate"])


CAUSES = [
    case("01_unloaded_weights", 0, {"weights-not-loaded"}),
    case("02_noise", 0, {"random-op"}),
    case("03_same_padding", 0, {"padding-asymmetric"}),
    case("04_palm_detection", 1, {"flatten-order"}),
    case("06_dataparallel_prefix", 0, {"weights-not-loaded", "weights-partly-loaded"}),
    case("08_fp16_overflow", 0, {"precision-overflow"}),
    case("09_int8_twin", 1, {"quantization-calibration"}),
    case("10_simplified", 1, {"constant-changed"}),
    case("11_libtorch_cpp", 0, {"input-channel-order"}),
    case("12_onnxruntime_node", 0, {"padding-mode"}),
    case("13_polygraphy", 0, {"weights-bias-missing"}),
    case("14_openvino", 1, {"input-mean-std"}),
    case("15_keras_port", 0, {"norm-epsilon"}),
    case("16_ncnn_param", 1, {"resize-coordinate-mode"}),
    case("17_torch_export", 0, {"norm-train-mode"}),
    case("18_torch_compile", 0, {"fusion-or-kernel"}),
    case("19_torch_int8", 0, {"quantization-calibration"}),
    case("20_executorch", 0, {"activation-variant"}),
]
"""Example, which of its commands, the causes of which one must be among the first three findings."""


@pytest.mark.parametrize(("built", "which", "causes"), CAUSES, indirect=["built"])
def test_the_cause_is_named(built, which, causes):
    assert causes & {cause["id"] for cause in report(built, which)["causes"][:3]}


@pytest.mark.parametrize(
    ("built", "which"),
    [case("07_uint8_io", 1)],
    indirect=["built"],
)
def test_a_missing_rounding_is_not_called_a_wrong_pairing(built, which):
    assert "pairing-suspect" not in {cause["id"] for cause in report(built, which)["causes"]}


@pytest.mark.parametrize(
    ("built", "which"),
    [case("07_uint8_io", 0)],
    indirect=["built"],
)
def test_pixels_need_no_layout_where_one_side_declares_theirs(built, which):
    document = report(built, which)
    assert document["verdict"] == "aligned"
    assert any("does not say where its channels stand" in note for note in document["notes"])


@pytest.mark.parametrize(("built", "which"), [case("01_unloaded_weights", 0)], indirect=["built"])
def test_the_smallest_picture_is_already_wrong(built, which):
    outputs = {tuple(pair["candidate"]["shape"]): pair for pair in report(built, which)["outputs"]}
    assert outputs[1, 3, 8, 8]["accumulated"]["max_abs"] > 0.1


@pytest.mark.parametrize(("built", "which"), [case("02_noise", 0)], indirect=["built"])
def test_with_the_references_noise_on_both_sides_the_outputs_agree(built, which):
    document = report(built, which)
    assert (document["verdict"], document["rule"]) == ("aligned", "random-numbers")
    assert document["first_divergence"] is None


@pytest.mark.parametrize(("built", "which"), [case("10_simplified", 0)], indirect=["built"])
def test_half_of_the_nodes_are_gone(built, which):
    document = report(built, which)
    assert document["candidate"]["nodes"] < document["reference"]["nodes"] / 2
    assert document["coverage"]["candidate"] > 0.9


@pytest.mark.parametrize("built", [pytest.param(name, marks=NEEDS[name], id=name) for name in EXAMPLES], indirect=True)
def test_the_readme_shows_every_command_and_its_output(built):
    readme = (Path(built.script.__file__).parent / "README.md").read_text()
    shown = readme.split("```console\n")[1:]
    assert [block.splitlines()[0].removeprefix("$ ") for block in shown] == list(built.script.COMMANDS)
    for block, command in zip(shown, built.script.COMMANDS, strict=True):
        document = built.compare(command)
        assert block.splitlines()[1].startswith(document["verdict"].upper())
        if document["first_divergence"]:
            assert document["first_divergence"]["candidate"]["name"][:40] in block
