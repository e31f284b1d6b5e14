"""Files made to harm: each is refused with a message, and nothing outside what the command was given is touched."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import command
import numpy as np
import pytest
from marks import requires_image, requires_onnx, requires_tflite, requires_torch

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
        ("ts_unfold.pt", "unfolds to more than"),
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
        "torch.to_dense(torch.sparse_coo_tensor(torch.tensor([[10000000]]), x, [3]))",
        "torch.segment_reduce(x, 'sum')",
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
def test_what_a_script_unfolds_to(tmp_path):
    """Children are known by their classes: a deep model of one class of blocks is no tower of doublings."""
    import ast

    import torch
    from torch import nn

    from aligner.adapters.torch_archive import open_archive
    from aligner.adapters.torchscript_adapter import unfolding
    from aligner.adapters.torchscript_adapter.code import check_archive

    stage = nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)) for _ in range(30)])
    torch.jit.script(nn.Sequential(*[stage for _ in range(6)])).save(tmp_path / "deep.pt")
    check_archive(tmp_path / "deep.pt", trust=False)
    program = unfolding._Program()
    with open_archive(tmp_path / "deep.pt") as archive:
        for member, text in archive.sources():
            program.add(member.removeprefix("code/").removesuffix(".py").replace("/", "."), ast.parse(text))
    calls = max(map(program.size, program.functions))
    assert 6 * 30 * 3 <= calls <= 6 * 30 * 3 * 5  # getattr, forward, the function, its operator


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


# ------------------------------------------------------------------------------------------------------------- ONNX


@requires_onnx
@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("onnx_opset_huge.onnx", "version"),
        ("onnx_attr_undefined.onnx", "is empty"),
        ("onnx_attr_reshape.onnx", "cannot reshape"),
        ("onnx_weight_list.onnx", "holds no tensor"),
        ("onnx_output_empty_name.onnx", "has no name"),
        ("fnbomb.onnx", "unfold to more than"),
    ],
)
def test_models_that_contradict_themselves(align, file, says):
    align.refused("inspect", file, says=(says,))
    align.refused("capture", file, "-o", "o.npz", says=(says,))
    align.refused("match", file, file, says=(says,))


@requires_onnx
@pytest.mark.parametrize(
    "file",
    [
        "onnx_weight_data_type.onnx",
        "onnx_scale_string.onnx",
        "onnx_node_no_input.onnx",
        "onnx_input_empty_name.onnx",
        "onnx_draw_too_big.onnx",
        "onnx_negative_picture.onnx",
        "ext_overflow2.onnx",
    ],
)
def test_models_that_only_a_runtime_refuses(align, file):
    for words in (("inspect", file), ("capture", file, "-o", "o.npz"), ("match", file, file), ("compare", file, file)):
        outcome = align(*words)
        assert "bug in aligner" not in outcome.err, outcome
        assert "Traceback" not in outcome.err, outcome


@requires_onnx
@pytest.mark.parametrize("file", ["ext_cwd_function.onnx", "ext_cwd_sparse.onnx"])
def test_external_data_is_that_beside_the_model(align, tmp_path, monkeypatch, file):
    canary, own = np.full(1600, 7, np.float32), np.full(1600, 3, np.float32)
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(HOSTILE / file, folder)
    (tmp_path / "incwd.bin").write_bytes(canary.tobytes())
    align.refused("capture", folder / file, "-o", "o.npz", says=("is missing",))
    align.refused("inspect", folder / file, says=("is missing",))
    (folder / "incwd.bin").write_bytes(own.tobytes())
    outcome = align("capture", folder / file, "-o", "o.npz")
    assert outcome.code == 0, outcome
    with np.load("o.npz") as recorded:
        numbers = np.concatenate([recorded[name].ravel() for name in recorded.files if recorded[name].dtype == "f4"])
    if "function" in file:
        assert 3 in numbers
        assert 7 not in numbers


@requires_onnx
def test_onnxruntime_is_given_no_place_of_external_data(tmp_path, monkeypatch):
    """It would open the file a second time, by its name."""
    import onnxruntime
    from onnx import TensorProto, helper, load, save_model

    weight = helper.make_tensor("w", TensorProto.FLOAT, [600], np.arange(600, dtype=np.float32).tobytes(), raw=True)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [value("x", 1, [600])], [value("y", 1, None)], [weight]
    )
    graph.output.append(value("w", 1, [600]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert load(tmp_path / "m.onnx", load_external_data=False).graph.initializer[0].external_data
    seen, real = [], onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda model, *a, **k: seen.append(model) or real(model, *a, **k)
    )
    from aligner.api.comparing import compare

    assert compare(tmp_path / "m.onnx", tmp_path / "m.onnx").verdict == "aligned"
    assert seen
    assert not any(isinstance(given, str) or b"w.bin" in given for given in seen)


@requires_onnx
@pytest.mark.parametrize("where", ["function", "sparse", "branch", "attribute"])
@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "C:\\w.bin"])
def test_every_tensor_of_a_model_is_kept_inside_its_folder(tmp_path, where, location):
    import onnx
    from onnx import TensorProto, helper

    from aligner.adapters.onnx_adapter.file import wrap_onnx
    from aligner.errors import UntrustedFileError

    tensor = TensorProto(name="w", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    constant = helper.make_node("Constant", [], ["c"])
    attribute = constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    model = helper.make_model(helper.make_graph([], "g", [], [helper.make_tensor_value_info("c", 1, [2])]))
    if where == "sparse":
        attribute.type, attribute.name = onnx.AttributeProto.SPARSE_TENSOR, "sparse_value"
        attribute.sparse_tensor.values.CopyFrom(tensor)
    else:
        attribute.t.CopyFrom(tensor)
    if where == "function":
        function = helper.make_function("my", "F", [], ["c"], [constant], [helper.make_opsetid("", 17)])
        model.functions.append(function)
        model.graph.node.append(helper.make_node("F", [], ["c"], domain="my"))
    elif where == "branch":
        branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("c", 1, [2])])
        model.graph.input.append(helper.make_tensor_value_info("x", 9, []))
        model.graph.node.append(helper.make_node("If", ["x"], ["c"], then_branch=branch, else_branch=branch))
    else:
        model.graph.node.append(constant)
    with pytest.raises(UntrustedFileError):
        wrap_onnx(model, tmp_path / "m.onnx")


# --------------------------------------------------------------------------------------------- TFLite and recordings


@requires_tflite
def test_tables_that_share_their_bytes(align):
    align.refused("inspect", "alias_small.tflite", says=("share their bytes",))
    align.refused("capture", "tflite_scales.tflite", "-o", "o.npz", says=("has 3 scales along axis 0",))


@requires_tflite
def test_a_tensor_that_nothing_makes(align):
    align.refused("capture", "tflite_keyerror.tflite", "-o", "o.npz", says=("before anything makes it",))


@requires_onnx
def test_arrays_that_are_none(align):
    align.refused("capture", "hostile_names.onnx", "-i", "npz_member.npz", "-o", "o.npz")
    align.refused("compare", "recording_bad_entry.npz", "recording_bad_entry.npz", says=("which is not there",))


def test_arrays_that_are_larger_than_what_is_free(tmp_path, monkeypatch):
    from aligner.adapters.recording_adapter import file as recording
    from aligner.errors import InputError, ModelFormatError
    from aligner.inputs import files

    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros(1 << 20, np.uint8))
    monkeypatch.setattr(files, "available", lambda: 1 << 19)
    monkeypatch.setattr(recording, "available", lambda: 1 << 19)
    with pytest.raises(InputError, match="do not fit into memory"):
        files.read_file(tmp_path / "zeros.npz")
    with pytest.raises(ModelFormatError, match="no readable file"):
        recording.open_file(tmp_path / "zeros.npz").read("x")


@pytest.mark.parametrize("header", ["{'descr': '<f4',\n", "{" * 100, "'", "{'descr': '|V0', 'shape': (9,)}"])
def test_headers_of_arrays_that_are_none(tmp_path, header):
    """numpy parses a header as Python's literals, and says so in the words of Python's tokenizer."""
    import zipfile

    from aligner.adapters.dumps.formats import open_dump
    from aligner.adapters.recording_adapter.file import open_file
    from aligner.errors import InputError, ModelFormatError
    from aligner.inputs.files import read_file

    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "x.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(ModelFormatError):
        open_dump(tmp_path / "dump")
    with pytest.raises(ModelFormatError):
        open_file(tmp_path / "x.npz")
    with pytest.raises(InputError):
        read_file(tmp_path / "dump" / "x.npy")


def test_a_dump_that_leads_out_of_its_folder_or_nowhere(tmp_path):
    import json

    from aligner.adapters.dumps.formats import open_dump
    from aligner.errors import ModelFormatError

    (tmp_path / "secret").write_bytes(bytes(4))
    folder = tmp_path / "dump"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"y": {"file": "y.bin", "dtype": "float32", "shape": [1]}}))
    for place in ("../secret", "y.bin"):
        (folder / "y.bin").symlink_to(place)
        with pytest.raises(ModelFormatError, match=r"lacks a file|no dump"):
            open_dump(folder)
        (folder / "y.bin").unlink()


@pytest.mark.parametrize(
    "tensors",
    [
        "CREATE VIEW Tensors AS WITH RECURSIVE n(Step) AS (SELECT 0 UNION ALL SELECT 0 FROM n) SELECT * FROM n",
        "CREATE TABLE Tensors(Step INT, Name TEXT, Value BLOB AS (zeroblob(1000000000)))",
    ],
)
def test_a_database_that_computes(tmp_path, tensors):
    import sqlite3

    from aligner.adapters.dumps.formats import is_dump

    with sqlite3.connect(tmp_path / "trace.db") as database:
        database.execute(tensors)
        database.execute("CREATE TABLE Nodes(Name TEXT)")
    database.close()
    assert not is_dump(tmp_path / "trace.db")


# -------------------------------------------------------------------------------------------- mappings and reports


@pytest.mark.parametrize("file", ["laughs.yaml", "merge.yaml", "deep.yaml"])
def test_mappings_that_unfold(file):
    from aligner.alignment.mapping import read_mapping
    from aligner.errors import MappingError

    with pytest.raises(MappingError, match="is not YAML"):
        read_mapping(HOSTILE / file)


def test_words_of_a_mapping_are_names(tmp_path):
    from aligner.alignment.mapping import read_mapping

    (tmp_path / "map.yaml").write_text("yes: 1\n2020-99-99: 1.50\nnull: ~\n")
    assert read_mapping(tmp_path / "map.yaml") == [("yes", "1"), ("2020-99-99", "1.50"), ("null", "~")]


def test_a_saved_mapping_is_no_formula(tmp_path):
    from aligner.alignment.mapping import read_mapping
    from aligner.alignment.saved_mapping import mapping_text

    pairs = [("=cmd|' /C calc'!A0", "a"), ("'=x", "-1"), ("'plain", "@y"), ("b", "c")]
    path = tmp_path / "map.csv"
    path.write_text(mapping_text(pairs))
    assert read_mapping(path) == pairs
    assert not any(
        cell.startswith(("=", "-", "@")) for line in path.read_text().splitlines() for cell in line.split(",")
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_what_never_ends_is_not_read(align, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge.json").touch()
    os.truncate(tmp_path / "huge.json", 1 << 33)
    for path in ("fifo", "/dev/zero", "huge.json", "."):
        align.refused("report", path)
        align.refused("match", "hostile_names.onnx", "hostile_names.onnx", "--map", path)


FACES = ["", "--html o.html", "--csv o.csv", "--markdown o.md", "--junit o.xml", "--sarif o.json", "--timing"]


@pytest.mark.parametrize("file", sorted(path.name for path in HOSTILE.glob("report_*.json")))
def test_forged_reports(align, file):
    for face in FACES:
        outcome = align("report", file, *face.split())
        assert "bug in aligner" not in outcome.err, outcome
        assert "Traceback" not in outcome.err, outcome
        assert outcome.code in (0, 2), outcome  # a report that can be read is shown
    if Path("o.csv").exists():
        text = Path("o.csv").read_text()
        assert "\x1b" not in text
        assert "=cmd" not in [cell[:4] for line in text.splitlines() for cell in line.split(",")]


# ---------------------------------------------------------------------------------------------- terminal and outputs


@requires_onnx
def test_no_name_moves_the_cursor(align):
    for words in (
        ("capture", "hostile_names.onnx", "-o", "o.npz"),
        ("inspect", "hostile_names.onnx"),
        ("capture", "hostile_names.onnx", "-i", "rec_escape_keys.npz", "-o", "p\x1b[31m\u202e.npz"),
        ("match", "hostile_names.onnx", "hostile_names.onnx"),
    ):
        outcome = align(*words)
        shown = outcome.out + outcome.err
        assert not set(shown) & {"\x1b", "\x07", "\u202e", "\x9b"}, outcome


@requires_onnx
@pytest.mark.parametrize(
    "words",
    [
        "compare a.onnx b.onnx --json a.onnx",
        "compare a.onnx b.onnx --html b.onnx",
        "compare a.onnx b.onnx --save-map ./a.onnx",
        "compare a.onnx b.onnx --csv link.onnx",
        "compare a.onnx b.onnx --csv one --html one",
        "compare a.onnx b.onnx --model-explorer x.json --csv x.accumulated.json",
        "compare a.onnx b.onnx -i x=x3.npy --sarif x3.npy",
        "capture a.onnx -o a.onnx",
        "inspect a.onnx --json a.onnx",
        "report a.onnx --csv a.onnx",
        "match a.onnx b.onnx --save-map b.onnx",
        "weights a.onnx b.onnx --json b.onnx",
        "inspect factory.py:build --json factory.py",
        "compare a.onnx b.onnx --json hard.onnx",
        "compare a.onnx dump --dump-of a.onnx --csv dump/y.npy",
        "capture a.onnx -o dump/y.npy --weights dump/y.npy",
        "sweep a.onnx b.onnx --inputs x3.npy --json x3.npy",
        "sweep a.onnx b.onnx --inputs x3.npy --html w/sample_0.html --worst w",
        "merge part.json --json part.json",
        "merge part.json --html one --json one",
        "fix a.onnx b.onnx -o a.onnx",
        "fix a.onnx b.onnx -o one --json one",
        "repro a.onnx b.onnx -o new --json new",
        "sensitivity a.onnx b.onnx --json b.onnx",
        "instrument a.onnx -o b.onnx --recorder b.onnx",
    ],
)
def test_outputs_take_no_inputs_place(align, tmp_path, words):
    for name in ("a.onnx", "b.onnx"):
        shutil.copy(HOSTILE / "hostile_names.onnx", tmp_path / name)
    (tmp_path / "link.onnx").symlink_to("a.onnx")
    (tmp_path / "hard.onnx").hardlink_to(tmp_path / "a.onnx")
    (tmp_path / "dump").mkdir()
    np.save(tmp_path / "dump" / "y.npy", np.ones(3, np.float32))
    (tmp_path / "part.json").write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    align.refused(*words.split())
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@requires_onnx
def test_a_report_takes_the_place_of_text_alone(align, tmp_path):
    """Weights beside a model are named by no option."""
    (tmp_path / "w.data").write_bytes(np.ones(100, np.float32).tobytes())
    (tmp_path / "old.html").write_text("an older report")
    models = ("hostile_names.onnx", "hostile_names.onnx")
    for option in ("--json", "--html", "--csv", "--markdown", "--junit", "--sarif", "--model-explorer", "--save-map"):
        align.refused("compare", *models, option, "w.data", says=("is no text",))
        assert align("compare", *models, option, "old.html").code == 0


def test_every_command_that_opens_files_has_bounds_and_knows_what_it_writes():
    """A new command, or option, cannot forget the guards."""
    import click

    from aligner.cli.commands import cli
    from aligner.cli.targets import FileCommand, outputs_of

    opening = {"reference", "candidate", "model"}
    for name, one in cli.commands.items():
        options = {each.name: each for each in one.params}
        if opening & options.keys():
            assert isinstance(one, FileCommand), name
            assert {"trust", "timeout", "process_memory"} <= options.keys(), name
        for word, option in options.items():
            says = (getattr(option, "help", None) or "").split(" ")[0]
            if isinstance(option, click.Option) and not option.is_flag and option.metavar in ("FILE", "FOLDER"):
                assert (says in ("Write", "Compare", "Also")) == (word in outputs_of()), (name, word)


@requires_onnx
def test_outputs_that_are_not_named(align, tmp_path):
    """The default name of an output, and a folder that is made for it, are among what may be written."""
    for words in (("instrument", "hostile_names.onnx"), ("instrument", "hostile_names.onnx", "--recorder", "a/b")):
        outcome = command.run(tmp_path, *words)
        assert outcome.code == 0, outcome
    assert (tmp_path / "hostile_names.tapped.onnx").exists()
    assert (tmp_path / "a" / "b" / "aligner_record.hpp").exists()
    shutil.copy("hostile_names.onnx", "same.tapped.onnx")
    align.refused("instrument", "hostile_names.onnx", "-o", "./hostile_names.onnx")


@requires_onnx
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("m.onnx m.onnx --json 'r", "does not say how to compare again"),
        ("--help", "does not say how to compare again"),
        ("m.onnx m.onnx --map /etc/hostname --what", "is not understood"),
        ("evil.py:build m.onnx", "asks to run code"),
        ("m.onnx m.onnx --trust", "asks to run code"),
    ],
)
def test_what_a_forged_report_asks_for(align, tmp_path, words, says):
    report = forged_run(tmp_path, words)
    for verb in ("fix", "repro", "sensitivity"):
        output = ("-o", "out.onnx") if verb != "sensitivity" else ()
        align.refused(verb, report, *output, says=(says,))


@requires_onnx
def test_a_forged_report_takes_no_more_than_the_command_line_gives(tmp_path):
    """It says what is compared, not what is written, how much is taken, or what code of whose is read."""
    from aligner.cli.commands import cli
    from aligner.cli.targets import bounds

    seen = []
    asks = "--timeout 0 --process-memory 900T --csv out/c.csv --html out/h.html --dump-of evil.py:build"
    report = forged_run(tmp_path, f"a.onnx b.onnx --seed 3 {asks}")
    fix = cli.commands["fix"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("aligner.cli.targets.check_targets", lambda given: seen.append(dict(given)) or sys.exit(0))
        fix.main([str(report), "--dry-run"], standalone_mode=False)
    (given,) = seen
    assert (given["reference"], given["candidate"], given["seed"]) == ("a.onnx", "b.onnx", 3)
    limits = bounds(given, tmp_path, 5, None)
    assert limits.files
    assert limits.network
    assert limits.writes == (tmp_path,)
    assert not {"timeout", "process_memory", "dump_of", "csv_file"} & given.keys()


def forged_run(folder: Path, words: str) -> Path:
    import json

    from comparison_factory import diverged

    from aligner.report.json_document import write_json

    path = folder / "forged.json"
    write_json(diverged(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "command": f"align compare {words}"}))
    return path


@requires_onnx
@requires_torch
def test_instrument_takes_the_same_bounds_as_others(align, tmp_path):
    align.refused("instrument", "ts_write_forward.pt", "-o", "t.pt", says=("aten::save",))
    outcome = align("instrument", "ts_write_forward.pt", "-o", "t.pt", "--trust", "--timeout", "60")
    assert "aten::save" not in outcome.err, outcome


@requires_onnx
def test_a_loop_of_links_is_no_target(align, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    align.refused("compare", "hostile_names.onnx", "hostile_names.onnx", "--json", "loop")


@requires_onnx
@pytest.mark.parametrize("words", ["--seed -1", "--tolerance inf", "--atol nan", "--rtol -1"])
def test_numbers_that_mean_nothing(align, words):
    outcome = align("compare", "hostile_names.onnx", "hostile_names.onnx", *words.split())
    assert outcome.code == 2
    assert words.split()[0].lstrip("-") in outcome.err


# -------------------------------------------------------------------------------------------- names that are no text


@requires_onnx
@requires_torch
@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_names_that_are_no_text(align, tmp_path):
    shutil.copy(HOSTILE / "hostile_names.onnx", tmp_path / "x\udcff.onnx")
    align.refused("compare", "x\udcff.onnx", "hostile_names.onnx", says=("no UTF-8 text", "rename"))
    import torch

    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(3)), tmp_path / "plain.pt")
    shutil.copy(tmp_path / "plain.pt", tmp_path / "y\udcff.pt")
    outcome = align("compare", "y\udcff.pt", "plain.pt", "-i", "x3.npy")
    assert outcome.code in (0, 3), outcome  # an input of ones proves little


@requires_torch
def test_a_script_is_no_input(align):
    align.refused("capture", "factory.py:build", "-i", "ts_loop_forward.pt", "-o", "o.npz", says=("is a model",))


def test_a_member_without_a_name():
    from aligner.errors import InputError
    from aligner.inputs.files import read_file

    with pytest.raises(InputError) as refused:
        read_file(HOSTILE / "npz_no_name.npz")
    assert refused.value.found


@pytest.mark.parametrize("word", ["a" * 5000, "~nobody-at-all/x", "a\0b", "long.txt", "huge.txt"])
def test_a_set_of_inputs_that_is_none(tmp_path, monkeypatch, word):
    from aligner.errors import InputError
    from aligner.inputs.samples import sample_files

    monkeypatch.chdir(tmp_path)
    (tmp_path / "long.txt").write_text("a" * 5000)
    (tmp_path / "huge.txt").touch()
    os.truncate(tmp_path / "huge.txt", 1 << 33)
    with pytest.raises(InputError):
        sample_files([word])


@requires_onnx
@pytest.mark.parametrize("gives", [["c"], []])
def test_a_function_that_makes_less_than_it_gives(gives):
    from onnx import helper

    from aligner.adapters.onnx_adapter.file import wrap_onnx
    from aligner.errors import ModelFormatError

    opset = helper.make_opsetid("", 17)
    function = helper.make_function("own", "F", ["a"], ["b"], [helper.make_node("Abs", ["a"], gives)], [opset])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("F", ["x"], ["y"], domain="own")], "g", [value("x", 1, [2])], [value("y", 1, [2])]
    )
    model = helper.make_model(graph, opset_imports=[opset, helper.make_opsetid("own", 1)], functions=[function])
    with pytest.raises(ModelFormatError, match="no valid ONNX") as caught:
        wrap_onnx(model, None)
    assert "nothing makes" in caught.value.found


def test_an_empty_word_is_told_too():
    """A message has its three parts also where what was found is nothing: an option's "", a foreign exception's."""
    from aligner.errors import InputError
    from aligner.inputs.casting import dtype_of

    with pytest.raises(InputError) as refused:
        dtype_of("", "--dtype is")
    assert "found: an empty text" in str(refused.value)


@pytest.mark.parametrize("word", ["x:2=4,8", "f4,i4", "(2,)f4", "f4,(", "M8", "U5"])
def test_a_word_that_numpy_reads_as_more_than_a_type(word):
    from aligner.errors import InputError
    from aligner.inputs.casting import dtype_of

    with pytest.raises(InputError, match="cannot be fed"):
        dtype_of(word, "--dtype is")
