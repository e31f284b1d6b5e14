"""The tap: an op that stands behind every tensor of an inlined graph and hands it to whoever watches the run."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Watcher = Callable[[Any, int], Any]
"""Given the tensor and the tap's index, returns the tensor that consumers shall see."""

_WATCHERS: dict[int, Watcher] = {}
_WITHOUT_BLOCKS = ("aten::", "prim::Constant", "prim::GetAttr", "prim::ListConstruct")
_RUNS = itertools.count(1)


def instrument(graph: Any, taps: Sequence[str]) -> Any:
    """Put a tap behind each named value and make the graph callable; changes the graph it is given.

    The function takes the graph's own inputs and, last, the number of the run (``watching``). A tap's index is the
    value's position in ``taps``. ``module.inlined_graph`` answers a fresh copy each time, so the module stays as it is.
    """
    import torch

    _register()
    named = {output.debugName(): output for node in every_node(graph) for output in node.outputs()}
    run = graph.addInput("aligner_run")
    run.setType(torch._C.IntType.get())
    first = next(iter(graph.nodes()), graph.return_node())
    for index, name in reversed(list(enumerate(taps))):  # each goes right behind its node: reversed keeps their order
        value = named[name]
        graph.setInsertPoint(first)
        tap = graph.create("aligner::tap", [value, run, graph.insertConstant(index)], 1)
        tap.insertAfter(value.node())
        tap.output().setType(value.type())
        value.replaceAllUsesAfterNodeWith(tap, tap.output())
    return torch._C._create_function_from_graph("forward", graph)


class watching:  # noqa: N801 - a context manager reads as a verb
    """For the time of the block, send the taps of one run to the watcher; enters with the number of the run."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._run = next(_RUNS)

    def __enter__(self) -> int:
        _WATCHERS[self._run] = self._watcher
        return self._run

    def __exit__(self, *_: object) -> None:
        del _WATCHERS[self._run]


def every_node(block: Any) -> Iterator[Any]:
    """All nodes in order of execution, those inside blocks (``prim::If``, ``prim::Loop``) included."""
    for node in block.nodes():
        yield node
        if not node.kind().startswith(_WITHOUT_BLOCKS):  # asking costs ten times as much as the node itself
            for inner in node.blocks():
                yield from every_node(inner)


@functools.cache
def _register() -> Any:
    """Define the op once for each process.

    It is declared to alias its input, which is what keeps in-place ops behind it honest, and implemented for all
    devices as a composite. The library object has to stay alive.
    """
    import torch

    library = torch.library.Library("aligner", "DEF")
    library.define("tap(Tensor(a) tensor, int run, int index) -> Tensor(a)")
    library.impl("tap", lambda tensor, run, index: _WATCHERS[run](tensor, index), "CompositeImplicitAutograd")
    return library
