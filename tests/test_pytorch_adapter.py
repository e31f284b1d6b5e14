"""The PyTorch eager adapter: what it sees, what it injects, and how it leaves the model."""

from __future__ import annotations

import copy
import sys
import textwrap

import numpy as np
import pytest
from marks import requires_transformers

import aligner
from aligner.adapters.base import FirstLook, OpenOptions
from aligner.adapters.pytorch_adapter.adapter import PyTorchAdapter
from aligner.errors import (
    InputError,
    ModelError,
    ModelExecutionError,
    ModelFormatError,
    ModelNotFoundError,
    UntrustedFileError,
)

torch = pytest.importorskip("torch")
nn = torch.nn

ADAPTER = PyTorchAdapter()
X = np.random.default_rng(3).uniform(-1, 1, (2, 4)).astype(np.float32)
IMAGE = np.random.default_rng(4).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)


def opened(module, **options):
    return ADAPTER.open(module, OpenOptions(**options))


def captured(session, feeds, **options):
    return {tensor.value: tensor.array for tensor in session.run(feeds, **options)}


def checked(module, feeds, **options):
    """Open, run three ways, and compare: untouched, observed, with everything injected."""
    session = opened(module, **options)
    graph = session.graph(feeds)
    torch.manual_seed(0)
    predicted = session.predict(feeds)
    torch.manual_seed(0)
    own = captured(session, feeds)
    torch.manual_seed(0)
    injected = captured(session, feeds, inject=own)
    assert list(injected) == list(own)
    for name, array in own.items():
        np.testing.assert_array_equal(injected[name], array, err_msg=name)
    for tensor in predicted:
        np.testing.assert_array_equal(own[tensor.value], tensor.array, err_msg=tensor.value)
    return session, graph, own


def by_name(graph):
    return {node.name: node for node in graph.nodes}


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5)

    def forward(self, image, scale=None):
        features = self.act(self.norm(self.conv(image)))
        features = self.act(
            features
            + nn.functional.interpolate(input=nn.functional.avg_pool2d(features, 2), scale_factor=2.0, mode="bilinear")
        )
        return {"logits": self.head(features.mean((2, 3))), "maps": [features], "count": 3}


