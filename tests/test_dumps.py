"""What other programs dumped of a run is a side: names, layouts, formats, and local errors by the live side's nodes."""

from __future__ import annotations

import json

import dump_writers as write
import numpy as np
import pytest
from marks import (
    requires_executorch,
    requires_onnx,
    requires_safetensors,
    requires_torch,
    requires_transformers,
)

import aligner
from aligner.errors import AlignerError, InputError, ModelFormatError

pytestmark = requires_onnx
GUILTY = "/c2/Conv_output_0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import dumped_models
    import onnx

    path = tmp_path_factory.mktemp("dumps")
    onnx.save(dumped_models.network(), path / "net.onnx")
    np.save(path / "x.npy", dumped_models.picture())
    return path


@pytest.fixture(scope="module")
def runs():
    """Tensors of a right run and of a wrong one, by name."""
    import dumped_models

    x = dumped_models.picture()
    return {fault: dumped_models.computed(dumped_models.network(fault), x) for fault in (None, "kernel", "padding")}


def without_input(tensors):
    return {name: array for name, array in tensors.items() if name != "x"}


WRITERS = [
    write.npy_folder,
    write.npz,
    pytest.param(write.safetensors, marks=requires_safetensors),
    pytest.param(write.torch_dict, marks=requires_torch),
    pytest.param(write.sglang_pass, marks=requires_torch),
    write.raw_folder,
    write.raw_folder_nhwc,
    write.raw_manifest,
    write.polygraphy,
    write.polygraphy_old,
    write.trtexec,
    write.ort_files,
    write.ort_database,
    pytest.param(write.msprobe, marks=requires_torch),
    pytest.param(write.msprobe_l1, marks=requires_torch),
    pytest.param(write.transformers_tree, marks=requires_safetensors),
    write.mnn,
    write.rknn,
]


@pytest.mark.parametrize("fault", [None, "kernel", "padding"])
@pytest.mark.parametrize("writer", WRITERS)
def test_every_format_is_a_side(folder, tmp_path, runs, writer, fault):
    tensors = runs[fault]
    if writer in (write.mnn, write.sglang_pass, write.msprobe, write.msprobe_l1, write.transformers_tree):
        tensors = without_input(tensors)
    dump = writer(tmp_path / "dump", tensors)
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    if fault is None:
        assert result.verdict == "aligned", result.comparison.reason
        return
    assert result.verdict == "diverged"
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]
    after = [pair for pair in result.pairs if pair.candidate.name in {"/act2/Relu_output_0", "y"}]
    assert [pair.verdict for pair in after] == ["inherited", "inherited"]


@pytest.mark.parametrize("writer", [write.npy_folder, write.npz, write.polygraphy, write.raw_manifest])
def test_the_other_side_tells_the_names_where_nobody_says_what_was_dumped(folder, tmp_path, runs, writer):
    dump = writer(tmp_path / "dump", runs["kernel"])
    for sides in ((folder / "net.onnx", dump), (dump, folder / "net.onnx")):
        result = aligner.compare(*sides, folder / "x.npy")
        assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]


def test_a_recorded_input_is_the_input_and_is_checked(folder, tmp_path, runs):
    dump = write.npy_folder(tmp_path / "dump", runs[None])
    result = aligner.compare(folder / "net.onnx", dump)
    assert result.verdict == "aligned"
    np.save(tmp_path / "other.npy", runs[None]["x"] + 1)
    with pytest.raises(InputError, match=r"other data|another input"):
        aligner.compare(folder / "net.onnx", dump, tmp_path / "other.npy")
    bare = write.npy_folder(tmp_path / "bare", without_input(runs[None]))
    with pytest.raises(InputError, match="does not hold the input"):
        aligner.compare(folder / "net.onnx", bare)


def test_two_dumps_with_their_models(folder, tmp_path, runs):
    """The reference's model computes for the reference's dump."""
    one = write.npy_folder(tmp_path / "one", runs[None])
    other = write.raw_folder_nhwc(tmp_path / "other", runs["kernel"])
    result = aligner.compare(one, other, folder / "x.npy", dump_of=folder / "net.onnx", dump_layout=None)
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]
    assert all(pair.local is not None for pair in result.pairs)


