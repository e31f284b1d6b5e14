"""The candidate is fed something else: the graph is innocent, and the finding says so."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cause_models import Net, causes, image, proven  # noqa: E402

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
