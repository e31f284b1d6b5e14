"""What an operation is told besides its operands: one frozen record for each family of kinds.

A field without a default must be said by whoever translates a node: frameworks disagree on it, or it has no neutral
value. A default is neutral: left out, it changes nothing. Settings are mappings as well, for those who hold two of a
kind against each other without knowing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Pair = tuple[int, int]
    Pairs = tuple[Pair, ...]
    Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings(Mapping[str, Any]):
    """Of kinds that need none; ``fused_activation`` and ``range``, the limits of a stored result, any kind may have."""

    fused_activation: str = "none"
    range: tuple[float, float] | None = None

    def __getitem__(self, name: str) -> Any:
        """A setting by its name; raises KeyError for one that is not said."""
        if name not in self._said():
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        """The family's own settings, then what was fused in, where something was."""
        return iter(self._said())

    def __len__(self) -> int:
        """How many are said."""
        return len(self._said())

    def _said(self) -> list[str]:
        fused = [name for name, plain in _FUSED.items() if getattr(self, name) != plain]
        return [field.name for field in fields(self) if field.name not in _FUSED] + fused


_FUSED = {"fused_activation": "none", "range": None}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Along(Settings):
    """What works along one axis."""

    axis: int


# layers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windowed(Settings):
    """Windows over the spatial axes; ``pads`` are (begin, end) for each, negative ones crop."""

    strides: Sizes
    dilations: Sizes
    pads: Pairs
    channels: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Convolution(Windowed):
    """``padding_mode`` says what the border is made of."""

    groups: int = 1
    padding_mode: str = "constant"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransposedConvolution(Windowed):
    """``pads`` are cropped from the result, ``output_padding`` is more of it at the end."""

    groups: int = 1
    output_padding: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool(Windowed):
    """``divisor`` in place of the window's size; ``fill`` is the border where it is not the neutral element."""

    kernel: Sizes
    ceil: bool = False
    include_pad: bool = False
    divisor: int | None = None
    fill: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LengthPool(Pool):
    """Windows by their norm of an order."""

    order: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptivePool(Settings):
    """As many windows along each spatial axis as are wanted."""

    output_size: Sizes
    channels: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Product(Settings):
    """A matrix product times a number; ``linear``: the node is a layer of its framework."""

    scale: float = 1.0
    linear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Einsum(Settings):
    """Without spaces, as numpy reads it."""

    equation: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attention(Settings):
    """``merged`` lays the heads [batch, heads, length, width] side by side."""

    scale: float
    causal: bool = False
    merged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recurrent(Settings):
    """``gates`` names the rows of the weights; ``after``: a GRU's reset gate works behind its product."""

    cell: str
    gates: str
    directions: tuple[str, ...]
    after: bool
    batch_first: bool
    layout: str


# normalisation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm(Settings):
    """``axis`` is the channels'."""

    form: str
    epsilon: float
    axis: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchNorm(Norm):
    """By stored statistics, or by the batch's own."""

    form: str = "batch"
    training: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InstanceNorm(Norm):
    """By each image's own statistics."""

    form: str = "instance"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupNorm(Norm):
    """By the statistics of groups of channels."""

    form: str = "group"
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerNorm(Norm):
    """Over the axes named; the variance divides by the count less ``correction``."""

    form: str = "layer"
    axes: Sizes
    correction: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RmsNorm(Norm):
    """Over the axes named, the mean left in."""

    form: str = "rms"
    axes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LengthNorm(Norm):
    """By the norm of an order along axes, ``epsilon`` at least (its square where ``squared``)."""

    form: str = "length"
    axes: Sizes
    order: int = 2
    squared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseNorm(Settings):
    """x / (bias + alpha · Σ x²)^beta over (before, after) neighbours among the channels."""

    neighbours: Pair
    alpha: float
    beta: float
    bias: float
    channels: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Softmax(Along):
    """Of beta · x."""

    beta: float = 1.0


