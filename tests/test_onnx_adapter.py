"""ONNX: observing, injecting, segments, branches, element types, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_models as make
import pytest
from marks import requires_onnx

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.onnx_adapter.engine import Engine
from aligner.errors import (
    InputError,
    ModelError,
    ModelExecutionError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
    UntrustedFileError,
)

pytestmark = requires_onnx


def open_model(target, **options):
    from aligner.adapters.onnx_adapter.adapter import OnnxAdapter

    return OnnxAdapter().open(target, OpenOptions(**options))


def arrays(session, feeds, **asked):
    return {tensor.value: tensor.array for tensor in session.run(feeds, **asked)}


def picture(*shape):
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


def scale_by_two(name="y"):
    return [make.node("Add", ["x", "x"], [name], "double")]


@pytest.mark.parametrize(("power", "swapped"), [(2.0, False), (2.0, True), (4.0, False)])
def test_what_is_nearly_a_norm_is_not_run_as_one(power, swapped):
    """onnxruntime's fusion looks neither at the exponent nor at the order of the subtraction."""
    nodes = [
        make.node("ReduceMean", ["x"], ["mean"], "mean", axes=[-1]),
        make.node("Sub", ["mean", "x"] if swapped else ["x", "mean"], ["centred"], "centre"),
        make.node("Pow", ["centred", "power"], ["squared"], "square"),
        make.node("ReduceMean", ["squared"], ["variance"], "variance", axes=[-1]),
        make.node("Add", ["variance", "epsilon"], ["added"], "add"),
        make.node("Sqrt", ["added"], ["deviation"], "deviation"),
        make.node("Div", ["centred", "deviation"], ["normal"], "divide"),
        make.node("Mul", ["normal", "gamma"], ["scaled"], "scale"),
        make.node("Add", ["scaled", "beta"], ["y"], "shift"),
    ]
    numbers = {"power": power, "epsilon": 1e-5, "gamma": np.full(8, 1.5), "beta": np.full(8, 0.25)}
    stored = make.weights(**{name: np.asarray(number, np.float32) for name, number in numbers.items()})
    model = make.model(nodes, [make.value("x", 1, [3, 8])], [make.value("y", 1, [3, 8])], stored, opset=17)
    x = picture(3, 8)
    centred = (x - x.mean(-1, keepdims=True)) * (-1 if swapped else 1)
    expected = centred / np.sqrt((centred**power).mean(-1, keepdims=True) + 1e-5) * 1.5 + 0.25
    for inject in (None, {"x": x}):
        found = arrays(open_model(model), {"x": x}, observe=["y"], inject=inject)["y"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------------------------------------- segments


@pytest.mark.parametrize("everything_injected", [False, True])
def test_segments_compute_what_one_run_computes(everything_injected):
    feeds = {"x": picture(3, 8)}
    whole = arrays(open_model(make.chain()), feeds)
    inject = whole if everything_injected else None
    small = arrays(open_model(make.chain(), memory_limit=200), feeds, inject=inject)
    assert list(small) == list(whole)
    for name, array in whole.items():
        np.testing.assert_allclose(small[name], array, rtol=1e-6, atol=1e-6)


def test_a_memory_limit_cuts_the_model():
    from aligner.adapters.onnx_adapter.segments import plan_segments

    feeds = {"x": picture(3, 8)}
    session = open_model(make.chain())
    graph = session.graph(feeds)
    program = session._prepare(feeds).program
    observed = [name for name in graph.values if name not in graph.weights]
    assert len(plan_segments(program, observed, lambda name: False, None)) == 1
    plan = plan_segments(program, observed, lambda name: False, 200)
    assert len(plan) > 6
    assert any("r0" in segment.carried for segment in plan)
    assert "r0" in plan[-1].expired
    assert not any(name.startswith("k") for segment in plan for name in segment.carried)


def test_pieces_in_which_all_is_injected_are_short(monkeypatch):
    from aligner.adapters.onnx_adapter import segments

    monkeypatch.setattr(segments, "_FED", 3)
    session = open_model(make.chain())
    program = session._prepare({"x": picture(3, 8)}).program
    observed = list(program.producer)
    assert len(segments.plan_segments(program, observed, lambda name: False, None)) == 1
    plan = segments.plan_segments(program, observed, lambda name: name in program.producer, None)
    assert len(plan) > 2
    assert [at for segment in plan for at in segment.positions] == list(range(len(program.nodes)))


def test_only_what_is_observed_is_computed():
    from aligner.adapters.onnx_adapter.segments import plan_segments

    session = open_model(make.chain())
    program = session._prepare(None).program
    (segment,) = plan_segments(program, ["a3"], lambda name: name == "r2", None)
    assert [program.nodes[at].name for at in segment.positions] == ["matmul_3", "add_3"]


def test_injected_arrays_are_read_once_and_only_when_needed():
    asked = []

    class Lazy(dict):
        def __getitem__(self, name):
            asked.append(name)
            return super().__getitem__(name)

    feeds = {"x": picture(3, 8)}
    session = open_model(make.chain(), memory_limit=200)
    own = arrays(session, feeds)
    run = session.run(feeds, inject=Lazy({"r0": own["r0"], "r4": own["r4"]}))
    for tensor in run:
        if tensor.value == "r2":
            assert asked == ["r0"]
    assert asked == ["r0", "r4"]


def test_injection_is_seen_behind_the_value_only():
    session, feeds = open_model(make.chain(), memory_limit=200), {"x": picture(3, 8)}
    own = arrays(session, feeds)
    other = arrays(session, feeds, inject={"r0": own["r0"] + 1})
    np.testing.assert_array_equal(other["r0"], own["r0"])
    np.testing.assert_allclose(other["y"] - other["r5"], own["r0"] + 1, rtol=1e-5, atol=1e-5)
    assert not np.allclose(other["m1"], own["m1"])


def test_an_array_that_does_not_come_leaves_the_computed_one():
    class Broken(dict):
        def __getitem__(self, name):
            raise KeyError(name)

    session, feeds = open_model(make.chain(), memory_limit=200), {"x": picture(3, 8)}
    own, other = arrays(session, feeds), arrays(session, feeds, inject=Broken(r0=None))
    for name, array in own.items():
        np.testing.assert_array_equal(other[name], array)


@pytest.mark.parametrize("array", [np.zeros((8, 3), np.float32), np.zeros((3, 8), complex)])
def test_an_injected_array_that_does_not_fit_is_an_error(array):
    session = open_model(make.chain())
    with pytest.raises(InputError, match="injected for 'r0'"):
        arrays(session, {"x": picture(3, 8)}, inject={"r0": array})


def test_closing_a_run_early_ends_it():
    run = open_model(make.chain(), memory_limit=200).run({"x": picture(3, 8)})
    next(run)
    run.close()


# ---------------------------------------------------------------------------------------------------- branches


def test_the_branch_taken_stands_in_the_place_of_the_if():
    session = open_model(make.nested_branches())
    feeds = {"x": picture(4), "rate": np.array(16000)}
    graph = session.graph(feeds)
    assert [node.op for node in graph.nodes] == ["Equal", "Mul", "Constant", "Cast", "Neg", "If", "If", "Tanh"]
    values = arrays(session, feeds)
    np.testing.assert_allclose(values["deep"], 3 * feeds["x"], rtol=1e-6)
    np.testing.assert_allclose(values["three"], np.tanh(-3 * feeds["x"]), rtol=1e-5)
    assert "outer/three" in graph.weights  # the branch's own "three", renamed: the name is used outside
    assert "2 If nodes" in graph.notes[0]
    assert graph.nodes[1].scope == "outer.then_branch"
    np.testing.assert_array_equal(values["three"], session.predict(feeds)[0].array)


def test_other_feeds_take_the_other_branch():
    session = open_model(make.nested_branches())
    feeds = {"x": picture(4), "rate": np.array(8000)}
    assert [node.name for node in session.graph(feeds).nodes][1:3] == ["exp", "relu"]
    np.testing.assert_allclose(arrays(session, feeds)["deep"], np.exp(feeds["x"]), rtol=1e-5)


def test_a_node_of_a_branch_may_be_called_like_one_outside():
    taken = make.branch([make.node("Neg", ["x"], ["out"], "same")], "out")
    other = make.branch([make.node("Abs", ["x"], ["out"], "same")], "out")
    nodes = [
        make.node("Exp", ["x"], ["e"], "same"),
        make.node("If", ["go"], ["b"], "choice", then_branch=taken, else_branch=other),
        make.node("Mul", ["e", "b"], ["y"], "mul"),
    ]
    session = open_model(make.model(nodes, [make.value("x", 1, [4]), make.value("go", 9)], [make.value("y", 1, [4])]))
    feeds = {"x": picture(4), "go": np.array(True)}
    assert [node.name for node in session.graph(feeds).nodes] == ["same", "choice/same", "choice", "mul"]
    np.testing.assert_allclose(arrays(session, feeds)["b"], -feeds["x"])


def test_a_piece_that_only_the_optimiser_refuses_is_run_without_it(monkeypatch):
    session = open_model(make.chain())
    plain, levels = Engine.session, []

    def refusing(self, model, stubs=None, *, level=None):
        levels.append(level)
        if level == "extended":
            raise ModelFormatError("onnxruntime rejects the model")
        return plain(self, model, stubs, level=level)

    monkeypatch.setattr(Engine, "session", refusing)
    feeds = {"x": picture(2, 8)}
    np.testing.assert_array_equal(arrays(session, feeds)["r0"].shape, (2, 8))
    assert levels == ["extended", "none"]


def test_without_feeds_both_branches_are_listed_and_not_observable():
    graph = open_model(make.nested_branches()).graph(None)
    outer = next(node for node in graph.nodes if node.name == "outer")
    assert outer.kind == "control_flow" and "x" in outer.inputs
    scopes = {node.name: node.scope for node in graph.nodes}
    assert scopes["neg"] == "outer.then_branch.inner.then_branch"
    assert scopes["exp"] == "outer.else_branch"
    names = [name for node in graph.nodes for name in node.outputs]
    assert len(names) == len(set(names))
    assert "cannot be observed" in graph.notes[0]


def test_values_captured_by_a_branch_can_be_injected():
    session = open_model(make.nested_branches())
    feeds = {"x": picture(4), "rate": np.array(16000)}
    values = arrays(session, feeds, inject={"x": feeds["x"] * 2})
    np.testing.assert_allclose(values["deep"], 6 * feeds["x"], rtol=1e-6)


def test_a_value_captured_by_a_loop_body_can_be_injected():
    from onnx import helper

    body = helper.make_graph(
        [make.node("Identity", ["go"], ["again"]), make.node("Add", ["state", "step"], ["next"])],
        "body",
        [make.value("turn", 7), make.value("go", 9), make.value("state", 1, [2])],
        [make.value("again", 9), make.value("next", 1, [2])],
    )
    nodes = [
        make.node("Neg", ["x"], ["step"], "neg"),
        make.node("Loop", ["count", "", "x"], ["y"], "loop", body=body),
    ]
    proto = make.model(nodes, [make.value("x", 1, [2])], [make.value("y", 1, [2])], make.weights(count=np.int64(3)))
    session, feeds = open_model(proto), {"x": np.array([1, 2], np.float32)}
    np.testing.assert_array_equal(arrays(session, feeds)["y"], [-2, -4])
    injected = arrays(session, feeds, inject={"step": np.array([5, 5], np.float32)})
    np.testing.assert_array_equal(injected["y"], [16, 17])
    with pytest.raises(InputError, match="no value 'next'"):
        arrays(session, feeds, observe=["next"])


# ------------------------------------------------------------------------------------- element types and values


def test_bfloat16_arrives_as_float32_and_can_be_injected():
    nodes = [
        make.node("Cast", ["x"], ["narrow"], "cast", to=16),
        make.node("Identity", ["narrow"], ["same"], "same"),
        make.node("Cast", ["same"], ["y"], "back", to=1),
    ]
    session = open_model(make.model(nodes, [make.value("x", 1, [3])], [make.value("y", 1, [3])]), memory_limit=4)
    feeds = {"x": np.array([1.001, -2.5, 3e38], np.float32)}
    tensors = {tensor.value: tensor for tensor in session.run(feeds)}
    assert tensors["narrow"].dtype == "bfloat16" and tensors["narrow"].array.dtype == np.float32
    np.testing.assert_array_equal(tensors["narrow"].array, tensors["y"].array)
    injected = arrays(session, feeds, inject={"narrow": np.array([4, 5, 6], np.float32)})
    np.testing.assert_array_equal(injected["y"], [4, 5, 6])


def test_float8_and_int4_are_widened_exactly():
    nodes = [
        make.node("Cast", ["x"], ["eight"], "eight", to=17),
        make.node("Cast", ["x"], ["four"], "four", to=22),
        make.node("Cast", ["eight"], ["y"], "back", to=1),
        make.node("Cast", ["four"], ["z"], "back4", to=1),
    ]
    outputs = [make.value("y", 1, [3]), make.value("z", 1, [3])]
    proto = make.model(nodes, [make.value("x", 1, [3])], outputs, opset=21, ir_version=10)
    values = arrays(open_model(proto, memory_limit=1), {"x": np.array([1.5, -2, 3], np.float32)})
    np.testing.assert_array_equal(values["eight"], [1.5, -2, 3])
    np.testing.assert_array_equal(values["four"], values["z"])


@pytest.mark.parametrize("element", [16, 17, 10, 22])
def test_large_weights_of_narrow_types(element):
    from onnx import helper

    numbers = np.arange(1600).reshape(40, 40) % 7 - 3.0
    weight = helper.make_tensor("w", element, (40, 40), numbers.ravel())
    nodes = [make.node("Cast", ["w"], ["wide"], "wide", to=1), make.node("MatMul", ["x", "wide"], ["y"], "matmul")]
    inputs, outputs = [make.value("x", 1, [2, 40])], [make.value("y", 1, [2, 40])]
    session = open_model(make.model(nodes, inputs, outputs, [weight], opset=21, ir_version=10))
    feeds = {"x": picture(2, 40)}
    np.testing.assert_array_equal(session.graph(None).weights["w"].load(), numbers)
    values = arrays(session, feeds)
    np.testing.assert_array_equal(values["wide"], numbers)
    np.testing.assert_allclose(values["y"], session.predict(feeds)[0].array, rtol=1e-5, atol=1e-5)


def test_strings_and_sequences():
    nodes = [
        make.node("Identity", ["words"], ["same"], "same"),
        make.node("SequenceConstruct", ["x", "x"], ["both"], "both"),
        make.node("SequenceAt", ["both", "one"], ["second"], "second"),
    ]
    inputs = [make.value("words", 8, [2]), make.value("x", 1, [2])]
    outputs = [make.value("same", 8, [2]), make.value("second", 1, [2])]
    session = open_model(make.model(nodes, inputs, outputs, make.weights(one=np.int64(1))), memory_limit=1)
    feeds = {"words": np.array(["é", "b"], object), "x": picture(2)}
    values = arrays(session, feeds)
    assert values["same"].tolist() == ["é", "b"] and "both" not in values
    np.testing.assert_array_equal(values["second"], feeds["x"])
    assert "both" not in session.graph(feeds).values


def test_outputs_that_are_inputs_or_initializers():
    outputs = [make.value("x", 1, [2]), make.value("w", 1, [2]), make.value("y", 1, [2])]
    proto = make.model(scale_by_two(), [make.value("x", 1, [2])], outputs, make.weights(w=np.ones(2, np.float32)))
    session, feeds = open_model(proto), {"x": picture(2)}
    assert session.graph(feeds).outputs == ("x", "w", "y")
    assert [tensor.value for tensor in session.predict(feeds)] == ["x", "w", "y"]
    assert list(arrays(session, feeds)) == ["x", "w", "y"]


def test_initializers_listed_as_inputs_are_no_inputs():
    inputs = [make.value("x", 1, [2]), make.value("w", 1, [2])]
    nodes = [make.node("Mul", ["x", "w"], ["y"], "mul")]
    initializers = make.weights(w=np.full(2, 3, np.float32))
    proto = make.model(nodes, inputs, [make.value("y", 1, [2])], initializers, opset=8, ir_version=3)
    session = open_model(proto)
    assert [spec.name for spec in session.signature.inputs] == ["x"]
    np.testing.assert_array_equal(arrays(session, {"x": np.ones(2, np.float32)})["y"], [3, 3])


def test_nodes_that_are_not_sorted_and_share_a_name():
    nodes = [make.node("Relu", ["b"], ["y"], "same"), make.node("Neg", ["x"], ["b"], "same")]
    session = open_model(make.model(nodes, [make.value("x", 1, [2])], [make.value("y", 1, [2])]), memory_limit=1)
    assert [node.op for node in session.graph(None).nodes] == ["Neg", "Relu"]
    assert list(arrays(session, {"x": picture(2)})) == ["x", "b", "y"]


def test_model_local_functions_are_taken_apart():
    from onnx import helper

    body = [make.node("Mul", ["a", "a"], ["squared"]), make.node("Neg", ["squared"], ["b"])]
    function = helper.make_function("own", "MinusSquare", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    nodes = [make.node("MinusSquare", ["x"], ["y"], "call", domain="own")]
    proto = make.model(
        nodes, [make.value("x", 1, [2])], [make.value("y", 1, [2])], domains=["own"], functions=[function]
    )
    session, feeds = open_model(proto), {"x": picture(2)}
    assert [node.op for node in session.graph(feeds).nodes] == ["Mul", "Neg"]
    np.testing.assert_array_equal(arrays(session, feeds)["y"], session.predict(feeds)[0].array)


def test_a_live_model_is_not_changed():
    proto = make.chain()
    before = proto.SerializeToString()
    session = open_model(proto)
    arrays(session, {"x": picture(1, 8)})
    session.predict({"x": picture(1, 8)})
    assert proto.SerializeToString() == before


# ------------------------------------------------------------------------------------------------ external data


def save_external(folder, location="weights.bin", *, width=64):
    import onnx

    proto = make.chain(2, width)
    path = folder / "model.onnx"
    onnx.save_model(proto, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    if location != "weights.bin":
        proto = onnx.load(path, load_external_data=False)
        proto.graph.initializer[0].external_data[0].value = location
        path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_is_read_from_the_models_folder(tmp_path):
    session, feeds = open_model(save_external(tmp_path), memory_limit=2000), {"x": picture(2, 64)}
    inside = arrays(open_model(make.chain(2, 64)), feeds)
    for name, array in arrays(session, feeds).items():
        np.testing.assert_allclose(array, inside[name], rtol=1e-5, atol=1e-6)
    weight = session.graph(None).weights["matrix"]
    assert weight.shape == (64, 64) and not weight.load().flags.writeable
    np.testing.assert_array_equal(weight.load(), open_model(make.chain(2, 64)).graph(None).weights["matrix"].load())


@pytest.mark.parametrize("location", ["/etc/passwd", "../outside.bin", "a/../../outside.bin", "C:\\data", "..\\x", ""])
def test_external_data_outside_the_folder_is_refused(tmp_path, location):
    (tmp_path / "model").mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(64 * 64 * 4))
    with pytest.raises(UntrustedFileError, match="outside the model's folder"):
        open_model(save_external(tmp_path / "model", location))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(64 * 64 * 4))
    path = save_external(tmp_path / "model", "link.bin")
    (tmp_path / "model" / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(UntrustedFileError):
        open_model(path)


def test_external_data_that_is_missing_or_cut_off(tmp_path):
    path = save_external(tmp_path)
    data = tmp_path / "weights.bin"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ModelFormatError, match="cut off"):
        open_model(path)
    data.unlink()
    with pytest.raises(ModelFormatError, match="missing"):
        open_model(path)


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 a zip archive", b"\x1c\x00\x00\x00TFL3 more", b"hello, this is text", b"\x08\x08"]
)
def test_files_that_are_no_models(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError):
        open_model(path)


