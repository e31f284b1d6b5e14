"""Links in a dump's folder that lead out of it: what is behind them is never opened, and is no traceback either."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import command
import dump_writers as write
import numpy as np
import pytest
from marks import requires_onnx, requires_safetensors, requires_torch

from aligner.adapters.dumps.dump import read_json, read_lines
from aligner.adapters.dumps.formats import is_dump, open_dump
from aligner.errors import AlignerError, ModelFormatError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
TENSORS = {name: np.arange(6, dtype=np.float32).reshape(1, 6) for name in ("x", "/a/Conv_output_0", "y")}


def captured(path, tensors):
    """align capture's folder of .npy files, with the true names beside them."""
    write.npy_folder(path, tensors)
    (path / "index.json").write_text('{"x.npy": "x"}')
    return path


def etdump(path, tensors):
    """No more of ExecuTorch's than what is looked at before its own reader is."""
    path.mkdir()
    (path / "run.etdp").write_bytes(bytes(4) + b"ED00" + bytes(4))
    (path / "debug_buffer.bin").write_bytes(bytes(4))
    (path / "etrecord.bin").write_bytes(bytes(4))
    return path


FOLDERS = [
    write.npy_folder,
    captured,
    write.raw_folder,
    write.raw_manifest,
    write.trtexec,
    write.trtexec_summary,
    pytest.param(write.onnx_test_data, marks=requires_onnx),
    pytest.param(write.ort_files, marks=requires_onnx),
    pytest.param(write.msprobe, marks=requires_torch),
    pytest.param(write.transformers_tree, marks=requires_safetensors),
    write.mnn,
    write.rknn,
    etdump,
]
OWN = [
    (captured, "index.json"),
    (write.raw_manifest, "manifest.json"),
    (write.trtexec, "tensor_summary.json"),
    pytest.param(write.msprobe, "dump.json", marks=requires_torch),
    (write.rknn, "map_name_to_file.txt"),
    (etdump, "etrecord.bin"),
]
"""Files that a format opens by a name of its own."""

_opened: list[str] | None = None


def _hook(event, arguments):
    if event == "open" and _opened is not None and isinstance(arguments[0], str | bytes):
        _opened.append(os.path.realpath(os.fsdecode(arguments[0])))


sys.addaudithook(_hook)


@contextmanager
def nothing_opened(outside):
    """Fail where a file of a folder is opened."""
    global _opened
    _opened = []
    try:
        yield
        assert not [path for path in _opened if Path(path).is_relative_to(os.path.realpath(outside))]
    finally:
        _opened = None


def lead_out(entry, outside):
    """Move a file or folder out, whole, and leave a link to it."""
    outside.mkdir()
    shutil.move(entry, outside / entry.name)
    entry.symlink_to(outside / entry.name)


def in_three_parts(error):
    return bool(error.what and error.found and error.hint)


@pytest.mark.parametrize("writer", FOLDERS)
def test_nothing_outside_is_opened(tmp_path, writer):
    sample = writer(tmp_path / "sample", TENSORS)
    for number, entry in enumerate(sorted(sample.rglob("*"))):
        case = tmp_path / f"case{number}"
        shutil.copytree(sample, case / "dump")
        lead_out(case / "dump" / entry.relative_to(sample), case / "outside")
        with nothing_opened(case / "outside"):
            try:
                dump = open_dump(case / "dump")
                for place, tensor in enumerate(dump.tensors):
                    if tensor.statistics is None:
                        dump.read(place)
                dump.close()
            except AlignerError as error:
                assert in_three_parts(error), entry


@pytest.mark.parametrize(("writer", "name"), OWN)
@pytest.mark.parametrize("nowhere", [False, True])
def test_a_formats_own_file_that_leads_out_is_said(tmp_path, writer, name, nowhere):
    folder = writer(tmp_path / "dump", TENSORS)
    lead_out(folder / name, tmp_path / "outside")
    if nowhere:
        (tmp_path / "outside" / name).unlink()
    assert is_dump(folder)
    with nothing_opened(tmp_path / "outside"), pytest.raises(ModelFormatError, match="lacks a file") as caught:
        open_dump(folder)
    assert in_three_parts(caught.value)
    assert f"{name} leads out" in str(caught.value)


@pytest.mark.parametrize(("writer", "name"), OWN[1:3])
def test_a_link_within_the_folder_is_followed(tmp_path, writer, name):
    folder = writer(tmp_path / "dump", TENSORS)
    (folder / name).rename(folder / "kept.txt")
    (folder / name).symlink_to("kept.txt")
    assert [tensor.name for tensor in open_dump(folder).tensors] == list(TENSORS)


def test_a_folder_that_is_named_by_a_link_is_a_folder(tmp_path):
    folder = write.trtexec(tmp_path / "dump", TENSORS)
    (tmp_path / "link").symlink_to(folder)
    for named in (tmp_path / "link", folder / "tensor_summary.json"):
        assert [tensor.name for tensor in open_dump(named).tensors] == list(TENSORS)


@pytest.mark.parametrize("read", [read_json, read_lines])
def test_a_text_that_the_system_does_not_hand_out(tmp_path, read):
    for path in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(ModelFormatError, match="cannot be read") as caught:
            read(path)
        assert in_three_parts(caught.value)


@requires_onnx
def test_the_command_says_so(tmp_path, capfd, monkeypatch):
    import dumped_models
    import onnx

    align = command.Shell(tmp_path, capfd, monkeypatch)
    onnx.save(dumped_models.network(), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", dumped_models.picture())
    lead_out(write.trtexec(tmp_path / "dump", TENSORS) / "tensor_summary.json", tmp_path / "outside")
    (tmp_path / "outside" / "tensor_summary.json").chmod(0)
    align.refused(
        "compare", "net.onnx", "dump", "-i", "x.npy", "--dump-of", "net.onnx", says=("tensor_summary.json leads out",)
    )
