"""Faults of single operations: another one, one too many, one too few, two in the other order."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.causes.faults.registry import Pair, fault
from benchmarks.causes.network import Size, Step

Function = Callable[[Tensor], Tensor]


@fault("operation-changed", "activation-variant")
def selu_for_elu(draw: random.Random, size: Size) -> Pair:
    return Step(functional.elu), Step(functional.selu)


@fault("activation-variant")
def gelu_by_tanh(draw: random.Random, size: Size) -> Pair:
    return Step(functional.gelu), Step(lambda x: functional.gelu(x, approximate="tanh"))


@fault("operation-changed", "operation-extra", "constant-changed")
def log2_for_log(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: (x.abs() + 1).log()), Step(lambda x: (x.abs() + 1).log2())


@fault("operation-changed")
def abs_for_square(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x * x), Step(lambda x: x.abs())


@fault("operation-changed")
def sin_for_cos(draw: random.Random, size: Size) -> Pair:
    return Step(torch.cos), Step(torch.sin)


@fault("operation-extra", "saturation", "activation-variant")
def inserted_clip(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x * 2), Step(lambda x: (x * 2).clamp(-1.0, 1.5))


@fault("operation-extra")
def inserted_round(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x * 3), Step(lambda x: (x * 3).round())


@fault("operation-extra", "precision-fp16")
def inserted_cast(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x * 3), Step(lambda x: (x * 3).half().float())


_ONCE: tuple[Function, ...] = (
    torch.tanh,
    torch.sigmoid,
    functional.silu,
    functional.softplus,
    lambda x: x * 1.3,
    lambda x: x.softmax(1),
)


@fault("operation-extra", "constant-changed")
def applied_twice(draw: random.Random, size: Size) -> Pair:
    function = draw.choice(_ONCE)
    return Step(function), Step(lambda x: function(function(x)))


@fault("operation-missing")
def applied_once_of_two(draw: random.Random, size: Size) -> Pair:
    function = draw.choice((torch.tanh, torch.sigmoid, functional.silu))
    return Step(lambda x: function(function(x))), Step(function)


@fault("operation-missing", "activation-variant", "operation-changed")
def lost_activation(draw: random.Random, size: Size) -> Pair:
    function = draw.choice((torch.tanh, torch.sigmoid, functional.silu, functional.relu, functional.gelu))
    return Step(lambda x: function(x + 0.1)), Step(lambda x: x + 0.1)


@fault("operation-order")
def epsilon_outside_the_root(draw: random.Random, size: Size) -> Pair:
    def good(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 0.05).sqrt()

    def bad(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True).sqrt() + 0.05)

    return Step(good), Step(bad)


@fault("reduce-axis-or-bias", "constant-changed", "operation-extra", "operation-missing")
def deviation_of_a_sample(draw: random.Random, size: Size) -> Pair:
    def of(correction: int) -> Step:
        return Step(lambda x: x / (x.std(1, correction=correction, keepdim=True) + 0.1))

    return of(0), of(1)


@fault("reduce-axis-or-bias", square=True)
def reduced_along_another_axis(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x - x.mean(2, keepdim=True)), Step(lambda x: x - x.mean(3, keepdim=True))


@fault("softmax-axis", square=True)
def softmax_along_another_axis(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.softmax(1)), Step(lambda x: x.softmax(draw.choice((2, 3))))


@fault("nonfinite-introduced", "operation-missing")
def log_of_negatives(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: (x.abs() + 0.1).log()), Step(lambda x: (x + 0.1).log())


@fault("nonfinite-introduced", "operation-missing")
def root_of_negatives(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.relu().sqrt()), Step(lambda x: x.sqrt())


@fault("nonfinite-introduced", "operation-missing", "constant-changed")
def division_by_zero(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.relu() / (x.relu() + 1e-3)), Step(lambda x: x.relu() / x.relu())


@fault("operand-swapped", "operation-changed")
def difference_turned(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.tanh() - x), Step(lambda x: x - x.tanh())


@fault("residual-missing", "operation-missing")
def lost_residual(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x + x.sigmoid()), Step(lambda x: x.sigmoid())


@fault("division-rounding", "operation-changed")
def floor_for_truncation(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: (x * 3 - 2).trunc()), Step(lambda x: (x * 3 - 2).floor())