def test_the_smallest_recorded_frontier(folder, tmp_path, runs):
    """What was not recorded is computed from what was, and a fault in between is placed at the next recorded tensor."""
    kept = {
        name: array
        for name, array in runs["kernel"].items()
        if name in {"/act1/Relu_output_0", "/act2/Relu_output_0", "y"}
    }
    result = aligner.compare(folder / "net.onnx", write.npz(tmp_path / "dump", kept), folder / "x.npy")
    assert [pair.candidate.name for pair in result.comparison.introduced] == ["/act2/Relu_output_0"]
    assert "/c2/Conv" in result.comparison.introduced[0].reference_nodes
    assert any("nearest recorded" in note for note in result.comparison.notes)


def test_flat_tensors_take_the_models_shapes(folder, tmp_path, runs):
    flat = {name: array.ravel() for name, array in runs["kernel"].items()}
    result = aligner.compare(folder / "net.onnx", write.npz(tmp_path / "flat", flat), folder / "x.npy")
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]


@pytest.mark.parametrize("layout", ["nhwc", None])
def test_a_layout_is_told_or_found(folder, tmp_path, runs, layout):
    dump = write.raw_folder_nhwc(tmp_path / "dump", runs["kernel"])
    options = {"dump_of": folder / "net.onnx", "dump_layout": layout}
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", **options)
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]
    assert any("channels last" in note for note in result.comparison.candidate.notes) == (layout is None)


