"""What puts whole tensors elsewhere: concatenation, transposition, reshaping, padding, repetition, blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aligner.operations.blocks import written_out
from aligner.operations.kernels.convolution import padded
from aligner.operations.operation import Operation, computes_by, wide
from aligner.operations.settings import (
    Along,
    BatchBlocks,
    Blocks,
    Flip,
    Pad,
    Repeat,
    Reshape,
    ReverseSequence,
    Roll,
    Shaped,
    Split,
    Tile,
    Transpose,
)
from aligner.records.array import Array


@computes_by(Along, "concat")
def concatenate(operation: Operation, settings: Along) -> Array:
    """Along one axis."""
    return np.concatenate(operation.data, axis=settings.axis)


@computes_by(Along, "stack")
def stack(operation: Operation, settings: Along) -> Array:
    """Along a new axis."""
    return np.stack(operation.data, axis=settings.axis)


@computes_by(Transpose, "transpose")
def transpose(operation: Operation, settings: Transpose) -> Array:
    """Axes in another order."""
    moved: Array = operation.data[0].transpose(settings.perm)
    return moved


@computes_by(Reshape, "reshape")
def reshape(operation: Operation, settings: Reshape) -> Array:
    """The same elements in other axes; ``before`` is an axis order applied first, for hypotheses."""
    x = operation.data[0]
    if settings.before is not None:
        x = x.transpose(settings.before)
    result: Array = x.reshape(settings.shape)
    return result


@computes_by(Shaped, "expand")
def expand(operation: Operation, settings: Shaped) -> Array:
    """Broadcast to a shape."""
    return np.broadcast_to(wide(operation.data[0]), settings.shape)


@computes_by(Tile, "tile")
def tile(operation: Operation, settings: Tile) -> Array:
    """The whole tensor again and again along each axis; a longer list of repeats makes new axes in front."""
    return np.tile(operation.data[0], settings.repeats)


@computes_by(Repeat, "repeat")
def repeat(operation: Operation, settings: Repeat) -> Array:
    """Each element again and again along one axis, of the flattened tensor where that is None."""
    return np.repeat(operation.data[0], settings.repeats, axis=settings.axis)


@computes_by(Flip, "flip")
def flip(operation: Operation, settings: Flip) -> Array:
    """Backwards along some axes."""
    return np.flip(operation.data[0], axis=settings.axes)


@computes_by(Roll, "roll")
def roll(operation: Operation, settings: Roll) -> Array:
    """Shifted in a circle along some axes."""
    return np.roll(operation.data[0], settings.shifts, axis=settings.axes)


@computes_by(Pad, "pad")
def pad(operation: Operation, settings: Pad) -> Array:
    """All axes at once."""
    return padded(operation.data[0], settings.pads, settings.mode, settings.value)


@computes_by(ReverseSequence, "reverse_sequence")
def reverse_sequence(operation: Operation, settings: ReverseSequence) -> Array:
    """The first elements of each sample in the opposite order, as many as its length says; the rest stays."""
    x, lengths = np.moveaxis(operation.data[0], (settings.batch, settings.axis), (0, 1)), operation.data[1]
    result = x.copy()
    for sample, length in enumerate(lengths.reshape(-1).astype(int)):
        result[sample, :length] = x[sample, :length][::-1]
    return np.moveaxis(result, (0, 1), (settings.batch, settings.axis))


@computes_by(Split, "split")
def split(operation: Operation, settings: Split) -> tuple[Array, ...]:
    """Every part in order, the last one as long as what is left."""
    axis, sizes = settings.axis, settings.sizes
    parts = np.split(operation.data[0], np.cumsum(sizes)[:-1], axis=axis)
    return tuple(part.squeeze(axis) for part in parts) if settings.drop else tuple(parts)


@computes_by(Blocks, "depth_to_space")
def depth_to_space(operation: Operation, settings: Blocks) -> Array:
    """Rank 4; CRD reads a channel's number as (channel, row, column) of the block, DCR as (row, column, channel)."""
    split, axes, merged = written_out(settings, operation.data[0].shape)
    result: Array = operation.data[0].reshape(split).transpose(axes).reshape(merged)
    return result


@computes_by(BatchBlocks, "space_to_batch")
def space_to_batch(operation: Operation, settings: BatchBlocks) -> Array:
    """Pad, cut every axis into steps of the block, and put the places within a block before the batch."""
    x, block = wide(operation.data[0]), settings.block
    n, rank = x.shape[0], len(block)
    rest = x.shape[rank + 1 :]
    x = np.pad(x, [(0, 0), *settings.amounts, *((0, 0) for _ in rest)])
    steps = [size // b for size, b in zip(x.shape[1 : rank + 1], block, strict=True)]
    cut = [size for step, b in zip(steps, block, strict=True) for size in (step, b)]
    places, outer = [2 + 2 * k for k in range(rank)], [1 + 2 * k for k in range(rank)]
    order = [*places, 0, *outer, *range(2 * rank + 1, 2 * rank + 1 + len(rest))]
    result: Array = x.reshape(n, *cut, *rest).transpose(order).reshape(n * math.prod(block), *steps, *rest)
    return result


@computes_by(BatchBlocks, "batch_to_space")
def batch_to_space(operation: Operation, settings: BatchBlocks) -> Array:
    """The reverse, with crops for paddings."""
    x, block = wide(operation.data[0]), settings.block
    rank, n = len(block), x.shape[0] // math.prod(block)
    steps, rest = x.shape[1 : rank + 1], x.shape[rank + 1 :]
    order = [rank, *(axis for k in range(rank) for axis in (rank + 1 + k, k))]
    order += range(2 * rank + 1, 2 * rank + 1 + len(rest))
    joined = [step * b for step, b in zip(steps, block, strict=True)]
    whole = x.reshape(*block, n, *steps, *rest).transpose(order).reshape(n, *joined, *rest)
    inside = [slice(b, size - e) for (b, e), size in zip(settings.amounts, joined, strict=True)]
    place: Any = (slice(None), *inside)
    result: Array = whole[place]
    return result
