"""Batch normalisations that still hold the numbers they were made with, where one of the two sides has folded them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from aligner.causes.weight_cause import allowance
from aligner.numerics import relations
from aligner.operations.operation import Operation
from aligner.operations.settings import Norm
from aligner.parameters.folding import FOLDED, as_affine, output_axis, output_factors
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.folding import leading_affine
from aligner.regions.layer_numbers import step_of
from aligner.regions.layers import Layer, layer_pairs
from aligner.regions.subgraph import Subgraph

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
        within = FOLDED if step_of(culprit, pair) is None else allowance(pair, "kernel", culprit)
        factors = _factors(pair.candidate, pair.reference, within)
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


def folded_epsilon(culprit: Culprit, subgraph: Subgraph, node: Node) -> float | None:
    """Another epsilon of a side's normalisation with which the other side's kernel was folded; None without one.

    Each output says one, and as much more exactly as its variance is small: what folding may round off its factor
    moves the epsilon by that share of variance and epsilon. All must say the same within that.
    """
    for pair in layer_pairs(culprit):
        bare, folded = (pair.reference, pair.candidate)[:: 1 if subgraph.side == 0 else -1]
        norm, factors = subgraph.operation(node), _factors(bare, folded)
        if norm is None or factors is None or node.index not in bare.taken or not _alone_scales(norm, bare):
            continue
        variance = norm.parameters["variance"].astype(float).reshape(-1)
        said = (norm.parameters.get("scale", factors**0).reshape(-1) / factors) ** 2 - variance
        spread = abs(variance) + (known := norm.read(Norm).epsilon)
        found = float((said / spread**2).sum() / (1 / spread**2).sum())
        fits = [bool((abs(said - one) <= 2 * FOLDED * (spread + one)).all()) for one in (known, found)]
        if found > 0 and fits == [False, True]:
            return found
    return None


def _alone_scales(norm: Operation, bare: Layer) -> bool:
    """Whether the normalisation is all that multiplies the outputs of its layer; a bias may be added before."""
    affine = as_affine(norm)
    if affine is None or bare.scale is None or not affine[0].all():
        return False
    return affine[0].shape == bare.scale.shape and relations.gap(affine[0], bare.scale) <= FOLDED


def _factors(bare: Layer, folded: Layer, within: float = FOLDED) -> Array | None:
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
