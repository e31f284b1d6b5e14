"""Faults of pictures: borders, sampling, order of axes and channels, sizes."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.causes.faults.registry import Pair, fault
from benchmarks.causes.network import Size, Step


def _sampled(x: Tensor, **settings: Any) -> Tensor:
    turn = torch.tensor([[[0.9, 0.2, 0.1], [-0.2, 0.8, 0.05]]])
    grid = functional.affine_grid(turn, list(x.shape), align_corners=False) * 1.2
    return functional.grid_sample(x, grid, **{"align_corners": False, **settings})


@fault("setting-changed", opset=20)
def grid_sample_corners(draw: random.Random, size: Size) -> Pair:
    return Step(_sampled), Step(partial(_sampled, align_corners=True))


@fault("setting-changed", opset=20)
def grid_sample_border(draw: random.Random, size: Size) -> Pair:
    return Step(_sampled), Step(partial(_sampled, padding_mode=draw.choice(("border", "reflection"))))


@fault("setting-changed", opset=20)
def grid_sample_mode(draw: random.Random, size: Size) -> Pair:
    return Step(_sampled), Step(partial(_sampled, mode="nearest"))


@fault("padding-mode")
def pad_value(draw: random.Random, size: Size) -> Pair:
    sides = (1, draw.choice((1, 2)), 1, 1)
    return Step(lambda x: functional.pad(x, sides)), Step(lambda x: functional.pad(x, sides, value=1.0))


@fault("padding-asymmetric")
def pad_sides(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: functional.pad(x, (1, 0, 1, 0))), Step(lambda x: functional.pad(x, (0, 1, 0, 1)))


@fault("slice-bounds")
def slice_start(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x[:, :, ::2, ::2]), Step(lambda x: x[:, :, 1::2, ::2])


def _shuffled(x: Tensor, groups: int) -> Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


@fault("axis-split")
def channel_shuffle_groups(draw: random.Random, size: Size) -> Pair:
    return Step(partial(_shuffled, groups=2)), Step(partial(_shuffled, groups=4))


@fault("operation-missing", "layout-transposition", "flatten-order")
def lost_permute(draw: random.Random, size: Size) -> Pair:
    def good(x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(x.shape)

    return Step(good), Step(lambda x: x.reshape(x.shape))


@fault("layout-transposition", "operation-extra", square=True)
def extra_transpose(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x * 1.5), Step(lambda x: x.transpose(2, 3) * 1.5)


@fault("layout-transposition", square=True)
def wrong_permutation(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.permute(0, 1, 3, 2) + 0.5), Step(lambda x: x.permute(0, 1, 2, 3) + 0.5)


@fault("setting-changed", square=True)
def einsum_equation(draw: random.Random, size: Size) -> Pair:
    def of(equation: str) -> Step:
        return Step(lambda x: torch.einsum(equation, x, x))

    return of("nchw,ncwk->nchk"), of("nchw,nckw->nchk")


@fault("rolled", "setting-changed", "operation-missing", "operation-extra")
def roll_lost(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.roll(2, 3) * 0.7), Step(lambda x: x * 0.7)


@fault("rolled", "setting-changed", "slice-bounds")
def roll_by_another(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.roll(2, 3)), Step(lambda x: x.roll(3, 3))


@fault("spatial-flip", "operation-extra")
def extra_flip(draw: random.Random, size: Size) -> Pair:
    axis = draw.choice((2, 3))
    return Step(lambda x: x * 0.7), Step(lambda x: x.flip(axis) * 0.7)


@fault("resize-nearest-rounding", "resize-coordinate-mode")
def nearest_rounding(draw: random.Random, size: Size) -> Pair:
    to = (size.height * 5 // 3, size.width * 5 // 3)
    return (
        Step(lambda x: functional.interpolate(x, to, mode="nearest")),
        Step(lambda x: functional.interpolate(x, to, mode="nearest-exact")),
    )


@fault("resize-coordinate-mode")
def align_corners(draw: random.Random, size: Size) -> Pair:
    def of(corners: bool) -> Step:
        return Step(lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=corners))

    return of(False), of(True)


@fault("concat-order")
def concat_order(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: torch.cat([x, x.tanh()], 1)), Step(lambda x: torch.cat([x.tanh(), x], 1))


@fault("depth-to-space-order", "axis-split", "layout-transposition")
def pixel_shuffle_order(draw: random.Random, size: Size) -> Pair:
    def other(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.reshape(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)

    return Step(lambda x: functional.pixel_shuffle(x, 2)), Step(other)


@fault("operation-changed", "reduce-axis-or-bias")
def max_for_average(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: functional.avg_pool2d(x, 2)), Step(lambda x: functional.max_pool2d(x, 2))
