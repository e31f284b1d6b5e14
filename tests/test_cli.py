"""The commands end to end: forms, options, exit codes, what goes where."""

from __future__ import annotations

import csv
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import command
import command_models
import json_schema
import numpy as np
import pytest
from marks import (
    requires_image,
    requires_onnx,
    requires_onnxscript,
    requires_pandas,
    requires_safetensors,
    requires_tflite,
    requires_torch,
)

DATA = Path(__file__).parent / "data"
DOCS = Path(__file__).parent.parent / "docs"

pytestmark = [requires_torch, requires_onnx, requires_onnxscript, requires_safetensors, requires_image]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    command_models.write_factories(folder)
    command_models.write_inputs(folder)
    command_models.write_picture(folder)
    command_models.write_torch(folder)
    command_models.write_safetensors(folder)
    command_models.write_onnx(folder)
    command_models.write_onnx(folder, wrong=True)
    command_models.write_nhwc_onnx(folder)
    return folder


@pytest.fixture
def align(shelf, capfd, monkeypatch):
    return command.Shell(shelf, capfd, monkeypatch)


PAIR = ("models.py:net", "net.onnx", "-i", "x.npy")
WRONG = ("models.py:net", "wrong.onnx", "-i", "x.npy")


# ---------------------------------------------------------------------------------------------------------- compare


@pytest.mark.parametrize("reference", ["models.py:net", "shelf.nets:net", "net.ts.pt", "net.onnx"])
@pytest.mark.parametrize("candidate", ["net.onnx", "net.ts.pt", "models.py:net"])
def test_every_form_on_either_side(align, reference, candidate):
    outcome, report = align.json("compare", reference, candidate, "-i", "x.npy")
    assert (outcome.code, outcome.err) == (0, "")
    assert report["verdict"] == "aligned"
    assert report["coverage"]["paired"] >= 5
    assert report["coverage"]["reference"] == report["coverage"]["candidate"] == 1.0
    assert [pair["verdict"] for pair in report["outputs"]] == ["aligned"]


@pytest.mark.parametrize("candidate", ["wrong.onnx", "wrong.ts.pt", "models.py:wrong_narrow"])
def test_the_guilty_node_leads(align, candidate):
    outcome, report = align.json("compare", "models.py:net", candidate, "-i", "x.npy")
    assert outcome.code == 1
    first = report["first_divergence"]
    assert first["reference"]["scope"] == "narrow"
    assert re.match(r"models\.py:\d+$", first["reference"]["source"].replace(str(align.folder) + "/", ""))
    assert abs(first["local"]["max_abs"] - 0.25) < 1e-4
    assert len(report["introduced"]) == 1
    outcome = align("compare", "models.py:net", candidate, "-i", "x.npy")
    assert outcome.code == 1
    assert outcome.out.startswith("DIVERGED at ")
    assert "narrow" in outcome.out.splitlines()[0]
    assert outcome.err == ""


def test_the_report_follows_its_schema(align):
    _, report = align.json("compare", *WRONG)
    assert json_schema.faults(report, json.loads((DOCS / "comparison.schema.json").read_text(encoding="utf-8"))) == []
    assert report["command"].startswith("align ")


def test_json_file_beside_the_terminal_report(align, tmp_path):
    outcome = align("compare", *WRONG, "--json", tmp_path / "report.json")
    assert outcome.out.startswith("DIVERGED")
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "diverged"
    assert command.files(tmp_path) == ["report.json"]


def test_atol_and_rtol_are_the_contract_of_outputs(align):
    _, strict = align.json("compare", *WRONG)
    largest = strict["outputs"][0]["accumulated"]["max_abs"]
    assert strict["tolerance"] == {**strict["tolerance"], "atol": 1e-5, "rtol": 1e-5}
    outcome, loose = align.json("compare", *WRONG, "--atol", 2 * largest, "--rtol", 0)
    assert loose["tolerance"] == {**loose["tolerance"], "atol": 2 * largest, "rtol": 0}
    assert loose["outputs"][0]["accumulated"]["beyond"] == 0
    assert outcome.code == {"aligned": 0, "diverged": 1}[loose["verdict"]]