def test_a_wrong_layout_is_seen_at_the_input(folder, tmp_path, runs):
    dump = write.raw_folder_nhwc(tmp_path / "dump", runs[None])
    text = refused(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx", dump_layout="nchw")
    assert "in another order of its numbers" in text and "--dump-layout" in text


def test_onnx_test_data_is_a_dump_of_inputs_and_outputs(folder, tmp_path, runs):
    for fault, verdict in ((None, "aligned"), ("kernel", "diverged")):
        dump = write.onnx_test_data(tmp_path / str(fault), runs[fault])
        assert aligner.compare(folder / "net.onnx", dump).verdict == verdict


def test_exported_outputs(folder, tmp_path, runs):
    dump = write.trtexec_outputs(tmp_path / "out", {"y": runs["kernel"]["y"]})
    assert aligner.compare(folder / "net.onnx", dump, folder / "x.npy").verdict == "diverged"


def test_native_quantised_files(folder, tmp_path, runs):
    """A manifest's scale and zero point make numbers of integers."""
    path = write.raw_manifest(tmp_path / "dump", runs["kernel"])
    manifest = json.loads((path / "manifest.json").read_text())
    array = runs["kernel"][GUILTY]
    scale = float(np.abs(array).max() / 127)
    np.rint(array / scale).astype(np.int8).tofile(path / "native.bin")
    manifest[GUILTY] = {
        "file": "native.bin",
        "dtype": "int8",
        "shape": list(array.shape),
        "scale": scale,
        "zero_point": 0,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    result = aligner.compare(folder / "net.onnx", path, folder / "x.npy")
    assert result.comparison.introduced[0].candidate.name == GUILTY


# ------------------------------------------------------------------------------------------------------- bad input


def refused(*given, **options):
    with pytest.raises(AlignerError) as caught:
        aligner.compare(*given, **options)
    assert caught.value.found and caught.value.hint
    return str(caught.value)


def test_a_dump_of_another_model(folder, tmp_path, runs):
    dump = write.npz(tmp_path / "dump", {"left": np.zeros(3, np.float32), "right": np.ones(3, np.float32)})
    text = refused(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    assert "is no dump of net.onnx" in text and "left" in text and "/c1/Conv_output_0" in text


def test_a_dump_of_another_input_size(folder, tmp_path, runs):
    other = {name: np.repeat(array, 2, axis=-1) for name, array in runs[None].items() if name != "x"}
    text = refused(folder / "net.onnx", write.npz(tmp_path / "d", other), folder / "x.npy", dump_of=folder / "net.onnx")
    assert "input size" in text


def test_half_a_folder_is_told(folder, tmp_path, runs):
    half = {name: runs[None][name] for name in ("/c1/Conv_output_0", "/act1/Relu_output_0", "/c2/Conv_output_0")}
    result = aligner.compare(folder / "net.onnx", write.npy_folder(tmp_path / "half", half), folder / "x.npy")
    assert (result.verdict, result.comparison.rule) == ("inconclusive", "output-not-recorded")
    assert "dump the outputs too" in result.comparison.reason
    assert any("lacks outputs of net.onnx: y" in note for note in result.comparison.candidate.notes)


def test_leftovers_and_collisions_are_told(folder, tmp_path, runs):
    tensors = {**runs[None], "profiler/counter": np.zeros(4, np.float32)}
    result = aligner.compare(folder / "net.onnx", write.npz(tmp_path / "dump", tensors), folder / "x.npy")
    assert result.verdict == "aligned"
    assert any("profiler/counter" in note for note in result.comparison.candidate.notes)


def test_colliding_names_are_nobodys():
    """Two values that become one name when mangled: their sizes decide, else both are left out and told."""
    from aligner.adapters.dumps.dump import DumpedTensor
    from aligner.adapters.dumps.names import match
    from aligner.records.graph import Graph, Node, Value

    shapes = {"a/b": (2,), "a.b": (2,), "c/d": (3,), "c.d": (4,)}
    values = {name: Value(name, name, shape) for name, shape in shapes.items()}
    nodes = tuple(Node(n, f"n{n}", "Relu", "relu", (), (name,)) for n, name in enumerate(values))
    graph = Graph("onnx", nodes, values, {}, (), ())
    found = match([DumpedTensor("a_b", (2,)), DumpedTensor("c_d", (4,)), DumpedTensor("e", (1,))], graph)
    assert dict(found.places) == {"c.d": 1}
    assert (found.ambiguous, found.leftover) == (("a_b",), ("e",))
    assert any("a_b" in note and "--map" in note for note in found.notes("net.onnx"))


def test_a_dump_of_nan_was_never_filled(folder, tmp_path, runs):
    """Nothing is known of the device then; outputs alone, or what follows a layer, may well be so."""
    tensors = {name: np.full_like(array, np.nan) for name, array in without_input(runs[None]).items()}
    text = refused(folder / "net.onnx", write.npz(tmp_path / "dump", tensors), folder / "x.npy")
    assert "no finite number" in text and "/c1/Conv_output_0" in text and "copied back" in text
    partly = {**tensors, "/c1/Conv_output_0": runs[None]["/c1/Conv_output_0"]}
    for kept, blamed in (({"y": tensors["y"]}, "y"), (partly, "/act1/Relu_output_0")):
        result = aligner.compare(folder / "net.onnx", write.npz(tmp_path / "part", kept), folder / "x.npy")
        assert result.comparison.introduced[0].candidate.name == blamed


@pytest.mark.parametrize("first", ["right", "wrong"])
def test_tensors_of_one_name_leave_open_which_is_meant(folder, tmp_path, runs, first):
    """Files of two runs in one folder: that one of them is right says nothing of the run that gave the other."""
    right = runs[None]["/c1/Conv_output_0"]
    noise = np.random.default_rng(0).random((2, *right.shape), dtype=np.float32)
    tensors = {name: array for name, array in without_input(runs[None]).items() if "c1" not in name}
    tensors |= {"c1_Conv_output_0": right if first == "right" else noise[0], "c1.Conv.output.0": noise[1]}
    result = aligner.compare(folder / "net.onnx", write.npz(tmp_path / "dump", tensors), folder / "x.npy")
    assert (result.verdict, result.comparison.rule) == ("inconclusive", "tensors-collide")
    assert "c1.Conv.output.0" in result.comparison.reason
    assert ("c1_Conv_output_0" in result.comparison.reason) == (first == "wrong")


@pytest.mark.parametrize(("held", "rule"), [("a/b", "all-agree"), ("a.b", "all-agree"), (None, "tensors-collide")])
def test_a_name_that_several_values_become_is_theirs_that_it_is_like(tmp_path, held, rule):
    """What a tensor holds tells which value it is, for certain; one that is like none of them proves nothing."""
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8]) for name in "xy"]
    steps = [("Relu", "x", "a/b"), ("Tanh", "a/b", "a.b"), ("Neg", "a.b", "y")]
    nodes = [helper.make_node(op, [read], [made], f"n{made}") for op, read, made in steps]
    graph, opset = helper.make_graph(nodes, "g", ends[:1], ends[1:]), helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "net.onnx")
    x = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    made = {"a/b": np.maximum(x, 0), "a.b": np.tanh(np.maximum(x, 0)), None: x[::-1]}
    dump = write.npz(tmp_path / "dump", {"a_b": made[held], "y": -made["a.b"]})
    result = aligner.compare(tmp_path / "net.onnx", dump, [x], dump_of=tmp_path / "net.onnx")
    assert result.comparison.rule == rule, result.comparison.reason
    told = " ".join(result.comparison.candidate.notes) if held else result.comparison.reason
    assert "a_b" in told


