"""Files made to harm: each is refused with a message, and nothing outside what the command was given is touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import command
import numpy as np
import pytest
from marks import requires_image, requires_torch

HOSTILE = Path(__file__).parent / "data" / "hostile"


@pytest.fixture
def align(tmp_path, capfd, monkeypatch):
    for file in HOSTILE.iterdir():
        shutil.copy(file, tmp_path)
    np.save(tmp_path / "x3.npy", np.ones(3, np.float32))
    (tmp_path / "factory.py").write_text("from torch import nn\ndef build(): return nn.Linear(3, 3)\n")
    return command.Shell(tmp_path, capfd, monkeypatch)


# ------------------------------------------------------------------------------------------------------ TorchScript


@requires_torch
@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("ts_write_load.pt", "aten::save"),
        ("ts_overwrite_load.pt", "aten::from_file"),
        ("ts_write_forward.pt", "aten::save"),
        ("ts_read.pt", "aten::from_file"),
        ("ts_loop_load.pt", "a loop in __setstate__"),
        ("ts_memory_load.pt", "torch.ones in __setstate__"),
        ("ts_heap_read.pt", "4096 elements; the archive holds 16"),
        ("ts_short_storage.pt", "3 elements; the archive holds 0"),
        ("ts_constants_segv.pt", "1 elements; the archive holds 0"),
        ("ts_stride0.pt", "stands for 4,294,967,296 bytes"),
        ("ts_memo.pt", "asks for a memo of 268,435,455 entries"),
        ("ts_debug_pkl_memory.pt", "listed twice"),
    ],
)
def test_scripts_are_read_before_they_are_loaded(align, file, says):
    align.refused("inspect", file, says=(says,))
    align.refused("capture", file, "-i", "x3.npy", "-o", "o.npz", says=(says,))
    align.refused("weights", file, file, says=(says,))


@requires_torch
def test_a_scripts_tensors_are_taken_without_its_code(align):
    for file in ("ts_write_load.pt", "ts_loop_load.pt", "ts_write_forward.pt"):
        outcome = align("inspect", "factory.py:build", "--weights", file, "-i", "x3.npy")
        assert outcome.code == 2
        assert "holds nothing that fits the model" in outcome.err
        assert "w" in outcome.err
    for file in ("ts_short_storage.pt", "ts_stride0.pt", "ts_memo.pt"):
        align.refused("inspect", "factory.py:build", "--weights", file, "-i", "x3.npy")


@requires_torch
@pytest.mark.parametrize(
    "body",
    [
        "torch.save(x, 'f')",
        "getattr(torch, 'save')(x, 'f')",
        "getattr(torch, 's' + 'ave')(x, 'f')",
        "x.save('f')",
        "(torch.relu(x)).save('f')",
        "ops.aten.save(x, 'f')",
        "ops.prim.PythonOp(x)",
        "ops.image.write_file('f', x)",
        "torch.add(x, ops)",
        "torch.set_(x, x)",
        "torch._test_check_tensor(x)",
        "__torch__.torch.classes.foo.Bar(x)",
        "rpc_sync('w', x)",
    ],
)
def test_ways_to_name_an_operator(tmp_path, body):
    from aligner.adapters.torch_archive import open_archive
    from aligner.adapters.torchscript_adapter.code import check_code
    from aligner.errors import UntrustedFileError

    path = script(tmp_path, f"class M(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return {body}\n")
    with open_archive(path) as archive, pytest.raises(UntrustedFileError):
        check_code(archive)


def script(folder: Path, code: str) -> Path:
    import zipfile

    path = folder / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"N.")
        archive.writestr("m/code/__torch__/m.py", code)
    return path


@requires_torch
def test_quantised_scripts_need_no_trust(tmp_path):
    import torch

    quantised = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(3, 4)), dtype=torch.qint8)
    torch.jit.save(torch.jit.script(quantised), tmp_path / "q.pt")
    from aligner.adapters.torchscript_adapter.code import check_archive

    check_archive(tmp_path / "q.pt", trust=False)


@requires_torch
@pytest.mark.parametrize("change", ["prefix", "suffix", "comment", "twice", "deflated"])
def test_archives_that_two_readers_may_read_differently(tmp_path, change):
    import zipfile

    from aligner.adapters.torch_archive import open_archive
    from aligner.errors import ModelFormatError

    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"N.")
        if change == "twice":
            with pytest.warns(UserWarning):
                archive.writestr("m/data.pkl", b"N.")
        if change == "deflated":
            archive.writestr("m/data/0", bytes(1 << 20), zipfile.ZIP_DEFLATED)
        if change == "comment":
            archive.comment = b"PK\x05\x06" + bytes(18)
    if change in ("prefix", "suffix"):
        data = path.read_bytes()
        path.write_bytes(b"PK\x03\x04" + data if change == "prefix" else data + b"x")
    with pytest.raises(ModelFormatError):
        open_archive(path)


@requires_torch
def test_tensors_that_stand_for_more_than_the_file_holds(align):
    align.refused("capture", "factory.py:build", "-i", "pt_stride0.pt", "-o", "o.npz", says=("4,294,967,296 bytes",))
    align.refused("inspect", "factory.py:build", "--weights", "pt_stride0.pt", "-i", "x3.npy", says=("4,294,967,296",))


@requires_torch
def test_an_old_archive_is_known_by_its_first_header(align):
    align.refused("inspect", "tar_negative.pt")
    align.refused("inspect", "factory.py:build", "--weights", "tar_negative.pt", "-i", "x3.npy")


# --------------------------------------------------------------------------------------------------------- pictures


@requires_image
@requires_torch
def test_a_picture_starts_no_program(align, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    align.refused(
        "capture", "factory.py:build", "-i", "eps_named.png", "-o", "o.npz", says=("not a known picture format",)
    )
    assert not (tmp_path / "started").exists()


@requires_image
def test_a_picture_of_too_many_pixels(tmp_path):
    from PIL import Image

    from aligner.errors import InputError
    from aligner.inputs.files import read_file

    Image.new("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match="too large"):
        read_file(tmp_path / "bomb.png")