def test_graph_of_a_small_network():
    session, graph, _ = checked(Convolutional().eval(), {"image": IMAGE})
    nodes = by_name(graph)
    conv = nodes["conv/conv2d.0"]
    assert (conv.kind, conv.scope, conv.inputs) == ("conv", "conv", ("image", "conv.weight"))
    assert conv.weights == ("conv.weight",)
    assert dict(conv.attributes) == {
        "kernel": (3, 3),
        "strides": (2, 2),
        "pads": ((1, 1), (1, 1)),
        "dilations": (1, 1),
        "groups": 1,
    }
    norm = nodes["norm/batch_norm.0"]
    assert norm.inputs == ("conv/conv2d.0", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    assert norm.attributes["epsilon"] == 1e-5
    assert nodes["interpolate.0"].attributes["mode"] == "linear"
    assert nodes["mean.0"].attributes["axes"] == (2, 3)
    assert conv.source is not None and conv.source.split(":")[0].endswith("test_pytorch_adapter.py")
    assert [nodes[name].inputs for name in ("act/relu.0", "act/relu.1")] == [("norm/batch_norm.0",), ("add.0",)]
    assert graph.outputs == ("head/linear.0", "act/relu.1")
    assert session.signature.outputs == ("logits", "maps.0")
    assert graph.values["conv/conv2d.0"].aliases == ("conv",)
    assert graph.values["head/linear.0"].aliases == ("head", "logits")
    assert graph.weights["conv.weight"].load().shape == (8, 3, 3, 3)


def test_in_place_results_are_captured_before_they_are_overwritten():
    _, _, own = checked(Convolutional().eval(), {"image": IMAGE})
    assert own["norm/batch_norm.0"].min() < 0
    assert own["act/relu.0"].min() == 0


class Written(nn.Module):
    """Views, and writes through them."""

    def forward(self, x):
        x = x * 2
        left, right = x.chunk(2, dim=1)
        left.sigmoid_()
        x[:, 0] = 1.0
        x[:, 1:3] += 0.5
        buffer = torch.zeros(2, 4)
        buffer[:, :2].copy_(right)
        return x + buffer, right


def test_writes_through_views_become_values():
    _, graph, own = checked(Written(), {"x": X})
    nodes = by_name(graph)
    assert graph.outputs[0] == "add.0"
    scatter = nodes[nodes["add.0"].inputs[1]]
    assert (scatter.kind, scatter.inputs) == ("scatter", ("zeros.0", "copy_.0"))
    first = nodes["setitem.0"].inputs[0]
    assert nodes[first].inputs == ("mul.0", "sigmoid_.0"), "x was written through its left half"
    assert "zeros.0" not in own
    np.testing.assert_array_equal(own["mul.0"], X * 2)


def test_write_through_one_part_leaves_the_other_alone():
    class Parts(nn.Module):
        def forward(self, x):
            left, right = x.clone().chunk(2, dim=1)
            left.relu_()
            return right * 2, left * 2

    _, graph, _ = checked(Parts(), {"x": X})
    assert by_name(graph)["mul.0"].inputs == ("chunk.0:1",)


def test_every_consumer_sees_what_is_injected():
    class Fan(nn.Module):
        def forward(self, x):
            y = x * 2
            return y + 1, y - 1, y.view(-1), x.sum()

    session, _, _ = checked(Fan(), {"x": X})
    run = captured(session, {"x": X}, inject={"mul.0": np.zeros_like(X)})
    np.testing.assert_array_equal(run["mul.0"], X * 2)
    assert (run["add.0"] == 1).all() and (run["sub.0"] == -1).all() and (run["view.0"] == 0).all()
    run = captured(session, {"x": X}, inject={"x": np.zeros_like(X)})
    np.testing.assert_array_equal(run["x"], X)
    assert run["sum.0"] == 0


def test_injection_in_place_of_an_in_place_result_reaches_aliases():
    class Alias(nn.Module):
        def forward(self, x):
            x = x + 0
            view = x.view(-1)
            x.relu_()
            return x * 1, view * 1

    session, graph, own = checked(Alias(), {"x": X})
    run = captured(session, {"x": X}, inject={"relu_.0": np.full_like(X, 7)})
    assert (run["mul.0"] == 7).all() and (run["mul.1"] == 7).all()
    assert by_name(graph)["alias.0"].inputs == ("view.0", "relu_.0")
    np.testing.assert_array_equal(own["relu_.0"], np.maximum(X, 0))


def test_injected_array_of_another_shape_is_an_error():
    session = opened(nn.Linear(4, 4))
    with pytest.raises(InputError, match="another shape"):
        captured(session, {"input": X}, inject={"linear.0": np.zeros((1, 1), np.float32)})


def test_reused_module_goes_on_counting():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Linear(4, 4)

        def forward(self, x):
            return self.step(self.step(x))

    _, graph, _ = checked(Twice(), {"x": X})
    assert [node.inputs[0] for node in graph.nodes] == ["x", "step/linear.0"]
    assert [node.name for node in graph.nodes] == ["step/linear.0", "step/linear.1"]


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("h", torch.zeros(4))
        self.g = torch.ones(4)
        self.calls = 0
        self.seen = []
        self.ring = [torch.zeros(4)]

    def forward(self, x):
        self.h.mul_(0.5).add_(x[0])
        self.g = self.g + self.h
        self.calls += 1
        self.seen.append(self.g)
        self.ring[0].add_(1)
        self.late = self.g
        return self.g * self.calls + len(self.seen) + self.ring[0]


def test_runs_do_not_see_each_other():
    module = Stateful()
    checked(module, {"x": X})
    assert (module.calls, module.seen, hasattr(module, "late")) == (0, [], False)
    assert not module.h.any() and not module.ring[0].any() and (module.g == 1).all()


def test_train_mode_is_left_and_said():
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))
    session, _, _ = checked(module, {"input": X})
    assert "BatchNorm1d, Dropout" in session.notes[0]
    assert module.training and module[0].num_batches_tracked == 0 and not module[0].running_mean.any()


