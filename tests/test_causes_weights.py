"""Each cause that lies in weights: a model that has it, and others that must not be taken for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cause_models import Net, causes, edited, image, proven  # noqa: E402
from marks import requires_onnx  # noqa: E402

import aligner  # noqa: E402
from aligner.causes.families.weights import told_apart  # noqa: E402
from aligner.causes.weight_order import same_somewhere  # noqa: E402
from aligner.regions.layers import Layer, LayerPair  # noqa: E402

F = torch.nn.functional


def chain(n, x):
    y = F.relu(F.conv2d(x, n.k0, n.b0))
    y = F.relu(F.conv2d(y, n.k1, n.b1))
    y = F.relu(F.conv2d(y, n.k2, n.b2))
    return F.linear(y.mean((2, 3)), n.w, n.v)


SHAPES = {
    **{"k0": (8, 3, 3, 3), "b0": (8,), "k1": (8, 8, 3, 3), "b1": (8,)},
    **{"k2": (8, 8, 1, 1), "b2": (8,), "w": (8, 8), "v": (8,)},
}


def fresh(seed: int) -> Callable:
    def draw(old):
        generator = torch.Generator().manual_seed(seed)
        bound = 1 / np.sqrt(old[0].numel())
        return (torch.rand(old.shape, generator=generator) * 2 - 1) * bound

    return draw


def noisy(old):
    return old + 0.02 * torch.randn(old.shape, generator=torch.Generator().manual_seed(9)) * old.abs().mean()


def quantized(old):
    step = old.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    return torch.round(old / step) * step


FAULTS: dict[str, dict[str, Callable]] = {
    "weights-not-loaded": {name: fresh(k) for k, name in enumerate(("k0", "k1", "k2", "w"))},
    "weights-partly-loaded": {"k1": fresh(3)},
    "weights-wrong-entry": dict.fromkeys(("k0", "k1", "k2", "w"), noisy),
    "weights-transposed": {"w": lambda w: w.T.contiguous()},
    "weights-permuted": {"k1": lambda k: k[torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])]},
    "weights-changed": {"k1": lambda k: k * 1.05},
    "weights-reduced-precision": {"k1": lambda k: k.half().float()},
    "weights-quantized": {"k1": quantized},
    "weights-bias-missing": {"b1": torch.zeros_like},
}


@cache
def causes_of(identifier):
    reference = Net(chain, **SHAPES)
    return causes(reference, edited(reference, **FAULTS[identifier]))


@pytest.mark.parametrize("identifier", FAULTS)
def test_weights_that_are_wrong_are_named_with_proof(identifier):
    found = causes_of(identifier)
    assert found[0].id == identifier, [(f.id, f.explained, f.evidence) for f in found]
    assert found[0].explained is not None and found[0].explained > 0.9


@pytest.mark.parametrize("identifier", FAULTS)
def test_no_other_fault_of_weights_is_proven_as_this_one(identifier):
    for other in FAULTS:
        if other not in {identifier, "weights-changed"} and identifier != "weights-changed":
            assert identifier not in proven(causes_of(other))[:1], other


def test_numbers_off_by_a_rounding_are_in_their_own_places():
    def pair(right):
        layers = (Layer(None, None, {"bias": side}) for side in (left, right))
        return LayerPair(*layers)

    left = np.random.default_rng(0).standard_normal(64)
    assert same_somewhere(pair(left[::-1]), "bias")
    assert not same_somewhere(pair(left * (1 + 1.9e-6)), "bias")


def test_two_numbers_are_told_apart():
    assert told_apart(0.5, 0.75) == "0.5 → 0.75"
    assert told_apart(-1.2361, -1.236105) == "-1.2361 → -1.236105"
    assert told_apart(0.1, 0.1) == "0.1 → 0.1"


def evidence_of_change(change):
    reference = Net(chain, **SHAPES)
    (found,) = [one for one in causes(reference, edited(reference, k1=change)) if one.id == "weights-changed"]
    return found.evidence


def test_a_change_is_told_by_its_size_its_spread_and_its_worst_place():
    def one_number(kernel):
        kernel = kernel.clone()
        kernel[2, 1, 0, 0] += 0.25
        return kernel

    assert "is the reference's times 1.05" in evidence_of_change(lambda kernel: kernel * 1.05)
    assert re.search(
        r"is off by [\d.]+ of its norm in 1 of [\d,]+ elements, most at \[2, 1, 0, 0\]: \S+ → \S+",
        evidence_of_change(one_number),
    )
    every = evidence_of_change(lambda kernel: kernel * (1 + 0.01 + 0.01 * torch.rand(kernel.shape)))
    assert re.search(r"is off by 0\.01\d* of its norm in all [\d,]+ elements, most at", every)


def test_every_layer_unloaded_is_one_finding():
    reference = Net(chain, **SHAPES)
    found = causes(reference, edited(reference, **FAULTS["weights-not-loaded"]))
    assert [f.id for f in found].count("weights-not-loaded") == 1
    assert "likewise at 3 other nodes" in found[0].evidence


class Branches(torch.nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.left = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3))
        self.right = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3))
        for parameter in self.parameters():
            parameter.data = parameter.data * (1 + 5 * parameter.data.abs())
        self.eval()

    def forward(self, x):
        return self.left(x) + self.right(x)


def branches(**loaded: bool):
    reference, candidate = Branches(0), Branches(0)
    plain = [torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 3)]
    for name in ("left", "right"):
        if not loaded.get(name, True):
            part = getattr(candidate, name)
            for place, layer in zip((0, 2), plain, strict=True):
                part[place].load_state_dict(layer.state_dict())
    return reference, candidate


def test_a_sub_tree_left_at_its_initial_weights_is_a_prefix_mismatch():
    found = causes(*branches(left=False))
    assert found[0].id == "weights-prefix-mismatch"
    assert found[0].explained is not None


def test_a_single_layer_is_no_prefix_mismatch():
    reference = Net(chain, **SHAPES)
    found = causes(reference, edited(reference, k1=fresh(4)))
    assert "weights-prefix-mismatch" not in [f.id for f in found]


def twice(n, x):
    return F.conv2d(F.relu(F.conv2d(x, n.k, padding=1)), n.k, padding=1)


def test_a_shared_weight_edited_for_one_use():
    reference = Net(twice, k=(3, 3, 3, 3))
    candidate = Net(
        lambda n, x: F.conv2d(F.relu(F.conv2d(x, n.k, padding=1)), n.other, padding=1),
        k=(3, 3, 3, 3),
        other=(3, 3, 3, 3),
    )
    candidate.other.data = candidate.k.data * 1.3
    found = causes(reference, candidate)
    assert found[0].id == "weights-shared-edited", [(f.id, f.evidence) for f in found]
    assert found[0].explained is not None


def test_a_bias_of_zeros_that_layers_share_is_no_shared_weight():
    def both(n, x):
        return F.conv2d(F.relu(F.conv2d(x, n.k, n.zeros, padding=1)), n.other, n.zeros, padding=1)

    reference = edited(Net(both, k=(3, 3, 3, 3), other=(3, 3, 3, 3), zeros=(3,)), zeros=lambda old: 0 * old)
    found = causes(reference, edited(reference, other=lambda k: k * 1.3))
    assert [f.id for f in found] == ["weights-changed"], [(f.id, f.evidence) for f in found]


def test_a_weight_of_one_use_is_not_called_shared():
    reference = Net(chain, **SHAPES)
    found = causes(reference, edited(reference, k1=lambda k: k * 1.3))
    assert "weights-shared-edited" not in [f.id for f in found]


def normalised(n, x):
    y = F.conv2d(x, n.k, n.b)
    return F.relu(F.batch_norm(y, torch.linspace(-0.3, 0.2, 6), torch.linspace(0.1, 2.0, 6), n.g, n.h))


FOLDED = {"k": (6, 6, 3, 3), "b": (6,), "g": (6,), "h": (6,)}


def fold(axis: int, times: int = 1):
    """A convolution with the normalisation folded in along an axis of the kernel."""
    reference = Net(normalised, **FOLDED)
    candidate = Net(lambda n, x: F.relu(F.conv2d(x, n.k, n.b)), k=FOLDED["k"], b=FOLDED["b"])
    scale = reference.g.data / torch.sqrt(torch.linspace(0.1, 2.0, 6) + 1e-5)
    shape = [1, 1, 1, 1]
    shape[axis] = 6
    candidate.k.data = reference.k.data * (scale**times).reshape(shape)
    candidate.b.data = (reference.b.data - torch.linspace(-0.3, 0.2, 6)) * scale + reference.h.data
    return reference, candidate, image((2, 6, 9, 7))


@pytest.mark.parametrize(("axis", "times"), [(1, 1), (0, 2), (0, 0)])
def test_a_fold_along_the_wrong_axis_twice_or_not_at_all(axis, times):
    found = causes(*fold(axis, times))
    assert found[0].id == "weights-bn-fold", [(f.id, f.evidence) for f in found]
    assert found[0].explained is not None


def test_a_right_fold_is_clean():
    assert causes(*fold(0)) == []


def test_a_twin_of_eight_bits_is_no_other_entry_of_the_checkpoint():
    reference = Net(chain, **SHAPES)
    found = causes(reference, edited(reference, **dict.fromkeys(("k0", "k1", "k2"), quantized)))
    assert found[0].id == "weights-quantized", [(f.id, f.explained, f.evidence) for f in found]
    assert "weights-wrong-entry" not in [f.id for f in found]


def exchanged(net: Net, one: str, other: str) -> Net:
    left, right = (getattr(net, name).detach().clone() for name in (one, other))
    return edited(net, **{one: lambda _: right, other: lambda _: left})


ALIKE = {**SHAPES, "k2": (8, 8, 3, 3)}


def test_two_weights_taken_for_each_other_name_where_the_numbers_belong():
    reference = Net(chain, **ALIKE)
    with torch.no_grad():  # as an initialiser draws them
        for seed, name in enumerate(("k0", "k1", "k2", "w")):
            getattr(reference, name).copy_(fresh(seed)(getattr(reference, name)))
    found = causes(reference, exchanged(reference, "k1", "k2"))
    assert found[0].id == "weights-wrong-entry", [(f.id, f.explained, f.evidence) for f in found]
    assert "it holds the numbers of the reference's k2, the weight of" in found[0].evidence
    assert not {"weights-partly-loaded", "weights-prefix-mismatch", "weights-not-loaded"} & {f.id for f in found}


class Normed(torch.nn.Module):
    """Convolutions with norms, in another order."""

    def __init__(self, order=(0, 1, 2, 3)):
        super().__init__()
        torch.manual_seed(3)
        blocks = [torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, bias=False), torch.nn.BatchNorm2d(4)) for _ in order]
        with torch.no_grad():
            for conv, norm in blocks:
                conv.weight.normal_(0, 0.3).mul_(1 + conv.weight.abs())
                for numbers in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                    numbers.uniform_(0.3, 1.5)
        self.blocks = torch.nn.ModuleList(blocks[at] for at in order)
        self.eval()

    def forward(self, x):
        for block in self.blocks:
            x = F.relu(block(x))
        return x


@requires_onnx
def test_two_layers_exchanged_and_folded_name_where_the_numbers_belong(tmp_path):
    x = image((2, 4, 12, 11))
    torch.onnx.export(Normed((0, 2, 1, 3)), (torch.tensor(x),), tmp_path / "folded.onnx", dynamo=False)
    first, *_ = aligner.compare(Normed(), tmp_path / "folded.onnx", x).causes
    assert (first.id, first.evidence_class) == ("weights-wrong-entry", "proven"), first
    assert "it holds the numbers of the reference's the kernel of blocks.2" in first.evidence


def test_a_weight_of_the_same_shape_is_not_taken_for_another():
    reference = Net(chain, **ALIKE)
    found = causes(reference, edited(reference, k1=fresh(3)))
    assert found[0].id == "weights-partly-loaded", [(f.id, f.explained, f.evidence) for f in found]


def whole_tensor(old):
    step = old.abs().max() / 127
    return torch.round(old / step) * step


@pytest.mark.parametrize("place", ["k0", "k2"])
def test_few_numbers_rounded_to_the_levels_of_one_scale_are_quantized(place):
    reference = Net(chain, **SHAPES)
    found = causes(reference, edited(reference, **{place: whole_tensor}))
    assert found[0].id == "weights-quantized", [(f.id, f.explained, f.evidence) for f in found]


HALVED = {
    "weights-permuted": {"k1": lambda k: k.flip(-1).half().float()},
    "weights-changed": {"k1": lambda k: k.half().float(), "b1": lambda b: b * torch.linspace(-1, 3, 8)},
}


@pytest.mark.parametrize("identifier", HALVED)
def test_half_precision_hides_no_other_cause_and_is_none_where_the_error_is_another_parameters(identifier):
    reference = Net(chain, **SHAPES)
    first, *_ = causes(reference, edited(reference, **HALVED[identifier]))
    assert (first.id, first.evidence_class) == (identifier, "proven")


@pytest.mark.parametrize(
    ("left", "cause", "said"),
    [(0, "weights-partly-loaded", "has no scale"), (1, "norm-statistics", "its shift left out")],
)
def test_a_normalisation_without_parameters_lacks_those_of_the_reference(left, cause, said):
    vectors = torch.linspace(0.5, 2, 8), torch.linspace(-1, 1, 8)

    class Normalised(torch.nn.Module):
        def __init__(self, *vectors):
            super().__init__()
            self.vectors = vectors

        def forward(self, x):
            return torch.tanh(F.layer_norm(torch.sigmoid(F.linear(x, matrix)), (8,), *self.vectors))

    x, matrix = torch.randn(2, 13, 8, generator=torch.Generator().manual_seed(0)).split((5, 8), 1)
    matrix = matrix[0].clone()
    traced = [torch.jit.trace(Normalised(*kept), x) for kept in (vectors, vectors[:left])]
    found = aligner.compare(*traced, [x.numpy()])
    assert found.verdict == "diverged" and found.first_divergence.candidate.kind == "norm"
    first = found.causes[0]
    assert (first.id, first.evidence_class) == (cause, "proven") and said in first.evidence, first.evidence
