"""A framework with kernels [height, width, in, out] gets the verdicts, causes and figures of its twin without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hwio_adapter import ConvolutionAdapter, Convolutions

import aligner
from aligner.adapters import registry
from aligner.testing import AdapterConformance

RNG = np.random.default_rng(4)
KERNELS = tuple((RNG.standard_normal(shape) / 6).astype(np.float32) for shape in ((16, 8, 3, 3), (8, 16, 3, 3)))
SQUARE = tuple((RNG.standard_normal((3, 3, 3, 3)) / 3).astype(np.float32) for _ in range(2))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    everyone = registry.adapters()[:]
    monkeypatch.setattr(registry, "adapters", lambda: (ConvolutionAdapter(), *everyone))


def noisy(kernels):
    draw = np.random.default_rng(8)
    return tuple((k * (1 + 0.01 * draw.standard_normal(k.shape))).astype(np.float32) for k in kernels)


CANDIDATES = {
    "clean": lambda model: model,
    "noise on the weights": lambda model: replace(model, kernels=noisy(model.kernels)),
    "kernels flipped": lambda model: replace(model, kernels=tuple(k[..., ::-1].copy() for k in model.kernels)),
    "weights through float16": lambda model: replace(model, half=True),
    "pads": lambda model: replace(model, pads=((0, 2), (1, 1))),
}


def compared(kernels, change, *, last):
    """What is found where the candidate keeps its channels last, or not; the reference never does."""
    reference = Convolutions(kernels)
    x = np.random.default_rng(2).standard_normal((1, kernels[0].shape[1], 9, 7)).astype(np.float32)
    candidate = replace(CANDIDATES[change](reference), last=last)
    return aligner.compare(reference, candidate, {"x": x})


@pytest.mark.parametrize("kernels", [KERNELS, SQUARE], ids=["oblong", "square"])
@pytest.mark.parametrize("change", CANDIDATES)
def test_layouts_make_no_difference(kernels, change):
    twin, other = (compared(kernels, change, last=last) for last in (False, True))
    assert other.verdict == twin.verdict
    assert [cause.id for cause in other.causes] == [cause.id for cause in twin.causes]
    for ours, theirs in zip(other.causes, twin.causes, strict=True):
        assert ours.explained == pytest.approx(theirs.explained, abs=1e-3)
    assert [pair.verdict for pair in other.pairs] == [pair.verdict for pair in twin.pairs]
    assert [n for n in other.comparison.notes if "weights" in n] == [n for n in twin.comparison.notes if "weights" in n]


class TestHwio(AdapterConformance):
    adapter = ConvolutionAdapter()

    def make_session(self):
        from hwio_adapter import ConvolutionSession

        return ConvolutionSession(Convolutions(KERNELS, last=True))

    def make_feeds(self):
        return {"x": np.random.default_rng(2).standard_normal((1, 9, 7, 8)).astype(np.float32)}
