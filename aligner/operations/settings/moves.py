"""What moves whole tensors, makes them of little, or stores them otherwise."""

from __future__ import annotations

from aligner.operations.settings.base import Along, Pair, Pairs, Settings, Sizes, of


@of("split")
class Split(Along):
    """``drop``: each part loses the axis."""

    sizes: Sizes
    drop: bool = False


@of("transpose")
class Transpose(Settings):
    """Where each axis comes from."""

    perm: Sizes


@of("expand")
class Shaped(Settings):
    """A result of a shape."""

    shape: Sizes


@of("reshape")
class Reshape(Shaped):
    """``before`` is an order of axes applied first, for hypotheses."""

    before: Sizes | None = None


@of("tile")
class Tile(Settings):
    """How often along each axis."""

    repeats: Sizes


@of("repeat")
class Repeat(Settings):
    """How often each element comes, of the flattened tensor where the axis is None."""

    repeats: int | Sizes
    axis: int | None


@of("reverse_sequence")
class ReverseSequence(Along):
    """Along the axis of time; ``batch``: the axis of the samples, each of its own length."""

    batch: int


@of("flip")
class Flip(Settings):
    """Axes that run backwards."""

    axes: Sizes


@of("roll")
class Roll(Flip):
    """How far along each."""

    shifts: Sizes


@of("pad")
class Pad(Settings):
    """(begin, end) for every axis; ``value`` of a constant border."""

    pads: Pairs
    mode: str = "constant"
    value: float = 0.0


@of("depth_to_space")
class Blocks(Settings):
    """``order``: a channel's number reads (channel, row, column), CRD, or (row, column, channel), DCR."""

    block: int
    order: str
    inverse: bool
    channels: str


@of("space_to_batch", "batch_to_space")
class BatchBlocks(Settings):
    """Blocks of the spatial axes, and paddings or crops."""

    block: Sizes
    amounts: Pairs


@of("fill")
class Fill(Shaped):
    """One value in every place."""

    value: float


@of("mesh")
class Mesh(Settings):
    """ "ij" or "xy", as numpy means them."""

    indexing: str


@of("shape")
class ShapeOf(Settings):
    """Some axes' sizes."""

    begin: int = 0
    end: int | None = None


@of("fft")
class Fft(Settings):
    """``pairs``: complex numbers are a last axis of two, ``complex_input``: the operand's as well."""

    form: str
    lengths: Sizes | None
    axes: Sizes
    norm: str = "backward"
    pairs: bool = False
    complex_input: bool = False


@of("cast")
class Cast(Settings):
    """A dtype in numpy's word."""

    to: str


@of("dequantize")
class Dequantize(Settings):
    """The axis of several scales."""

    axis: int | None


@of("quantize")
class Quantize(Dequantize):
    """The limits of what is stored; ``stored``: the result is those integers, not the real numbers they stand for."""

    limits: Pair
    stored: bool


@of("compare")
class Compare(Settings):
    """numpy's word."""

    form: str
