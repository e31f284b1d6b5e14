"""Where compiled code goes wrong: the part of a captured graph that gives something else when it is compiled alone.

Parts are halved: the shortest beginning of a graph that is wrong when compiled, then the shortest end of that. A node
that is wrong by itself is found as such, a fusion as the nodes that are wrong together.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from aligner.adapters.pytorch_adapter.tensors import walk
from aligner.adapters.pytorch_adapter.uncompiled import uncompiled
from aligner.records.dataclass import dataclass

_ROOT = re.compile(r"^L\['\w+'\]\.?")
"""How the compiler calls the module it was given."""

Call = tuple[Sequence[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class WrongRegion:
    """``names`` are its operations, ``output`` is what the last one gives eagerly.

    ``error``: how far the compiled one is off, relative to the largest element.
    """

    names: tuple[str, ...]
    output: Any
    error: float


def find_wrong_region(module: Any, call: Call, floor: float) -> WrongRegion | None:
    """The first part of a module's compiled code that is off by more than ``floor`` on inputs that are right."""
    import torch

    for part, context, inputs in _calls(module, call):
        backend = _backend(context)
        if backend is None:
            continue
        with _compiling():
            for graph, operands in _graphs(part, inputs, context):
                compiled = _Compiled(graph, operands, partial(torch.compile, backend=backend), floor)
                found = compiled.wrong_region()
                if found is not None:
                    return found
    return None


@contextmanager
def _compiling() -> Iterator[None]:
    """Compiling the model's code once more is no sign that it is compiled too often."""
    from torch._dynamo import config

    limit = next((name for name in ("recompile_limit", "cache_size_limit") if hasattr(config, name)), None)
    more = config.patch({limit: getattr(config, limit) + 1}) if limit else nullcontext()
    with more, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _calls(module: Any, call: Call) -> Iterator[tuple[Any, Any, Call]]:
    """What is compiled in a module, with the context that says how, and what it is called with."""
    if _context(module) is not None:
        yield _original(module), _context(module), call
        return
    seen: list[tuple[Any, Call]] = []
    parts = [part for part in module.modules() if _context(part) is not None]
    hooks = [
        part.register_forward_pre_hook(lambda one, args, kwargs: seen.append((one, (args, kwargs))), with_kwargs=True)
        for part in parts
    ]
    try:
        with uncompiled():
            module(*call[0], **call[1])
    finally:
        for hook in hooks:
            hook.remove()
    for part, inputs in seen:
        yield _original(part), _context(part), inputs


def _context(part: Any) -> Any:
    """How a module is compiled: wrapped, or in place; None where it is not."""
    own = vars(part).get("dynamo_ctx")
    if own is not None:
        return own
    closure = getattr(getattr(part, "_compiled_call_impl", None), "__closure__", None) or ()
    held = (cell.cell_contents for cell in closure)
    return next((each for each in held if hasattr(each, "callback") and hasattr(each, "_dynamic")), None)


def _original(part: Any) -> Any:
    return vars(part).get("_modules", {}).get("_orig_mod") or part._call_impl


def _backend(context: Any) -> Any:
    """What was given to torch.compile as its backend; None where this version of PyTorch keeps it elsewhere."""
    found, inner = None, getattr(context, "callback", None)
    while inner is not None:
        found, inner = inner, getattr(inner, "_torchdynamo_orig_backend", None)
    return found if found is not getattr(context, "callback", None) else None


