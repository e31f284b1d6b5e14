"""Dumps of one small run, as each tool writes them."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.fuzz.apart import apart

_TESTS = Path(__file__).resolve().parents[2] / "tests"
WRITERS = (
    *("npy_folder", "npz", "safetensors", "torch_dict", "sglang_pass", "raw_folder", "raw_manifest", "polygraphy"),
    *(
        "polygraphy_old",
        "trtexec",
        "trtexec_summary",
        "trtexec_outputs",
        "onnx_test_data",
        "ort_files",
        "ort_database",
        "msprobe",
    ),
    *("msprobe_l1", "transformers_tree", "mnn", "rknn"),
)

STATISTICS = frozenset(("trtexec_summary",))
"""Tools that write how tensors are spread, and no tensor: read beside another side alone."""
_WITHOUT_INPUTS = frozenset(("mnn", "sglang_pass", "msprobe", "transformers_tree"))
"""Tools that write what operators and modules give, and no more."""


def _of_tests(name: str) -> ModuleType:
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
    return importlib.import_module(name)


@apart
def dumped_model() -> bytes:
    """What was dumped, as ONNX."""
    model: bytes = _of_tests("dumped_models").network().SerializeToString()
    return model


def dumped_input() -> Any:
    """What it was fed."""
    return _of_tests("dumped_models").picture()


@apart
def dump_of(name: str) -> tuple[str, bytes | dict[str, bytes]]:
    """What one writer makes: a suffix and the file, or "" and the files of the folder."""
    tensors = _tensors()
    with tempfile.TemporaryDirectory() as folder:
        inner = {one: array for one, array in tensors.items() if one != "x" or name not in _WITHOUT_INPUTS}
        written = getattr(_of_tests("dump_writers"), name)(Path(folder) / "dump", inner)
        if written.is_file():
            return written.suffix, written.read_bytes()
        files = (path for path in written.rglob("*") if path.is_file())
        return "", {str(path.relative_to(written)): path.read_bytes() for path in files}


@apart
def _tensors() -> dict[str, Any]:
    models = _of_tests("dumped_models")
    tensors: dict[str, Any] = models.computed(models.network(), models.picture())
    return tensors
