"""Layers, and what resamples: windows, products, cells, grids."""

from __future__ import annotations

from aligner.operations.settings.base import Pairs, Settings, Sizes, of


@of()
class Windowed(Settings):
    """Windows over the spatial axes; ``pads`` are (begin, end) for each, negative ones crop."""

    strides: Sizes
    dilations: Sizes
    pads: Pairs
    channels: str


@of("conv")
class Convolution(Windowed):
    """``padding_mode`` says what the border is made of."""

    groups: int = 1
    padding_mode: str = "constant"


@of("conv_transpose")
class TransposedConvolution(Windowed):
    """``pads`` are cropped from the result, ``output_padding`` is more of it at the end."""

    groups: int = 1
    output_padding: Sizes


@of("max_pool", "avg_pool")
class Pool(Windowed):
    """``divisor`` in place of the window's size; ``fill`` is the border where it is not the neutral element."""

    kernel: Sizes
    ceil: bool = False
    include_pad: bool = False
    divisor: int | None = None
    fill: float | None = None


@of("length_pool")
class LengthPool(Pool):
    """Windows by their norm of an order."""

    order: int


@of("adaptive_max_pool", "adaptive_avg_pool")
class AdaptivePool(Settings):
    """As many windows along each spatial axis as are wanted."""

    output_size: Sizes
    channels: str


@of("matmul")
class Product(Settings):
    """A matrix product times a number; ``linear``: the node is a layer of its framework."""

    scale: float = 1.0
    linear: bool = False


@of("einsum")
class Einsum(Settings):
    """Without spaces, as numpy reads it."""

    equation: str


@of("attention")
class Attention(Settings):
    """``merged`` lays the heads [batch, heads, length, width] side by side."""

    scale: float
    causal: bool = False
    merged: bool = False


@of("recurrent")
class Recurrent(Settings):
    """``gates`` names the rows of the weights; ``after``: a GRU's reset gate works behind its product; ``last``: the
    first result is the last state alone.
    """

    cell: str
    gates: str
    directions: tuple[str, ...]
    after: bool
    batch_first: bool
    layout: str
    last: bool = False


@of("resize")
class Resize(Settings):
    """``shape`` and ``scales`` of every axis; scales of None are the sizes' ratio.

    ``inverse``: places are multiplied by the inverse of the scale in float32, which decides where they fall on an edge.
    """

    mode: str
    coordinates: str
    rounding: str
    shape: Sizes
    channels: str
    cubic_a: float = -0.75
    antialias: bool = False
    exclude_outside: bool = False
    scales: tuple[float, ...] | None = None
    inverse: bool = False


@of("grid_sample")
class GridSample(Settings):
    """``padding``: zeros, border or reflection."""

    mode: str
    padding: str
    align_corners: bool
    channels: str
