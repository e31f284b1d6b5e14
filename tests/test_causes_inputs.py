"""The candidate is fed something else: the graph is innocent, and the finding says so."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cause_models import Net, causes, edited, image, proven  # noqa: E402

F = torch.nn.functional
KERNEL = {"k": (4, 3, 3, 3), "b": (4,)}
MEAN, STD = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
PICTURE = np.abs(image((1, 3, 8, 8))) % 1


def model(prepare):
    return Net(lambda n, x: F.relu(F.conv2d(prepare(x), n.k, n.b)), **KERNEL)


FAULTS = {
    "input-channel-order": lambda x: x[:, [2, 1, 0]],
    "input-scale": lambda x: x * 255,
    "input-mean-std": lambda x: (x - MEAN) / STD,
    "input-layout": lambda x: x.permute(0, 2, 3, 1).reshape(x.shape),
    "input-dtype": lambda x: torch.trunc(x * 1.0),
}


@pytest.mark.parametrize("identifier", FAULTS)
def test_a_first_layer_that_reads_something_else(identifier):
    x = PICTURE * 20 if identifier == "input-dtype" else PICTURE
    found = causes(model(lambda x: x), model(FAULTS[identifier]), x)
    assert identifier in proven(found)[:2], [(f.id, f.explained, f.evidence) for f in found]


@pytest.mark.parametrize("identifier", FAULTS)
def test_another_fault_of_inputs_is_not_taken_for_it(identifier):
    names = list(FAULTS)
    other = names[(names.index(identifier) + 1) % len(names)]
    x = PICTURE * 20 if other == "input-dtype" else PICTURE
    found = causes(model(lambda x: x), model(FAULTS[other]), x)
    assert proven(found)[:1] != [identifier]


def test_the_same_input_is_clean():
    assert causes(model(lambda x: x), model(lambda x: x), PICTURE) == []


def test_a_picture_that_is_fed_in_another_layout_blames_no_node():
    fed = {"reference.x": PICTURE, "candidate.x": PICTURE.transpose(0, 2, 3, 1).reshape(PICTURE.shape)}
    found = causes(model(lambda x: x), model(lambda x: x), fed)
    assert proven(found) == ["input-layout"], [(f.id, f.node) for f in found]


def normalised(x):
    return (x - MEAN) / STD


def padded(x):
    return F.pad(x, (1, 1, 1, 1))


def from_last(x):
    return x.permute(0, 3, 1, 2)


def flipped(dimension, prepare, *, late):
    return (lambda x: prepare(x).flip(dimension)) if late else (lambda x: prepare(x.flip(dimension)))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("prepare", [normalised, padded])
@pytest.mark.parametrize(("dimension", "identifier"), [(1, "input-channel-order"), (2, "spatial-flip")])
def test_a_picture_prepared_by_the_model_is_still_one(prepare, late, dimension, identifier):
    found = causes(model(prepare), model(flipped(dimension, prepare, late=late)), PICTURE)
    assert proven(found)[:1] == [identifier], [(f.id, f.explained, f.evidence) for f in found]


@pytest.mark.parametrize("prepare", [lambda x: x, normalised, from_last])
def test_a_kernel_made_for_the_other_order_of_channels(prepare):
    reference = model(prepare)
    x = PICTURE.transpose(0, 2, 3, 1) if prepare is from_last else PICTURE
    found = causes(reference, edited(reference, k=lambda k: k.flip(1)), np.ascontiguousarray(x))
    assert proven(found)[:1] == ["input-channel-order"], [(f.id, f.explained, f.evidence) for f in found]


def test_reversed_channels_further_in_are_no_order_of_the_input():
    shapes = {"k": (4, 3, 3, 3), "b": (4,), "k2": (4, 4, 3, 3)}
    reference = Net(lambda n, x: F.conv2d(F.relu(F.conv2d(x, n.k, n.b)), n.k2), **shapes)
    found = causes(reference, edited(reference, k2=lambda k: k.flip(1)), PICTURE)
    assert proven(found)[:1] == ["weights-permuted"], [(f.id, f.explained, f.evidence) for f in found]
    assert "input-channel-order" not in proven(found)


def test_an_input_that_another_layer_reads_rightly_is_not_to_blame():
    def two(n, x):
        return F.relu(F.conv2d(x, n.k, n.b)) + torch.tanh(F.conv2d(x, n.q))

    net = Net(two, **KERNEL, q=(4, 3, 3, 3))
    found = causes(net, edited(net, k=lambda k: k * 1.2, b=lambda b: b * 1.2), PICTURE)
    assert found[0].id == "weights-changed"
    assert not any(cause.id == "input-scale" for cause in found)


def test_a_first_kernel_that_is_written_otherwise_is_no_scaled_input():
    """Both explain all of the error; the two kernels stand in the two models, the scale was solved for."""
    right = Net(lambda n, x: F.relu(F.conv2d(x, n.k)), k=(4, 3, 3, 3))
    found = causes(right, edited(right, k=lambda kernel: kernel * 1.2), PICTURE)
    assert proven(found)[0] == "weights-changed", [(f.id, f.explained, f.evidence) for f in found]
