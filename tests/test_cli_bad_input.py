"""What cannot be compared: exit code 2, three parts on standard error, nothing on standard output, no file left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import command
import command_models
import numpy as np
import pytest
from marks import (
    requires_image,
    requires_onnx,
    requires_onnxscript,
    requires_safetensors,
    requires_tflite,
    requires_torch,
)

DATA = Path(__file__).parent / "data"

pytestmark = [requires_torch, requires_onnx, requires_onnxscript, requires_safetensors, requires_image]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    command_models.write_factories(folder)
    command_models.write_inputs(folder)
    command_models.write_picture(folder)
    command_models.write_torch(folder)
    command_models.write_safetensors(folder)
    command_models.write_onnx(folder)
    command_models.write_refused_onnx(folder)
    write_damaged(folder)
    return folder


def write_damaged(folder: Path) -> None:
    (folder / "empty.onnx").touch()
    (folder / "empty.tflite").touch()
    (folder / "empty.pt").touch()
    (folder / "empty.npz").touch()
    (folder / "text.onnx").write_text("this is no model\n" * 9)
    (folder / "text.pt").write_text("this is no model\n" * 9)
    (folder / "text.tflite").write_text("this is no model\n" * 9)
    (folder / "text.npy").write_text("this is no array\n" * 9)
    (folder / "text.png").write_text("this is no picture\n" * 9)
    (folder / "folder.onnx").mkdir()
    for name in ("net.onnx", "net.ts.pt", "x.npz", "x.safetensors", "photo.png", "x.npy", "pickled.pt"):
        data = (folder / name).read_bytes()
        (folder / f"cut_{name}").write_bytes(data[: len(data) * 2 // 3])
    tflite = (DATA / "tiny_conv_float.tflite").read_bytes()
    (folder / "cut.tflite").write_bytes(tflite[: len(tflite) // 2])
    x = np.load(folder / "x.npy")
    np.save(folder / "rank2.npy", x[0, 0])
    np.save(folder / "wide.npy", np.zeros((1, 5, 8, 8), np.float32))
    np.save(folder / "complex.npy", x.astype(np.complex64))
    np.save(folder / "strings.npy", np.array([["a", "b"]]))
    nan = x.copy()
    nan[0, 1, 2, 3] = np.nan
    np.save(folder / "nan.npy", nan)
    np.save(folder / "empty.npy", np.zeros((0, 3, 8, 8), np.float32))
    np.savez(folder / "wrong_name.npz", picture=x, mask=x)
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.fixture
def align(shelf, capfd, monkeypatch):
    return command.Shell(shelf, capfd, monkeypatch)


X = ("-i", "x.npy")


# ----------------------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("missing.onnx", ("missing.onnx",)),
        ("nett.onnx", ("nett.onnx", "net.onnx")),
        ("missing.tflite", ("missing.tflite",)),
        ("no/such/folder/net.onnx", ("no/such/folder",)),
        ("empty.onnx", ("empty",)),
        ("empty.tflite", ("empty",)),
        ("empty.pt", ("empty",)),
        ("empty.npz", ("empty",)),
        ("cut_net.onnx", ("cut_net.onnx",)),
        ("cut_net.ts.pt", ("cut_net.ts.pt",)),
        ("cut.tflite", ("cut.tflite",)),
        ("cut_pickled.pt", ("cut_pickled.pt",)),
        ("text.onnx", ("text.onnx",)),
        ("text.pt", ("text.pt",)),
        ("text.tflite", ("text.tflite",)),
        ("photo.png", ("photo.png",)),
        ("cut_x.npz", ("cut_x.npz",)),
        ("cut_x.safetensors", ("cut_x.safetensors",)),
        ("folder.onnx", ("folder.onnx",)),
        ("shelf", ("shelf",)),
        ("pickled.pt", ("pickled.pt", "--trust")),
        ("state.pth", ("state.pth", "my_model.py:build --reference-weights state.pth")),
        ("wrapped.pth", ("wrapped.pth", "my_model.py:build")),
        ("models.py:absent", ("absent", "net")),
        ("models.py:Net.absent", ("absent",)),
        ("missing.py:net", ("missing.py",)),
        ("shelf.missing:net", ("shelf.missing",)),
        ("models.py:a_number", ("a_number", "int")),
        ("models.py:failing", ("failing", "no such configuration")),
        ("models.py", ("models.py:",)),
        ("", ()),
    ],
)
def test_models(align, model, says):
    align.refused("compare", model, "net.onnx", *X, says=says)
    align.refused("compare", "net.onnx", model, *X, says=says)
    align.refused("inspect", model, *X, says=says)


def test_a_checkpoint_for_what_is_no_factory(align):
    align.refused("compare", "net.onnx", "net.onnx", *X, "--reference-weights", "state.pth", says=("net.onnx",))
    align.refused("compare", "models.py:net", "net.onnx", *X, "--reference-weights", "none.pth", says=("none.pth",))
    align.refused("compare", "models.py:net", "net.onnx", *X, "--reference-weights", "net.onnx", says=("net.onnx",))
    align.refused("compare", "models.py:net", "net.onnx", *X, "--reference-weights", "pickled.pt", says=("pickled.pt",))


@pytest.mark.parametrize(
    ("absent", "model", "extra"),
    [
        (("torch",), "net.ts.pt", "aligner[torch]"),
        (("torch",), "models.py:net", "aligner[torch]"),
        (("onnxruntime",), "net.onnx", "aligner[onnx]"),
        (("onnx",), "net.onnx", "aligner[onnx]"),
        (("ai_edge_litert", "tensorflow"), DATA / "tiny_conv_float.tflite", "aligner[tflite]"),
    ],
)
def test_a_framework_that_is_not_installed(shelf, absent, model, extra):
    outcome = command.run(shelf, "inspect", model, *X, code=command.without(*absent))
    command.checked(outcome, f'pip install "{extra}"', str(model))


def test_pictures_need_pillow(shelf):
    outcome = command.run(shelf, "compare", "net.onnx", "net.onnx", "-i", "photo.png", code=command.without("PIL"))
    command.checked(outcome, "photo.png", "pip install", "aligner[image]")


# ----------------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("-i", "rank2.npy"), ("image", "8×8")),
        (("-i", "wide.npy"), ("image", "1×5×8×8")),
        (("-i", "complex.npy"), ("image", "complex64")),
        (("-i", "strings.npy"), ("image",)),
        (("-i", "picture=x.npy"), ("picture", "image")),
        (("-i", "wrong_name.npz"), ("picture", "image")),
        (("-i", "x.npy", "-i", "two=x.npy"), ("two", "image")),
        (("-i", "x.npy", "-i", "x.npy"), ("image",)),
        (("-i", "missing.npy"), ("missing.npy",)),
        (("-i", "missing.png"), ("missing.png",)),
        (("-i", "folder.onnx"), ("folder.onnx",)),
        (("-i", "cut_x.npy"), ("cut_x.npy",)),
        (("-i", "cut_x.npz"), ("cut_x.npz",)),
        (("-i", "cut_x.safetensors"), ("cut_x.safetensors",)),
        (("-i", "text.npy"), ("text.npy",)),
        (("-i", "text.png"), ("text.png",)),
        (("-i", "cut_photo.png"), ("cut_photo.png",)),
        (("-i", "empty.npz"), ("empty.npz",)),
        (("-i", "objects.npy"), ("objects.npy",)),
        (("-i", "nan.npy"), ("nan.npy", "NaN", "(0, 1, 2, 3)")),
        (("-i", "empty.npy"), ("empty.npy", "(0, 3, 8, 8)")),
        (("-i", "net.onnx"), ("net.onnx",)),
        (("-i", "pickled.pt"), ("pickled.pt",)),
        (("-i", "="), ()),
        (("-i", "photo.png", "--mean", "1,2"), ("--mean",)),
        (("-i", "photo.png", "--std", "0"), ("--std",)),
        (("-i", "x.npy", "--dtype", "float99"), ("float99",)),
    ],
)
def test_inputs(align, given, says):
    align.refused("compare", "models.py:net", "net.onnx", *given, says=says)
    align.refused("compare", "net.onnx", "net.onnx", *given, says=says)


@pytest.mark.parametrize("model", ["models.py:two", "two.onnx"])
def test_a_missing_second_input(align, model):
    if model == "two.onnx":
        write_two(align.folder)
    align.refused("compare", model, "models.py:two", "-i", "left=x.npy", says=("right", "--input right="))


def write_two(folder: Path) -> None:
    import onnx
    from onnx_models import model, node, value

    shape = [1, 3, 8, 8]
    nodes = [node("Sub", ["left", "right"], ["y"], "sub")]
    onnx.save(
        model(nodes, [value("left", 1, shape), value("right", 1, shape)], [value("y", 1, shape)]), folder / "two.onnx"
    )


def test_a_picture_for_a_text_model(align):
    write_words(align.folder)
    align.refused("compare", "words.onnx", "words.onnx", "-i", "photo.png", says=("photo.png", "input_ids"))
    align.refused("compare", "models.py:words", "words.onnx", "-i", "photo.png", says=("photo.png", "input_ids"))
    align.refused("compare", "words.onnx", "words.onnx", "-i", "x.npy", says=("input_ids",))
    assert align("compare", "models.py:words", "words.onnx", "-i", "ids.npy").code == 0


def write_words(folder: Path) -> None:
    import torch

    space: dict = {"__name__": "models"}
    exec(command_models.FACTORIES, space)
    torch.onnx.export(
        space["words"](),
        (torch.ones(1, 3, dtype=torch.int64),),
        str(folder / "words.onnx"),
        dynamo=False,
        input_names=["input_ids"],
        dynamic_axes={"input_ids": {1: "n"}},
    )


@requires_tflite
def test_shapes_that_differ_between_the_sides(align):
    align.refused("compare", "net.onnx", DATA / "keypoint_classifier.tflite", *X, says=("image",))
    align.refused("compare", DATA / "tiny_conv_float.tflite", DATA / "keypoint_classifier.tflite")
    align.refused(
        "compare", DATA / "tiny_conv_float.tflite", DATA / "tiny_conv_float.tflite", "-i", "steps.npy", says=("2×6",)
    )


# -------------------------------------------------------------------------------------------------- models that fail


def test_a_model_that_raises(align):
    words = ("the mask is missing", "ValueError", "models.py:")
    told = ("the reference models.py:raising", "fed: image 1×3×8×8 float32")
    align.refused("compare", "models.py:raising", "net.onnx", *X, says=(*words, *told))
    told = ("the candidate models.py:raising",)
    align.refused("compare", "net.onnx", "models.py:raising", *X, "--json", "report.json", says=(*words, *told))
    align.refused("inspect", "models.py:raising", *X, says=words)
    align.refused("capture", "models.py:raising", *X, "-o", "run.npz", says=words)


@pytest.mark.parametrize(
    ("model", "given", "says"),
    [
        ("custom.onnx", (), ("odd", "acme", "Frobnicate")),
        ("clash.onnx", (), ("clash",)),
        ("at_run.onnx", ("-i", "x=steps.npy", "-i", "shape=shape.npy"), ("reshape_at_fault",)),
    ],
)
def test_onnx_that_onnxruntime_rejects(align, model, given, says):
    np.save(align.folder / "shape.npy", np.array([5, 7]))
    align.refused("compare", model, model, *given, says=(model, *says))
    align.refused("capture", model, *given, "-o", "run.npz", says=(model, *says))


def test_zero_size_tensors(align):
    align.refused("compare", "empty_tensor.onnx", "empty_tensor.onnx", says=("x", "0×4"))


def test_a_tensor_without_elements_between_the_nodes(align):
    """What is empty inside a model is no fault of the input."""
    import onnx
    from onnx_models import model, node, value, weights

    nodes = [
        node("Slice", ["x", "start", "end"], ["none"], "slice"),
        node("Concat", ["x", "none"], ["y"], "join", axis=1),
    ]
    ends = weights(start=np.array([0, 6]), end=np.array([2, 6]))
    onnx.save(model(nodes, [value("x", 1, [2, 6])], [value("y", 1, [2, 6])], ends), align.folder / "hole.onnx")
    outcome, report = align.json("compare", "hole.onnx", "hole.onnx", "-i", "steps.npy")
    assert outcome.code == 0
    assert [2, 0] in [pair["candidate"]["shape"] for pair in report["pairs"]]


def test_an_input_that_is_no_tensor(align):
    import onnx
    from onnx import helper
    from onnx_models import model, node, value

    many = helper.make_tensor_sequence_value_info("many", 1, None)
    nodes = [node("ConcatFromSequence", ["many"], ["y"], "join", axis=0)]
    onnx.save(model(nodes, [many], [value("y", 1, None)]), align.folder / "sequence.onnx")
    for given in ((), ("-i", "many=x.npy")):
        align.refused("compare", "sequence.onnx", "sequence.onnx", *given, says=("many", "sequence(float32)"))


def test_stateful_modules(align):
    """Each pass starts from the same state, whatever ran before it."""
    outcome, report = align.json("compare", "models.py:stateful", "models.py:stateful", "-i", "steps.npy")
    assert outcome.code == 0
    assert all(pair["accumulated"]["max_abs"] == 0 for pair in report["pairs"])
    assert align("capture", "models.py:stateful", "-i", "steps.npy", "-o", "run.npz").code == 0
    outcome, recorded = align.json("compare", "run.npz", "models.py:stateful")
    (align.folder / "run.npz").unlink()
    assert outcome.code == 0
    assert recorded["outputs"][0]["reference"]["mean"] == report["outputs"][0]["reference"]["mean"]


def test_a_live_stateful_module_keeps_its_state(shelf):
    import torch

    import aligner

    space: dict = {"__name__": "models"}
    exec(command_models.FACTORIES, space)
    module, x = space["stateful"](), torch.from_numpy(np.load(shelf / "steps.npy"))
    module(x)
    state = [part.clone() for part in module.state]
    results = [aligner.compare(module, module, x) for _ in range(2)]
    assert {result.verdict for result in results} == {"aligned"}
    means = [result.comparison.outputs[0].reference.statistics.mean for result in results]
    assert means[0] == means[1]
    assert float(module.calls) == 1
    assert all(torch.equal(now, before) for now, before in zip(module.state, state, strict=True))


# ---------------------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("target", ["no/such/folder/report.json", "folder.onnx", "/proc/report.json"])
def test_unwritable_json(align, target):
    align.refused("compare", "models.py:net", "net.onnx", *X, "--json", target, says=(target,))
    align.refused("inspect", "net.onnx", "--json", target, says=(target,))


@pytest.mark.parametrize("words", [("compare", "--html"), ("sensitivity", "--html"), ("compare", "--csv")])
def test_two_reports_on_one_stream(align, words):
    told = align(words[0], "net.onnx", "net.onnx", "--input", "no such input", "--json", "-", words[1], "-")
    assert (told.code, told.out) == (2, "") and f"--json and {words[1]} both ask for standard output" in told.err


@pytest.mark.parametrize("target", ["no/such/folder/run.npz", "run.txt", "folder.onnx", "/proc/run.npz"])
def test_unwritable_recordings(align, target):
    align.refused("capture", "net.onnx", *X, "-o", target, says=(target,))


def test_a_recording_and_other_data(align, tmp_path):
    recording = tmp_path / "run.npz"
    assert align("capture", "net.onnx", *X, "-o", recording).code == 0
    for words in ((recording, "models.py:net"), ("models.py:net", recording)):
        assert align("compare", *words, *X).code == 0
        align.refused("compare", *words, "-i", "photo.png", "--size", "8", says=("photo.png", "recorded", "leave that"))
    outcome, report = align.json("compare", recording, recording, "-i", "photo.png")
    assert outcome.code == 0
    assert any("photo.png was not fed" in note for note in report["notes"])


def test_mapping_files(align, tmp_path):
    words = ("compare", "models.py:net", "net.onnx", *X, "--map")
    align.refused(*words, tmp_path / "none.csv", says=("none.csv",))
    (tmp_path / "unknown.csv").write_text("reference,candidate\nnothing,/conv/Conv_output_0\n")
    align.refused(*words, tmp_path / "unknown.csv", says=("nothing",))
    (tmp_path / "odd.csv").write_text("a,b,c,d\n\x00\n")
    align.refused(*words, tmp_path / "odd.csv", says=("odd.csv",))
    (tmp_path / "odd.yaml").write_text("- [1, {")
    align.refused(*words, tmp_path / "odd.yaml", says=("odd.yaml",))
    align.refused(*words, tmp_path, says=(str(tmp_path),))


@pytest.mark.parametrize(
    "words",
    [
        ("--atol", "-1"),
        ("--atol", "nan"),
        ("--rtol", "-1e-3"),
        ("--tolerance", "-1"),
        ("--provider", "warp"),
        ("--device", "warp"),
    ],
)
def test_settings_that_make_no_sense(align, words):
    align.refused("compare", "models.py:net", "net.onnx", *X, *words)


@pytest.mark.parametrize(
    "words", [("compare",), ("compare", "net.onnx"), ("compare", "a", "b", "--no-such"), ("what",)]
)
def test_usage(align, words):
    outcome = align(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err and "Error: " in outcome.err


@pytest.mark.parametrize(
    ("words", "says"),
    [(("compare", "-i"), "repeat the option"), (("sweep", "--inputs"), "put it in quotes")],
)
def test_a_pattern_that_the_shell_has_spread(align, words, says):
    outcome = align(*words, "x.npy", "wide.npy", "rank2.npy", "net.onnx", "net.onnx")
    assert outcome.code == 2
    assert says in outcome.err
    assert says not in align(*words, "x.npy", "net.onnx", "net.onnx", "absent").err


# ---------------------------------------------------------------------------------------- crashes and interruptions

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@forks
@pytest.mark.parametrize(
    ("reference", "candidate", "says"),
    [
        ("aborting", "net", ("SIGABRT", "the reference, models.py:aborting")),
        ("net", "segfaulting", ("SIGSEGV", "the candidate, models.py:segfaulting")),
        ("net", "parting", ("SIGABRT", "releasing the candidate, models.py:parting")),
        ("parting", "net", ("SIGABRT", "releasing the reference, models.py:parting")),
    ],
)
def test_crashes(shelf, tmp_path, reference, candidate, says):
    words = ("compare", f"models.py:{reference}", f"models.py:{candidate}", *X, "--json", tmp_path / "report.json")
    command.checked(command.run(shelf, *words, TMPDIR=str(tmp_path)), *says)
    assert command.files(tmp_path) == []


@forks
@pytest.mark.parametrize("kind", ["aborting", "parting"])
@pytest.mark.parametrize("what", ["inspect", "capture"])
def test_crashes_of_one_model(shelf, tmp_path, kind, what):
    words = (what, f"models.py:{kind}", *X, *(("-o", tmp_path / "run.npz") if what == "capture" else ()))
    outcome = command.run(shelf, *words, TMPDIR=str(tmp_path))
    command.checked(outcome, "SIGABRT", f"models.py:{kind}")
    assert command.files(tmp_path) == []


@forks
@pytest.mark.parametrize("words", [("compare", "models.py:net", "models.py:slow"), ("capture", "models.py:slow")])
def test_ctrl_c(shelf, tmp_path, words):
    target = ("--json", tmp_path / "report.json") if words[0] == "compare" else ("-o", tmp_path / "run.npz")
    ready = shelf / "ready"
    ready.unlink(missing_ok=True)
    process = command.start(shelf, *words, *X, *target, TMPDIR=str(tmp_path))
    end = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    command.checked(command.Outcome(process.returncode, out, err), "interrupted", "Ctrl-C")
    assert command.files(tmp_path) == []
