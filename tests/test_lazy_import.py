"""`import aligner` and `align --help` stay cheap: no numpy, no framework, no printer."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = (
    "numpy",
    "torch",
    "onnx",
    "onnxruntime",
    "tensorflow",
    "ai_edge_litert",
    "pandas",
    "IPython",
    "PIL",
    "safetensors",
)
ALIGN_HELP = (
    "import sys\n"
    "from importlib.metadata import entry_points\n"
    "sys.argv = ['align', '--help']\n"
    "sys.exit(entry_points(group='console_scripts')['align'].load()())\n"
)


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def imported(stderr):
    """The top-level names in what PYTHONPROFILEIMPORTTIME wrote; forked processes write there too."""
    lines = (line for line in stderr.splitlines() if line.startswith("import time:"))
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, aligner; print(sorted(set({(*HEAVY, 'rich')!r}) & set(sys.modules)))"
    done = python(code)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_importing_the_package_takes_less_than_100_ms():
    code = "import time; start = time.perf_counter(); import aligner; print(time.perf_counter() - start)"
    assert min(float(python(code).stdout) for _ in range(3)) < 0.1


def test_help_loads_no_numpy_and_no_framework():
    done = python(ALIGN_HELP, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "compare" in done.stdout
    loaded = imported(done.stderr)
    assert {"aligner", "click"} <= loaded, "the listing of imports did not reach us; the test would prove nothing"
    assert not loaded & set(HEAVY)
