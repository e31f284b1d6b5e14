"""A candidate's file put right: each fault undone, the original kept, nothing written that is not right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import run
from tests.fixable_models import FAULTS, build
from tests.marks import requires_onnx

pytestmark = requires_onnx


def _feeds() -> dict[str, Any]:
    return {"x": np.random.default_rng(3).standard_normal((1, 3, 16, 16)).astype("f4")}


def _outputs(path: Path) -> list[Any]:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path)).run(None, _feeds())


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_undone(fault: str, tmp_path: Path) -> None:
    from aligner.api.fixing import fix

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS[fault])
    before = wrong.read_bytes()
    found = fix(right, wrong, _feeds(), output=tmp_path / "fixed.onnx")
    assert (found.before, found.after, found.exit_code) == ("diverged", "aligned", 0)
    for one, other in zip(_outputs(right), _outputs(tmp_path / "fixed.onnx"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    assert wrong.read_bytes() == before
    assert all(patch.lines for patch in found.patches)


def test_several_faults_at_once(tmp_path: Path) -> None:
    from aligner.api.fixing import fix

    def every(model: Any) -> None:
        for name in ("pads", "constant", "bias", "epsilon"):
            FAULTS[name](model)

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", every)
    found = fix(right, wrong, _feeds(), output=tmp_path / "fixed.onnx")
    assert found.after == "aligned"
    assert {"first", "scaled", "dense", "norm"} <= {patch.node for patch in found.patches}


def _ends_with(node: str | None, output: str) -> Callable[[Any], None]:
    """The second output is another tensor, with a node more or less before it."""

    def change(model: Any) -> None:
        from onnx import helper

        if node is None:
            model.graph.node.append(helper.make_node("Sigmoid", ["z"], [output], "more"))
        else:
            model.graph.node.remove(next(one for one in model.graph.node if one.name == node))
        model.graph.output[1].name = output

    return change


def _exchange(model: Any) -> None:
    names = {"y": "z", "z": "y"}
    for node in model.graph.node:
        node.output[0] = names.get(node.output[0], node.output[0])


@pytest.mark.parametrize("change", [_ends_with("extra", "l"), _ends_with(None, "more"), _exchange])
def test_outputs_are_put_right(change: Callable[[Any], None], tmp_path: Path) -> None:
    from aligner.api.fixing import fix

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", change)
    found = fix(right, wrong, _feeds(), output=tmp_path / "fixed.onnx")
    assert found.after == "aligned", found
    for one, other in zip(_outputs(right), _outputs(tmp_path / "fixed.onnx"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    from aligner.api.fixing import fix

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS["pads"])
    found = fix(right, wrong, _feeds())
    assert (found.after, found.written, found.dry_run) == ("aligned", None, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["right.onnx", "wrong.onnx"]


def test_nothing_to_fix(tmp_path: Path) -> None:
    from aligner.api.fixing import fix

    right, same = build(tmp_path / "right.onnx"), build(tmp_path / "same.onnx")
    found = fix(right, same, _feeds(), output=tmp_path / "fixed.onnx")
    assert (found.before, found.written, found.exit_code) == ("aligned", None, 0)
    assert not (tmp_path / "fixed.onnx").exists()


def test_unproven_is_refused(tmp_path: Path) -> None:
    from aligner.api.fixing import fix
    from aligner.errors import ComparisonError

    def two_at_one_place(model: Any) -> None:
        FAULTS["pads"](model)
        FAULTS["kernel changed"](model)

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", two_at_one_place)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(Exception, match=r"no valid ONNX|cannot be read|no complete ONNX"):
        fix(right, tmp_path / "text.onnx", _feeds(), output=tmp_path / "fixed.onnx")
    with pytest.raises(ComparisonError, match="no cause was proven"):
        fix(right, wrong, _feeds(), output=tmp_path / "fixed.onnx")
    assert not (tmp_path / "fixed.onnx").exists()


@pytest.mark.parametrize("name", ["wrong.onnx", "nowhere/fixed.onnx", "folder"])
def test_place_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    from aligner.api.fixing import fix
    from aligner.errors import OutputError

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS["pads"])
    (tmp_path / "folder").mkdir()
    before = wrong.read_bytes()
    with pytest.raises(OutputError, match="cannot write"):
        fix(right, wrong, _feeds(), output=tmp_path / name)
    assert wrong.read_bytes() == before


@pytest.mark.slow
def test_command_from_a_report(tmp_path: Path) -> None:
    build(tmp_path / "right.onnx")
    build(tmp_path / "wrong.onnx", FAULTS["alpha"])
    np.save(tmp_path / "x.npy", _feeds()["x"])
    compared = run(tmp_path, "compare", "right.onnx", "wrong.onnx", "--input", "x.npy", "--json", "run.json")
    assert compared.code == 1
    told = run(tmp_path, "fix", "run.json", "--dry-run", "--json", "-")
    document = json.loads(told.out)
    assert (told.code, document["after"], document["written"]) == (0, "aligned", None)
    fixed = run(tmp_path, "fix", "run.json", "-o", "fixed.onnx")
    assert fixed.code == 0 and "FIXED" in fixed.out and "alpha" in fixed.out
    assert run(tmp_path, "compare", "right.onnx", "fixed.onnx", "--input", "x.npy", "--quiet").code == 0
    build(tmp_path / "wrong.onnx", FAULTS["pads"])
    changed = run(tmp_path, "fix", "run.json", "-o", "again.onnx")
    assert changed.code == 2 and "not of these files as they are now" in changed.err
    same = run(tmp_path, "fix", "run.json", "-o", "wrong.onnx")
    assert same.code == 2 and "would overwrite what is read" in same.err
    assert not (tmp_path / "again.onnx").exists()


def test_report_that_says_too_little(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    told = run(tmp_path, "fix", "run.json", "--dry-run")
    assert told.code == 2 and "Traceback" not in told.err
    assert run(tmp_path, "fix", "run.json").code == 2


@pytest.mark.parametrize("fault", ["range", "scale", "zero point"])
def test_quantised_tensor_is_put_right(fault: str, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    from aligner.api.fixing import fix
    from tests.test_sensitivity import X, chain, ranges

    right = chain(tmp_path / "float.onnx")
    held = ranges(right)
    if fault == "range":
        held[4] /= 4
    wrong = chain(tmp_path / "int8.onnx", held)
    if fault != "range":
        model = onnx.load(wrong)
        value = np.float32(held[9] / 80) if fault == "scale" else np.int8(20)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), "other"))
        reader = next(one for one in model.graph.node if one.name == "d9")
        reader.input[1 if fault == "scale" else 2] = "other"
        onnx.save(model, wrong)
    found = fix(right, wrong, {"x": X}, output=tmp_path / "fixed.onnx")
    assert (found.before, found.after) == ("diverged", "aligned"), found
    assert found.errors[1] is not None and found.errors[0] is not None and found.errors[1] < found.errors[0] / 4


def test_an_operation_too_many_goes_where_the_rest_cannot_be_written_again(tmp_path: Path) -> None:
    import onnx

    from aligner.api.fixing import fix

    for name, turned in (("right", False), ("wrong", True)):
        onnx.save(_cell(turned), tmp_path / f"{name}.onnx")
    x = np.random.default_rng(5).standard_normal((6, 1, 3)).astype("f4")
    found = fix(tmp_path / "right.onnx", tmp_path / "wrong.onnx", {"x": x}, output=tmp_path / "fixed.onnx")
    assert (found.before, found.after) == ("diverged", "aligned"), found
    assert "Slice" in found.patches[0].lines[0] and "Identity" in found.patches[0].lines[1]


def _cell(turned: bool) -> Any:
    """A recurrent cell, its time reversed behind it or not, and a dense layer."""
    import onnx

    rng, known = np.random.default_rng(6), {}
    for name, shape in {"w": (1, 16, 3), "r": (1, 16, 4), "v": (4, 5)}.items():
        known[name] = rng.standard_normal(shape).astype("f4")
    known |= {name: np.array([value], np.int64) for name, value in (("minus", -1), ("zero", 0), ("far", -99))}
    nodes = [
        onnx.helper.make_node("LSTM", ["x", "w", "r"], ["all" if turned else "t"], "cell", hidden_size=4),
        *([onnx.helper.make_node("Slice", ["all", "minus", "far", "zero", "minus"], ["t"], "turn")] if turned else []),
        onnx.helper.make_node("MatMul", ["t", "v"], ["y"], "dense"),
    ]
    ends = [onnx.helper.make_tensor_value_info(n, 1, shape) for n, shape in (("x", (6, 1, 3)), ("y", (6, 1, 1, 5)))]
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in known.items()]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
