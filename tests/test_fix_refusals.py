"""What fix, repro and sensitivity refuse: clear words, exit code 2, nothing half written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import checked, files, run
from tests.fixable_models import FAULTS, build
from tests.marks import requires_onnx, requires_torch

pytestmark = requires_onnx


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    build(folder / "right.onnx")
    build(folder / "wrong.onnx", FAULTS["alpha"])
    np.save(folder / "x.npy", np.random.default_rng(3).standard_normal((1, 3, 16, 16)).astype("f4"))
    told = run(folder, "compare", "right.onnx", "wrong.onnx", "--input", "x.npy", "--json", "run.json")
    assert told.code == 1, told.err
    return folder


@pytest.fixture
def compared(made: Path, tmp_path: Path) -> Path:
    """A folder with two models, an input and the report of their comparison."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def _gone(folder: Path) -> None:
    (folder / "wrong.onnx").unlink()


def _changed(folder: Path) -> None:
    build(folder / "wrong.onnx", FAULTS["pads"])


def _of_others(folder: Path) -> None:
    document = json.loads((folder / "run.json").read_text())
    document["candidate"]["nodes"] += 7
    (folder / "run.json").write_text(json.dumps(document))


def _of_the_library(folder: Path) -> None:
    document = json.loads((folder / "run.json").read_text())
    document["command"] = None
    (folder / "run.json").write_text(json.dumps(document))


def _with_a_strange_command(folder: Path) -> None:
    document = json.loads((folder / "run.json").read_text())
    document["command"] = "align compare right.onnx wrong.onnx --no-such-option"
    (folder / "run.json").write_text(json.dumps(document))


def _cut(folder: Path) -> None:
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text[: len(text) // 2])


def _asks_for_code(folder: Path) -> None:
    document = json.loads((folder / "run.json").read_text())
    document["command"] = "align compare right.onnx wrong.onnx --input x.npy --trust"
    (folder / "run.json").write_text(json.dumps(document))


REPORTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "gone": (_gone, "wrong.onnx"),
    "changed": (_changed, "not of these files as they are now"),
    "of others": (_of_others, "not of these files as they are now"),
    "of the library": (_of_the_library, "does not say how to compare again"),
    "a strange command": (_with_a_strange_command, "is not understood"),
    "cut off": (_cut, "holds no JSON"),
    "asks for code": (_asks_for_code, "asks to run code"),
}


@pytest.mark.parametrize("verb", ["fix", "repro"])
@pytest.mark.parametrize("report", REPORTS)
def test_reports_that_do_not_hold(verb: str, report: str, compared: Path) -> None:
    change, says = REPORTS[report]
    change(compared)
    before = files(compared)
    checked(run(compared, verb, "run.json", "-o", "made.onnx"), says)
    assert files(compared) == before


def test_one_model_alone_is_no_report(compared: Path) -> None:
    checked(run(compared, "fix", "right.onnx", "-o", "made.onnx"), "the only model")


def test_code_is_not_written_again(compared: Path) -> None:
    (compared / "net.py").write_text("raise RuntimeError('this was loaded')")
    checked(run(compared, "fix", "right.onnx", "net.py:made", "--trust", "-o", "made.onnx"), "is code")


def test_disk_that_takes_nothing(compared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aligner.api.fixing import fix
    from aligner.errors import OutputError

    def refused(source: Any, target: Any, **_: Any) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(30, "Read-only file system")

    feeds = {"x": np.load(compared / "x.npy")}
    monkeypatch.setattr(shutil, "copyfile", refused)
    before = files(compared)
    with pytest.raises(OutputError, match="cannot write"):
        fix(compared / "right.onnx", compared / "wrong.onnx", feeds, output=compared / "fixed.onnx")
    assert files(compared) == before


def test_fault_that_nothing_proves_leaves_no_folder(compared: Path) -> None:
    build(compared / "wrong.onnx")
    before = files(compared)
    told = run(compared, "repro", "right.onnx", "wrong.onnx", "--input", "x.npy", "-o", "fault")
    checked(told, "there is no fault")
    assert files(compared) == before


@requires_torch
def test_candidate_that_cannot_be_written_says_what_to_change(tmp_path: Path) -> None:
    import torch

    from aligner.api.fixing import fix
    from aligner.report.repair_text import lines

    class Net(torch.nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = torch.nn.Conv2d(3, 4, 3)
            self.act = torch.nn.LeakyReLU(slope)

        def forward(self, x: Any) -> Any:
            return self.act(self.first(x))

    x = torch.randn(1, 3, 8, 8)
    torch.jit.save(torch.jit.trace(Net(0.01).eval(), x), tmp_path / "wrong.pt")
    found = fix(Net(0.2).eval(), tmp_path / "wrong.pt", {"x": x.numpy()}, output=tmp_path / "fixed.pt")
    text = "\n".join(lines(found))
    assert found.exit_code == 1 and not (tmp_path / "fixed.pt").exists()
    assert "test_fix_refusals.py:" in text and "0.2" in text
