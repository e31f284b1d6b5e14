"""What a module remembers between calls, put back after each run."""

from __future__ import annotations

from collections import deque
from typing import Any

from aligner.adapters.pytorch_adapter.shared_memory import version_of

_DEPTH = 4
"""Attributes of attributes of a module that may hold what it remembers: a limit of work."""
_SHALLOW = frozenset({"_modules", "_parameters"})
"""Restored as bindings only: parameters are not copied."""


class ModuleState:
    """A snapshot of every module's buffers and attributes, with the tensors and containers among them.

    Parameters are not copied; ``changed_parameters`` names those that were written to since.
    """

    def __init__(self, module: Any) -> None:
        self._bindings = [(part, dict(vars(part))) for part in module.modules()]
        self._containers: list[tuple[Any, Any]] = []
        self._tensors: dict[int, tuple[Any, Any]] = {}
        self._parameters = [(name, tensor, version_of(tensor)) for name, tensor in module.named_parameters()]
        self._skipped = {id(tensor) for _, tensor, _ in self._parameters}
        seen: set[int] = set()
        for _, bindings in self._bindings:
            for name, value in bindings.items():
                self._keep(value, seen, depth=1 if name in _SHALLOW else _DEPTH, shallow=name in _SHALLOW)

    def _keep(self, value: Any, seen: set[int], *, depth: int, shallow: bool = False) -> None:
        import torch

        if depth == 0 or id(value) in seen:
            return
        if isinstance(value, torch.Tensor):
            if id(value) not in self._skipped and not isinstance(value, torch.nn.parameter.UninitializedTensorMixin):
                seen.add(id(value))
                self._tensors[id(value)] = (value, value.detach().clone())
            return
        items: list[Any] = []
        if isinstance(value, dict):
            self._containers.append((value, dict(value)))
            items = list(value.values())
        elif isinstance(value, list | deque | set):
            self._containers.append((value, list(value)))
            items = list(value)
        elif isinstance(value, tuple):
            items = list(value)
        seen.add(id(value))
        if not shallow:
            for item in items:
                self._keep(item, seen, depth=depth - 1)

    def restore(self) -> None:
        """Put bindings, containers and tensor contents back; training flags too."""
        for part, bindings in self._bindings:
            vars(part).clear()
            vars(part).update(bindings)
        for container, content in self._containers:
            if isinstance(container, dict | set):
                container.clear()
                container.update(content)
            else:
                container.clear()
                container.extend(content)
        for tensor, content in self._tensors.values():
            if tensor.shape != content.shape:
                tensor.data = content
            else:
                tensor.data.copy_(content)

    def changed_parameters(self) -> list[str]:
        """Names of parameters that the forward pass wrote to."""
        return [name for name, tensor, version in self._parameters if version_of(tensor) != version]


def plain_tensors(module: Any) -> dict[str, Any]:
    """Parameters, buffers and tensors kept as plain attributes, by qualified name; a shared one has its first name."""
    found: dict[str, Any] = {}
    held: set[int] = set()
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
        *_attributes(module),
    ):
        if id(tensor) not in held:
            held.add(id(tensor))
            found[name] = tensor
    return found


def _attributes(module: Any) -> list[tuple[str, Any]]:
    import torch

    found: list[tuple[str, Any]] = []

    def collect(name: str, value: Any, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            found.append((name, value))
        elif depth and isinstance(value, tuple | list):
            for number, item in enumerate(value):
                collect(f"{name}.{number}", item, depth - 1)
        elif depth and isinstance(value, dict):
            for key, item in value.items():
                collect(f"{name}.{key}", item, depth - 1)

    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if not name.startswith("_") or isinstance(value, torch.Tensor):
                collect(f"{path}.{name}" if path else name, value, 2)
    return found