def test_eval_mode_lasts_for_the_run():
    module = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4))
    module[1].eval()
    session, _, own = checked(module, {"input": X}, evaluation_mode=True)
    assert session.notes == ()
    assert list(own) == ["input", "1/linear.0"]
    assert [part.training for part in module.modules()] == [True, True, False]


def test_hooks_are_removed_also_on_error():
    from torch.nn.modules import module as internals

    class Raises(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(5, 4)

        def forward(self, x):
            try:
                self.inner(x)
            except RuntimeError:
                x = torch.relu(x)
            return self.inner(x)

    with pytest.raises(ModelExecutionError) as caught:
        opened(Raises()).graph({"x": X})
    assert "at inner/linear (" in caught.value.what and "test_pytorch_adapter.py:" in caught.value.what
    assert "mat1 and mat2" in caught.value.found
    assert not internals._global_forward_hooks and not internals._global_forward_pre_hooks


def test_errors_outside_torch_name_their_line():
    class Raises(nn.Module):
        def forward(self, x):
            raise ValueError("no way")

    with pytest.raises(ModelExecutionError) as caught:
        opened(Raises()).predict({"x": X})
    assert "test_pytorch_adapter.py:" in caught.value.what
    assert caught.value.found == "ValueError: no way"


def test_constants_and_random_numbers():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.arange(4) + torch.randn_like(x) + x.new_empty(4).normal_() + torch.tensor([1.0])

    session, graph, own = checked(Noisy(), {"x": X})
    kinds = {node.name: node.kind for node in graph.nodes}
    assert kinds["arange.0"] == kinds["tensor.0"] == "constant"
    assert kinds["randn_like.0"] == kinds["normal_.0"] == "random"
    assert "arange.0" not in own and "randn_like.0" in own
    np.testing.assert_array_equal(graph.weights["arange.0"].load(), np.arange(4))
    assert list(captured(session, {"x": X}, observe=["arange.0"])) == ["arange.0"]


def test_two_runs_in_lockstep_draw_the_same_numbers():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn(4) + torch.rand(4)

    one, other = opened(Noisy()), opened(Noisy())
    one.graph({"x": X}), other.graph({"x": X})
    torch.manual_seed(1)
    runs = zip(one.run({"x": X}), other.run({"x": X}), strict=True)
    for first, second in runs:
        np.testing.assert_array_equal(first.array, second.array, err_msg=first.value)


def test_recurrent_modules_are_one_node():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
            self.gru = nn.GRU(6, 2)

        def forward(self, x):
            states, (h, _) = self.lstm(x)
            return self.gru(states)[0], h

    _, graph, _ = checked(Recurrent(), {"x": X[None]})
    node = by_name(graph)["lstm/lstm.0"]
    assert node.kind == "recurrent"
    assert "lstm.weight_hh_l0_reverse" in node.weights
    assert node.attributes["bidirectional"] is True
    assert node.outputs == ("lstm/lstm.0:0", "lstm/lstm.0:1", "lstm/lstm.0:2")


def test_attention_is_opened():
    feeds = dict.fromkeys(("query", "key", "value"), IMAGE[0, :, :5, :8])
    _, graph, _ = checked(nn.MultiheadAttention(8, 2, batch_first=True), feeds)
    assert {"linear.0", "softmax.0", "bmm.0"} <= set(by_name(graph))
    assert graph.outputs == ("transpose.8", "mean.0")


def test_transformer_encoder_is_seen_layer_by_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    session = opened(nn.TransformerEncoder(layer, 2).eval())
    feeds = {"src": IMAGE[0, :, :5, :8]}
    own = captured(session, feeds)
    assert "layers.1.norm2/layer_norm.0" in own
    (predicted,) = session.predict(feeds)
    np.testing.assert_allclose(own[predicted.value], predicted.array, atol=1e-5)


def test_control_flow_scalars_and_keywords():
    class Branches(nn.Module):
        def forward(self, x, times: int = 2, flag: bool = False, *, shift=None):
            for _ in range(times):
                x = x - 1 if x.sum() > 0 else x + 2
            return x if shift is None else x + shift

    session, graph, _ = checked(Branches(), {"x": X, "times": np.array(3), "shift": X})
    assert [node.op for node in graph.nodes].count("sum") == 3
    assert [(spec.name, spec.dtype, spec.required) for spec in session.signature.inputs] == [
        ("x", None, True),
        ("times", "int64", False),
        ("shift", None, False),
    ]


def test_variadic_inputs():
    class Sum(nn.Module):
        def forward(self, *parts):
            return torch.stack(parts).sum(0)

    _, graph, _ = checked(Sum(), {"parts.0": X, "parts.1": X})
    assert by_name(graph)["stack.0"].inputs == ("parts.0", "parts.1")


def test_a_bound_that_is_a_tensor_is_written_as_its_number():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.rand(6, 3))

        def forward(self, x):
            return x @ self.table[torch.tensor(0) : torch.tensor(3), :].t()

    _, graph, own = checked(Cut(), {"x": X[..., :3]})
    cut = by_name(graph)["getitem.0"]
    assert cut.attributes["index"] == "0:3, :"
    assert own["getitem.0"].shape == (3, 3)