# what resamples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resize(Settings):
    """``shape`` and ``scales`` of every axis; scales of None are the sizes' ratio."""

    mode: str
    coordinates: str
    rounding: str
    shape: Sizes
    channels: str
    cubic_a: float = -0.75
    antialias: bool = False
    exclude_outside: bool = False
    scales: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridSample(Settings):
    """``padding``: zeros, border or reflection."""

    mode: str
    padding: str
    align_corners: bool
    channels: str


# what sums up


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduce(Settings):
    """``correction`` is what a variance's divisor lacks; ``with_mean`` answers the mean beside it."""

    form: str
    axes: Sizes
    keep: bool
    correction: float = 0.0
    with_mean: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunningSum(Along):
    """From either end, with the element itself or without."""

    reverse: bool = False
    exclusive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cumulate(RunningSum):
    """``form`` is numpy's word for the function of two."""

    form: str


# what picks and orders


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArgMax(Settings):
    """Of the flattened tensor where the axis is None; ``last`` of equals."""

    axis: int | None
    largest: bool
    keep: bool
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sort(Along):
    """The first ``count``, all where that is None."""

    largest: bool
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice(Settings):
    """(axis, start, end, step) of each axis that is cut."""

    places: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Index(Settings):
    """What stands between numpy's brackets."""

    index: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatherNd(Settings):
    """``batch`` axes in front are shared."""

    batch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScatterNd(Settings):
    """What becomes of a place named twice."""

    reduction: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScatterElements(Along):
    """What becomes of a place named twice."""

    reduction: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OneHot(Along):
    """``wrap``: negative indices count from the end."""

    depth: int
    wrap: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NonZero(Settings):
    """[rank, count] where ``turned``, else [count, rank]."""

    turned: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Triangle(Settings):
    """Above or below a diagonal."""

    upper: bool
    diagonal: int = 0


# what moves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split(Along):
    """``drop``: each part loses the axis."""

    sizes: Sizes
    drop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transpose(Settings):
    """Where each axis comes from."""

    perm: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shaped(Settings):
    """A result of a shape."""

    shape: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reshape(Shaped):
    """``before`` is an order of axes applied first, for hypotheses."""

    before: Sizes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile(Settings):
    """How often along each axis."""

    repeats: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeat(Settings):
    """How often each element comes, of the flattened tensor where the axis is None."""

    repeats: int | Sizes
    axis: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flip(Settings):
    """Axes that run backwards."""

    axes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Roll(Flip):
    """How far along each."""

    shifts: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pad(Settings):
    """(begin, end) for every axis; ``value`` of a constant border."""

    pads: Pairs
    mode: str = "constant"
    value: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks(Settings):
    """``order``: a channel's number reads (channel, row, column), CRD, or (row, column, channel), DCR."""

    block: int
    order: str
    inverse: bool
    channels: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchBlocks(Settings):
    """Blocks of the spatial axes, and paddings or crops."""

    block: Sizes
    amounts: Pairs


# what makes, casts, stores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fill(Shaped):
    """One value in every place."""

    value: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh(Settings):
    """ "ij" or "xy", as numpy means them."""

    indexing: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeOf(Settings):
    """Some axes' sizes."""

    begin: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fft(Settings):
    """``pairs``: complex numbers are a last axis of two, ``complex_input``: the operand's as well."""

    form: str
    lengths: Sizes | None
    axes: Sizes
    norm: str = "backward"
    pairs: bool = False
    complex_input: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cast(Settings):
    """A dtype in numpy's word."""

    to: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dequantize(Settings):
    """The axis of several scales."""

    axis: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantize(Dequantize):
    """The limits of what is stored; ``stored``: the result is those integers, not the real numbers they stand for."""

    limits: Pair
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compare(Settings):
    """numpy's word."""

    form: str