def test_one_tolerance_for_every_node(align):
    assert align("compare", *WRONG, "--tolerance", 1, "--atol", 1).code == 0
    assert align("compare", *WRONG, "--tolerance", 0.1).code == 1


def test_full_shows_every_pair(align):
    _, report = align.json("compare", *WRONG)
    full = align("compare", *WRONG, "--full").out
    table = full[full.index("every pair") :]
    assert sum(bool(re.match(r"[▶ ]*\s*\d+ ", line)) for line in table.splitlines()) >= len(report["pairs"])
    assert not re.search(r"^more  |more: --full", full, re.MULTILINE)


def test_quiet_is_one_line(align):
    outcome = align("compare", *PAIR, "--quiet")
    assert outcome.code == 0
    assert outcome.out.count("\n") == 1
    assert outcome.out.startswith("ALIGNED")
    outcome = align("compare", *WRONG, "--quiet")
    assert outcome.code == 1
    assert outcome.out.startswith("DIVERGED") and "narrow" in outcome.out


@pytest.mark.parametrize("method", ["auto", "name", "order", "weights", "structure"])
def test_align_by(align, method):
    outcome, report = align.json("compare", *WRONG, "--align-by", method)
    assert outcome.code in (1, 3)
    rules = {pair["rule"] for pair in report["pairs"]}
    assert method == "auto" or not rules & ({"name", "order", "weights"} - {method})


def test_a_mapping_overrides(align, tmp_path):
    _, plain = align.json("compare", *PAIR)
    pair = next(pair for pair in plain["pairs"] if pair["reference"]["scope"] == "narrow")
    names = pair["reference"]["name"], pair["candidate"]["name"]
    with (tmp_path / "map.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("reference", "candidate"), names])
    outcome, mapped = align.json("compare", *PAIR, "--map", tmp_path / "map.csv")
    assert outcome.code == 0
    rules = {(p["reference"]["name"], p["candidate"]["name"]): p["rule"] for p in mapped["pairs"]}
    assert rules[names] == "map"


def test_inconclusive(align, tmp_path):
    """A constant input proves little: the exit code says so."""
    np.save(tmp_path / "ones.npy", np.ones((1, 3, 8, 8), np.float32))
    outcome = align("compare", *PAIR[:2], "-i", tmp_path / "ones.npy")
    assert (outcome.code, outcome.out[:12]) == (3, "INCONCLUSIVE")


def test_local_errors_can_be_left_out(align):
    _, report = align.json("compare", *WRONG, "--local", "never")
    assert all(pair["local"] is None for pair in report["pairs"])
    assert any("--local never" in note for note in report["notes"])


def test_train_mode_is_said_and_can_be_switched_off(align):
    words = ("compare", "models.py:training", "net.onnx", "-i", "x.npy")
    for mode in ((), ("--as-is",)):
        outcome, report = align.json(*words, *mode)
        assert outcome.code == 1
        assert any("train mode" in note and "--eval" in note for note in report["reference"]["notes"])
    assert align(*words, "--eval").code == 0


@requires_tflite
def test_tflite_on_either_side(align):
    float_, int8 = DATA / "tiny_conv_float.tflite", DATA / "tiny_conv_int8.tflite"
    assert align("compare", float_, float_).code == 0
    _, report = align.json("compare", float_, int8)
    assert report["coverage"]["paired"] > 2
    assert all(pair["reference"]["index"] is not None for pair in report["pairs"] if pair["reference"]["op"] != "input")


@requires_tflite
def test_a_quantised_side_may_be_either(align, tmp_path):
    """What one side cannot hold is told of the same tensor, whichever is the reference."""
    models = DATA / "tiny_conv_float.tflite", DATA / "tiny_conv_int8.tflite"
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1, 8, 8, 3), dtype=np.float32))
    reports = [align.json("compare", *sides, "-i", tmp_path / "x.npy")[1] for sides in (models, models[::-1])]
    firsts = [report["first_divergence"] for report in reports]
    assert firsts[0]["reference"]["name"] == firsts[1]["candidate"]["name"] == "functional_1/deep_1/depthwise1"
    assert all("quantised range is too small" in first["note"] for first in firsts)
    assert all(first["local"]["max_abs"] < 0.01 for first in firsts)