def test_an_output_that_is_a_constant_is_shown():
    class Scaled(nn.Module):
        def forward(self, x):
            offset = torch.zeros_like(x)
            return x - offset, offset

    session, graph, own = checked(Scaled(), {"x": X})
    assert graph.outputs == ("sub.0", "zeros_like.0")
    assert not own["zeros_like.0"].any()
    shown = session.first_look({"x": X}, FirstLook(1 << 20))[1]
    assert shown is None or "zeros_like.0" in {tensor.value for tensor in shown}


def test_dtypes():
    class Types(nn.Module):
        def forward(self, x):
            mask = x > 0.5
            return {
                "index": x.argmax(1),
                "mask": mask,
                "complex": torch.complex(x, x),
                "picked": x[mask],
                "empty": x[:0],
                "wide": x.bfloat16() * 2,
                "half": x.half(),
                "scalar": x.sum(),
                "same": x.to(torch.float32),
                "input": x,
            }

    session, graph, own = checked(Types(), {"x": X})
    assert graph.outputs[-1] == "x" and len(graph.outputs) == 9
    tensors = {tensor.value: tensor for tensor in session.predict({"x": X})}
    assert (tensors["mul.0"].dtype, own["mul.0"].dtype) == ("bfloat16", np.float32)
    assert by_name(graph)["getitem.0"].kind == "gather"
    assert own["getitem.1"].shape == (0, 4)


def test_inference_mode_inside():
    class Fast(nn.Module):
        @torch.inference_mode()
        def forward(self, x):
            y = x * 2
            y.add_(1)
            y[:, 0] = 0
            return y

    _, graph, own = checked(Fast(), {"x": X})
    assert graph.outputs == ("setitem.0",)
    np.testing.assert_array_equal(own["add_.0"], X * 2 + 1)


def test_what_cannot_be_observed_is_opaque_and_said():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.script = torch.jit.trace(nn.Linear(4, 4), torch.zeros(1, 4))
            self.table = (torch.ones(4),)

        def forward(self, x):
            return torch.relu(self.script(x)) * self.table[0] + torch.vmap(lambda row: row * 2)(x) + TABLE

    _, graph, own = checked(Inner(), {"x": X})
    nodes = by_name(graph)
    opaque = next(node for node in graph.nodes if node.scope == "script")
    assert (opaque.kind, opaque.inputs) == ("opaque", ("x", "script.weight", "script.bias"))
    assert nodes["mul.0"].inputs[1] == "table.0"
    assert nodes["untracked.0"].kind == "opaque" and "untracked.0" in own
    assert nodes["untracked.1"].kind == "constant" and "untracked.1" not in own
    assert "untracked.0" in graph.notes[0] and "untracked.1" not in graph.notes[0]


