"""Quantised tensors: scales, zero points, ranges; and what eight bits cost honestly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim, held
from aligner.causes.context import Context
from aligner.causes.weight_cause import WeightCause
from aligner.causes.weight_order import row_factors
from aligner.numerics.coded_steps import OWN_STEPS
from aligner.numerics.masking import MASKED
from aligner.operations.kinds import LAYOUT
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit, distance, in_order
from aligner.regions.inner_tensors import CODES, SATURATED, InnerTensor, inner_tensors, range_made_in
from aligner.regions.layers import LayerPair

_KINDS = ("quantize", "dequantize")


def step_of(culprit: Culprit) -> float | None:
    """The quantisation step of this culprit: declared, or that of the values' grid."""
    if culprit.measured.step is not None:
        return culprit.measured.step
    if culprit.found is None or culprit.found.dtype.kind != "f" or not culprit.candidate.of_kind(*_KINDS):
        return None
    for node in reversed(culprit.candidate.of_kind("dequantize")):
        scale = _scale(culprit, node)
        if scale is not None and node.outputs and node.outputs[0] == culprit.candidate.output:
            return scale
    values = np.unique(culprit.found)
    return float(np.diff(values).min()) if 2 < values.size <= 256 else None


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A tensor before and after it was quantised: the culprit's output, or what its region reads.

    ``predict`` says what the output becomes when the side that is not coded (``side``) holds a given array here.
    """

    name: str
    step: float
    expected: Array
    found: Array
    predict: Callable[[Array], Callable[[], Array | None]]
    side: int = 0
    endless: Array | None = None
    """What is found where the range has no end; None where that is not known."""


def sites(culprit: Culprit, context: Context) -> Iterator[Site]:
    """The output, every input that the candidate quantises inside the region, the first tensor inside that is off."""
    step = step_of(culprit)
    if culprit.expected is None or culprit.found is None:
        return
    if step is not None and np.isfinite(culprit.found).all() and np.isfinite(culprit.expected).all():
        ranges = [range_made_in(subgraph.graph, subgraph.region, subgraph.output) for subgraph in culprit.subgraphs]
        if ranges[0] is not None and ranges[1] is None:
            yield Site(culprit.reference.output, ranges[0].step, culprit.found, culprit.expected, held, side=1)
        else:
            yield Site(culprit.where, step, culprit.expected, culprit.found, held, endless=culprit.endless)
    for node in culprit.candidate.of_kind("dequantize"):
        origin = _origin(culprit, node)
        after = culprit.candidate.array(node.outputs[0]) if node.outputs else None
        scale = _scale(culprit, node)
        pair = context.pair_of(origin) if origin else None
        if origin is None or pair is None or after is None or scale is None:
            continue
        before = culprit.candidate.array(origin)
        meant = culprit.reference.array(pair.reference)
        if before is None or meant is None or before.shape != after.shape:
            continue
        yield Site(
            node.name,
            scale,
            before,
            after,
            lambda array, p=pair, m=meant: _fed(culprit, p, m, array),  # type: ignore[misc]
        )
    inner = next(
        (one for one in inner_tensors(culprit) if one.off.mean() > SATURATED), None
    )  # what reads it is off, too
    if inner is not None:
        yield Site(inner.node.name, inner.range.step, inner.exact, inner.seen, partial(_seen_inside, inner))


def _scale(culprit: Culprit, node: Node) -> float | None:
    """The one scale by which a dequantize node reads: that of what is stored, else its second operand."""
    stored = culprit.candidate.graph.values.get(node.inputs[0]) if node.inputs else None
    if stored is not None and stored.quantization is not None:
        return stored.quantization.scale[0] if len(stored.quantization.scale) == 1 else None
    scale = culprit.candidate.array(node.inputs[1]) if len(node.inputs) > 1 else None
    return float(scale.reshape(())) if scale is not None and scale.size == 1 else None


def _origin(culprit: Culprit, node: Node) -> str | None:
    """The region's input that a dequantize node restores."""
    name = node.inputs[0] if node.inputs else ""
    for _ in range(4):
        if name in culprit.candidate.region.inputs:
            return name
        maker = culprit.candidate.graph.producer(name)
        if maker is None or maker.kind not in LAYOUT:
            return None
        name = maker.inputs[0]
    return None


def _fed(culprit: Culprit, pair: PairedValues, meant: Array, array: Array) -> Callable[[], Array | None]:
    moved = in_order(array, pair.axes, meant.shape)
    return (lambda: None) if moved is None else culprit.swapped(culprit.reference, pair.reference, moved)


