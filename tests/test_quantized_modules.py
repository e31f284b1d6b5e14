"""Modules of torch.ao.quantization are twins in real numbers: of the float module, and of their trace."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from marks import requires_torch

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.registry import open_model
from aligner.testing.operation_conformance import replay_session

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

pytestmark = requires_torch

ROWS = np.random.default_rng(0).normal(size=(4, 32)).astype(np.float32)
IMAGE = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(32, 64), nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.c, self.r = nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.ReLU()
        self.d = nn.Conv2d(4, 4, 3, groups=4)

    def forward(self, x):
        return self.d(self.r(self.c(x)))


class Upwards(nn.Module):
    def __init__(self):
        super().__init__()
        self.t = nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1)
        self.t.qconfig = torch.ao.quantization.get_default_qconfig("qnnpack")  # transposed ones have a scale for all

    def forward(self, x):
        return self.t(x)


def network(kind):
    torch.manual_seed(0)
    return kind().eval()


def dynamic():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(network(Dense), {nn.Linear}, dtype=torch.qint8)


def static(kind, samples, fused=()):
    from torch.ao import quantization as ao

    module = network(kind)
    if fused:
        module = ao.fuse_modules(module, list(fused))
    module = nn.Sequential(ao.QuantStub(), module, ao.DeQuantStub()).eval()
    module.qconfig = ao.get_default_qconfig("x86")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = ao.prepare(module)
        prepared(torch.from_numpy(samples))
        return ao.convert(prepared)


@pytest.fixture
def engine():
    """Which library packs the weights; put back afterwards."""
    before = torch.backends.quantized.engine
    yield lambda name: setattr(torch.backends.quantized, "engine", name)
    torch.backends.quantized.engine = before


CASES = {
    "dynamic": (lambda: network(Dense), dynamic, ROWS),
    "dense": (lambda: network(Dense), lambda: static(Dense, ROWS), ROWS),
    "convolutions": (
        lambda: network(Convolutions),
        lambda: static(Convolutions, IMAGE, fused=("c", "r")),
        IMAGE,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_quantised_module_is_a_twin(case):
    real, quantised, x = CASES[case]
    result = aligner.compare(real(), quantised(), [x])
    assert result.verdict == "aligned"
    assert result.comparison.coverage.reference == 1.0


@pytest.mark.parametrize("case", CASES)
def test_its_layers_replay_from_their_packed_weights(case):
    _, quantised, x = CASES[case]
    session = open_model(quantised(), OpenOptions())
    name = session.signature.inputs[0].name
    layers = [one for one in replay_session(session, {name: x}) if one.node.kind in ("conv", "matmul")]
    assert len(layers) >= 2 and not [one for one in layers if one.fault or one.opaque]
    assert all(len(one.node.weights) == 2 for one in layers)


@pytest.mark.parametrize("library", ["fbgemm", "onednn"])
def test_a_transposed_convolution_of_integers_is_recomputed(library, engine):
    """oneDNN's is wrong in torch 2.13: the layer's own weights tell."""
    if library not in torch.backends.quantized.supported_engines:
        pytest.skip(f"this PyTorch has no {library}")
    engine(library)
    quantised = static(Upwards, IMAGE)
    result = aligner.compare(network(Upwards), quantised, [IMAGE])
    x = torch.from_numpy(IMAGE)
    with torch.no_grad():
        right = (quantised(x) - network(Upwards)(x)).abs().max() < 0.1
    assert result.verdict == ("aligned" if right else "diverged")
    if not right:
        assert result.causes[0].id == "fusion-or-kernel" and result.causes[0].explained > 0.9


def test_stored_integers_are_seen_and_replaced():
    session = open_model(static(Dense, ROWS), OpenOptions())
    seen = {tensor.value: tensor for tensor in session.run({"input": ROWS})}
    first = seen["1.a/quantized::linear.0"]
    assert first.array.dtype == first.dtype == "uint8" and first.quantization is not None
    real = network(Dense).a(torch.from_numpy(ROWS)).detach().numpy()
    assert np.abs(first.real() - real).max() < 3 * first.quantization.scale[0]
    zero = np.full_like(first.array, first.quantization.zero_point[0])
    after = {tensor.value: tensor for tensor in session.run({"input": ROWS}, inject={first.value: zero})}
    assert not after["1/relu.0"].real().any()


def test_a_layer_whose_weights_went_wrong_is_named():
    wrong = static(Dense, ROWS)
    layer = wrong[1].b
    stored = layer.weight()
    turned = torch._make_per_channel_quantized_tensor(
        stored.int_repr().flip(0).contiguous(),
        stored.q_per_channel_scales(),
        stored.q_per_channel_zero_points(),
        stored.q_per_channel_axis(),
    )
    layer.set_weight_bias(turned, layer.bias())
    for reference, candidate in ((network(Dense), wrong), (copy.deepcopy(static(Dense, ROWS)), wrong)):
        result = aligner.compare(reference, candidate, [ROWS])
        assert result.verdict == "diverged"
        assert result.first_divergence.candidate.name == "1.b/quantized::linear.0"


class Rows(torch.Tensor):
    """As torchao keeps weights: integers or floats of eight bits, and a scale for each row or block of one."""

    @staticmethod
    def __new__(cls, qdata, scale):
        return torch.Tensor._make_wrapper_subclass(cls, qdata.shape, dtype=scale.dtype)

    def __init__(self, qdata, scale):
        self.qdata, self.scale = qdata, scale

    def dequantize(self):
        many = self.qdata.shape[1] // self.scale.shape[1]
        return self.qdata.float() * self.scale.repeat_interleave(many, 1)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is nn.functional.linear:
            return func(args[0], args[1].dequantize(), *args[2:])
        return super().__torch_function__(func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return cls(args[0].qdata, args[0].scale) if "detach" in str(func) else NotImplemented


CODES = {"int8": 127, "int4 by blocks": 7, "float8": 448}


def in_rows(module, codes="int8"):
    for layer in (module.a, module.b, module.c):
        weight, blocks = layer.weight.detach(), 2 if "blocks" in codes else 1
        scale = weight.unflatten(1, (blocks, -1)).abs().amax(2) / CODES[codes]
        stood = weight / scale.repeat_interleave(weight.shape[1] // blocks, 1)
        kept = stood.to(torch.float8_e4m3fn) if codes == "float8" else stood.round().to(torch.int8)
        layer.weight = nn.Parameter(Rows(kept, scale), requires_grad=False)
    return module


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_weights_of_a_class_of_their_own_are_the_codes_that_they_keep(factor, codes):
    wrong = network(Dense)
    with torch.no_grad():
        wrong.b.weight[3] *= factor
    result = aligner.compare(network(Dense), in_rows(wrong, codes), [ROWS])
    assert result.verdict == ("aligned" if factor == 1 else "diverged")
    assert [pair.candidate.name for pair in result.introduced] == ([] if factor == 1 else ["b/linear.0"])


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_the_weights_alone_are_held_against_the_steps_of_their_codes(factor, codes, tmp_path):
    from safetensors.torch import save_file

    from aligner.api.weighing import weigh

    wrong = network(Dense)
    with torch.no_grad():
        wrong.b.weight[3] *= factor
    quantised = in_rows(wrong, codes)
    found = {match.candidate.name: match for match in weigh(network(Dense), quantised, [ROWS]).matches}
    assert {name for name, match in found.items() if match.status != "matched"} == (
        set() if factor == 1 else {"b.weight"}
    )
    assert found["a.weight"].transforms == ("same", "dequantised")
    assert factor == 1 or "off by more than half a step" in found["b.weight"].transforms[-1]
    save_file(network(Dense).state_dict(), tmp_path / "w.safetensors")
    told = weigh(tmp_path / "w.safetensors", quantised, [ROWS]).matches
    stored = {match.candidate.name: match for match in told}
    assert {name: match.status for name, match in stored.items()} == {n: match.status for n, match in found.items()}
    assert stored["a.weight"].transforms[0].startswith("quantised")


class Block(nn.Module):
    """Padding, convolution, normalisation, activation, a pool, a head: each of which may be another one."""

    def __init__(self, *, pads=(0, 1, 0, 1), act=torch.nn.functional.silu, pool=nn.MaxPool2d, fresh=()):
        super().__init__()
        torch.manual_seed(3)
        self.c, self.n, self.act, self.pads = nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), act, pads
        self.pool, self.head = pool(2), nn.Linear(6 * 4 * 4, 9)
        with torch.no_grad():
            self.head.weight.mul_(2 + torch.rand(9, 1))
            self.n.bias.normal_()
            self.n.weight.uniform_(0.5, 1.5)
            if "statistics" not in fresh:
                self.n.running_mean.normal_(), self.n.running_var.uniform_(0.02, 0.2)
            if "head" in fresh:
                self.head = nn.Linear(6 * 4 * 4, 9)

    def forward(self, x):
        x = self.act(self.n(self.c(torch.nn.functional.pad(x, self.pads))))
        return self.head(self.pool(x).flatten(1))


WRONG = {
    "padding-asymmetric": {"pads": (1, 0, 1, 0)},
    "activation-variant": {"act": torch.nn.functional.relu6},
    "reduce-axis-or-bias": {"pool": nn.AvgPool2d},
    "norm-statistics": {"fresh": ("statistics",)},
    "weights-partly-loaded": {"fresh": ("head",)},
}


@pytest.mark.parametrize("identifier", [None, *WRONG])
def test_what_was_wrong_before_it_was_quantised_is_named(identifier):
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    x = torch.from_numpy(np.random.default_rng(2).normal(size=(8, 3, 16, 16)).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = prepare_fx(Block(**WRONG.get(identifier, {})).eval(), get_default_qconfig_mapping("x86"), (x,))
        made(x)
        result = aligner.compare(Block().eval(), convert_fx(made), [x.numpy()])
    if identifier is None:
        assert result.verdict == "aligned", result.reason
    else:
        assert result.verdict == "diverged"
        assert (result.causes[0].id, result.causes[0].evidence_class) == (identifier, "proven"), result.causes
