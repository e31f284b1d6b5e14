"""Faults in a live module: weights that were never loaded, modes, and what tracing freezes."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.faults.architectures import ARCHITECTURES, Architecture


@dataclass(frozen=True, slots=True)
class Variant:
    """A network as built, or changed: everything needed to build it again in another process."""

    architecture: str
    seed: int
    change: str = ""
    draw: int = 0


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed module: the paths that are guilty, upstream first, and the kind of operation there ("" for any).

    ``everywhere``: all of them at once; ``missing``: the fault is an operation that is not there.
    """

    module: Any
    guilty: tuple[str, ...] = ()
    kind: str = ""
    everywhere: bool = False
    missing: bool = False


def make(variant: Variant) -> Changed:
    """Build the variant; equal variants are equal modules."""
    import torch

    architecture = ARCHITECTURES[variant.architecture]
    module = architecture.module(variant.seed)
    if not variant.change:
        return Changed(module)
    rng = np.random.default_rng([variant.seed, variant.draw, 23])
    with torch.no_grad():
        return CHANGES[variant.change](module, architecture, variant, rng)


def leaves_in_order(module: Any, architecture: Architecture, seed: int) -> list[tuple[str, Any]]:
    """(path, output) of every leaf that ran once and returned a tensor of floats, in order."""
    import torch

    seen: list[tuple[str, Any]] = []
    hooks = [
        leaf.register_forward_hook(lambda _, __, output, path=path: seen.append((path, output)))
        for path, leaf in module.named_modules()
        if path and not list(leaf.children())
    ]
    with torch.no_grad():
        module(*(torch.from_numpy(array) for array in architecture.feeds(seed).values()))
    for hook in hooks:
        hook.remove()
    paths = [path for path, _ in seen]
    return [
        (path, output)
        for path, output in seen
        if paths.count(path) == 1 and isinstance(output, torch.Tensor) and output.is_floating_point()
    ]


def weighted_paths(module: Any, architecture: Architecture, seed: int) -> list[str]:
    """Leaves with weights in the order they run; those that run several times count once."""
    import torch

    order: dict[str, None] = {}
    hooks = [
        leaf.register_forward_hook(lambda _, __, ___, path=path: order.setdefault(path))
        for path, leaf in module.named_modules()
        if path and not list(leaf.children()) and list(leaf.parameters())
    ]
    with torch.no_grad():
        module(*(torch.from_numpy(array) for array in architecture.feeds(seed).values()))
    for hook in hooks:
        hook.remove()
    return list(order)


