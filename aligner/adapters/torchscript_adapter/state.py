"""A module's state: every run gets its own, parameters are shared."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aligner.adapters.torchscript_adapter.taps import every_node


class ModuleState:
    """Makes modules that share the original's parameters and own all else: buffers, attributes, submodules.

    ``graph`` is the inlined graph of ``forward``: the only place where the names of plain attributes can be read.
    Where it still calls into something that was not inlined, those are unknown and the module is copied in full.
    """

    def __init__(self, module: Any, graph: Any) -> None:
        self._attributes = _attributes_used(graph)
        self._in_full = any(node.kind() in ("prim::CallMethod", "prim::fork") for node in every_node(graph))
        self._parameters = {tensor.data_ptr() for _, tensor in named_parameters(module)}
        self.original = module

    def fresh(self) -> Any:
        """A module in the original's state, for one run."""
        return copy.deepcopy(self.original) if self._in_full else self._copy(self.original)

    def keep(self) -> None:
        """Take the state as it is now for the original, whatever others do to the module from here on."""
        self.original = self.fresh()

    def hollow(self) -> Any:
        """A module whose tensors have shapes and no data; None where it cannot be told what it holds."""
        if self._in_full:
            return None
        module = self._copy(self.original)
        _empty(module)
        return module

    def _copy(self, module: Any) -> Any:
        import torch

        own = module.__copy__()
        for name, child in torch._C.ModuleDict(module).items():
            own.setattr(name, self._copy(child))
        for name, tensor in torch._C.BufferDict(module).items():
            own.setattr(name, self._own(tensor))
        for name in self._attributes.get(module._type().qualified_name(), ()):
            value = module.getattr(name)
            if isinstance(value, list | tuple | dict | torch.Tensor):
                own.setattr(name, self._own(value))
        return own

    def _own(self, value: Any) -> Any:
        import torch

        if isinstance(value, torch.Tensor):
            shared = value.numel() and value.data_ptr() in self._parameters
            return value if shared else value.detach().clone(memory_format=torch.preserve_format)
        if isinstance(value, dict):
            return {key: self._own(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self._own(item) for item in value))
        if isinstance(value, list | tuple):
            return type(value)(self._own(item) for item in value)
        return value


def _empty(module: Any) -> None:
    import torch

    for held in (torch._C.ParameterDict(module), torch._C.BufferDict(module)):
        for name, tensor in held.items():
            module.setattr(name, tensor.to("meta"))
    for _, child in torch._C.ModuleDict(module).items():
        _empty(child)


def named_parameters(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and tensors of all parameters of a C++ module."""
    import torch

    for name, tensor in torch._C.ParameterDict(module).items():
        yield prefix + name, tensor
    for name, child in torch._C.ModuleDict(module).items():
        yield from named_parameters(child, f"{prefix}{name}.")


def set_training(module: Any, training: bool) -> None:
    """Switch a C++ module and all below it."""
    import torch

    if module.hasattr("training"):
        module.setattr("training", training)
    for _, child in torch._C.ModuleDict(module).items():
        set_training(child, training)


def _attributes_used(graph: Any) -> Mapping[str, Iterable[str]]:
    """Class name → attributes that the graph reads or sets and that are neither modules nor plain scalars."""
    used: dict[str, set[str]] = {}
    for node in every_node(graph):
        if node.kind() not in ("prim::GetAttr", "prim::SetAttr"):
            continue
        owner, *assigned = node.inputs()
        held = assigned[0] if assigned else node.output()
        if owner.type().kind() == "ClassType" and held.type().kind() not in ("ClassType", "InterfaceType"):
            used.setdefault(owner.type().qualified_name(), set()).add(node.s("name"))
    return used