TABLE = torch.arange(4.0)


def test_compiled_modules_run_eagerly():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.compile(nn.Linear(4, 4))

        def forward(self, x):
            return self.inner(x)

    graph = opened(Outer()).graph({"x": X})
    assert [node.op for node in graph.nodes] == ["linear"]
    session = opened(torch.compile(nn.Linear(4, 4)))
    assert "compiled" in session.notes[0]
    assert list(captured(session, {"input": X})) == ["input", "linear.0"]


def _half_as_much_again(module, _inputs):
    return lambda *arguments: tuple(result * 1.5 for result in module(*arguments))


@pytest.mark.parametrize("part", [False, True])
def test_compiled_code_answers_for_itself(part):
    """A backend that computes something else is no eager module: its outputs are compared, not the original's."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    inner = torch.compile(copy.deepcopy(plain), backend=_half_as_much_again)
    compiled = nn.Sequential(inner, nn.Identity()) if part else inner
    result = aligner.compare(plain, compiled, [X])
    assert result.verdict == "diverged"
    assert result.outputs[0].accumulated.max_abs > 0.01
    assert "torch.compile" in result.comparison.candidate.runtime
    assert aligner.compare(plain, torch.compile(copy.deepcopy(plain), backend="eager"), [X]).verdict == "aligned"


def test_an_exported_module_is_called_as_it_was_exported():
    class Sum(nn.Module):
        def forward(self, x, y=None, *, z):
            return x - 2 * y + 3 * z

    feeds = {name: np.full(2, value, np.float32) for value, name in enumerate("zyx", 1)}
    tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
    positional = torch.export.export(Sum(), (tensors["x"], tensors["y"]), {"z": tensors["z"]})
    by_name = torch.export.export(Sum(), (tensors["x"],), {"y": tensors["y"], "z": tensors["z"]})
    for exported in (positional, by_name):
        session = opened(exported.module())
        np.testing.assert_array_equal(session.predict(feeds)[0].array, [2.0, 2.0])
    random = {name: np.random.default_rng(0).normal(size=2).astype(np.float32) for name in feeds}
    assert aligner.compare(Sum(), by_name.module(), random).verdict != "diverged"


def test_a_positional_only_argument_is_fed():
    class Half(nn.Module):
        def forward(self, x, /):
            return x / 2

    assert opened(Half()).predict({"x": X})[0].array.shape == X.shape


def test_a_module_on_both_sides_keeps_two_states():
    module = Stateful()
    one, other = opened(module), opened(module)
    for first, second in zip(one.run({"x": X}), other.run({"x": X}), strict=True):
        np.testing.assert_array_equal(first.array, second.array, err_msg=first.value)
    one.close()


def test_tied_weights_and_a_weight_as_output():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 4)
            self.out = nn.Linear(4, 5, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, tokens):
            return self.out(self.embed(tokens)), self.embed.weight

    _, graph, _ = checked(Tied(), {"tokens": np.array([[1, 2]])})
    assert by_name(graph)["out/linear.0"].weights == ("embed.weight",)
    assert graph.outputs == ("out/linear.0", "embed.weight")


@pytest.mark.parametrize("module", [lambda: nn.LazyLinear(3), lambda: nn.Linear(4, 4, device="meta")])
def test_weights_without_content(module):
    with pytest.raises(ModelError) as caught:
        opened(module())
    assert "weight" in caught.value.found


def test_device_that_is_not_there(factory):
    with pytest.raises(ModelError, match="cannot be moved to"):
        opened(f"{factory}:build", device="no such device")


def test_dropout_without_effect_is_not_warned_of():
    assert opened(nn.Sequential(nn.Dropout(0.0), nn.Linear(4, 4))).notes == ()


@pytest.mark.parametrize("feeds", [{}, {"input": X, "other": X}, {"input": np.array(["text"])}])
def test_wrong_feeds(feeds):
    session = opened(nn.Linear(4, 4))
    with pytest.raises(InputError) as caught:
        session.graph(feeds)
    assert caught.value.found and caught.value.hint


def test_a_graph_needs_inputs():
    with pytest.raises(InputError, match="comes from running it"):
        opened(nn.Linear(4, 4)).graph(None)


@requires_transformers
@pytest.mark.filterwarnings("ignore")
class TestTransformers:
    def test_resnet(self):
        from transformers import ResNetConfig, ResNetForImageClassification

        config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        session, graph, _ = checked(ResNetForImageClassification(config).eval(), {"pixel_values": IMAGE})
        assert session.signature.outputs == ("logits",)
        assert graph.nodes[0].weights == ("resnet.embedder.embedder.convolution.weight",)
        assert graph.nodes[0].source.startswith("transformers/models/resnet/modeling_resnet.py:")

    def test_vit(self):
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
        )
        _, graph, _ = checked(ViTModel(config).eval(), {"pixel_values": IMAGE})
        assert [node.kind for node in graph.nodes].count("attention") == 1

    def test_bert(self):
        from transformers import BertConfig, BertModel

        config = BertConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=50
        )
        feeds = {"input_ids": np.array([[1, 2, 3, 4]]), "attention_mask": np.array([[1, 1, 1, 0]])}
        session, graph, _ = checked(BertModel(config).eval(), feeds)
        assert session.signature.outputs == ("last_hidden_state", "pooler_output")
        specs = {spec.name: spec for spec in session.signature.inputs}
        assert (specs["input_ids"].dtype, specs["input_ids"].required) == ("int64", True)
        assert not specs["attention_mask"].required
        assert not graph.notes


FACTORY = """
import torch
from torch import nn
from blocks import WIDTH