def test_a_copy_under_another_spelling_of_the_name_does_not_collide(folder, tmp_path, runs):
    right = runs[None]["/c1/Conv_output_0"]
    tensors = {name: array for name, array in without_input(runs[None]).items() if "c1" not in name}
    tensors |= {"c1_Conv_output_0": right, "c1.Conv.output.0": right}
    result = aligner.compare(folder / "net.onnx", write.npz(tmp_path / "dump", tensors), folder / "x.npy")
    assert result.verdict == "aligned", result.comparison.reason


@pytest.mark.parametrize("writer", [pytest.param("msprobe", marks=requires_torch), "trtexec"])
@pytest.mark.parametrize("fault", [None, "kernel"])
@pytest.mark.parametrize("told", [True, False])
def test_statistics_alone(folder, tmp_path, runs, writer, fault, told):
    """They prove a difference where no run within the contract has an output's, and never that all is well."""
    tensors = without_input(runs[fault])
    how = {"msprobe": write.msprobe, "trtexec": write.trtexec_summary}[writer]
    dump = how(tmp_path / "dump", tensors, **({"task": "statistics"} if writer == "msprobe" else {}))
    if told:
        result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    else:
        result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy")
    if fault is None:
        assert result.verdict == "inconclusive" and "no proof of equal tensors" in result.comparison.reason
        assert not result.comparison.introduced
        return
    assert result.verdict == "diverged", result.comparison.reason
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]
    assert any("estimates" in note for note in result.comparison.notes)
    assert result.to_json()["verdict"] == "diverged"


def test_statistics_of_both_sides(folder, tmp_path, runs):
    dumps = [write.trtexec_summary(tmp_path / name, without_input(runs[None])) for name in ("one", "other")]
    text = refused(*dumps, folder / "x.npy", dump_of=folder / "net.onnx")
    assert "two dumps of statistics" in text