# functions of one element


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip(Settings):
    """Limits, infinite where there is none."""

    min: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slope(Settings):
    """Of what is negative."""

    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Swish(Settings):
    """x · sigmoid(alpha · x)."""

    alpha: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selu(Slope):
    """scale · elu."""

    scale: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Approximated(Settings):
    """none, tanh or quick."""

    approximate: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HardSigmoid(Slope):
    """max(0, min(1, alpha · x + beta))."""

    beta: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Softplus(Settings):
    """Beyond the threshold the input itself."""

    beta: float = 1.0
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Threshold(Settings):
    """``value`` up to the threshold."""

    threshold: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shrink(Settings):
    """0 within ±lambd, beyond nearer to it by ``bias``."""

    lambd: float
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Infinite(Settings):
    """Which infinities count."""

    positive: bool = True
    negative: bool = True


_FAMILIES: dict[str, type[Settings]] = {
    "conv": Convolution,
    "conv_transpose": TransposedConvolution,
    **dict.fromkeys(("max_pool", "avg_pool"), Pool),
    "length_pool": LengthPool,
    **dict.fromkeys(("adaptive_max_pool", "adaptive_avg_pool"), AdaptivePool),
    "matmul": Product,
    "einsum": Einsum,
    "attention": Attention,
    "recurrent": Recurrent,
    "norm": Norm,
    "response_norm": ResponseNorm,
    **dict.fromkeys(("softmax", "log_softmax"), Softmax),
    "resize": Resize,
    "grid_sample": GridSample,
    "reduce": Reduce,
    "cumsum": RunningSum,
    "cumulate": Cumulate,
    "argmax": ArgMax,
    "sort": Sort,
    "slice": Slice,
    **dict.fromkeys(("index", "put"), Index),
    **dict.fromkeys(("lookup", "gather_elements", "concat", "stack", "glu", "prelu"), Along),
    "gather_nd": GatherNd,
    "scatter_nd": ScatterNd,
    "scatter_elements": ScatterElements,
    "one_hot": OneHot,
    "nonzero": NonZero,
    "triangle": Triangle,
    "split": Split,
    "transpose": Transpose,
    "reshape": Reshape,
    "expand": Shaped,
    "tile": Tile,
    "repeat": Repeat,
    "flip": Flip,
    "roll": Roll,
    "pad": Pad,
    "depth_to_space": Blocks,
    **dict.fromkeys(("space_to_batch", "batch_to_space"), BatchBlocks),
    "fill": Fill,
    "mesh": Mesh,
    "shape": ShapeOf,
    "fft": Fft,
    "cast": Cast,
    "dequantize": Dequantize,
    "quantize": Quantize,
    "compare": Compare,
    "clip": Clip,
    **dict.fromkeys(("leaky_relu", "elu", "celu"), Slope),
    "silu": Swish,
    "selu": Selu,
    **dict.fromkeys(("gelu", "erf"), Approximated),
    **dict.fromkeys(("hardsigmoid", "hardswish"), HardSigmoid),
    "softplus": Softplus,
    "threshold": Threshold,
    "shrink": Shrink,
    "isinf_signed": Infinite,
}
_NORMS: dict[Any, type[Norm]] = {
    "batch": BatchNorm,
    "instance": InstanceNorm,
    "group": GroupNorm,
    "layer": LayerNorm,
    "rms": RmsNorm,
    "length": LengthNorm,
}


def family_of(kind: str) -> type[Settings]:
    """The record of a kind's settings; ``Settings`` itself where it has none."""
    return _FAMILIES.get(kind, Settings)


def settings_of(kind: str, given: Mapping[str, Any]) -> Settings:
    """Settings as the record of a kind; raises TypeError for names that the family does not know, or misses."""
    family = family_of(kind)
    if isinstance(given, family):
        return given
    said = dict(given)
    if family is Norm:
        family = _NORMS.get(said.get("form"), Norm)
    return family(**said)