def _graphs(part: Any, call: Call, context: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    """The graphs that the compiler captures of a call, in the order in which they run, with their inputs."""
    import torch

    seen: list[tuple[Any, tuple[Any, ...]]] = []

    def capture(graph: Any, _: Any) -> Callable[..., Any]:
        kept = torch.fx.GraphModule(graph, copy.deepcopy(graph.graph))

        def run(*operands: Any) -> Any:
            seen.append((kept, _own(operands)))
            return graph(*operands)

        return run

    torch.compile(part, backend=capture, dynamic=context._dynamic)(*call[0], **call[1])
    return seen


class _Compiled:
    """A captured graph, and its parts compiled on what the nodes before them give eagerly."""

    def __init__(self, graph: Any, operands: Sequence[Any], compiles: Callable[[Any], Any], floor: float) -> None:
        self._graph, self._compiles, self._floor = graph, compiles, floor
        self._nodes = [node for node in graph.graph.nodes if node.op not in ("placeholder", "output", "get_attr")]
        self._values = _run_eagerly(graph, operands)

    def wrong_region(self) -> WrongRegion | None:
        """None where the whole graph is right."""
        if not self._nodes or not self._is_wrong(0, len(self._nodes)):
            return None
        low, end = 0, len(self._nodes)
        while end - low > 1:  # the beginning up to ``low`` is right, up to ``end`` wrong
            middle = (low + end) // 2
            low, end = (low, middle) if self._is_wrong(0, middle) else (middle, end)
        begin, high = 0, end
        while high - begin > 1:  # from ``begin`` on wrong, from ``high`` on right
            middle = (begin + high) // 2
            begin, high = (middle, high) if self._is_wrong(middle, end) else (begin, middle)
        last = self._nodes[end - 1]
        names = tuple(_told(node) for node in self._nodes[begin:end])
        return WrongRegion(names, self._values[last], self._error(begin, end))

    def _is_wrong(self, begin: int, end: int) -> bool:
        return self._error(begin, end) > self._floor

    def _error(self, begin: int, end: int) -> float:
        """How far the part is off when compiled, relative to the largest number that it should give."""
        import torch

        chosen = self._nodes[begin:end]
        region, entries = _region(self._graph, chosen)
        with torch.no_grad():
            found, wanted = (
                code(*_own([self._values[node] for node in entries])) for code in (self._compiles(region), region)
            )
        errors = (_distance(a, b) for (_, a), (_, b) in zip(walk(wanted), walk(found), strict=False))
        return max(errors, default=0.0)


def _region(graph: Any, chosen: Sequence[Any]) -> tuple[Any, list[Any]]:
    """A part of a graph as a graph: its inputs are what it reads from outside, its outputs what is read outside."""
    import torch

    inside = set(chosen)
    part = torch.fx.Graph()
    copies: dict[Any, Any] = {}
    entries = [
        node for node in dict.fromkeys(each for node in chosen for each in node.all_input_nodes) if node not in inside
    ]
    for node in entries:
        copies[node] = part.placeholder(node.name)
    for node in chosen:
        copies[node] = part.node_copy(node, copies.__getitem__)
    shown = [node for node in chosen if node is chosen[-1] or not inside.issuperset(node.users)]
    part.output(tuple(copies[node] for node in shown))
    return torch.fx.GraphModule(graph, part), entries


def _run_eagerly(graph: Any, operands: Sequence[Any]) -> dict[Any, Any]:
    from torch.fx import Interpreter

    values: dict[Any, Any] = {}

    class Walk(Interpreter):  # type: ignore[misc]
        def run_node(self, n: Any) -> Any:
            result = super().run_node(n)
            values[n] = _own([result])[0]
            return result

    Walk(graph).run(*_own(operands), enable_io_processing=False)
    return values


def _own(values: Sequence[Any]) -> tuple[Any, ...]:
    """Copies of tensors: a graph may write into what it is given."""
    import torch
    from torch.utils._pytree import tree_map

    return tuple(tree_map(lambda one: one.clone() if isinstance(one, torch.Tensor) else one, list(values)))


def _distance(wanted: Any, found: Any) -> float:
    import torch

    if wanted.shape != found.shape:
        return float("inf")
    if not wanted.numel():
        return 0.0
    if not wanted.is_floating_point():
        return float((wanted != found).any())
    a, b = wanted.double(), found.double()
    same = (a == b) | (a.isnan() & b.isnan())
    off = torch.where(same, 0.0, torch.where(torch.isfinite(a) & torch.isfinite(b), (a - b).abs(), torch.inf))
    peak = torch.where(torch.isfinite(a), a.abs(), 0.0).max()
    return float(off.max() / peak.clamp_min(torch.finfo(torch.float32).tiny))


def _told(node: Any) -> str:
    """ "conv2d of layer1.0.conv1"."""
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = _ROOT.sub("", str(stack[-1][0])) if stack else ""
    return f"{target} of {path}" if path else str(target)
