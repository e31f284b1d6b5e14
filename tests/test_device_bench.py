"""Simulated devices: whatever they make of names, layouts and tensors, a dump is worth what the model is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from marks import requires_onnx, requires_safetensors

import aligner
from benchmarks.devices.device import Device, drawn
from benchmarks.devices.dumping import dump

pytestmark = [requires_onnx, requires_safetensors]
GUILTY = "/c2/Conv_output_0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import dumped_models
    import onnx

    path = tmp_path_factory.mktemp("devices")
    for fault in (None, "kernel"):
        onnx.save(dumped_models.network(fault), path / f"{fault or 'net'}.onnx")
    np.save(path / "x.npy", dumped_models.picture())
    return path


def compared(folder, where, fault, device, seed):
    import dumped_models

    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model

    model = folder / f"{fault or 'net'}.onnx"
    session = open_model(model, OpenOptions())
    feeds = {"x": dumped_models.picture()}
    tensors = {tensor.value: np.array(tensor.array) for tensor in session.run(feeds)}
    made = dump(where, session.graph(feeds), tensors, device, np.random.default_rng(seed))
    session.close()
    options = {"dump_of": folder / "net.onnx" if device.right else model} if device.told else {}
    return made, aligner.compare(folder / "net.onnx", made.path, folder / "x.npy", **options)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fault", [None, "kernel"])
def test_drawn_devices(folder, tmp_path, fault, seed):
    device = replace(drawn(np.random.default_rng(seed), may_guess=False, may_err=True), precision="float32")
    made, result = compared(folder, tmp_path / "dump", fault, device, seed)
    if fault is None:
        assert result.verdict == "aligned", (device, result.comparison.reason)
        return
    assert result.verdict == "diverged", (device, result.comparison.reason)
    blamed = [pair.candidate.name for pair in result.introduced]
    assert len(blamed) == 1 and (blamed == [GUILTY] or (device.right and GUILTY not in made.values)), (device, blamed)


WAYS = [
    {"names": "numbered", "fused": True, "writer": "npy"},
    {"names": "suffixed"},
    {"names": "prefixed", "fused": True, "writer": "npy"},
    {"packing": "pad16", "writer": "raw"},
    {"packing": "pad32", "writer": "raw", "fed": False, "last": True},
    {"packing": "pad16", "batched": False},
    {"packing": "c4", "writer": "raw", "fed": False},
    {"packing": "c4"},
    {"precision": "bfloat16", "writer": "raw"},
    {"precision": "bfloat16", "packing": "c16", "writer": "raw"},
    {"precision": "bfloat16"},
    {"precision": "int8", "writer": "manifest"},
    {"doubled": True, "names": "numbered"},
    {"names": "hashed", "writer": "raw", "last": True},
    {"reused": True},
    {"precision": "coded", "fed": False},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(f"{key}={value}" for key, value in way.items()))
def test_ways_of_devices(folder, tmp_path, way):
    """Decorated names, channels in whole blocks, numbers of few bits: clean is aligned, a fault is where it is."""
    for fault in (None, "kernel"):
        _, result = compared(folder, tmp_path / str(fault), fault, Device(**way), 1)
        if fault is None:
            assert result.verdict == "aligned", result.comparison.reason
            continue
        assert [pair.candidate.name for pair in result.introduced] == [GUILTY], result.comparison.reason


def test_the_table_counts_what_is_right():
    from benchmarks.devices.table import line, render

    good = {"device": None, "verdict": "diverged", "exact": True, "false_alarm": None}
    bad = {"device": Device().as_dict(), "error": "Traceback\nValueError: no"}
    record = {"name": "a", "group": "fault", "form": "onnx", "status": "scored", "answers": [good, bad, bad]}
    assert "●○○" in line(record) and "ValueError: no" in line(record)
    assert "live: 1/1 (100.0%)" in render([record]) and "plain dumps: 0/1" in render([record])
