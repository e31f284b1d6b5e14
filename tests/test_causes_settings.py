"""Each cause that lies in a setting: a model that has it, and a neighbour's that must not be taken for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pytest

torch = pytest.importorskip("torch")

from cause_models import Net, causes, image, proven  # noqa: E402

F = torch.nn.functional
CONV = {"k": (4, 3, 3, 3), "b": (4,)}
DEEP = {"k": (4, 3, 3, 3), "b": (4,), "g": (4,), "h": (4,)}


@dataclass(frozen=True)
class Case:
    reference: Callable
    candidate: Callable
    shapes: dict
    neighbour: str
    x: object = None

    @cached_property
    def found(self):
        return causes(Net(self.reference, **self.shapes), Net(self.candidate, **self.shapes), self.x)


def conv(**settings):
    return lambda n, x: F.conv2d(x, n.k, n.b, **settings)


def padded_conv(pads, **settings):
    return lambda n, x: F.conv2d(F.pad(x, pads), n.k, n.b, **settings)


def bn(epsilon=1e-5, training=False, scale="g", shift="h"):
    def forward(n, x):
        y = F.conv2d(x, n.k, n.b)
        mean, variance = torch.full((4,), 0.2), torch.linspace(0.01, 0.6, 4)
        return F.batch_norm(y, mean, variance, getattr(n, scale), getattr(n, shift), training, 0.1, epsilon)

    return forward


def ln(epsilon=1e-5, dims=(7,)):
    return lambda n, x: F.layer_norm(x * 0.05, dims, eps=epsilon)


def resize(**settings):
    return lambda n, x: F.interpolate(x, **settings)


def negative(shape=(3, 8)):
    return image(shape) * 5


def attend(**settings):
    def forward(n, x):
        q, k, v = (x @ getattr(n, name) for name in "qkv")
        return F.scaled_dot_product_attention(q, k, v, **settings)

    return forward


ATTEND = {"q": (8, 8), "k": (8, 8), "v": (8, 8)}
TOKENS = image((2, 6, 8))
MASK = torch.linspace(-3, 3, 36).reshape(6, 6)


def spelled(mask=0.0, scale=8**-0.5):
    def forward(n, x):
        scores = (x @ n.q) @ (x @ n.k).transpose(-1, -2) * scale
        return torch.softmax(scores + mask * MASK, -1) @ (x @ n.v)

    return forward


CASES = {
    "padding-asymmetric": Case(conv(stride=2, padding=1), padded_conv((0, 2, 0, 2), stride=2), CONV, "padding-mode"),
    "padding-mode": Case(
        lambda n, x: F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), n.k, n.b),
        lambda n, x: F.conv2d(F.pad(x, (1, 1, 1, 1), "replicate"), n.k, n.b),
        CONV,
        "padding-asymmetric",
    ),
    "pool-count-include-pad": Case(
        lambda n, x: F.avg_pool2d(x, 3, 2, 1),
        lambda n, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        {},
        "pool-ceil-mode",
    ),
    "pool-ceil-mode": Case(
        lambda n, x: F.avg_pool2d(x, 2, 2, ceil_mode=True),
        lambda n, x: F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 2),
        {},
        "pool-count-include-pad",
    ),
    "resize-coordinate-mode": Case(
        resize(scale_factor=2.0, mode="bilinear"),
        resize(scale_factor=2.0, mode="bilinear", align_corners=True),
        {},
        "depth-to-space-order",
    ),
    "resize-nearest-rounding": Case(
        lambda n, x: F.interpolate(x, size=(13, 11), mode="nearest-exact"),
        lambda n, x: F.interpolate(x, size=(13, 11), mode="nearest"),
        {},
        "resize-coordinate-mode",
    ),
    "conv-stride-dilation-groups": Case(conv(padding=1), conv(padding=2, dilation=2), CONV, "padding-asymmetric"),
    "transposed-conv-output-padding": Case(
        lambda n, x: F.conv_transpose2d(x, n.k, stride=2, padding=1),
        lambda n, x: F.conv_transpose2d(x, n.k, stride=2)[:, :, 2:, 2:],
        {"k": (3, 4, 4, 4)},
        "conv-stride-dilation-groups",
    ),
    "depth-to-space-order": Case(
        lambda n, x: F.relu(F.pixel_shuffle(x, 2)),
        lambda n, x: F.relu(x.reshape(2, 2, 2, 2, 4, 5).permute(0, 3, 4, 1, 5, 2).reshape(2, 2, 8, 10)),
        {},
        "layout-transposition",
        image((2, 8, 4, 5)),
    ),
    "norm-epsilon": Case(bn(), bn(epsilon=1e-3), DEEP, "norm-statistics"),
    "norm-train-mode": Case(bn(), bn(training=True), DEEP, "norm-epsilon"),
    "norm-statistics": Case(bn(), bn(scale="h", shift="g"), DEEP, "norm-epsilon"),
    "softmax-axis": Case(lambda n, x: torch.softmax(x, 1), lambda n, x: torch.softmax(x, 2), {}, "attention-scale"),
    "activation-variant": Case(
        lambda n, x: F.gelu(x * 3), lambda n, x: F.gelu(x * 3, approximate="tanh"), {}, "saturation"
    ),
    "reduce-axis-or-bias": Case(lambda n, x: x.std(3), lambda n, x: x.std(3, correction=0), {}, "constant-changed"),
    "division-rounding": Case(
        lambda n, x: torch.div(x, 0.7, rounding_mode="floor"),
        lambda n, x: torch.div(x, 0.7, rounding_mode="trunc"),
        {},
        "constant-changed",
        negative(),
    ),
    "attention-mask": Case(attend(attn_mask=MASK), attend(), ATTEND, "attention-scale", TOKENS),
    "attention-scale": Case(spelled(), spelled(scale=1.0), ATTEND, "attention-mask", TOKENS),
}


@pytest.mark.parametrize("identifier", CASES)
def test_a_model_with_the_fault_names_it_with_proof(identifier):
    found = CASES[identifier].found
    assert found[0].id == identifier, [(f.id, f.explained, f.evidence) for f in found]
    assert found[0].explained is not None and found[0].explained > 0.9


@pytest.mark.parametrize("identifier", CASES)
def test_its_neighbours_fault_is_not_taken_for_it(identifier):
    neighbour = CASES.get(CASES[identifier].neighbour)
    if neighbour is None:
        neighbour = CASES["softmax-axis" if identifier != "softmax-axis" else "norm-epsilon"]
    assert identifier not in proven(neighbour.found)


@pytest.mark.parametrize("identifier", CASES)
def test_a_clean_pair_has_no_causes(identifier):
    case = CASES[identifier]
    reference = Net(case.reference, **case.shapes)
    assert causes(reference, Net(case.reference, **case.shapes), case.x) == []


NORMS = {"g": (6,), "h": (6,), "k": (6, 3, 3, 3), "b": (6,)}
MEAN, VARIANCE = torch.linspace(-0.3, 0.5, 6), torch.linspace(0.02, 0.9, 6)
NORM_FAULTS = {
    "default statistics": ("norm-statistics", {"mean": torch.zeros(6), "variance": torch.ones(6)}),
    "mean left out": ("norm-statistics", {"mean": torch.zeros(6)}),
    "scale not loaded": ("norm-statistics", {"g": torch.ones(6)}),
    "shift not loaded": ("norm-statistics", {"h": torch.zeros(6)}),
    "deviation for variance": ("norm-statistics", {"variance": VARIANCE.sqrt()}),
    "epsilon": ("norm-epsilon", {"epsilon": 1e-3}),
}


def normalised(n, x):
    y = F.conv2d(x, n.k, n.b)
    return F.relu(F.batch_norm(y, n.mean, n.variance, n.g, n.h, eps=n.epsilon))


def norm(**wrong):
    net = Net(normalised, **NORMS)
    for name, value in {"mean": MEAN, "variance": VARIANCE, "epsilon": 1e-5, **wrong}.items():
        setattr(net, name, torch.nn.Parameter(value) if name in NORMS else value)
    return net


def folded(net):
    """The same network with the normalisation folded into its convolution."""
    other = Net(lambda n, x: F.relu(F.conv2d(x, n.k, n.b)), k=NORMS["k"], b=NORMS["b"])
    scale = net.g.data / torch.sqrt(net.variance + net.epsilon)
    other.k.data, other.b.data = net.k.data * scale.reshape(-1, 1, 1, 1), (net.b.data - net.mean) * scale + net.h.data
    return other


@pytest.mark.parametrize("form", [lambda net: net, folded], ids=["kept", "folded"])
@pytest.mark.parametrize("fault", NORM_FAULTS)
def test_a_normalisation_with_wrong_numbers_is_named_before_its_folding(fault, form):
    identifier, wrong = NORM_FAULTS[fault]
    found = causes(norm(), form(norm(**wrong)))
    assert (found[0].id, found[0].explained is not None) == (identifier, True), [(f.id, f.evidence) for f in found]


@pytest.mark.parametrize("fault", ["default statistics", "scale not loaded", "shift not loaded", "epsilon"])
def test_a_normalisation_with_wrong_numbers_that_the_reference_has_folded(fault):
    identifier, wrong = NORM_FAULTS[fault]
    found = causes(folded(norm()), norm(**wrong))
    assert (found[0].id, found[0].explained is not None) == (identifier, True), [(f.id, f.evidence) for f in found]


@pytest.mark.parametrize("fault", ["default statistics", "mean left out", "scale not loaded", "shift not loaded"])
def test_a_normalisation_with_wrong_numbers_that_the_reference_has_as_a_product_and_a_sum(fault):
    identifier, wrong = NORM_FAULTS[fault]
    scale = norm().g.data / torch.sqrt(VARIANCE + 1e-5)
    shift = norm().h.data - MEAN * scale
    reference = Net(lambda n, x: x.repeat(1, 2, 1, 1) * n.s + n.t, s=(6, 1, 1), t=(6, 1, 1))
    candidate = norm(**wrong)
    reference.s.data, reference.t.data = scale.reshape(6, 1, 1), shift.reshape(6, 1, 1)
    candidate.forward = lambda x: F.batch_norm(
        x.repeat(1, 2, 1, 1), candidate.mean, candidate.variance, candidate.g, candidate.h, eps=1e-5
    )
    found = causes(reference, candidate)
    assert (found[0].id, found[0].evidence_class) == (identifier, "proven"), [(f.id, f.evidence) for f in found]


@pytest.mark.parametrize("turned", [False, True])
def test_an_epsilon_a_thousandth_off_is_read_from_the_folded_kernel(turned):
    """TensorFlow takes 1.001e-5 for 1e-5; where variances are as small, outputs show it."""
    nets = norm(variance=VARIANCE * 1e-5), folded(norm(variance=VARIANCE * 1e-5, epsilon=1.001e-5))
    found = causes(*(nets[::-1] if turned else nets))
    assert (found[0].id, found[0].evidence_class) == ("norm-epsilon", "proven"), [(f.id, f.evidence) for f in found]
    assert "1.001e-05" in found[0].evidence


def test_a_normalisation_folded_with_its_defaults_where_the_bare_layer_answers_it():
    fresh = {"mean": torch.zeros(6), "variance": torch.ones(6), "g": torch.ones(6), "h": torch.zeros(6)}
    reference, candidate = norm(epsilon=1e-3), folded(norm(epsilon=1e-3, **fresh))
    assert proven(causes(reference, candidate))[:1] == ["norm-statistics"]


def test_of_two_foldings_with_other_numbers_the_words_are_of_folding():
    found = causes(folded(norm()), folded(norm(epsilon=1e-2)))
    assert found[0].id == "weights-bn-fold", [(f.id, f.evidence) for f in found]


def spelled_norm(epsilon, root=torch.sqrt):
    return lambda n, x: x * 0.05 / root((x * 0.05).pow(2).mean(-1, keepdim=True) + epsilon)


@pytest.mark.parametrize(("root", "identifier"), [(torch.sqrt, "norm-epsilon"), (torch.exp, "constant-changed")])
def test_a_small_summand_under_a_root_is_an_epsilon(root, identifier):
    first, *_ = Case(spelled_norm(1e-5, root), spelled_norm(1e-3, root), {}, "").found
    assert (first.id, first.explained is not None) == (identifier, True), first


def pooled(**settings):
    return lambda n, x: torch.tanh(F.max_pool2d(x, 3, 2, **settings))


UPSCALE = {"k": (3, 4, 3, 3)}
MISFITS = {
    "conv-stride-dilation-groups": Case(conv(padding=1), conv(padding=1, stride=2), CONV, ""),
    "padding-asymmetric": Case(conv(padding=1), conv(), CONV, ""),
    "pool-ceil-mode": Case(pooled(ceil_mode=True), pooled(), {}, "", image((2, 3, 10, 8))),
    "transposed-conv-output-padding": Case(
        lambda n, x: F.conv_transpose2d(x, n.k, stride=2, padding=1, output_padding=1),
        lambda n, x: F.conv_transpose2d(x, n.k, stride=2, padding=1),
        UPSCALE,
        "",
    ),
    "reduce-axis-or-bias": Case(
        lambda n, x: torch.tanh(x.mean((2, 3))), lambda n, x: torch.tanh(x.mean((1, 2))), {}, ""
    ),
    "slice-bounds": Case(lambda n, x: torch.tanh(x[:, :, 1:]), lambda n, x: torch.tanh(x[:, :, 2:]), {}, ""),
}


@pytest.mark.parametrize("identifier", MISFITS)
def test_shapes_that_do_not_fit_are_proven_too(identifier):
    first, *_ = MISFITS[identifier].found
    assert (first.id, first.explained is not None) == (identifier, True), first
    assert "the shapes agree" in first.evidence


def test_a_misfit_that_no_setting_explains_is_not_proven():
    sliced = Case(
        lambda n, x: torch.tanh(x[:, :, 1:]), lambda n, x: torch.tanh(x.cumsum(3).sort(2).values[:, :, 5:]), {}, ""
    )
    assert proven(sliced.found) == []


def test_a_slice_that_starts_far_off_is_told_though_no_shape_fits():
    first, *_ = Case(lambda n, x: torch.tanh(x[:, :, 1:]), lambda n, x: torch.tanh(x[:, :, 5:] ** 3), {}, "").found
    assert (first.id, first.evidence_class) == ("slice-bounds", "proven")


@pytest.mark.parametrize("taken", [lambda x: torch.split(x, 3, 2)[1], lambda x: x[:, :, [3, 4, 5]]])
def test_a_slice_is_told_by_its_bounds_where_the_reference_takes_its_part_otherwise(taken):
    first, *_ = Case(lambda n, x: torch.tanh(taken(x)), lambda n, x: torch.tanh(x[:, :, 4:7]), {}, "").found
    assert (first.id, first.evidence_class) == ("slice-bounds", "proven"), first


def test_a_sigmoid_in_the_place_of_an_error_function_is_another_gelu():
    first, *_ = Case(lambda n, x: F.gelu(x) * 2, lambda n, x: x * torch.sigmoid(1.702 * x) * 2, {}, "").found
    assert (first.id, first.evidence_class) == ("activation-variant", "proven"), first


@pytest.mark.parametrize("root", [lambda v, x: x * torch.rsqrt(v), lambda v, x: x / v**0.5])
def test_an_epsilon_under_any_spelling_of_a_root_is_one(root):
    wrong, right = (lambda n, x, e=e: torch.tanh(root(x.pow(2).mean(1, keepdim=True) + e, x)) for e in (1e-2, 1e-5))
    first, *_ = Case(right, wrong, {}, "").found
    assert (first.id, first.evidence_class) == ("norm-epsilon", "proven"), first


def gelu(inner):
    return lambda n, x: 1.5 * x * (1 + inner(x * 2 / 2**0.5))


def tangent(z):
    wide = z * 2**0.5
    return torch.tanh((2 / torch.pi) ** 0.5 * (wide + 0.044715 * wide**3))


@pytest.mark.parametrize("forms", [(torch.erf, tangent), (tangent, torch.erf)])
def test_the_two_forms_of_gelu_are_known_where_they_are_spelled_out(forms):
    first, *_ = Case(*map(gelu, forms), {}, "").found
    assert (first.id, first.explained is not None) == ("activation-variant", True), first


def test_pads_that_no_layer_has_are_advised_in_the_frameworks_words():
    from aligner.adapters import torch_wording
    from aligner.adapters.tensorflow_adapter import wording as keras_wording
    from aligner.causes.setting_cause import spatial

    assert torch_wording.padding(((0, 0), (0, 0), (1, 2), (3, 4))).startswith("F.pad(x, (3, 4, 1, 2)) ")
    assert keras_wording.padding(((1, 2), (3, 4))).startswith("ZeroPadding2D(((1, 2), (3, 4))) ")

    assert spatial(((0, 0), (0, 0), (0, 2), (1, 2))) == spatial(((0, 0), (0, 2), (1, 2), (0, 0))) == ((0, 2), (1, 2))
    assert spatial(((0, 0), (1, 1), (0, 2), (1, 2)))[0] == (0, 0)

    def net(*pads):
        padded = torch.nn.functional.pad
        return Net(lambda n, x: torch.nn.functional.conv2d(padded(x, pads), n.k, stride=2), k=(4, 3, 3, 3))

    advice = causes(net(0, 2, 0, 2), net(1, 1, 1, 1), torch.randn(1, 3, 9, 9).numpy())[0].suggestion
    assert advice.endswith("(PyTorch: F.pad(x, (0, 2, 0, 2)))")


def test_a_border_that_a_convolution_lost_is_advised_as_the_convolution_takes_it():
    from aligner.adapters import torch_wording
    from aligner.adapters.onnx_adapter.wording import WORDING

    class Padded(torch.nn.Module):
        def __init__(self, mode):
            super().__init__()
            torch.manual_seed(0)
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode)

        def forward(self, x):
            return self.conv(x)

    advice = causes(Padded("reflect"), Padded("zeros"), torch.randn(1, 3, 9, 9).numpy())[0].suggestion
    assert advice.endswith(' (PyTorch: padding_mode="reflect")')
    assert torch_wording.WORDING.written("conv", {"padding_mode": "constant"}) == 'padding_mode="zeros"'
    assert WORDING.written("conv", {"padding_mode": "replicate"}) == 'Pad of mode = "edge" before it'
    assert WORDING.written("conv", {"padding_mode": "constant"}) == ""


def test_the_node_to_open_stands_before_what_only_cuts():
    """A picture doubled by one node or by copies, and cut in two slices or in one."""
    from types import SimpleNamespace as Of

    from aligner.causes.setting_cause import _answering

    def side(*kinds):
        nodes = [Of(index=place, kind=kind, name=f"{kind}{place}") for place, kind in enumerate(kinds)]
        return Of(nodes=nodes, node=nodes[-1])

    def answer(reference, candidate):
        return _answering(Of(reference=reference, candidate=candidate, where=candidate.node.name), reference.nodes[0])

    assert answer(side("resize", "slice", "slice"), side("tile", "reshape", "slice")) == "reshape1"
    assert answer(side("resize", "slice"), side("slice")) == "slice0"  # no other node is left
    assert answer(side("resize", "tanh"), side("tile", "tanh")) == "tanh1"  # more than a cut is behind
