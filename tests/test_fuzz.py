"""A short run of ``python -m benchmarks.fuzz``: nothing that is read ends otherwise than with an answer."""

from __future__ import annotations

import sys

import pytest
from marks import requires_image, requires_onnx, requires_safetensors, requires_tflite, requires_torch

pytestmark = [
    requires_image,
    requires_onnx,
    requires_safetensors,
    requires_tflite,
    requires_torch,
    pytest.mark.skipif(sys.platform != "linux", reason="cases run in forked processes"),
]


LONG = "keras|saved|dump .* compared|torch export|decoder|onnx varied|ncnn run"


@pytest.mark.parametrize("only", [f"^(?!{LONG})", pytest.param(f"^({LONG})", marks=pytest.mark.slow)])
def test_whole_files_are_read_and_changed_ones_answered(only):
    import subprocess

    code = f"""
from functools import partial
from benchmarks.fuzz.__main__ import read_whole
from benchmarks.fuzz.running import BAD, file_cases, warm
from benchmarks.fuzz.subjects import subjects
for name, subject in subjects("{only}"):
    warm(partial(read_whole, subject.kept_whole()))
    ((_, found),) = file_cases(subject.kept_whole(), [name])
    assert found == "read", (name, found)
    for seed, found in file_cases(subject, [f"test {{name}}:{{number}}" for number in range(1)]):
        assert found.split(" ")[0] not in BAD, (seed, found)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_command_lines_are_answered(tmp_path):
    import subprocess

    words = [sys.executable, "-m", "benchmarks.fuzz", "--only", "nothing", "--commands", "1000:1008"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
