"""What is no fault of a node: pictures resized otherwise, wider arithmetic, eight honest bits, a watched kernel."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cause_models import Net, image  # noqa: E402
from test_causes_execution import X, culprit  # noqa: E402
from torch.overrides import _get_current_function_mode_stack  # noqa: E402

import aligner  # noqa: E402

F = torch.nn.functional
KERNEL = {"k": (4, 3, 3, 3)}
RAW = torch.tensor(np.random.default_rng(0).random((1, 3, 40, 44)).astype(np.float32))


def conv(n, x):
    return F.relu(F.conv2d(x, n.k))


def ids(result):
    return [finding.id for finding in result.causes]


def resized(mode: str, **settings) -> np.ndarray:
    return F.interpolate(RAW, size=(16, 18), mode=mode, align_corners=False, **settings).numpy()


def fed(ours: np.ndarray, theirs: np.ndarray):
    return aligner.compare(Net(conv, **KERNEL), Net(conv, **KERNEL), {"reference.x": ours, "candidate.x": theirs})


def test_a_picture_resampled_otherwise():
    result = fed(resized("bilinear"), resized("bicubic", antialias=True))
    assert ids(result)[0] == "input-resize"
    assert result.causes[0].explained is None


def test_a_picture_scaled_otherwise_is_not_called_resampled():
    picture = resized("bilinear")
    result = fed(picture, picture * 255)
    assert ids(result)[0] == "input-scale" and "input-resize" not in ids(result)


def wide(n, x):
    return F.relu(F.conv2d(x.double(), n.k.double()).float())


def test_a_node_in_float64():
    result = aligner.compare(Net(conv, **KERNEL), Net(wide, **KERNEL), image(), tolerance=0.0)
    assert ids(result)[0] == "precision-double-cast"


def test_float64_that_computes_something_else_is_not_called_wide():
    other = Net(lambda n, x: wide(n, x) * 1.01, **KERNEL)
    result = aligner.compare(Net(conv, **KERNEL), other, image(), tolerance=0.0)
    assert result.causes and "precision-double-cast" not in ids(result)[:1]


class Watched(torch.nn.Module):
    """Computes something else while a mode watches it, as a fused kernel that is taken apart does."""

    def __init__(self, *, shy: bool):
        super().__init__()
        self.shy = shy
        self.eval()

    def forward(self, x):
        watched = self.shy and len(_get_current_function_mode_stack()) > 0
        return torch.tanh(torch.addcmul(x, x, x, value=0.5 if watched else 0.25))


def test_looking_changes_what_is_seen():
    assert "capture-artefact" in ids(aligner.compare(Watched(shy=False), Watched(shy=True), image()))


class Flipping(torch.nn.Module):
    """Rounds down; watched, one number comes out on the other side of a whole one, as a kernel taken apart does."""

    def forward(self, x):
        edge = torch.zeros_like(x)
        edge.view(-1)[0] = 1e-7 if len(_get_current_function_mode_stack()) > 0 else -1e-7
        return torch.floor(torch.where(edge == 0, 9 * x, edge))


def test_a_number_that_is_rounded_the_other_way_is_no_artefact():
    result = aligner.compare(Flipping().eval(), Net(lambda n, x: torch.trunc(9 * x)), image())
    assert result.causes and "capture-artefact" not in ids(result)


def test_a_fault_that_is_there_unwatched_as_well_is_no_artefact():
    reference = Net(lambda n, x: torch.tanh(torch.addcmul(x, x, x, value=0.5)))
    result = aligner.compare(reference, Watched(shy=False), image())
    assert result.causes and "capture-artefact" not in ids(result)


STEP = 2 / 255


def test_what_eight_bits_cost():
    grid = (np.rint(np.tanh(X) / STEP) * STEP).astype(np.float32)
    found = culprit("tanh", np.tanh(X), grid, step=STEP)
    assert found[0].id == "quantization-expected", found


def test_more_than_eight_bits_cost_is_not_called_expected():
    grid = (np.rint((np.tanh(X) + 0.05 * X) / STEP) * STEP).astype(np.float32)
    assert "quantization-expected" not in [f.id for f in culprit("tanh", np.tanh(X), grid, step=STEP)]