def test_truncated_missing_and_folder(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(make.chain().SerializeToString()[:-40])
    with pytest.raises(ModelFormatError):
        open_model(path)
    with pytest.raises(ModelFormatError, match="directory"):
        open_model(tmp_path)
    with pytest.raises(ModelNotFoundError):
        open_model(tmp_path / "other.onnx")
    (tmp_path / "model.ort").write_bytes(b"\x1c\x00\x00\x00ORTM" + bytes(20))
    with pytest.raises(UnsupportedModelError, match="own format"):
        open_model(tmp_path / "model.ort")


def test_claims_by_suffix_bytes_and_type(tmp_path):
    from aligner.adapters.onnx_adapter.adapter import OnnxAdapter

    adapter, proto = OnnxAdapter(), make.chain()
    for name, content, claimed in (
        ("a.onnx", b"anything", True),
        ("a.bin", proto.SerializeToString(), True),
        ("b.bin", b"\x1c\x00\x00\x00TFL3 more", False),
        ("c.bin", b"PK\x03\x04", False),
    ):
        (tmp_path / name).write_bytes(content)
        assert adapter.claims(tmp_path / name) is claimed
    assert adapter.claims(proto) and not adapter.claims(object()) and not adapter.claims(Path("nowhere"))


def test_unknown_operators_are_named():
    nodes = [make.node("Quant", ["x"], ["y"], "Quant_4", domain="onnx.brevitas")]
    proto = make.model(nodes, [make.value("x", 1, [2])], [make.value("y", 1, [2])], domains=["onnx.brevitas"])
    with pytest.raises(UnsupportedModelError, match=r"onnx\.brevitas") as caught:
        open_model(proto)
    assert "Quant_4 (onnx.brevitas::Quant)" in caught.value.found


def test_a_model_that_the_runtime_rejects_names_the_node():
    nodes = [make.node("MatMul", ["x", "w"], ["y"], "wrong_sizes")]
    proto = make.model(nodes, [make.value("x", 1, [1, 3])], [make.value("y", 1, None)], make.weights(w=picture(2, 1)))
    session = open_model(proto)
    for verb in (session.predict, lambda feeds: list(session.run(feeds))):
        with pytest.raises(ModelFormatError, match="'wrong_sizes'"):
            verb({"x": picture(1, 3)})


def test_a_failing_run_names_the_node_without_the_runtimes_paths():
    nodes = [make.node("Reshape", ["x", "shape"], ["y"], "into_eight")]
    weights = make.weights(shape=np.array([4, 2]))
    session = open_model(make.model(nodes, [make.value("x", 1, ["n"])], [make.value("y", 1, None)], weights))
    with pytest.raises(ModelExecutionError, match="'into_eight'") as caught:
        session.predict({"x": picture(3)})
    assert "requested shape" in caught.value.found and ".h" not in caught.value.found


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "needs an input"),
        ({"X": picture(1, 8)}, "no input 'X'"),
        ({"x": picture(8)}, "another shape"),
        ({"x": picture(1, 7)}, "another shape"),
        ({"x": picture(1, 8).astype(np.float64)}, "another dtype"),
    ],
)
def test_feeds_that_do_not_fit(feeds, message):
    session = open_model(make.chain())
    for verb in (session.predict, lambda given: list(session.run(given))):
        with pytest.raises(InputError, match=message) as caught:
            verb(feeds)
        assert caught.value.found and caught.value.hint


def test_provider_and_optimisation_are_checked():
    assert "CPUExecutionProvider" in open_model(make.chain(), provider="cpu", ort_optimization="none").runtime
    with pytest.raises(ModelError, match="does not exist") as caught:
        open_model(make.chain(), provider="abacus")
    assert "cpu" in caught.value.found
    with pytest.raises(ModelError, match="level"):
        open_model(make.chain(), ort_optimization="most")


@pytest.mark.parametrize("level", ["none", "basic", "extended", "all"])
def test_levels_of_optimisation_agree(level):
    feeds = {"x": picture(3, 8)}
    session = open_model(make.chain(), ort_optimization=level)
    np.testing.assert_allclose(arrays(session, feeds)["y"], session.predict(feeds)[0].array, rtol=1e-5, atol=1e-6)


def test_nothing_reaches_the_terminal(capfd):
    proto = make.chain()
    proto.graph.initializer.extend(make.weights(unused=picture(4)))  # the runtime warns about it
    session = open_model(proto)
    session.predict({"x": picture(1, 8)})
    arrays(session, {"x": picture(1, 8)})
    assert capfd.readouterr() == ("", "")


def test_a_name_that_is_no_text_is_a_damaged_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(make.chain().SerializeToString().replace(b"matmul_1", b"matm\xfful1"[:8]))
    with pytest.raises(ModelFormatError, match="damaged"):
        open_model(path)


def test_a_model_that_the_optimiser_alone_refuses_runs_without_it():
    """onnxruntime's fusion of a layer norm leaves out the cast before it, and then misses the types' agreement."""
    nodes = [
        make.node("Cast", ["x"], ["wide"], to=11),
        make.node("Add", ["wide", "wide"], ["sum"]),
        make.node("Cast", ["sum"], ["f"], to=1),
        make.node("ReduceMean", ["f", "axes"], ["m"]),
        make.node("Sub", ["f", "m"], ["c"]),
        make.node("Pow", ["c", "two"], ["q"]),
        make.node("ReduceMean", ["q", "axes"], ["v"]),
        make.node("Add", ["v", "eps"], ["w"]),
        make.node("Sqrt", ["w"], ["s"]),
        make.node("Div", ["c", "s"], ["n"]),
        make.node("Mul", ["n", "gamma"], ["h"]),
        make.node("Add", ["h", "beta"], ["y"]),
    ]
    stored = {"two": np.float32(2), "eps": np.float32(1e-5), "axes": np.array([-1])}
    stored |= {"gamma": np.ones(8, np.float32), "beta": np.zeros(8, np.float32)}
    model = make.model(nodes, [make.value("x", 1, (3, 8))], [make.value("y", 1, (3, 8))], make.weights(**stored))
    x = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    result = aligner.compare(model, model, {"x": x})
    assert result.verdict == "aligned"
    assert any("optimiser refuses" in note for note in result.to_json()["candidate"]["notes"])


def test_a_small_piece_that_runs_again_is_the_same_session_and_computes_anew(monkeypatch):
    started = []
    start = Engine.start
    monkeypatch.setattr(Engine, "start", lambda *given, **more: started.append(1) or start(*given, **more))
    nodes = [*scale_by_two("d"), make.node("Relu", ["d"], ["y"], "relu")]
    session = open_model(make.model(nodes, [make.value("x", 1, [4])], [make.value("y", 1, [4])]))
    x = picture(4)
    for factor in (1, -1):
        found = arrays(session, {"x": x}, observe=["y"], inject={"d": factor * x})
        np.testing.assert_array_equal(found["y"], np.maximum(factor * x, 0))
    assert len(started) == 1
    assert set(arrays(session, {"x": x}, observe=["d", "y"])) == {"d", "y"}
    assert len(started) == 2
