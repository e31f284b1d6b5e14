"""Heads and tails that only one side has: decoding, probabilities, scales, normalisation."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.causes.faults.registry import Pair, fault
from benchmarks.causes.network import Size, Step

Function = Callable[[Tensor], Tensor]


def _decoded(x: Tensor) -> Tensor:
    boxes, rest = x[:, :4], x[:, 4:]
    return torch.cat([boxes.sigmoid() * 16 + 4, rest.sigmoid()], 1)


_TAILS: dict[str, Function] = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
    "scale": lambda x: x * 255.0,
    "range": lambda x: x * 0.5 + 0.5,
    "normalise": lambda x: functional.normalize(x, dim=1),
    "clamp": lambda x: x.clamp(0.0, 1.0),
    "decode": _decoded,
}


def _plain(x: Tensor) -> Tensor:
    return x + 0.1


def _with(tail: Function) -> Step:
    return Step(lambda x: tail(_plain(x)))


def _register(name: str, tail: Function) -> None:
    def extra(draw: random.Random, size: Size) -> Pair:
        return Step(_plain), _with(tail)

    def missing(draw: random.Random, size: Size) -> Pair:
        return _with(tail), Step(_plain)

    extra.__name__, missing.__name__ = f"tail_extra_{name}", f"tail_missing_{name}"
    also = {
        "scale": ("constant-changed",),
        "range": ("constant-changed",),
        "clamp": ("saturation", "activation-variant"),
    }
    fault("operation-extra", *also.get(name, ()), places=("end",))(extra)
    fault("operation-missing", *also.get(name, ()), places=("end",))(missing)


for _name, _tail in _TAILS.items():
    _register(_name, _tail)


@fault("operation-extra", "input-mean-std", "constant-changed", places=("start",))
def head_extra_normalise(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: x.contiguous()), Step(lambda x: (x - 0.45) / 0.22)


@fault("operation-missing", "input-mean-std", "constant-changed", places=("start",))
def head_missing_normalise(draw: random.Random, size: Size) -> Pair:
    return Step(lambda x: (x - 0.45) / 0.22), Step(lambda x: x.contiguous())
