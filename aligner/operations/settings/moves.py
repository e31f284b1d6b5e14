"""What moves whole tensors, makes them of little, or stores them otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from aligner.operations.settings.base import Along, Pair, Pairs, Settings, Sizes, of


@of("split")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split(Along):
    """``drop``: each part loses the axis."""

    sizes: Sizes
    drop: bool = False


@of("transpose")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transpose(Settings):
    """Where each axis comes from."""

    perm: Sizes


@of("expand")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shaped(Settings):
    """A result of a shape."""

    shape: Sizes


@of("reshape")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reshape(Shaped):
    """``before`` is an order of axes applied first, for hypotheses."""

    before: Sizes | None = None


@of("tile")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile(Settings):
    """How often along each axis."""

    repeats: Sizes


@of("repeat")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeat(Settings):
    """How often each element comes, of the flattened tensor where the axis is None."""

    repeats: int | Sizes
    axis: int | None


@of("reverse_sequence")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReverseSequence(Along):
    """Along the axis of time; ``batch``: the axis of the samples, each of its own length."""

    batch: int


@of("flip")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flip(Settings):
    """Axes that run backwards."""

    axes: Sizes


@of("roll")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Roll(Flip):
    """How far along each."""

    shifts: Sizes


@of("pad")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pad(Settings):
    """(begin, end) for every axis; ``value`` of a constant border."""

    pads: Pairs
    mode: str = "constant"
    value: float = 0.0


@of("depth_to_space")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks(Settings):
    """``order``: a channel's number reads (channel, row, column), CRD, or (row, column, channel), DCR."""

    block: int
    order: str
    inverse: bool
    channels: str


@of("space_to_batch", "batch_to_space")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchBlocks(Settings):
    """Blocks of the spatial axes, and paddings or crops."""

    block: Sizes
    amounts: Pairs


@of("fill")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fill(Shaped):
    """One value in every place."""

    value: float


@of("mesh")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mesh(Settings):
    """ "ij" or "xy", as numpy means them."""

    indexing: str


@of("shape")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeOf(Settings):
    """Some axes' sizes."""

    begin: int = 0
    end: int | None = None


@of("fft")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fft(Settings):
    """``pairs``: complex numbers are a last axis of two, ``complex_input``: the operand's as well."""

    form: str
    lengths: Sizes | None
    axes: Sizes
    norm: str = "backward"
    pairs: bool = False
    complex_input: bool = False


@of("cast")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cast(Settings):
    """A dtype in numpy's word."""

    to: str


@of("dequantize")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dequantize(Settings):
    """The axis of several scales."""

    axis: int | None


@of("quantize")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantize(Dequantize):
    """The limits of what is stored; ``stored``: the result is those integers, not the real numbers they stand for."""

    limits: Pair
    stored: bool


@of("compare")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compare(Settings):
    """numpy's word."""

    form: str