@requires_torch
def test_nothing_is_unpickled(folder, tmp_path):
    import torch

    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    text = refused(folder / "net.onnx", tmp_path / "evil.pt", folder / "x.npy", dump_of=folder / "net.onnx")
    assert "more than tensors" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'{"lst": [[1]], "polygraphy_class": "RunResults"}'),
        ("a.json", b'{"lst": [["r", [{"outputs": {"y": {"array": "AAAA"}}}]]], "polygraphy_class": "RunResults"}'),
        ("a.json", b'[{"name": "y", "dimensions": "2x3", "values": [1]}]'),
        ("a.json", b'{"task": "tensor", "level": "L0", "data": [1]}'),
        ("a.json", b'{"module_path": "N", "children": [{"outputs": {"value": "../p.safetensors"}}]}'),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{"),
        ("a.npz", b"PK\x03\x04"),
        ("a.db", b"SQLite format 3\x00" + bytes(100)),
        ("a.bin", bytes(40)),
    ],
)
def test_damaged_dumps_are_our_error(folder, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(folder / "net.onnx", tmp_path / name, folder / "x.npy", dump_of=folder / "net.onnx")


def test_a_text_of_too_few_numbers(folder, tmp_path, runs):
    """The tensors that tell the layout are read before anybody has looked at their sizes."""
    dump = write.mnn(tmp_path / "dump", without_input(runs[None]))
    file = dump / "c1_Conv.txt"
    file.write_text("\n".join(file.read_text().split("\n")[:100]))
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    assert "/c1/Conv_output_0" not in {pair.candidate.name for pair in result.pairs if pair.verdict == "agrees"}


@requires_onnx
def test_a_tensor_whose_name_is_no_text(tmp_path, runs):
    from aligner.adapters.dumps.formats import open_dump

    dump = write.ort_files(tmp_path / "dump", {"/c1/Conv_output_0": runs[None]["/c1/Conv_output_0"]})
    (file,) = dump.iterdir()
    file.write_bytes(file.read_bytes().replace(b"/c1/Conv", b"/c1/\xff\xfenv"))
    with pytest.raises(ModelFormatError, match="not UTF-8"):
        open_dump(dump)


def test_files_outside_of_the_dump_are_not_read(folder, tmp_path):
    (tmp_path / "secret.raw").write_bytes(bytes(4))
    path = tmp_path / "dump"
    path.mkdir()
    np.zeros(1, np.float32).tofile(path / "y.raw")
    (path / "manifest.json").write_text(json.dumps({"y": {"file": "../secret.raw", "dtype": "float32", "shape": [1]}}))
    assert "secret.raw" in refused(folder / "net.onnx", path, folder / "x.npy")


def test_the_map_around_a_named_side_is_within_the_bounds_of_the_command(tmp_path, runs):
    from aligner.adapters.dumps.formats import beside

    snapshot = write.rknn(tmp_path / "snapshot", runs[None])
    assert beside(snapshot / "simulator") == beside(snapshot / "simulator" / "npy")
    assert beside(snapshot / "simulator") == [snapshot / "map_name_to_file.txt"]
    assert beside(tmp_path) == []


def test_files_that_are_cut_off_are_told_with_their_sizes(folder, tmp_path, runs):
    dump = write.raw_folder(tmp_path / "dump", without_input(runs[None]))
    (file,) = (dump / "Result_0").glob("*c2*")
    file.write_bytes(file.read_bytes()[:-2])
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    (note,) = [note for note in result.comparison.candidate.notes if "another size" in note]
    assert "398 bytes, in the model (1, 5, 4, 5)" in note


def test_codes_without_a_scale_are_left_out_and_told(folder, tmp_path, runs):
    path = tmp_path / "dump"
    path.mkdir()
    for name, array in without_input(runs[None]).items():
        np.rint(array / np.abs(array).max() * 127).astype(np.int8).tofile(path / f"{write.mangled(name)}.raw")
    result = aligner.compare(folder / "net.onnx", path, folder / "x.npy", dump_of=folder / "net.onnx")
    assert result.verdict == "inconclusive" and not result.comparison.introduced
    assert any("manifest.json" in note and GUILTY in note for note in result.comparison.candidate.notes)


def test_results_of_several_inputs(folder, tmp_path, runs):
    import shutil

    dump = write.raw_folder(tmp_path / "dump", runs[None])
    shutil.copytree(dump / "Result_0", dump / "Result_1")
    text = refused(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    assert "Result_0, Result_1" in text and "name one" in text


def test_an_empty_folder(folder, tmp_path):
    (tmp_path / "dump").mkdir()
    text = refused(folder / "net.onnx", tmp_path / "dump", folder / "x.npy", dump_of=folder / "net.onnx")
    assert "a folder of nothing" in text and ".npy" in text


def test_neither_side_is_a_dump(folder):
    assert "neither side" in refused(folder / "net.onnx", folder / "net.onnx", folder / "x.npy", dump_of="net.onnx")


def test_a_folder_of_something_else_says_what_to_write(folder, tmp_path):
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "log.txt").write_text("hello world")
    with pytest.raises(ModelFormatError) as caught:
        from aligner.adapters.dumps.formats import open_dump

        open_dump(tmp_path / "dump")
    assert ".npy" in caught.value.hint


@pytest.fixture(params=["kept", "anew"])
def of_tools(request, tmp_path):
    """What a tool wrote itself: in the version whose file is kept beside the tests, and in an installed one."""
    from data.tool_dumps import write as tools

    def folder(tool):
        if request.param == "kept":
            return tools.HERE / tool
        pytest.importorskip(tool)
        getattr(tools, tool)(tmp_path)
        return tmp_path

    return folder


def test_polygraphys_own_file(folder, of_tools):
    result = aligner.compare(folder / "net.onnx", of_tools("polygraphy") / "outputs.json", folder / "x.npy")
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]