def test_frameworks_do_not_chatter(align):
    """In a process of its own, where descriptors 1 and 2 are pipes."""
    words = ("compare", "models.py:chatty", "-i", "x.npy")
    outcome = command.run(align.folder, *words, "net.onnx", "--json", "-", cold=True)
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["verdict"] == "aligned"
    outcome = command.run(align.folder, *words, "net.ts.pt")
    assert outcome.code == 0 and outcome.err == "" and "forward" not in outcome.out
    outcome = command.run(align.folder, "inspect", "models.py:chatty", "-i", "x.npy", "--verbose")
    assert "printed in forward" in outcome.err and "echoed in forward" in outcome.err


# ----------------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize("given", ["x.npy", "x.npz", "x.pt", "x.safetensors", "image=x.npy", "x_nhwc.npy"])
def test_array_files(align, given):
    outcome, report = align.json(
        "compare", "net.ts.pt", "net.onnx", "-i", given, "--layout", "nhwc" if "nhwc" in given else "nchw"
    )
    assert outcome.code == 0, outcome
    _, plain = align.json("compare", "net.ts.pt", "net.onnx", "-i", "x.npy")
    assert report["outputs"][0]["reference"]["mean"] == plain["outputs"][0]["reference"]["mean"]


@pytest.mark.parametrize(
    "words",
    [
        ("-i", "two.npz"),
        ("-i", "left=x.npy", "-i", "right=x_nhwc.npy"),
        ("-i", "right=x_nhwc.npy", "-i", "left=x.npy"),
        ("-i", "x.npy", "-i", "x_nhwc.npy"),
    ],
)
def test_several_inputs(align, words, tmp_path):
    if "two.npz" not in words:
        words = tuple(word.replace("x_nhwc.npy", "x.npy") for word in words)
    outcome, report = align.json("compare", "models.py:two", "models.py:two", *words)
    assert outcome.code == 0
    assert {fed["name"] for fed in report["inputs"]} == {"left", "right"}


def test_a_picture_for_each_side_in_its_own_layout(align):
    words = ("compare", "models.py:net", "nhwc.onnx", "-i", "photo.png")
    outcome, report = align.json(*words)
    assert (outcome.code, report["verdict"]) == (0, "aligned")
    fed = report["inputs"][0]
    assert "1×3×8×8" in fed["reference"] and "NCHW" in fed["reference"] and "0..1" in fed["reference"]
    assert "1×8×8×3" in fed["candidate"] and "NHWC" in fed["candidate"]
    printed = align(*words).out
    assert "photo.png" in printed and "NCHW" in printed and "NHWC" in printed and "resized from 20×30" in printed


def test_integer_pixels_against_floats(align):
    """uint8 gets 0..255; the float side is told to expect the same."""
    outcome, report = align.json("compare", "models.py:net", "pixels.onnx", "-i", "photo.png", "--scale", "255")
    assert outcome.code == 0
    fed = report["inputs"][0]
    assert "0..255" in fed["reference"] and "uint8" in fed["candidate"]
    outcome, report = align.json("compare", "models.py:net", "pixels.onnx", "-i", "photo.png")
    assert "0..1" in report["inputs"][0]["reference"]
    assert any("0..255" in note for note in report["notes"])


