"""Faults of layers that are told something: slopes, groups, borders, halves."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.causes.faults.registry import Pair, fault
from benchmarks.causes.network import Size, Step

Function = Callable[..., Tensor]


def _told(function: Function, name: str, good: Any, bad: Any) -> Pair:
    return Step(partial(function, **{name: good})), Step(partial(function, **{name: bad}))


def _layers(size: Size, good: dict[str, Any], bad: dict[str, Any]) -> Pair:
    """One convolution with the same weights, told something else."""
    layers = [nn.Conv2d(size.channels, size.channels, 3, **told) for told in (good, bad)]
    layers[1].load_state_dict(copy.deepcopy(layers[0].state_dict()))
    steps = [Step(lambda x, layer: layer(x), layer=layer) for layer in layers]
    return steps[0], steps[1]


@fault("activation-variant", "setting-changed", "constant-changed", "operation-missing")
def softplus_beta(draw: random.Random, size: Size) -> Pair:
    return _told(functional.softplus, "beta", 2.0, 1.0)


@fault("activation-variant", "setting-changed", "constant-changed")
def leaky_slope(draw: random.Random, size: Size) -> Pair:
    return _told(functional.leaky_relu, "negative_slope", 0.1, 0.01)


@fault("activation-variant", "setting-changed", "constant-changed")
def exponential_alpha(draw: random.Random, size: Size) -> Pair:
    return _told(functional.elu, "alpha", 0.5, 1.0)


@fault("activation-variant", "operation-changed")
def hard_sigmoid_for_sigmoid(draw: random.Random, size: Size) -> Pair:
    return Step(torch.sigmoid), Step(functional.hardsigmoid)


@fault("activation-variant")
def gelu_by_sigmoid(draw: random.Random, size: Size) -> Pair:
    return Step(functional.gelu), Step(lambda x: x * torch.sigmoid(1.702 * x))


@fault("split-order", "operand-swapped")
def halves_exchanged(draw: random.Random, size: Size) -> Pair:
    def bad(x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        return left.sigmoid() * right

    return Step(partial(functional.glu, dim=1)), Step(bad)


@fault("operand-swapped", "operation-changed")
def branches_exchanged(draw: random.Random, size: Size) -> Pair:
    return (
        Step(lambda x: torch.where(x > 0.3, x, x.tanh())),
        Step(lambda x: torch.where(x > 0.3, x.tanh(), x)),
    )


@fault("norm-statistics", "operation-missing", domain="tokens")
def mean_square_norm_for_layer_norm(draw: random.Random, size: Size) -> Pair:
    weight = torch.randn(size.channels, generator=torch.Generator().manual_seed(draw.randrange(99)))

    def good(x: Tensor, weight: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], weight)

    def bad(x: Tensor, weight: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight

    return Step(good, weight=weight), Step(bad, weight=weight.clone())


@fault("norm-statistics", "setting-changed", "axis-split")
def norm_groups(draw: random.Random, size: Size) -> Pair:
    def of(groups: int) -> Step:
        return Step(lambda x: functional.group_norm(x, groups))

    return of(4), of(2)


@fault("norm-epsilon", domain="tokens")
def norm_epsilon(draw: random.Random, size: Size) -> Pair:
    return _told(lambda x, eps: functional.layer_norm(x, x.shape[-1:], eps=eps), "eps", 1e-5, 1e-2)


@fault("reduce-axis-or-bias", "setting-changed")
def norm_of_another_order(draw: random.Random, size: Size) -> Pair:
    return _told(lambda x, p: functional.normalize(x, p=p, dim=1), "p", 2.0, 1.0)


@fault("padding-mode", places=("middle", "end"))
def border_of_a_convolution(draw: random.Random, size: Size) -> Pair:
    mode = draw.choice(("reflect", "replicate", "circular"))
    return _layers(size, {"padding": 1, "padding_mode": mode}, {"padding": 1})


@fault("conv-stride-dilation-groups", places=("middle", "end"))
def dilation_lost(draw: random.Random, size: Size) -> Pair:
    return _layers(size, {"padding": 2, "dilation": 2}, {"padding": 1})


@fault("pool-count-include-pad")
def border_counted_in_an_average(draw: random.Random, size: Size) -> Pair:
    def of(counted: bool) -> Step:
        return Step(lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=counted))

    return of(True), of(False)


@fault("reduce-axis-or-bias", "operation-changed", "constant-changed")
def sum_for_mean(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x - x.mean(1, keepdim=True)), Step(lambda x: x - x.sum(1, keepdim=True))


@fault("reduce-axis-or-bias", "spatial-flip", "operation-missing", "operation-extra")
def cumulated_from_the_other_end(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.cumsum(3)), Step(lambda x: x.flip(3).cumsum(3).flip(3))


@fault("constant-changed", "operation-changed")
def another_power(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.abs() ** 1.5), Step(lambda x: x.abs() ** 2.5)


@fault("constant-changed", "saturation", "activation-variant", "operation-extra")
def another_limit(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.clamp(-1.0, 1.0)), Step(lambda x: x.clamp(-1.0, 0.5))


@fault("operation-order")
def scaled_before_the_root(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: (x.abs() + 0.1).sqrt() * 2.0), Step(lambda x: ((x.abs() + 0.1) * 2.0).sqrt())


@fault("operation-order", places=("middle", "end"))
def activation_before_the_bias(draw: random.Random, size: Size) -> Pair:
    layer = nn.Conv2d(size.channels, size.channels, 1, bias=False)
    bias = torch.randn((size.channels, 1, 1), generator=torch.Generator().manual_seed(draw.randrange(99)))
    held = [{"layer": copy.deepcopy(layer), "bias": bias.clone()} for _ in range(2)]
    return (
        Step(lambda x, layer, bias: (layer(x) + bias).relu(), **held[0]),
        Step(lambda x, layer, bias: layer(x).relu() + bias, **held[1]),
    )