def _fresh(architecture: Architecture, draw: int) -> Any:
    """The network as its constructor leaves it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7000 + draw)
        return architecture.build().eval().requires_grad_(False)


Rng = np.random.Generator
_Change = Callable[[Any, Architecture, Variant, Rng], Changed]


def _unloaded(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:  # noqa: ARG001
    fresh = _fresh(architecture, variant.draw)
    return Changed(fresh, tuple(weighted_paths(fresh, architecture, variant.seed)), everywhere=True)


def _prefixed(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    """``strict=False`` with a prefix on the keys from some point on: the rest stays as initialised."""
    paths = weighted_paths(module, architecture, variant.seed)
    first = int(rng.integers(1, max(2, len(paths) - 1)))
    lost = tuple(paths[first:])
    state = {
        f"module.{key}" if key.rpartition(".")[0] in lost else key: value for key, value in module.state_dict().items()
    }
    fresh = _fresh(architecture, variant.draw)
    fresh.load_state_dict(state, strict=False)
    return Changed(fresh, lost, everywhere=True)


def _partly(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    paths = weighted_paths(module, architecture, variant.seed)
    path = paths[int(rng.integers(len(paths)))]
    fresh = _fresh(architecture, variant.draw)
    module.get_submodule(path).load_state_dict(fresh.get_submodule(path).state_dict())
    return Changed(module, (path,))


def _wrong_entry(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    """The raw weights where the averaged ones were meant: a percent off everywhere."""
    import torch

    for parameter in module.parameters():
        noise = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
        parameter.data += 0.01 * parameter.data.abs().mean() * noise
    return Changed(module, tuple(weighted_paths(module, architecture, variant.seed)), everywhere=True)


def _training(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:  # noqa: ARG001
    import torch

    norms = [
        path
        for path in weighted_paths(module, architecture, variant.seed)
        if isinstance(module.get_submodule(path), torch.nn.modules.batchnorm._BatchNorm)
    ]
    for path in norms:
        module.get_submodule(path).train()
    return Changed(module, tuple(norms), everywhere=True)


def _dropping(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    from torch.nn import functional

    path, _ = _leaf(module, architecture, variant, rng)
    _afterwards(module.get_submodule(path), lambda y: functional.dropout(y, 0.2))
    return Changed(module, (path,), "dropout")


def _scaled(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    """A number taken from the data with ``item()``: live here, frozen by whoever traces it."""
    path, _ = _leaf(module, architecture, variant, rng)
    _afterwards(module.get_submodule(path), lambda y: y * (1.0 / (0.1 + y.abs().mean().item())))
    return Changed(module, (path,), "mul")


def _branching(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    """A branch on the data; the trace input and the probe take different arms."""
    path, traced = _leaf(module, architecture, variant, rng)
    probed = dict(leaves_in_order(module, architecture, variant.seed + 1))[path]
    middle, above = float(traced.mean() + probed.mean()) / 2, bool(traced.mean() > probed.mean())

    def branch(y: Any) -> Any:
        return y * 1.5 if bool(y.mean() > middle) is above else y - 0.75

    _afterwards(module.get_submodule(path), branch)
    return Changed(module, (path,), "mul")


def _writing(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    """A write through a view."""

    def write(y: Any) -> Any:
        y = y.clone()
        y[..., ::2].mul_(0.5)
        return y

    path, _ = _leaf(module, architecture, variant, rng)
    _afterwards(module.get_submodule(path), write)
    return Changed(module, (path,))


def _write_lost(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:
    """The same with the write dropped, as exporters do."""
    path, _ = _leaf(module, architecture, variant, rng)
    _afterwards(module.get_submodule(path), lambda y: y.clone())
    return Changed(module, (path,), missing=True)


def _inplace(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:  # noqa: ARG001
    for part in module.modules():
        if hasattr(part, "inplace"):
            part.inplace = True
    return Changed(module)


def _noisy(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:  # noqa: ARG001
    for part in module.modules():
        if hasattr(part, "live"):
            part.live = True
    return Changed(module)


def _mutating(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> Changed:  # noqa: ARG001
    """A forward that leaves its input changed."""
    forward = module.forward

    def spoil(self: Any, x: Any) -> Any:  # noqa: ARG001
        result = forward(x)
        x.mul_(0.5)
        return result

    module.forward = types.MethodType(spoil, module)
    return Changed(module)


def _leaf(module: Any, architecture: Architecture, variant: Variant, rng: Rng) -> tuple[str, Any]:
    found = leaves_in_order(module, architecture, variant.seed)
    return found[int(rng.integers(len(found)))]


def _afterwards(leaf: Any, change: Callable[[Any], Any]) -> None:
    """Change what a leaf returns, from inside its own forward, so that tracers see it there."""
    forward = leaf.forward

    def changed(self: Any, *given: Any, **named: Any) -> Any:  # noqa: ARG001
        return change(forward(*given, **named))

    leaf.forward = types.MethodType(changed, leaf)


CHANGES: Mapping[str, _Change] = {
    "unloaded": _unloaded,
    "prefixed": _prefixed,
    "partly": _partly,
    "wrong-entry": _wrong_entry,
    "training": _training,
    "dropping": _dropping,
    "scaled": _scaled,
    "branching": _branching,
    "writing": _writing,
    "write-lost": _write_lost,
    "inplace": _inplace,
    "noisy": _noisy,
    "mutating": _mutating,
}


@dataclass(frozen=True, slots=True)
class ModuleFault:
    """A fault of a live module: how the two sides are changed, which forms the candidate may take."""

    name: str
    candidate: str
    causes: tuple[str, ...]
    forms: tuple[str, ...] = ("eager", "trace", "onnx", "dynamo")
    reference: str = ""


MODULE_FAULTS: Mapping[str, ModuleFault] = {
    each.name: each
    for each in (
        ModuleFault("weights-not-loaded", "unloaded", ("weights-not-loaded",)),
        ModuleFault(
            "weights-prefix-mismatch",
            "prefixed",
            ("weights-prefix-mismatch", "weights-partly-loaded", "weights-not-loaded"),
        ),
        ModuleFault("weights-partly-loaded", "partly", ("weights-partly-loaded", "weights-not-loaded")),
        ModuleFault("weights-wrong-entry", "wrong-entry", ("weights-wrong-entry", "weights-changed")),
        ModuleFault("norm-train-mode", "training", ("norm-train-mode",), ("eager", "trace")),
        ModuleFault("dropout-active", "dropping", ("dropout-active", "random-op"), ("eager", "trace")),
        ModuleFault(
            "trace-baked-item", "scaled", ("trace-baked-constant", "constant-changed"), ("trace", "onnx"), "scaled"
        ),
        ModuleFault("trace-baked-branch", "branching", ("trace-baked-branch",), ("trace", "onnx"), "branching"),
        ModuleFault("inplace-write-lost", "write-lost", ("inplace-write-lost",), reference="writing"),
    )
}