SIZE = 3
instance = nn.Linear(WIDTH, WIDTH)

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, 2), nn.Dropout(0.5))

def needs(width):
    return nn.Linear(width, 2)

def nothing():
    pass

def breaks():
    raise RuntimeError("out of order")
"""


@pytest.fixture
def factory(tmp_path):
    (tmp_path / "blocks.py").write_text("WIDTH = 4\n")
    (tmp_path / "my_model.py").write_text(textwrap.dedent(FACTORY))
    return tmp_path / "my_model.py"


def test_factories(factory):
    target = f"{factory}:build"
    assert ADAPTER.claims(target) and ADAPTER.claims("package.module:build")
    session = opened(target)
    assert "train mode" in session.notes[0]
    assert opened(target, evaluation_mode=True).notes == ()
    assert list(captured(session, {"input": X})) == ["input", "0/linear.0", "1/dropout.0"]
    assert list(captured(opened(f"{factory}:instance"), {"input": X})) == ["input", "linear.0"]
    assert str(factory.parent) not in sys.path


def test_two_factories_with_neighbours_of_the_same_name(factory, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "blocks.py").write_text("WIDTH = 7\n")
    (other / "my_model.py").write_text(factory.read_text())
    assert opened(f"{factory}:build").graph({"input": X}).weights["0.weight"].shape == (2, 4)
    session = opened(f"{other}/my_model.py:build")
    wide = np.zeros((1, 7), np.float32)
    assert session.graph({"input": wide}).weights["0.weight"].shape == (2, 7)


def test_factory_from_a_package(monkeypatch, tmp_path):
    package = tmp_path / "zoo_for_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(4, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert list(captured(opened("zoo_for_tests.net:Net"), {"input": X})) == ["input", "linear.0"]


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("absent", ModelNotFoundError, "build"),
        ("needs", ModelFormatError, "width"),
        ("nothing", ModelFormatError, "None"),
        ("SIZE", ModelFormatError, "int"),
        ("breaks", ModelError, "out of order (my_model.py:20)"),
    ],
)
def test_factories_that_make_no_module(factory, monkeypatch, name, kind, found):
    monkeypatch.chdir(factory.parent)
    with pytest.raises(kind) as caught:
        opened(f"{factory}:{name}")
    assert found in caught.value.found
    assert caught.value.hint


def test_files_and_packages_that_cannot_be_loaded(tmp_path):
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "needs.py").write_text("import no_such_package\n")
    for target, kind, found in [
        (f"{tmp_path}/absent.py:f", ModelNotFoundError, str(tmp_path)),
        (f"{tmp_path}/bad.py:f", ModelError, "SyntaxError"),
        (f"{tmp_path}/needs.py:f", ModelError, "no_such_package"),
        ("no_such_package.sub:f", ModelNotFoundError, "no_such_package"),
    ]:
        with pytest.raises(kind) as caught:
            opened(target)
        assert found in caught.value.found


def test_factory_with_a_checkpoint(factory, tmp_path):
    path = tmp_path / "weights.pth"
    weights = nn.Sequential(nn.Linear(4, 2)).state_dict()
    torch.save({"params_ema": weights}, path)
    session = opened(f"{factory}:build", weights=path, evaluation_mode=True)
    assert session.notes == ("weights: 2 of the model's 2 tensors loaded from weights.pth (container params_ema)",)
    np.testing.assert_array_equal(session.graph({"input": X}).weights["0.weight"].load(), weights["0.weight"].numpy())


def test_checkpoint_does_not_change_a_live_module(tmp_path):
    module, path = nn.Linear(4, 2), tmp_path / "weights.pth"
    before = module.weight.detach().clone()
    torch.save(nn.Linear(4, 2).state_dict(), path)
    opened(module, weights=path)
    assert torch.equal(module.weight, before)


def test_pickled_modules_need_trust(tmp_path):
    path, checkpoint = tmp_path / "module.pt", tmp_path / "checkpoint.pt"
    torch.save(nn.Sequential(nn.Linear(4, 2)), path)
    torch.save({"model": nn.Sequential(nn.Linear(4, 2)), "epoch": 3}, checkpoint)
    assert ADAPTER.claims(path) and ADAPTER.claims(checkpoint)
    with pytest.raises(UntrustedFileError) as caught:
        opened(path)
    assert "torch.nn.modules.linear.Linear" in caught.value.found and "--trust" in caught.value.hint
    assert list(captured(opened(path, trust=True), {"input": X})) == ["input", "0/linear.0"]
    assert "its entry model was taken" in opened(checkpoint, trust=True).notes[0]


def test_files_that_are_no_modules(tmp_path):
    weights, cut = tmp_path / "weights.pth", tmp_path / "cut.pt"
    torch.save(nn.Linear(4, 2).state_dict(), weights)
    cut.write_bytes(weights.read_bytes()[:300])
    for path, kind, hint in [
        (weights, ModelFormatError, "my_model.py:build --reference-weights"),
        (cut, ModelFormatError, "cut off"),
        (tmp_path / "absent.pt", ModelNotFoundError, "check the path"),
    ]:
        with pytest.raises(kind) as caught:
            opened(path)
        assert hint in caught.value.hint


def test_claims(tmp_path):
    script, other = tmp_path / "script.pt", tmp_path / "other.bin"
    traced = torch.jit.trace(nn.Linear(4, 2), torch.zeros(1, 4))
    traced.save(str(script))
    other.write_bytes(b"something else")
    assert ADAPTER.claims(nn.Linear(4, 2))
    for target in (script, other, traced, tmp_path, tmp_path / "absent.pt", "model.onnx", 3, X):
        assert not ADAPTER.claims(target)


def test_a_run_with_injections_ends_behind_the_last_tensor_that_was_asked_for():
    import torch

    calls = []

    class Noting(torch.nn.Module):
        def forward(self, x):
            a = torch.relu(x)
            b = torch.sin(a)
            c = torch.cos(b)
            calls.append(1)
            return torch.exp(c)

    session = PyTorchAdapter().open(Noting().eval(), OpenOptions())
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    graph = session.graph({"x": x})
    first, second = (graph.nodes[place].outputs[0] for place in (0, 1))
    calls.clear()
    found = {one.value: one.array for one in session.run({"x": x}, [second], {first: 2 * x})}
    np.testing.assert_allclose(found[second], np.sin(2 * x), rtol=1e-6)
    assert not calls
