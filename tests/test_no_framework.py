"""Without any framework the package imports, the command answers, and what is missing is named with its cure.

The frameworks are hidden where they are installed, so the tests say the same in every environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

FRAMEWORKS = ("torch", "onnx", "onnxruntime", "tensorflow", "ai_edge_litert", "tflite_runtime", "keras", "flatbuffers")
ALIGN = (
    "import sys\n"
    "from importlib.metadata import entry_points\n"
    "sys.exit(entry_points(group='console_scripts')['align'].load()())\n"
)


@pytest.fixture
def align(tmp_path):
    """Run the command in an interpreter (and its children) that finds none of the frameworks."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    blocking = "".join(f"sys.modules[{name!r}] = None\n" for name in FRAMEWORKS)
    (hidden / "sitecustomize.py").write_text("import sys\n" + blocking)
    path = os.pathsep.join(filter(None, (str(hidden), os.environ.get("PYTHONPATH"))))

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", ALIGN, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "200"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def models(tmp_path):
    """Files that each adapter would claim, as far as their first bytes go."""
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch:\x00")
    (tmp_path / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/constants.pkl", b"\x80\x02).")
        archive.writestr("model/data.pkl", b"\x80\x02).")
        archive.writestr("model/code/__torch__.py", "")
    return tmp_path


def test_help_and_version_answer(align):
    assert "compare" in align("--help").stdout
    assert align("--version").stdout.strip().endswith("0.2.0")


def test_adapters_says_what_is_missing_and_how_to_get_it(align):
    done = align("adapters")
    assert done.returncode == 0, done.stderr
    for extra in ("torch", "onnx", "tflite"):
        assert f"aligner[{extra}]" in done.stdout


@pytest.mark.parametrize(("name", "extra"), [("model.onnx", "onnx"), ("model.tflite", "tflite"), ("model.pt", "torch")])
def test_a_missing_framework_is_an_answer(align, models, name, extra):
    model = models / name
    done = align("compare", model, model)
    assert done.returncode == 2
    assert f'pip install "aligner[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_says_what_it_needs(align):
    done = align("demo")
    assert done.returncode == 2
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr
