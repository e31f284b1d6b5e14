"""Faults planted in live modules, before TorchScript or torch.export see them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.converters.graph import Array

_ACTIVATIONS = (nn.ReLU, nn.SiLU, nn.GELU, nn.LeakyReLU, nn.Sigmoid, nn.Hardswish, nn.PReLU, nn.ReLU6, nn.SELU)


@dataclass(frozen=True, slots=True)
class Planted:
    net: nn.Module
    fault: str
    detail: str
    wrong: list[list[Array]]
    """What the module at fault should give, then what modules behind it should, in the order of their calls."""
    made: list[list[Array]]
    """The same of what they give instead."""


def plant(net: nn.Module, inputs: tuple[Tensor, ...], rng: np.random.Generator) -> Planted | None:
    """A copy with one module at fault; None where the drawn fault does not fit it."""
    try:
        faulty = copy.deepcopy(net)
    except RuntimeError:  # weights that are computed from others
        return None
    leaves = [(name, module) for name, module in faulty.named_modules() if name and not [*module.children()]]
    name, module = leaves[int(rng.integers(len(leaves)))]
    fault = _broken(faulty, name, module, rng)
    if fault is None:
        return None
    sides = _given(net, inputs), _given(faulty, inputs)
    apart = [(one, other) for one, other in zip(*sides, strict=True) if not np.array_equal(one, other)]
    return Planted(faulty, fault, f"{name}: {fault}", *([[each[side]] for each in apart] for side in (0, 1)))


def _broken(net: nn.Module, name: str, module: nn.Module, rng: np.random.Generator) -> str | None:
    if isinstance(module, _ACTIVATIONS):
        parent, _, last = name.rpartition(".")
        setattr(net.get_submodule(parent), last, nn.Identity())
        return "activation dropped"
    draw = torch.Generator().manual_seed(int(rng.integers(2**31)))
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    kinds = ["noise"] if isinstance(weight, Tensor) and weight.ndim > 1 else []
    kinds += ["bias"] if isinstance(bias, Tensor) else []
    kinds += ["epsilon"] if hasattr(module, "eps") else []
    if not kinds:
        return None
    kind = kinds[int(rng.integers(len(kinds)))]
    with torch.no_grad():
        if kind == "noise":
            weight += float(rng.choice([0.01, 0.1])) * weight.std() * torch.randn(weight.shape, generator=draw)
        elif kind == "bias":
            bias.zero_()
        else:
            module.eps = float(rng.choice([1e-2, 0.1, 0.5]))
    return {"noise": "weights noised", "bias": "bias lost", "epsilon": "epsilon changed"}[kind]


def _given(net: nn.Module, inputs: tuple[Tensor, ...]) -> list[Array]:
    """What all leaf modules give, call by call."""
    found: list[Array] = []

    def keep(module: nn.Module, arguments: object, output: object) -> None:  # noqa: ARG001
        found.extend(one.detach().numpy().copy() for one in _tensors(output))

    handles = [module.register_forward_hook(keep) for module in net.modules() if not [*module.children()]]
    with torch.no_grad():
        net(*inputs)
    for handle in handles:
        handle.remove()
    return found


def _tensors(output: object) -> list[Tensor]:
    return [each for each in (output if isinstance(output, tuple) else (output,)) if isinstance(each, Tensor)]
