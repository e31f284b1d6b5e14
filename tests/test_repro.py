"""A fault cut out of a model: it fails without aligner, and only where there is one."""

from __future__ import annotations

import subprocess
import sys
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


def _alone(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "repro.py"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("fault", ["pads", "slice", "kernel", "activation extra", "float16"])
def test_fault_fails_alone(fault: str, tmp_path: Path) -> None:
    from aligner.api.reproducing import reproduce

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS[fault])
    found = reproduce(right, wrong, _feeds(), output=tmp_path / "repro")
    told = _alone(tmp_path / "repro")
    assert told.returncode == 1 and "largest error" in told.stdout
    assert found.files == ("ISSUE.md", "expected.npy", "inputs.npz", "part.onnx", "repro.py")
    assert "aligner" not in (tmp_path / "repro" / "repro.py").read_text()
    assert len(found.operations) < 5


def test_mended_part_passes(tmp_path: Path) -> None:
    import onnx

    from aligner.api.reproducing import reproduce
    from tests.fixable_models import set_attribute

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS["pads"])
    reproduce(right, wrong, _feeds(), output=tmp_path / "repro")
    part = onnx.load(tmp_path / "repro" / "part.onnx")
    set_attribute("first", "pads", [1, 1, 1, 1])(part)
    onnx.save(part, tmp_path / "repro" / "part.onnx")
    assert _alone(tmp_path / "repro").returncode == 0


def test_command_writes_a_folder(tmp_path: Path) -> None:
    build(tmp_path / "right.onnx")
    build(tmp_path / "wrong.onnx", FAULTS["alpha"])
    np.save(tmp_path / "x.npy", _feeds()["x"])
    told = run(tmp_path, "repro", "right.onnx", "wrong.onnx", "--input", "x.npy", "-o", "repro")
    assert told.code == 0 and "LeakyRelu at leaky fails alone" in told.out, told.err
    assert "LeakyRelu" in (tmp_path / "repro" / "ISSUE.md").read_text()
    again = run(tmp_path, "repro", "right.onnx", "wrong.onnx", "--input", "x.npy", "-o", "repro")
    assert again.code == 2 and "something lies there already" in again.err


def test_no_fault_is_refused(tmp_path: Path) -> None:
    from aligner.api.reproducing import reproduce
    from aligner.errors import ComparisonError

    right, same = build(tmp_path / "right.onnx"), build(tmp_path / "same.onnx")
    with pytest.raises(ComparisonError, match="no fault"):
        reproduce(right, same, _feeds(), output=tmp_path / "repro")
    assert not (tmp_path / "repro").exists()
