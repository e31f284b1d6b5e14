"""The one command to run after a comparison: it carries over what was asked, and is absent where nothing is left."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from tests.command import run
from tests.fixable_models import FAULTS, build
from tests.marks import requires_onnx

pytestmark = requires_onnx


def _compared(folder: Path, *words: str) -> dict[str, Any]:
    return dict(json.loads(run(folder, "compare", *words, "--json", "-").out))


def test_a_proven_cause_leads_to_fix(tmp_path: Path) -> None:
    build(tmp_path / "right.onnx")
    build(tmp_path / "wrong model.onnx", FAULTS["alpha"])
    np.save(tmp_path / "x.npy", np.random.default_rng(3).standard_normal((1, 3, 16, 16)).astype("f4"))
    words = ("right.onnx", "wrong model.onnx", "--atol", "1e-4", "-i", "x.npy", "--seed", "3")
    document = _compared(tmp_path, *words)
    step = shlex.split(document["next_step"])
    models, output = ["right.onnx", "wrong model.onnx"], ["-o", "wrong model.fixed.onnx"]
    assert step == ["align", "fix", *models, "--atol", "1e-4", "--input", "x.npy", "--seed", "3", *output]
    assert document["causes"][0]["pair"] == document["first_divergence"]["id"]
    assert run(tmp_path, *step[1:]).code == 0 and (tmp_path / "wrong model.fixed.onnx").is_file()
    assert "next_step" not in _compared(tmp_path, "right.onnx", "wrong model.fixed.onnx", "-i", "x.npy")


def test_a_coarser_twin_leads_to_sensitivity(tmp_path: Path) -> None:
    from tests.test_sensitivity import X, chain, ranges

    right = chain(tmp_path / "float.onnx")
    chain(tmp_path / "int8.onnx", ranges(right))
    np.save(tmp_path / "x.npy", X)
    document = _compared(tmp_path, "float.onnx", "int8.onnx", "--input", "x.npy")
    assert document["verdict"] == "aligned"
    assert document["next_step"] == "align sensitivity float.onnx int8.onnx --input x.npy"