def _seen_inside(inner: InnerTensor, array: Array) -> Callable[[], Array | None]:
    """What is behind may be blind to what differs: a claim has to tell most of the tensor itself first."""
    told = distance(inner.seen, array) <= 0.5 * distance(inner.seen, inner.exact)
    return partial(inner.end, array) if told else lambda: None


class _Quantized(Cause):
    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Only where something is quantised."""
        for site in sites(culprit, context):
            yield from self.quantized(site)

    def quantized(self, site: Site) -> Iterator[Claim]:
        """The claims for one quantised tensor."""
        return iter(())


class QuantizationScale(_Quantized):
    """Stored with one scale and read with another."""

    id: ClassVar[str] = "quantization-scale"
    fix: ClassVar[str] = "quantise and dequantise with one scale"
    example: ClassVar[str] = "a scale read from another tensor"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The reference's scale in the candidate's own quantising node; then the factor between the two sides.

        Where the range cuts numbers off, the data that it was measured on are the cause of its scale.
        """
        if any(_share_cut_off(site) for site in sites(culprit, context)):
            return
        for subgraph, node, operation in culprit.nodes("quantize"):
            partner = culprit.partner(subgraph, node) if subgraph.side else None
            if partner is not None:
                mine, theirs = (f"{one.parameters['scale'].flat[0]:.4g}" for one in (operation, partner[1]))
                yield Claim(
                    f"{node.name} codes with scale {mine}, the reference's {partner[0].op} with {theirs}",
                    f"give {node.name} the scale and zero point of the reference's",
                    "with those of the reference",
                    culprit.replaced(subgraph, node, replace(partner[1], data=operation.data)),
                    node=node.name,
                    written=True,
                    only_proven=True,
                )
        yield from super().claims(culprit, context)

    def quantized(self, site: Site) -> Iterator[Claim]:
        """The factor between the two sides."""
        step, expected, found = site.step, site.expected, site.found
        factor, offset = _line(expected, found)
        if factor and abs(factor - 1) > 0.02:
            zero = abs(offset) <= step
            yield Claim(
                f"{site.name} holds {factor:.4g} times the reference: stored and read with different scales",
                "use the same scale for quantising and dequantising, and the one of the tensor's range",
                f"with the scale {step / factor:.4g} instead of {step:.4g}",
                site.predict(factor * expected + (0 if zero else offset)),
                side=site.side,
                needed=_least(site, 0.8),
            )


class QuantizationScaleOfWeights(WeightCause):
    """The stored integers of each output read with a scale that is not theirs."""

    id: ClassVar[str] = "quantization-scale"
    advice: ClassVar[str] = "give every output channel of the weight the scale it was quantised with"

    def vague(self, pair: LayerPair) -> bool:
        """Where something is folded in, its factors may as well be what differs."""
        return pair.reference.scale is not None or pair.candidate.scale is not None

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """Each output's kernel is the reference's times a number of its own."""
        factors = row_factors(pair, role, culprit)
        if factors is None:
            return None
        return f"the {role}'s outputs are {min(factors):.3g}…{max(factors):.3g} times the reference's: other scales"


class QuantizationZeroPoint(_Quantized):
    """Everything moved by a whole number of steps."""

    id: ClassVar[str] = "quantization-zero-point"
    fix: ClassVar[str] = "use one zero point and integer type for both"
    example: ClassVar[str] = "int8 read as uint8"

    def quantized(self, site: Site) -> Iterator[Claim]:
        """The offset, in steps; the ends of the range cut off."""
        step, expected, found = site.step, site.expected, site.found
        low, high = found.min(), found.max()
        inside = (found > low) & (found < high)
        offset = float(np.median((found - expected)[inside])) if inside.any() else 0.0
        steps = round(offset / step)
        moved = np.clip(expected + steps * step, low, high)
        factor, begin = _line(expected, found)
        scaled = np.clip(factor * expected + begin, low, high)
        # what lies beyond the range is cut off whatever the zero point is, and says nothing of it; a tensor that
        # a factor leaves nearer by as much as the offset does is another scale's
        least = min(distance(found, np.clip(expected, low, high)), 4 * distance(found, scaled))
        if steps and distance(found, moved) < 0.5 * least:
            yield Claim(
                f"{site.name} lies {steps:+d} steps of {step:.3g} off: another zero point, or int8 read as uint8",
                "use one zero point for quantising and dequantising",
                f"with the zero point moved back by {steps}",
                site.predict(moved),
                side=site.side,
                needed=_least(site, 0.8),
            )
        for wrap in (128, 256):
            turned = expected + wrap * step * np.round((found - expected) / (wrap * step))
            if steps == 0 and not np.array_equal(turned, expected):
                yield Claim(
                    f"{site.name} wraps around by {wrap} steps: int8 read as uint8, or a zero point past the range",
                    "use one zero point and integer type for quantising and dequantising",
                    "with the values unwrapped",
                    site.predict(turned),
                    side=site.side,
                    vague=True,
                )


