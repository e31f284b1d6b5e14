"""Batch normalisations that still hold the numbers they were made with, where one of the two sides has folded them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from aligner.causes.cause import PROVEN
from aligner.causes.weight_cause import allowance, explained_by
from aligner.numerics import relations
from aligner.operations.operation import Operation
from aligner.operations.settings import Norm
from aligner.parameters.folding import FOLDED, as_affine, output_axis, output_factors
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.folding import leading_affine
from aligner.regions.layer_numbers import differing, step_of
from aligner.regions.layers import Layer, LayerPair, layer_pairs
from aligner.regions.subgraph import Subgraph

USUAL = (1e-3, 1e-5, 1e-6, 1e-12, 1e-4, 1e-8, 1e-7, 1e-2, 0.0, 0.1, 1.0)
"""Epsilons that frameworks have by default or models are published with, the usual ones first."""
_HALF = 0.5
"""Share of an error that is more of a fault than of rounding."""
DEFAULTS = {"mean": 0.0, "variance": 1.0, "scale": 1.0, "shift": 0.0}


def at_their_defaults(operation: Operation) -> set[str]:
    """The vectors of a normalisation that hold what an initialiser gives them."""
    if operation.read(Norm).form != "batch" or not operation.parameters.keys() >= DEFAULTS.keys():
        return set()
    return {name for name, number in DEFAULTS.items() if (operation.parameters[name] == number).all()}


def solved(culprit: Culprit) -> Iterator[tuple[Node, str, Operation]]:
    """The candidate's normalisations with default vectors exchanged for what the reference's numbers ask for.

    A factor and a summand are two numbers for each output: one of variance and scale, and one of mean and shift follow.
    """
    for node, operation, before, affine in (*_folded(culprit), *_spelled(culprit)):
        found = at_their_defaults(operation)
        for names in product(("variance", "scale", ""), ("mean", "shift", "")):
            chosen = [name for name in names if name]
            if chosen and found >= set(chosen):
                default = found if len(found) == len(DEFAULTS) else chosen
                words = ", ".join(f"{name} {DEFAULTS[name]:g}" for name in sorted(default))
                yield node, f"the default {words}", _with(operation, chosen, before, affine)


_Asked = tuple[Node, Operation, Array | float, tuple[Array, Array | float]]
"""A normalisation, what is added to each output with it, and the factors and summands of the reference."""


def _folded(culprit: Culprit) -> Iterator[_Asked]:
    """Normalisations that the reference has folded into a kernel and a bias."""
    for pair in layer_pairs(culprit):
        norms = [node for node in culprit.candidate.of_kind("norm") if node.index in pair.candidate.taken]
        operation = culprit.candidate.operation(norms[0]) if len(norms) == 1 else None
        if operation is None or pair.reference.raw is not None or not _alone_scales(operation, pair.candidate):
            continue
        factors = _factors(pair.candidate, pair.reference, _within(culprit, pair))
        if factors is not None:
            wanted = pair.reference.parameters.get("bias", 0.0)
            yield norms[0], operation, pair.candidate.parameters.get("bias", 0.0), (factors, wanted)


def _spelled(culprit: Culprit) -> Iterator[_Asked]:
    """Normalisations that the reference has as a product and a sum with constants."""
    for subgraph, node, operation in culprit.nodes("norm"):
        affine = as_affine(operation) if subgraph.side == 1 else None
        if affine is None or node.inputs[0] not in subgraph.region.inputs:
            continue
        asked = leading_affine(culprit.reference, affine[0].size)
        if asked is not None and asked[0].all():
            yield node, operation, affine[1], asked


def folded_epsilon(culprit: Culprit, subgraph: Subgraph, node: Node) -> tuple[float, float | None] | None:
    """Another epsilon of a side's normalisation with which the other side's kernel was folded; None without one.

    With it the share of the error that it must explain where few bits are part of it, as ``Claim.needed``.

    Each output says one, and as much more exactly as its variance is small: what folding may round off its factor
    moves the epsilon by twice that share of variance and epsilon. All must say the same within that. Of what few bits
    leave open it is one that is usual.
    """
    for pair in layer_pairs(culprit):
        bare, folded = (pair.reference, pair.candidate)[:: 1 if subgraph.side == 0 else -1]
        norm, factors = subgraph.operation(node), _factors(bare, folded, _within(culprit, pair))
        if norm is None or factors is None or node.index not in bare.taken or not _alone_scales(norm, bare):
            continue
        variance = norm.parameters["variance"].astype(float).reshape(-1)
        said = (norm.parameters.get("scale", factors**0).reshape(-1) / factors) ** 2 - variance
        rounded = 2 * _rounded_off(culprit, pair, folded)
        spread = rounded * (abs(variance) + (known := norm.read(Norm).epsilon))
        found = float((said / spread**2).sum() / (1 / spread**2).sum())
        fitting = [
            one for one in (known, *USUAL, found) if (abs(said - one) <= rounded * (abs(variance) + abs(one))).all()
        ]
        if fitting and fitting[0] != known:
            return (fitting[0], _needed(culprit, pair)) if fitting[0] > 0 else None
    return None


def _needed(culprit: Culprit, pair: LayerPair) -> float | None:
    """Most of what is gone with the reference's own numbers in that layer; what they leave is the rounding around it.

    None where that is less than half of the error, and where nothing is rounded.
    """
    if step_of(culprit, pair) is None:
        return None
    most = explained_by(culprit, pair, [role for role in differing(pair) if role in pair.reference.parameters])
    return PROVEN * most if most > _HALF else None


def _rounded_off(culprit: Culprit, pair: LayerPair, folded: Layer) -> Array | float:
    """What rounding the folded kernel may move each output's factor by, as a share of it.

    Of K numbers k, each off by step / √12 (root mean square), the factor by least squares is off by as much of ‖k‖;
    √12 times that, a step, is three and a half standard deviations.
    """
    step = step_of(culprit, pair)
    if step is None:
        return FOLDED
    kernel = folded.parameters["kernel"]
    axis = output_axis(folded.operation, kernel) or 0
    rows = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1).astype(np.float64)
    steps = np.moveaxis(np.broadcast_to(step, kernel.shape), axis, 0).reshape(rows.shape).max(axis=1)
    off: Array = np.maximum(FOLDED, steps / np.maximum(np.sqrt(np.square(rows).sum(axis=1)), 1e-30))
    return off


def _within(culprit: Culprit, pair: LayerPair) -> float:
    return FOLDED if step_of(culprit, pair) is None else allowance(pair, "kernel", culprit)


def _alone_scales(norm: Operation, bare: Layer) -> bool:
    """Whether the normalisation is all that multiplies the outputs of its layer; a bias may be added before."""
    affine = as_affine(norm)
    if affine is None or bare.scale is None or not affine[0].all():
        return False
    return affine[0].shape == bare.scale.shape and relations.gap(affine[0], bare.scale) <= FOLDED


def _factors(bare: Layer, folded: Layer, within: float) -> Array | None:
    """What each output's kernel is multiplied by where the normalisation is folded in."""
    raw, kernel = bare.raw, folded.parameters.get("kernel")
    if raw is None or kernel is None:
        return None
    factors = output_factors(raw, kernel, output_axis(bare.operation, raw) or 0, within)
    return factors if factors is not None and factors.all() else None


def _with(
    operation: Operation, chosen: list[str], before: Array | float, affine: tuple[Array, Array | float]
) -> Operation:
    """``before``: the summand that the layer before and the normalisation amount to as they are."""
    p = {name: operation.parameters[name].astype(np.float64) for name in DEFAULTS}
    epsilon, (factors, wanted) = operation.read(Norm).epsilon, affine
    scale = p["scale"] / np.sqrt(p["variance"] + epsilon)
    bias = (before - p["shift"]) / scale + p["mean"]
    if "variance" in chosen:
        p["variance"] = np.square(p["scale"] / factors) - epsilon
    if "scale" in chosen:
        p["scale"] = factors * np.sqrt(p["variance"] + epsilon)
    if "mean" in chosen:
        p["mean"] = bias - (wanted - p["shift"]) / factors
    if "shift" in chosen:
        p["shift"] = wanted - (bias - p["mean"]) * factors
    return operation.with_parameters(**{name: p[name] for name in chosen})
