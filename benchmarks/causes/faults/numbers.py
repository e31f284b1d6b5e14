"""Faults of numbers that stand in the graph: buffers, biases, what was computed once and stored."""

from __future__ import annotations

import copy
import random

import torch
from torch import Tensor, nn

from benchmarks.causes.faults.registry import Pair, fault
from benchmarks.causes.network import Size, Step


def _vector(draw: random.Random, size: Size, *axes: int) -> Tensor:
    generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
    return torch.randn((size.channels, *axes), generator=generator)


@fault("weights-bias-missing", "operation-missing", "constant-changed", places=("middle", "end"))
def lost_bias_of_a_sum(draw: random.Random, size: Size) -> Pair:
    """Half of the time the sum is gone, half of the time zeros are added."""
    layer = nn.Conv2d(size.channels, size.channels, 1, bias=False)
    bias = _vector(draw, size, 1, 1)
    good = Step(lambda x, layer, bias: layer(x) + bias, layer=layer, bias=bias)
    if draw.random() < 0.5:
        return good, Step(lambda x, layer: layer(x), layer=copy.deepcopy(layer))
    zeros = torch.zeros_like(bias)
    return good, Step(lambda x, layer, bias: layer(x) + bias, layer=copy.deepcopy(layer), bias=zeros)


@fault("constant-changed", "weights-changed")
def stale_buffer(draw: random.Random, size: Size) -> Pair:
    now, then = _vector(draw, size, 1, 1), _vector(draw, size, 1, 1)
    return (
        Step(lambda x, table: x.tanh() + table, table=now),
        Step(lambda x, table: x.tanh() + table, table=then),
    )


@fault("constant-changed", "weights-changed")
def two_stale_buffers(draw: random.Random, size: Size) -> Pair:
    tables, count = [_vector(draw, size, 1, 1) for _ in range(2)], draw.choice((2.0, 3.0))

    def of(table: Tensor, number: float) -> Step:
        return Step(lambda x, table, n: x.tanh() + table * n, table=table, n=torch.tensor([number]))

    return of(tables[0], count), of(tables[1], count - 1)


@fault("constant-changed", "trace-baked-constant", "weights-changed")
def stale_baked_table(draw: random.Random, size: Size) -> Pair:
    """A table that is computed from a weight: the export stores what it was before the last step of training."""
    now = _vector(draw, size, 1, 1)
    then = now + 0.05 * _vector(draw, size, 1, 1)
    baked = (then * 3).sigmoid()
    good = Step(lambda x, weight: x * (weight * 3).sigmoid(), weight=now)
    return good, Step(lambda x, table: x * table, table=baked)


@fault("constant-changed")
def other_factor(draw: random.Random, size: Size) -> Pair:
    factor = draw.choice((0.25, 0.5, 2.0))
    return Step(lambda x: x.tanh() * factor + 0.3), Step(lambda x: x.tanh() * (factor * 1.1) + 0.3)


@fault("trace-baked-constant")
def baked_maximum(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x / (x.abs().amax() + 1)), Step(lambda x: x / (3.217 + 1))


@fault("weights-permuted", "constant-changed", "weights-changed", "broadcast-axis", "concat-order")
def reversed_table(draw: random.Random, size: Size) -> Pair:
    table = _vector(draw, size, 1, 1)
    return Step(lambda x, table: x * table, table=table), Step(lambda x, table: x * table, table=table.flip(0))


@fault("weights-permuted", "weights-changed", places=("middle", "end"))
def kernel_flipped(draw: random.Random, size: Size) -> Pair:
    layer = nn.Conv2d(size.channels, size.channels, 3, padding=1)
    other = copy.deepcopy(layer)
    other.weight.data = other.weight.data.flip(2)
    return Step(lambda x, layer: layer(x), layer=layer), Step(lambda x, layer: layer(x), layer=other)


@fault("weights-reduced-precision")
def half_weights(draw: random.Random, size: Size) -> Pair:
    layer = nn.Conv2d(size.channels, size.channels, 3, padding=1)
    other = copy.deepcopy(layer)
    other.weight.data = other.weight.data.half().float()
    return Step(lambda x, layer: layer(x), layer=layer), Step(lambda x, layer: layer(x), layer=other)