def test_preprocessing(align):
    base = ("compare", "models.py:net", "net.onnx", "-i", "photo.png")
    small = align.json(*base, "--size", "8x10")[1]["inputs"][0]
    assert "1×3×8×10" in small["reference"]
    ranged = align.json(*base, "--mean", "0.5", "--std", "0.5")[1]["inputs"][0]
    assert re.search(r"[-−]1\.\.1", ranged["reference"])
    bgr = align.json(*base, "--color", "bgr")[1]
    rgb = align.json(*base)[1]
    assert "BGR" in bgr["inputs"][0]["reference"]
    assert bgr["outputs"][0]["reference"]["mean"] != rgb["outputs"][0]["reference"]["mean"]
    each = align.json(*base, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
    assert each[0].code == 0
    half = align.json("compare", "models.py:net", "models.py:net", "-i", "x.npy", "--dtype", "float64")
    assert half[0].code in (0, 2)


def test_without_input_random_numbers_are_fed_and_said(align):
    words = ("compare", "net.onnx", "net.onnx", "--size", "16")
    outcome, first = align.json(*words)
    assert outcome.code == 0
    assert any("random" in note for note in first["notes"])
    assert "random" in align(*words).out
    again, other = align.json(*words)[1], align.json(*words, "--seed", "7")[1]
    mean = [report["outputs"][0]["reference"]["mean"] for report in (first, again, other)]
    assert mean[0] == mean[1] != mean[2]


# ---------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("checkpoint", ["state.pth", "wrapped.pth"])
def test_checkpoints(align, checkpoint):
    assert align("compare", "models.py:other_seed", "net.onnx", "-i", "x.npy").code == 1
    words = ("compare", "models.py:other_seed", "net.onnx", "-i", "x.npy", "--reference-weights", checkpoint)
    outcome, report = align.json(*words)
    assert outcome.code == 0
    if checkpoint == "wrapped.pth":
        said = " ".join(report["reference"]["notes"] + report["notes"])
        assert "params_ema" in said and "module." in said
    outcome = align("compare", "net.onnx", "models.py:other_seed", "-i", "x.npy", "--candidate-weights", checkpoint)
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ("short.pth", ("head.weight", "head.bias", "tail.weight")),
        ("mismatched.pth", ("head.weight", "[7, 2]", "[5, 2]")),
    ],
)
def test_what_a_checkpoint_leaves_out_is_said(align, checkpoint, words):
    outcome = align("compare", "models.py:net", "net.onnx", "-i", "x.npy", "--reference-weights", checkpoint)
    said = " ".join((outcome.out + outcome.err).split())
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_a_pickled_module_with_trust(align):
    outcome = align("compare", "pickled.pt", "pickled.pt", "-i", "x.npy", "--trust")
    assert outcome.code == 0


# ---------------------------------------------------------------------------------------------------------- inspect


@pytest.mark.parametrize("model", ["models.py:net", "net.ts.pt", "net.onnx"])
def test_inspect(align, model):
    given = ("-i", "x.npy") if model != "net.onnx" else ()
    outcome, graph = align.json("inspect", model, *given)
    assert (outcome.code, outcome.err) == (0, "")
    assert json_schema.faults(graph, json.loads((DOCS / "graph.schema.json").read_text(encoding="utf-8"))) == []
    nodes = [node for node in graph["nodes"] if node["kind"] == "conv"]
    assert [node["attributes"]["pads"] for node in nodes] == [[[1, 1], [1, 1]], [[0, 0], [0, 0]]]
    assert [node["scope"].split(".")[-1].split("/")[-1] for node in nodes] == ["conv", "narrow"]
    assert graph["inputs"] and graph["outputs"] and graph["weights"]
    if model != "net.onnx":
        assert all("models.py:" in node["source"] for node in nodes)
    printed = align("inspect", model, *given)
    assert printed.code == 0
    assert "conv" in printed.out.lower() and "inputs" in printed.out


def test_inspect_without_input(align):
    assert align("inspect", "net.onnx").code == 0
    outcome = align("inspect", "models.py:net")
    assert outcome.code == 2
    assert "--input" in outcome.err


