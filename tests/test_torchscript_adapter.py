"""TorchScript: what is seen, what is injected, what stays as it was."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from marks import requires_transformers

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.torchscript_adapter.adapter import TorchScriptAdapter
from aligner.adapters.torchscript_adapter.weights import WeightTable
from aligner.errors import InputError, ModelError, ModelExecutionError, ModelFormatError, UnsupportedModelError
from aligner.testing import AdapterConformance

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402 - only where torch is there
from torchscript_models import (  # noqa: E402
    Alias,
    Assigns,
    Branches,
    Half,
    Late,
    Loops,
    Lstm,
    Noisy,
    Pyramid,
    Restorer,
    Sizes,
    Streaming,
    Uses,
    both,
    total,
)

pytestmark = pytest.mark.filterwarnings("ignore")


def noise(*shape):
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def make(module, *, traced=None):
    torch.manual_seed(3)
    built = module().eval()
    for name, buffer in built.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.linspace(-0.1, 0.1, buffer.numel()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if traced is not None:
            return torch.jit.trace(built, traced, strict=False)
        return torch.jit.script(built)


def opened(script):
    return TorchScriptAdapter().open(script, OpenOptions())


class Suite(AdapterConformance):
    adapter = TorchScriptAdapter()

    def wrong_file(self, tmp_path):
        path = tmp_path / "broken.ts"
        path.write_bytes(b"not an archive")
        return path


class TestTraced(Suite):
    def make_session(self):
        return opened(make(Restorer, traced=torch.zeros(1, 3, 8, 8)))

    def make_feeds(self):
        return {"x": noise(1, 3, 8, 8)}


class TestScripted(TestTraced):
    def make_session(self):
        return opened(make(Restorer))


class TestFrozen(TestTraced):
    def make_session(self):
        return opened(torch.jit.freeze(make(Restorer)))


class TestStreaming(Suite):
    def make_session(self):
        return opened(make(Streaming))

    def make_feeds(self):
        return {"x": noise(1, 4), "rate": np.array(16)}


class TestFunction(Suite):
    def make_session(self):
        return opened(torch.jit.script(both))

    def make_feeds(self):
        return {"x": noise(3, 4), "y": np.array(2.5)}


def same(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def last(session, feeds, inject=None):
    return {tensor.value: tensor.array for tensor in session.run(feeds, None, inject)}


@pytest.mark.parametrize("traced", [None, torch.zeros(1, 3, 8, 8)], ids=["scripted", "traced"])
def test_graph_says_op_attributes_weights_scope_and_source(traced):
    graph = opened(make(Restorer, traced=traced)).graph({"x": noise(1, 3, 8, 8)})
    by_kind = {node.kind: node for node in graph.nodes}
    conv = by_kind["conv"]
    assert conv.weights == ("conv.weight", "conv.bias")
    assert conv.scope == "conv"
    assert conv.attributes["pads"] == ((1, 1), (1, 1))
    assert conv.attributes["strides"] == (1, 1)
    assert by_kind["conv_transpose"].weights == ("up.weight", "up.bias")
    assert by_kind["conv_transpose"].attributes["strides"] == (2, 2)
    assert by_kind["norm"].attributes["epsilon"] == pytest.approx(1e-5)
    assert by_kind["leaky_relu"].attributes["alpha"] == pytest.approx(0.2)
    assert by_kind["concat"].attributes["axis"] == 1
    assert len(by_kind["concat"].inputs) == 2
    assert len(by_kind["split"].outputs) == 2
    assert by_kind["resize"].attributes["mode"] == "linear"
    assert by_kind["concat"].source.startswith("torchscript_models.py:")
    assert graph.values[conv.outputs[0]].shape == (1, 8, 8, 8)
    assert graph.values[conv.outputs[0]].dtype == "float32"
    assert np.allclose(graph.weights["norm.running_mean"].load(), np.linspace(-0.1, 0.1, 8))


def test_names_are_those_of_the_inlined_graph():
    script = make(Restorer)
    jit_graph = script.inlined_graph
    graph = opened(script).graph(None)
    text = str(jit_graph)
    assert all(f"%{name} :" in text for name in graph.values)
    assert graph.inputs == (list(jit_graph.inputs())[1].debugName(),)


def test_an_archive_reads_like_the_live_module(tmp_path):
    script = make(Restorer)
    path = tmp_path / "model.pt"
    torch.jit.save(script, str(path))
    feeds = {"x": noise(1, 3, 8, 8)}
    assert TorchScriptAdapter().claims(path)
    session = TorchScriptAdapter().open(path, OpenOptions())
    live = opened(script)
    assert [node.op for node in session.graph(feeds).nodes] == [node.op for node in live.graph(feeds).nodes]
    assert all(
        same(one.array, other.array) for one, other in zip(session.predict(feeds), live.predict(feeds), strict=True)
    )


def test_in_place_results_replace_what_they_overwrote():
    script = make(Restorer)
    session, feeds = opened(script), {"x": noise(1, 3, 8, 8)}
    graph = session.graph(feeds)
    relu = next(node for node in graph.nodes if node.op == "aten::relu_")
    add = next(node for node in graph.nodes if node.op == "aten::add")
    pool = next(node for node in graph.nodes if node.kind == "avg_pool")
    assert add.inputs[0] == relu.outputs[0] == pool.inputs[0]
    seen = last(session, feeds)
    assert (seen[relu.inputs[0]] < 0).any()
    assert (seen[relu.outputs[0]] >= 0).all()


def test_injection_into_an_in_place_result_is_seen_through_aliases():
    session = opened(make(Alias, traced=torch.zeros(2, 2)))
    feeds = {"x": noise(2, 2)}
    relu = next(node for node in session.graph(feeds).nodes if node.op == "aten::relu_")
    assert set(session.graph(feeds).outputs) <= set(session.graph(feeds).values)
    seen = last(session, feeds, {relu.outputs[0]: np.full((2, 2), 5, np.float32)})
    first, second = (seen[name] for name in session.graph(feeds).outputs)
    assert (first == 6).all()
    assert (second == 6).all()


@pytest.mark.parametrize("last", ["clone", "double", "t"])
def test_a_copy_of_what_was_written_through_a_view_is_no_copy_of_what_was_computed(tmp_path, last):
    class Scaled(nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.layer, self.scale = nn.Linear(4, 3), scale

        def forward(self, x):
            h = self.layer(x)
            h.view(-1)[::2].mul_(self.scale)
            return getattr(h, last)()

    right, wrong = Scaled(0.5).eval(), Scaled(0.7).eval()
    wrong.load_state_dict(right.state_dict())
    for module, verdict in ((right, "aligned"), (wrong, "diverged")):
        torch.jit.trace(module, torch.from_numpy(noise(2, 4))).save(path := tmp_path / f"{verdict}.pt")
        result = aligner.compare(right, path, noise(2, 4))
        assert result.verdict == verdict
    assert result.causes[0].id == "constant-changed"


def test_injection_into_a_view_keeps_later_writes_connected():
    session, feeds = opened(make(Assigns)), {"x": noise(2, 3)}
    expected = session.predict(feeds)[0].array
    captured = list(session.run(feeds))
    again = last(session, feeds, {tensor.value: tensor.array for tensor in captured})
    assert same(again[session.graph(feeds).outputs[0]], expected)
    assert (expected[:, 0] == 8).all()


def test_an_injected_view_leaves_its_base_alone():
    session, feeds = opened(make(Branches)), {"x": noise(2, 3)}
    graph = session.graph(feeds)
    view = next(node for node in graph.nodes if node.op == "aten::view")
    before, after = last(session, feeds), last(session, feeds, {view.outputs[0]: np.zeros(6, np.float32)})
    assert not same(before[graph.outputs[0]], after[graph.outputs[0]])
    assert same(before[graph.outputs[1]], after[graph.outputs[1]])


def test_an_output_written_after_it_was_computed_is_yielded_as_it_ends():
    session, feeds = opened(make(Late)), {"x": noise(2, 3)}
    (name,) = session.graph(feeds).outputs
    assert name == "outputs.0"
    assert same(last(session, feeds)[name], session.predict(feeds)[0].array)


def test_loops_number_their_occurrences_and_inject_by_them():
    session, feeds = opened(make(Loops)), {"x": noise(2, 2), "n": np.array(3)}
    graph = session.graph(feeds)
    tanh = next(node for node in graph.nodes if node.op == "aten::tanh").outputs[0]
    runs = [tensor for tensor in session.run(feeds) if tensor.value == tanh]
    assert [tensor.occurrence for tensor in runs] == [0, 1, 2]
    end = graph.outputs[0]
    plain = last(session, feeds)[end]
    other = np.full((2, 2), -1.5, np.float32)
    assert same(last(session, feeds, {tanh: other})[end], plain)
    assert (last(session, feeds, {f"{tanh}#2": other})[end] == 0.5).all()


def test_state_is_the_same_for_every_run_and_the_live_module_keeps_its_own():
    script = make(Streaming)
    session, feeds = opened(script), {"x": noise(1, 4), "rate": np.array(8)}
    first = session.predict(feeds)
    list(session.run(feeds))
    assert all(same(one.array, other.array) for one, other in zip(first, session.predict(feeds), strict=True))
    assert script.state.numel() == 0
    assert script.count.item() == 0
    script(torch.zeros(1, 4), 8)
    assert all(same(one.array, other.array) for one, other in zip(first, session.predict(feeds), strict=True))
    assert [tensor.value for tensor in first][-1].startswith(("outputs.length", "4", "5", "6", "7", "8", "9"))


def test_runs_of_one_session_may_alternate():
    session, feeds = opened(make(Streaming)), {"x": noise(1, 4), "rate": np.array(16)}
    alone = list(session.run(feeds))
    for one, other, third in zip(session.run(feeds), session.run(feeds), alone, strict=True):
        assert one.value == other.value == third.value
        assert same(one.array, other.array)
        assert same(one.array, third.array)


def test_branches_not_taken_are_left_out_where_feeds_are_given():
    session = opened(make(Streaming))
    whole = session.graph(None)
    taken = session.graph({"x": noise(1, 4), "rate": np.array(8)})
    assert any(node.kind == "div" for node in whole.nodes)
    assert not any(node.kind == "div" for node in taken.nodes)
    handed_on = [node for node in taken.nodes if node.op == "prim::If" and node.kind == "identity"]
    assert handed_on and all(len(node.inputs) == 1 for node in handed_on)


def test_optional_and_scalar_inputs():
    session = opened(make(Streaming))
    specs = {spec.name: spec for spec in session.signature.inputs}
    assert specs["rate"].shape == () and specs["rate"].dtype == "int64" and specs["rate"].required
    assert not specs["bias"].required
    feeds = {"x": noise(1, 4), "rate": np.array(8)}
    without, given = session.predict(feeds), session.predict({**feeds, "bias": np.ones(1, np.float32)})
    assert np.allclose(given[0].array, without[0].array + 1)
    assert last(session, feeds)[session.graph(feeds).inputs[1]].shape == ()


def test_a_tuple_of_tensors_is_fed_element_by_element():
    session = opened(make(Lstm))
    assert [spec.name for spec in session.signature.inputs] == ["x", "hidden.0", "hidden.1"]
    feeds = {"x": noise(2, 5, 4), "hidden.0": noise(1, 2, 3), "hidden.1": noise(1, 2, 3)}
    graph = session.graph(feeds)
    node = next(node for node in graph.nodes if node.kind == "recurrent")
    assert node.weights == ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0", "lstm.bias_hh_l0")
    assert len(session.predict(feeds)) == len(graph.outputs) == 3
    with pytest.raises(InputError, match=r"hidden\.1"):
        session.predict({"x": feeds["x"], "hidden.0": feeds["hidden.0"]})


def test_a_list_of_tensors_cannot_be_fed_yet():
    session = opened(torch.jit.script(total))
    with pytest.raises(InputError, match=r"List\[Tensor\]"):
        session.predict({"xs": noise(2, 2)})


def test_calls_that_cannot_be_inlined_stay_opaque():
    session, feeds = opened(make(Uses)), {"x": noise(2, 3)}
    graph = session.graph(feeds)
    assert "opaque" in {node.kind for node in graph.nodes}
    assert same(last(session, feeds)[graph.outputs[0]], session.predict(feeds)[0].array)


def test_random_ops_repeat_and_leave_the_generator_alone():
    session, feeds = opened(make(Noisy)), {"x": noise(2, 3)}
    before = torch.random.get_rng_state()
    predicted = session.predict(feeds)[0]
    for tensor in session.run(feeds):
        torch.randn(3)
        found = tensor
    assert same(found.array, predicted.array)
    torch.random.set_rng_state(before)
    torch.manual_seed(11)
    assert not same(session.predict(feeds)[0].array, predicted.array)


def test_numbers_of_a_trace_are_constants():
    session, feeds = opened(make(Sizes, traced=torch.zeros(2, 3))), {"x": noise(2, 3)}
    graph = session.graph(feeds)
    constants = [node for node in graph.nodes if node.op == "prim::Constant"]
    assert constants and all(node.outputs[0] in graph.weights for node in constants)
    name = constants[0].outputs[0]
    (tensor,) = session.run(feeds, [name])
    assert tensor.array == graph.weights[name].load() == 2
    assert same(last(session, feeds)[graph.outputs[0]], session.predict(feeds)[0].array)


def test_numbers_of_a_loaded_trace_widen_no_integers(tmp_path):
    class Ramp(nn.Module):
        def forward(self, x):
            return x @ (torch.arange(3) * 0.5)

    torch.jit.save(torch.jit.trace(Ramp(), (torch.zeros(2, 3),)), tmp_path / "ramp.pt")
    session, feeds = opened(torch.jit.load(tmp_path / "ramp.pt")), {"x": noise(2, 3)}
    assert same(last(session, feeds)[session.graph(feeds).outputs[0]], session.predict(feeds)[0].array)


def test_what_is_optimised_for_inference_runs_and_its_file_is_told_to_lack_weights(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish()).eval()
    feeds = noise(1, 3, 6, 6)
    optimised = torch.jit.optimize_for_inference(torch.jit.trace(net, torch.zeros(1, 3, 6, 6)))
    result = aligner.compare(net, optimised, [feeds])
    assert result.verdict == "aligned"
    assert {pair.candidate.kind for pair in result.pairs} >= {"conv", "hardswish"}
    torch.jit.save(optimised, tmp_path / "optimised.pt")
    with pytest.raises(ModelFormatError, match="optimize_for_inference"):
        TorchScriptAdapter().open(tmp_path / "optimised.pt", OpenOptions())


def test_a_nameless_constant_in_a_layout_without_an_address_is_a_weight_too():
    table = WeightTable(None)
    assert table.add("5304", torch.ones(2, 3).to_mkldnn(), attribute=False) == "5304"
    assert table.shape("5304") == (2, 3) and table.records["5304"].values().sum() == 6


def test_lists_are_followed_through_the_changes_that_the_program_makes():
    session, feeds = opened(make(Pyramid)), {"x": noise(2, 4)}
    graph = session.graph(feeds)
    producer = {name: node for node in graph.nodes for name in node.outputs}
    sums = [node for node in graph.nodes if node.kind == "add" and len(node.inputs) == 2]
    assert [producer[node.inputs[1]].kind for node in sums] == ["mul", "sigmoid"]
    assert producer[sums[0].inputs[1]].scope == "down.1"
    assert len(graph.outputs) == 4
    assert not any(name.startswith("outputs") for name in graph.outputs)
    seen = last(session, feeds)
    assert all(same(tensor.array, seen[tensor.value]) for tensor in session.predict(feeds))


def test_scopes_name_the_lists_that_modules_are_in(tmp_path):
    path = tmp_path / "traced.pt"
    torch.jit.save(make(Pyramid, traced=torch.zeros(2, 4)), str(path))
    for model in (make(Pyramid), make(Pyramid, traced=torch.zeros(2, 4)), path):
        graph = TorchScriptAdapter().open(model, OpenOptions()).graph({"x": noise(2, 4)})
        linear = [node.scope for node in graph.nodes if node.kind == "matmul"]
        assert linear == ["down.0.inner", "down.1.inner", "up.0.inner", "up.1.inner"]
        assert [node.scope for node in graph.nodes if node.kind == "relu"] == ["down.0", "down.1", "up.0", "up.1"]


def test_bfloat16_travels_as_float32():
    session, feeds = opened(make(Half)), {"x": noise(4)}
    captured = list(session.run(feeds))
    halves = [tensor for tensor in captured if tensor.dtype == "bfloat16"]
    assert len(halves) == 2 and all(tensor.array.dtype == np.float32 for tensor in halves)
    again = last(session, feeds, {tensor.value: tensor.array for tensor in captured})
    assert same(again[captured[-1].value], captured[-1].array)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_floats_are_fed_as_the_parameters_are(tmp_path, dtype, frozen):
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).to(getattr(torch, dtype)).eval()
    x = noise(2, 4)
    script = torch.jit.trace(module, torch.from_numpy(x).to(getattr(torch, dtype)))
    (torch.jit.freeze(script) if frozen else script).save(path := tmp_path / "m.pt")
    assert aligner.compare(module, path, x).verdict == "aligned"


def test_training_mode_is_said_and_can_be_switched_off():
    script = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train())
    assert "training mode" in opened(script).notes[0]
    session = TorchScriptAdapter().open(script, OpenOptions(evaluation_mode=True))
    assert session.notes == ()
    assert script.training
    feeds = {"input": noise(2, 3)}
    captured = [tensor.array for tensor in session.run(feeds)]
    assert same(captured[-1], captured[-2])


@requires_transformers
@pytest.mark.slow
def test_a_traced_transformer():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
        attn_implementation="sdpa",
    )
    ids, mask = torch.arange(6).reshape(1, 6), torch.ones(1, 6, dtype=torch.long)
    script = torch.jit.trace(BertModel(config).eval(), (ids, mask), strict=False)
    session, feeds = opened(script), {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    graph = session.graph(feeds)
    captured = list(session.run(feeds))
    seen = {tensor.value: tensor.array for tensor in captured}
    for tensor in session.predict(feeds):
        assert same(seen[tensor.value], tensor.array)
    assert {"attention", "embedding", "norm", "gelu"} <= {node.kind for node in graph.nodes}
    query = next(node for node in graph.nodes if (node.scope or "").endswith("attention.self.query"))
    assert query.weights[0] == "encoder.layer.0.attention.self.query.weight"
    again = last(session, feeds, seen)
    assert all(same(again[name], seen[name]) for name in graph.outputs)


def test_an_error_of_the_model_names_its_line():
    session = opened(make(Streaming))
    for verb in (session.predict, session.graph, lambda feeds: list(session.run(feeds))):
        with pytest.raises(ModelExecutionError) as caught:
            verb({"x": noise(1, 4), "rate": np.array(3)})
        assert "torchscript_models.py:" in caught.value.what
        assert caught.value.found == "ValueError: unsupported rate"


def test_a_wrong_shape_is_an_error_without_noise():
    with pytest.raises(ModelExecutionError) as caught:
        opened(make(Restorer)).predict({"x": noise(1, 4, 8, 8)})
    assert "to have 3 channels, but got 4 channels" in caught.value.found
    assert "\n" not in caught.value.found


def test_an_injection_of_another_shape_is_refused():
    session, feeds = opened(make(Loops)), {"x": noise(2, 2), "n": np.array(0)}
    with pytest.raises(InputError, match="another shape"):
        traced = opened(make(Restorer, traced=torch.zeros(1, 3, 8, 8)))
        name = traced.graph(None).nodes[0].outputs[0]
        list(traced.run({"x": noise(1, 3, 8, 8)}, None, {name: noise(2)}))
    assert same(session.predict(feeds)[0].array, feeds["x"])


@pytest.mark.parametrize("damage", ["cut", "zeroed"])
def test_a_damaged_archive_is_our_error(tmp_path, damage):
    path = tmp_path / "model.torchscript"
    torch.jit.save(make(Restorer), str(path))
    content = bytearray(path.read_bytes())
    if damage == "zeroed":
        content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
    path.write_bytes(content if damage == "zeroed" else content[: len(content) // 2])
    with pytest.raises(ModelFormatError, match=r"model\.torchscript"):
        TorchScriptAdapter().open(path, OpenOptions())


def test_what_is_claimed(tmp_path):
    adapter = TorchScriptAdapter()
    torch.save({"weight": torch.zeros(2)}, tmp_path / "state.pt")
    torch.jit.save(make(Loops), str(tmp_path / "script.pth"))
    assert not adapter.claims(tmp_path / "state.pt")
    assert adapter.claims(tmp_path / "script.pth")
    assert adapter.claims(make(Loops))
    assert adapter.claims(torch.jit.script(both))
    assert not adapter.claims(nn.Linear(2, 2))
    assert not adapter.claims("package.module:factory")
    with pytest.raises(ModelError):
        adapter.open(tmp_path / "missing.jit", OpenOptions())
    with pytest.raises(UnsupportedModelError, match="carries its own weights"):
        adapter.open(make(Loops), OpenOptions(weights=tmp_path / "state.pt"))


class Encoder(nn.Module):
    def __init__(self, causal, padded, **layer):
        super().__init__()
        whole = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **layer)
        self.encoder = nn.TransformerEncoder(whole, 2, enable_nested_tensor=False)
        self.causal, self.padded = causal, padded

    def forward(self, x):
        causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if self.causal else None
        padded = torch.arange(5)[None] >= torch.tensor([[5], [3]]) if self.padded else None
        return self.encoder(x, mask=causal, src_key_padding_mask=padded)


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


@pytest.mark.parametrize(
    "model",
    [
        Encoder(False, False),
        Encoder(True, False, norm_first=True, activation="gelu"),
        Encoder(False, True),
        Encoder(True, True),
        Attends(),
    ],
    ids=["plain", "causal", "padded", "both", "attention alone"],
)
def test_fused_encoder_layers_are_shown_as_what_they_hold(model):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        script = torch.jit.trace(model.eval(), (x,), check_trace=False)
    assert {node.kind() for node in script.inlined_graph.nodes()} & {
        "aten::_transformer_encoder_layer_fwd",
        "aten::_native_multi_head_attention",
    }
    result = aligner.compare(model, script, {"x": x.numpy()})
    assert result.verdict == "aligned"
    assert "scaled_dot_product_attention" in " ".join(node.op for node in aligner.inspect(script).graph.nodes)


def test_a_fault_inside_a_fused_encoder_layer_is_named():
    torch.manual_seed(0)
    model, x = Encoder(False, False).eval(), torch.randn(2, 5, 8)
    with torch.no_grad():
        script = torch.jit.trace(copy.deepcopy(model), (x,), check_trace=False)
        model.encoder.layers[1].linear1.bias.fill_(0)
    result = aligner.compare(script, model, {"x": x.numpy()})
    assert result.first_divergence.reference.scope == "encoder.layers.1.linear1"
    assert result.causes[0].id == "weights-bias-missing"