class QuantizationCalibration(_Quantized):
    """The range was measured on other data: flat tops, or all numbers on a few codes."""

    id: ClassVar[str] = "quantization-calibration"
    fix: ClassVar[str] = "calibrate on real inputs, prepared as they will be in use"
    example: ClassVar[str] = "flat tops on unusual inputs"

    def quantized(self, site: Site) -> Iterator[Claim]:
        """A step that loses a bit; the reference cut off at the range, also where that was left aside before."""
        step, expected, found = site.step, site.expected, site.found
        masked = expected <= MASKED
        beside = expected[~masked] if masked.any() and not masked.all() else expected
        wide = float(beside.max() - beside.min())
        if step > 2 * wide / CODES > 0:
            numbers, helps = "a range of other numbers", "quantise for the range of what is fed:"
            if beside is not expected:
                numbers = f"the range is that of the mask's {expected.min():.4g}"
                helps = "leave what is masked in float, or mask with a number near the others:"
            yield Claim(
                f"{site.name} is coded with scale {step:.4g}, which leaves {wide / step + 1:.0f} of {CODES + 1} codes "
                f"to its numbers from {beside.min():.4g} to {beside.max():.4g}: {numbers}",
                f"{helps} scale {wide / CODES:.2g}, not {step:.4g}",
                "with the reference so coded",
                site.predict(step * np.rint(expected / step)),
                side=site.side,
                written=True,
                only_proven=True,
            )
        if share := _share_cut_off(site):
            low, high = float(found.min()), float(found.max())
            yield Claim(
                f"{share:.1%} of the elements at {site.name} lie outside {low:.4g}…{high:.4g} and are cut off",
                self.fix,
                "with a range that holds them",
                site.predict(np.clip(expected, low, high)),
                side=site.side,
                needed=_least(site, 0.7),
            )


class QuantizationExpected(_Quantized):
    """What the declared number of bits costs, and no more."""

    id: ClassVar[str] = "quantization-expected"
    fix: ClassVar[str] = "nothing: this is what the declared precision costs"
    example: ClassVar[str] = "an int8 twin within two steps"
    benign: ClassVar[bool] = True

    def quantized(self, site: Site) -> Iterator[Claim]:
        """Every element within two steps of the reference."""
        step, expected, found = site.step, site.expected, site.found
        worst = float(np.abs(found - expected).max())
        if worst <= 2 * step:
            yield Claim(
                f"every element of {site.name} lies within {worst / step:.1f} quantisation steps of {step:.3g}",
                self.fix,
            )


def _least(site: Site, least: float) -> float:
    """The share of an error that a claim explains at least: all but what steps leave, where the error is larger.

    Where what is read is coded in larger steps than the tensor itself, what is found without an end of the range has
    them.
    """
    steps = OWN_STEPS * site.step * math.sqrt(site.found.size)
    if site.endless is not None and site.endless.shape == site.expected.shape:
        steps = max(steps, distance(site.endless, site.expected))
    return max(least, 1 - steps / max(distance(site.found, site.expected), steps))


def _share_cut_off(site: Site) -> float:
    """The share of elements that the range cuts off; 0 where it is no more than tails, or where they stand elsewhere.

    What is cut off stands at the range's end; elsewhere another scale has put it. Nor does the range cut off what is
    no larger without it: an activation may have a limit as well.
    """
    step, expected, found = site.step, site.expected, site.found
    low, high = float(found.min()), float(found.max())
    cut = (expected > high + OWN_STEPS * step) | (expected < low - OWN_STEPS * step)
    if site.endless is not None and site.endless.shape == found.shape:
        cut &= np.abs(site.endless - found) > OWN_STEPS * step
    share = float(cut.mean())
    if share <= SATURATED or float(np.median(np.abs(np.clip(expected, low, high) - found)[cut])) > OWN_STEPS * step:
        return 0.0
    return share


def _line(expected: Array, found: Array) -> tuple[float, float]:
    """Slope and offset of found over expected, elements at the ends of the range left out."""
    inside = (found > found.min()) & (found < found.max())
    x, y = expected[inside].astype(np.float64), found[inside].astype(np.float64)
    if x.size < 8 or not float(np.ptp(x)):
        return 1.0, 0.0
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(offset)