@requires_tflite
def test_inspect_tells_tensor_indices(align):
    model = DATA / "tiny_conv_float.tflite"
    outcome, graph = align.json("inspect", model)
    assert outcome.code == 0
    made = [value for node in graph["nodes"] for value in node["values"]]
    indices = {tensor["name"]: tensor["index"] for tensor in (*made, *graph["weights"], *graph["outputs"])}
    told = tensor_indices(model)
    assert set(indices) <= set(told)
    assert all(told[name] == index for name, index in indices.items())
    printed = align("inspect", model).out
    assert "tensors" in printed
    assert f"→ {made[0]['index']} " in printed


def tensor_indices(model):
    """What the file itself says."""
    from aligner.adapters.tflite_adapter.schema import schema

    root = schema().Model.GetRootAsModel(model.read_bytes(), 0).Subgraphs(0)
    return {root.Tensors(index).Name().decode(): index for index in range(root.TensorsLength())}


# ---------------------------------------------------------------------------------------------------------- capture


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("model", ["models.py:net", "net.ts.pt", "net.onnx"])
def test_capture_stands_on_either_side(align, tmp_path, model, suffix):
    recording = tmp_path / f"run.{suffix}"
    outcome = align("capture", model, "-i", "x.npy", "-o", recording)
    assert (outcome.code, outcome.err) == (0, "")
    assert str(recording.name) in outcome.out.replace("\n", "")
    assert command.files(tmp_path) == [recording.name]
    outcome, report = align.json("compare", recording, "wrong.onnx")
    assert outcome.code == 1, outcome
    assert report["first_divergence"]["reference"]["scope"].endswith("narrow")
    assert abs(report["first_divergence"]["local"]["max_abs"] - 0.25) < 1e-4
    outcome, report = align.json("compare", "models.py:wrong_narrow", recording)
    assert outcome.code == 1, outcome
    assert report["first_divergence"]["reference"]["scope"].endswith("narrow")
    assert abs(report["first_divergence"]["local"]["max_abs"] - 0.25) < 1e-4
    assert [pair["verdict"] for pair in report["pairs"]].count("introduced") == 1
    assert any("the candidate is a recording" in note for note in report["notes"])
    outcome, report = align.json("compare", recording, recording)
    assert outcome.code == 0
    assert all(pair["local"] is None for pair in report["pairs"])
    assert any("estimate" in note for note in report["notes"])
    assert align("inspect", recording).code == 0


def test_a_recording_needs_no_framework(align, tmp_path):
    """The device's framework may be missing where its recording is compared."""
    for name, model in (("a.npz", "models.py:net"), ("b.npz", "wrong.onnx"), ("c.safetensors", "net.ts.pt")):
        assert align("capture", model, "-i", "x.npy", "-o", tmp_path / name).code == 0
    code = command.without("torch", "onnx", "onnxruntime", "tensorflow", "ai_edge_litert")
    assert command.run(tmp_path, "compare", "a.npz", "c.safetensors", code=code).code == 0
    outcome = command.run(tmp_path, "compare", "a.npz", "b.npz", "--json", "-", code=code)
    assert outcome.code == 1, outcome
    assert json.loads(outcome.out)["first_divergence"]["reference"]["scope"] == "narrow"


@requires_tflite
def test_capture_of_tflite(align, tmp_path):
    model = DATA / "tiny_conv_int8.tflite"
    assert align("capture", model, "-o", tmp_path / "run.npz").code == 0
    assert align("compare", tmp_path / "run.npz", model).code == 0
    assert align("compare", model, tmp_path / "run.npz").code == 0


# ------------------------------------------------------------------------------------------------- demo and adapters


def test_demo(tmp_path):
    outcome = command.run(tmp_path, "demo")
    assert (outcome.code, outcome.err) == (0, "")
    assert "DIVERGED at conv_body_first" in outcome.out
    assert "params_ema" in outcome.out
    assert "▶" in outcome.out
    assert str(tmp_path) not in outcome.out
    assert command.files(tmp_path) == []
    last = " ".join(outcome.out.split("\nnext ")[1].replace("\\\n", " ").split())
    assert " && align fix aligner.demo.restorer:trained aligner-demo/restorer.onnx" in last