@requires_torch
@requires_executorch
def test_executorchs_own_etdump(of_tools):
    """A bias that the exported program lost, seen by what the runtime wrote."""
    from data.tool_dumps import write as tools

    result = aligner.compare(tools.network()[0], of_tools("executorch"), tools.network()[1])
    assert result.verdict == "diverged"
    assert [pair.candidate.scope for pair in result.comparison.introduced] == [tools.LOST]


# ---------------------------------------------------------------------------------- what tools save as inputs of a run


def polygraphy_inputs(path, x):
    array = {"array": write.base64.b64encode(write.npy_bytes(x)).decode(), "polygraphy_class": "ndarray"}
    (path / "inputs.json").write_text(json.dumps([{"x": array}]))
    return path / "inputs.json"


def onnx_data_set(path, x, name="x"):
    from onnx import numpy_helper

    (path / "test_data_set_0").mkdir()
    for kind, called in (("input", name), ("output", "y")):
        content = numpy_helper.from_array(x, called).SerializeToString()
        (path / "test_data_set_0" / f"{kind}_0.pb").write_bytes(content)
    return path


@pytest.mark.parametrize("way", ["polygraphy", "set", "file", "unnamed", "npy"])
def test_inputs_that_tools_saved(folder, tmp_path, runs, way):
    x = runs[None]["x"]
    given = tmp_path
    if way == "polygraphy":
        given = polygraphy_inputs(tmp_path, x)
    elif way == "npy":
        np.save(tmp_path / "x.npy", x)
    else:
        given = onnx_data_set(tmp_path, x, "" if way == "unnamed" else "x")
        given = given / "test_data_set_0" / "input_0.pb" if way == "file" else given
    dump = write.npz(tmp_path / "dump", without_input(runs["kernel"]))
    result = aligner.compare(folder / "net.onnx", dump, given, dump_of=folder / "net.onnx")
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]


def test_json_that_is_no_input(folder, tmp_path):
    (tmp_path / "labels.json").write_text('{"cat": [1, 2')
    assert "cannot read the input" in refused(folder / "net.onnx", folder / "net.onnx", tmp_path / "labels.json")


@requires_torch
@requires_safetensors
@requires_transformers
@pytest.mark.parametrize("fault", [False, True])
def test_transformers_own_tree(tmp_path, fault):
    """A decoder whose second layer was loaded with another epsilon, by what the library itself writes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.model_debugging_utils import model_addition_debugger_context

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "vocab_size": 50}
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(num_attention_heads=2, num_key_value_heads=2, **sizes)).eval()
    norm = network.model.layers[1].input_layernorm
    ids, epsilon = torch.tensor([[1, 5, 9, 3]]), norm.variance_epsilon
    norm.variance_epsilon = 0.1 if fault else epsilon
    with (
        torch.no_grad(),
        model_addition_debugger_context(network, debug_path=str(tmp_path), do_prune_layers=False, use_repr=False),
    ):
        network(input_ids=ids)
    norm.variance_epsilon = epsilon
    result = aligner.compare(network, tmp_path, {"input_ids": ids})
    if not fault:
        assert result.verdict == "aligned", result.comparison.reason
        return
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.scope == "model.layers.1.input_layernorm"
