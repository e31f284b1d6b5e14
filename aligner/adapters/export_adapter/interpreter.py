"""Runs an exported program node by node."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from aligner.adapters.export_adapter.recorder import ProgramRecorder
from aligner.adapters.pytorch_adapter.tensors import tensors_in
from aligner.adapters.pytorch_adapter.torch_calls import transformed


def interpret(module: Any, recorder: ProgramRecorder, leaves: Sequence[Any]) -> Any:
    """Run the module's graph on its flat inputs, telling the recorder of each node; returns its flat outputs."""
    from torch._C import _functorch

    depth = _functorch.get_dynamic_layer_stack_depth()
    try:
        return _interpreter(module, recorder).run(*leaves, enable_io_processing=False)
    finally:  # a node that raises inside of vmap would leave the whole process in it
        _functorch.pop_dynamic_layer_stack_and_undo_to_depth(depth)


def _interpreter(module: Any, recorder: ProgramRecorder) -> Any:
    from torch._functorch.predispatch import _vmap_increment_nesting
    from torch.fx import Interpreter

    class Walk(Interpreter):  # type: ignore[misc]
        held: tuple[tuple[Any, Any, Any], ...] = ()

        def run_node(self, n: Any) -> Any:
            if n.op not in ("call_function", "call_module"):
                return super().run_node(n)
            if transformed() or n.target is _vmap_increment_nesting:
                fed, result = self.fetch_args_kwargs_from_env(n), super().run_node(n)
                self.held += ((n, fed, result),)
                if not transformed():
                    self.settle()
                return result
            opened = _opened(n, *self.fetch_args_kwargs_from_env(n))
            if opened is None:
                with recorder.running(n):
                    result = super().run_node(n)
            else:
                graph, operands, around = opened
                with recorder.inside(n), around:
                    result = interpret(graph, recorder, operands)
            recorder.returned(n, result)
            return result

        def settle(self) -> None:
            """What ran inside of vmap is one node for each tensor that leaves it: no number in it can be looked at."""
            nodes, held = {n for n, *_ in self.held}, self.held
            made = {id(tensor) for *_, result in held for tensor in tensors_in(result)}
            fed = [tensor for _, args, _ in held for tensor in tensors_in(args) if id(tensor) not in made]
            self.held = ()
            for n, _, result in held:
                if not n.users.keys() <= nodes:
                    self.env[n] = recorder.made_of(n, fed, result)

    walk = Walk(module)
    walk.extra_traceback = False
    return walk


def _opened(
    node: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Any, Sequence[Any], AbstractContextManager[Any]] | None:
    """The graph that a higher-order operator runs once, its operands and what stands around it; None for others."""
    import torch

    if kwargs:
        return None
    name = getattr(node.target, "__name__", "") if isinstance(node.target, torch._ops.HigherOrderOperator) else ""
    if name == "cond":
        return (args[1] if bool(args[0]) else args[2]), args[3], nullcontext()
    if name == "wrap_with_set_grad_enabled":
        return args[1], args[2:], nullcontext()  # no run records gradients
    if name == "wrap_with_autocast":
        return args[4], args[5:], torch.autocast(*args[:4])
    return None