@pytest.mark.slow
def test_demo_keeps_what_its_last_line_mends(align):
    outcome = align("demo", "--keep", "kept", "--json", "-")
    words = shlex.split(json.loads(outcome.out)["next_step"])
    assert (outcome.code, words[:2]) == (0, ["align", "fix"])
    assert {"kept", "kept/face.png", "kept/restorer.onnx"} <= {*command.files(align.folder)}
    assert "FIXED" in align(*words[1:]).out and (align.folder / words[-1]).is_file()


def test_as_a_module_of_python(tmp_path):
    code = "import runpy; runpy.run_module('aligner', run_name='__main__', alter_sys=True)"
    outcome = command.run(tmp_path, "--version", code=code)
    assert outcome.code == 0 and outcome.out.startswith("align")


def test_adapters(align):
    outcome = align("adapters")
    assert (outcome.code, outcome.err) == (0, "")
    for name in ("pytorch", "torchscript", "onnx", "tflite", "recording"):
        assert re.search(rf"^{name}\b", outcome.out, re.MULTILINE)


def test_adapters_that_are_missing(tmp_path):
    outcome = command.run(tmp_path, "adapters", code=command.without("torch", "onnxruntime"))
    assert outcome.code == 0
    assert 'pip install "aligner[torch]"' in outcome.out and 'pip install "aligner[onnx]"' in outcome.out


# ----------------------------------------------------------------------------------------------------------- library


@dataclass
class Live:
    """What a Python caller holds."""

    module: object
    image: np.ndarray


@pytest.fixture
def live(shelf):
    space: dict = {"__name__": "models"}
    exec(command_models.FACTORIES, space)
    return Live(space["net"](), np.load(shelf / "x.npy"))


@requires_pandas
def test_live_objects(shelf, live, tmp_path):
    import torch

    import aligner

    path = shelf / "wrong.onnx"
    as_tensor = torch.from_numpy(live.image)
    results = [
        aligner.compare(live.module, path, inputs)
        for inputs in (
            {"image": live.image},
            {"image": as_tensor},
            live.image,
            [live.image],
            as_tensor,
            str(shelf / "x.npy"),
        )
    ]
    assert {result.verdict for result in results} == {"diverged"}
    assert {result.first_divergence.reference.scope for result in results} == {"narrow"}
    frame = results[0].to_frame()
    assert len(frame) == len(results[0].pairs)
    document = results[0].to_json(tmp_path / "report.json")
    assert document == json.loads((tmp_path / "report.json").read_text())
    assert document["format"] == "aligner.comparison/1"
    assert "narrow" in repr(results[0])


def test_a_live_module_is_left_as_it_was(shelf, live):
    import aligner

    live.module.train()
    before = {name: value.clone() for name, value in live.module.state_dict().items()}
    assert aligner.compare(live.module, shelf / "net.onnx", live.image, evaluation_mode=True).verdict == "aligned"
    assert live.module.training
    assert not live.module._forward_hooks and not live.module.conv._forward_hooks
    assert all(bool((value == before[name]).all()) for name, value in live.module.state_dict().items())


def test_loaded_models(shelf, live):
    import onnx
    import torch

    import aligner

    script = torch.jit.load(str(shelf / "net.ts.pt"))
    proto = onnx.load(shelf / "net.onnx")
    assert aligner.compare(script, proto, {"image": live.image}).verdict == "aligned"
    assert aligner.compare(live.module, script, live.image).verdict == "aligned"


def test_library_errors_are_ours(shelf, live):
    import aligner
    from aligner.errors import AlignerError, InputError

    with pytest.raises(InputError) as caught:
        aligner.compare(live.module, shelf / "net.onnx", {"image": live.image, "mask": live.image})
    assert "mask" in str(caught.value) and "next: " in str(caught.value)
    with pytest.raises(AlignerError):
        aligner.compare(3, shelf / "net.onnx", live.image)
    with pytest.raises(AlignerError):
        aligner.compare(live.module, shelf / "net.onnx", live.image, align_by="magic")
