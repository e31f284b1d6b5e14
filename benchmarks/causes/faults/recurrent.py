"""Faults of recurrent layers: fewer bits, gates, direction."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.causes.faults.registry import Pair, fault
from benchmarks.causes.network import Size, Step

Edit = Callable[[Tensor], Tensor]


def _cell(draw: random.Random, size: Size) -> nn.Module:
    made = draw.choice((nn.GRU, nn.LSTM))
    cell: nn.Module = made(size.channels, size.channels, batch_first=True)
    return cell


def _read(x: Tensor, cell: nn.Module) -> Tensor:
    out: Tensor = cell(x)[0]
    return out


def _edited(cell: nn.Module, edit: Edit, part: str = "weight") -> Pair:
    other = copy.deepcopy(cell)
    for name, one in other.named_parameters():
        if name.startswith(part):
            one.data = edit(one.data)
    return Step(_read, cell=cell), Step(_read, cell=other)


def _eight_bits(weight: Tensor) -> Tensor:
    step = weight.abs().max() / 127
    return (weight / step).round() * step


@fault("weights-reduced-precision", domain="tokens")
def cell_in_half(draw: random.Random, size: Size) -> Pair:
    return _edited(_cell(draw, size), lambda weight: weight.half().float())


@fault("weights-quantized", domain="tokens")
def cell_in_eight_bits(draw: random.Random, size: Size) -> Pair:
    return _edited(_cell(draw, size), _eight_bits)


@fault("rnn-gate-order", domain="tokens")
def gates_exchanged(draw: random.Random, size: Size) -> Pair:
    cell = _cell(draw, size)
    gates = 3 if isinstance(cell, nn.GRU) else 4

    def edit(one: Tensor) -> Tensor:
        parts = list(one.chunk(gates))
        parts[0], parts[1] = parts[1], parts[0]
        return torch.cat(parts)

    return _edited(cell, edit, "")


@fault("rnn-direction", "spatial-flip", "operation-missing", domain="tokens")
def direction_lost(draw: random.Random, size: Size) -> Pair:
    cell = _cell(draw, size)

    def turned(x: Tensor, cell: nn.Module) -> Tensor:
        out: Tensor = cell(x.flip(1))[0]
        return out.flip(1)

    return Step(turned, cell=cell), Step(_read, cell=copy.deepcopy(cell))


@fault("weights-bias-missing", "weights-changed", domain="tokens")
def cell_without_bias(draw: random.Random, size: Size) -> Pair:
    return _edited(_cell(draw, size), torch.zeros_like, "bias_ih")
