"""`import aligner` and `align --help` stay cheap: no numpy, no framework, no printer."""

from __future__ import annotations

import json
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
ALIGN_HELP = """
import json, sys
from importlib.metadata import entry_points

sys.argv = ["align", "--help"]
code = entry_points(group="console_scripts")["align"].load()()
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, aligner; print(sorted(set({(*HEAVY, 'rich')!r}) & set(sys.modules)))"
    done = python(code)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_importing_the_package_takes_less_than_100_ms_of_the_processor():
    code = "import time; start = time.process_time(); import aligner; print(time.process_time() - start)"
    assert min(float(python(code).stdout) for _ in range(3)) < 0.1


def test_help_loads_no_numpy_and_no_framework():
    done = python(ALIGN_HELP, ALIGNER_NO_FORK="1")  # the command's own process is this one: its modules can be listed
    assert done.returncode == 0, done.stderr[-2000:]
    assert "compare" in done.stdout
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "aligner.cli.process" in loaded
    assert not loaded & set(HEAVY)


def test_what_judges_and_reports_is_imported_while_models_run():
    """Before they are open it would be waited for; from the first observed run on a thread of the command does it."""
    late = ("aligner.alignment.engine", "aligner.judgement.verdicts", "aligner.operations.settings", "rich")
    code = f"""
import sys
import aligner.api.comparing
print(sorted(set({late!r}) & set(sys.modules)))
from aligner.cli.ahead import prepared_ahead
from aligner.records import progress
with prepared_ahead():
    progress.enter("", "loading")
    print(sorted(set({late!r}) & set(sys.modules)))
    progress.enter("reference", "observing")
print(set({late!r}) <= set(sys.modules))
"""
    done = python(code)
    assert (done.returncode, done.stdout.split()) == (0, ["[]", "[]", "True"]), done.stderr


def test_the_command_wins_over_the_room_of_its_name():
    program = "import aligner; from aligner.execution import pool; aligner.compare; assert aligner.capture.__call__"
    subprocess.run([sys.executable, "-c", program], check=True)
