"""A checkpoint goes into a module, and every key is accounted for."""

from __future__ import annotations

import argparse

import pytest
from marks import requires_safetensors, requires_torch

from aligner.adapters.pytorch_adapter.checkpoint import load_into
from aligner.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError, UntrustedFileError

pytestmark = requires_torch


def network(seed=0):
    import torch
    from torch import nn

    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def same(one, other):
    import torch

    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def saved(tmp_path, content):
    import torch

    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    return path


def prefixed(prefix):
    return {prefix + key: value for key, value in network(1).state_dict().items()}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: network(1).state_dict(), "9 of the model's 9 tensors loaded from checkpoint.pth"),
        (lambda: {"state_dict": network(1).state_dict(), "epoch": 3}, "container state_dict"),
        (lambda: {"model": {"params": network(1).state_dict()}}, "container model.params"),
        (lambda: prefixed("module."), "prefix module. removed"),
        (lambda: {"model": prefixed("_orig_mod.module.")}, "prefix _orig_mod., module. removed"),
        (lambda: prefixed("backbone.net."), "prefix backbone.net. removed"),
    ],
)
def test_containers_and_prefixes_are_recognised_and_said(tmp_path, content, said):
    module = network()
    notes = load_into(module, saved(tmp_path, content()))
    assert same(module, network(1))
    assert said in notes[0]
    assert len(notes) == 1


def test_a_prefix_is_added_where_the_model_wraps(tmp_path):
    from torch import nn

    module = nn.ModuleDict({"backbone": network()})
    notes = load_into(module, saved(tmp_path, network(1).state_dict()))
    assert same(module["backbone"], network(1))
    assert "prefix backbone. added" in notes[0]


def test_smoothed_weights_win_and_this_is_said(tmp_path):
    module = network()
    path = saved(tmp_path, {"params": network(2).state_dict(), "params_ema": network(1).state_dict()})
    notes = load_into(module, path)
    assert same(module, network(1))
    assert notes[1] == "weights: checkpoint.pth also holds params; params_ema was used"


def test_mismatches_are_listed(tmp_path):
    import torch

    module, before = network(), network()
    content = network(1).state_dict()
    del content["3.bias"], content["1.num_batches_tracked"]
    content["3.weight"] = torch.zeros(5, 16)
    content |= {f"extra.{number}": torch.zeros(1) for number in range(7)}
    notes = load_into(module, saved(tmp_path, content))
    assert torch.equal(module[3].weight, before[3].weight)
    assert torch.equal(module[0].weight, network(1)[0].weight)
    text = "\n".join(notes)
    assert "6 of the model's 9 tensors" in text
    assert "missing in the checkpoint, left as the model made them: 3.bias" in text
    assert "1 num_batches_tracked counters are missing" in text
    assert "extra.4 and 2 more (7 in all)" in text
    assert "3.weight [5, 16], the model's is [2, 16]" in text


def test_nothing_fits(tmp_path):
    import torch

    with pytest.raises(ModelFormatError) as caught:
        load_into(network(), saved(tmp_path, {"encoder.w": torch.zeros(3)}))
    assert "encoder.w" in caught.value.found
    assert "0.weight" in caught.value.found


def test_code_is_refused_without_trust(tmp_path):
    path = saved(tmp_path, {"model": network(1).state_dict(), "args": argparse.Namespace(lr=1)})
    module = network()
    with pytest.raises(UntrustedFileError) as caught:
        load_into(module, path)
    assert "argparse.Namespace" in caught.value.found
    assert "--trust" in caught.value.hint
    load_into(module, path, trust=True)
    assert same(module, network(1))


def test_a_pickled_module_gives_its_weights_with_trust(tmp_path):
    path = saved(tmp_path, {"ema": None, "model": network(1)})
    module = network()
    with pytest.raises(UntrustedFileError):
        load_into(module, path)
    load_into(module, path, trust=True)
    assert same(module, network(1))


@requires_safetensors
def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file(network(1).state_dict(), str(path))
    module = network()
    load_into(module, path)
    assert same(module, network(1))


def test_half_precision_checkpoint_is_widened(tmp_path):
    import torch

    module = network()
    load_into(module, saved(tmp_path, network(1).half().state_dict()))
    assert module[0].weight.dtype == torch.float32
    assert torch.allclose(module[0].weight, network(1)[0].weight, atol=1e-3)


def test_torchscript_archive_as_checkpoint(tmp_path):
    import torch

    path = tmp_path / "script.pt"
    torch.jit.script(network(1)).save(str(path))
    module = network()
    load_into(module, path)
    assert same(module, network(1))


def test_a_storage_may_end_within_an_element(tmp_path):
    """Its whole elements are those that count: nothing promises that nothing follows."""
    import zipfile

    import torch

    whole, longer = tmp_path / "whole.pt", tmp_path / "longer.pt"
    torch.jit.script(network(1)).save(str(whole))
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(longer, "w") as taken:
        for name in given.namelist():
            taken.writestr(name, given.read(name) + b"x" * ("/data/" in name))
    module = network(2)
    load_into(module, longer)
    assert same(module, network(1))


def test_bad_files(tmp_path):
    import torch

    with pytest.raises(ModelNotFoundError):
        load_into(network(), tmp_path / "absent.pth")
    for content in (b"", b"PK\x03\x04", b"text"):
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(ModelFormatError):
            load_into(network(), tmp_path / "bad.pth")
    export = tmp_path / "export.pt2"
    torch.export.save(torch.export.export(network().eval(), (torch.zeros(1, 3, 4, 4),)), export)
    with pytest.raises(UnsupportedModelError):
        load_into(network(), export)


def test_legacy_file_cut_off_in_its_tensors(tmp_path):
    import torch

    path = tmp_path / "legacy.pth"
    torch.save(network(1).state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelFormatError):
        load_into(network(), path)
