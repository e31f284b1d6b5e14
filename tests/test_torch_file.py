"""PyTorch's formats are told apart without unpickling."""

from __future__ import annotations

import argparse
import zipfile

import pytest
from marks import requires_safetensors, requires_torch

from aligner.adapters.torch_file import classify


@pytest.fixture
def network():
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()


@requires_torch
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dict_and_module(network, tmp_path, zipped):
    import torch

    module, weights = tmp_path / "module.pt", tmp_path / "weights.pth"
    torch.save(network, module, _use_new_zipfile_serialization=zipped)
    torch.save(network.state_dict(), weights, _use_new_zipfile_serialization=zipped)
    assert classify(module).kind == "module"
    assert "torch.nn.modules.conv.Conv2d" in classify(module).classes
    assert classify(weights).kind == "state_dict"
    assert classify(weights).classes == ()


@requires_torch
def test_checkpoint_with_foreign_objects_names_them(network, tmp_path):
    import torch

    path = tmp_path / "last.pth"
    torch.save({"model": network.state_dict(), "args": argparse.Namespace(lr=1)}, path)
    assert classify(path).kind == "state_dict"
    assert classify(path).classes == ("argparse.Namespace",)


@requires_torch
def test_module_inside_a_checkpoint(network, tmp_path):
    import torch

    path = tmp_path / "last.pt"
    torch.save({"model": network, "epoch": 3}, path)
    assert classify(path).kind == "module"


@requires_torch
def test_module_of_a_class_of_ones_own_is_known_by_its_keys(tmp_path):
    import torch

    path = tmp_path / "own.pt"
    torch.save(Own(), path)
    assert classify(path).kind == "module"


@requires_torch
def test_torchscript_and_export(network, tmp_path):
    import torch

    script, export = tmp_path / "script.pt", tmp_path / "export.pt2"
    torch.jit.save(torch.jit.script(network), str(script))
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 8, 8),)), export)
    assert classify(script).kind == "torchscript"
    assert classify(export).kind == "export"


@requires_torch
@requires_safetensors
def test_safetensors(network, tmp_path):
    from safetensors.torch import save_file

    path, cut = tmp_path / "weights.safetensors", tmp_path / "cut.safetensors"
    save_file(network.state_dict(), str(path))
    cut.write_bytes(path.read_bytes()[:-10])
    assert classify(path).kind == "safetensors"
    assert classify(cut).kind == "damaged"


@requires_torch
def test_nothing_is_executed(tmp_path):
    import torch

    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    torch.save({"weight": torch.zeros(1), "payload": Evil(trace)}, path)
    assert classify(path).classes
    assert not trace.exists()


def test_damage_and_strangers(tmp_path):
    def written(name: str, content: bytes):
        (tmp_path / name).write_bytes(content)
        return classify(tmp_path / name).kind

    assert written("empty.pt", b"") == "damaged"
    assert written("zip.pt", b"PK\x03\x04 and then nothing") == "damaged"
    assert written("pickle.pt", b"\x80\x02\x8a\x0a") == "damaged"
    assert written("text.pt", b"hello") == "unknown"
    assert written("json.pt", b"12345678{not json") == "damaged"
    assert written("dict.pkl", b"\x80\x04}\x94.") == "unknown"
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a/b.txt", "text")
    assert classify(tmp_path / "other.zip").kind == "unknown"


@requires_torch
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_truncated_archive(network, tmp_path, share):
    import torch

    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert classify(path).kind == "damaged"


class Evil:
    """Unpickling it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


try:
    from torch import nn
except ImportError:
    pass
else:

    class Own(nn.Module):
        """No module of torch's inside."""
