"""The recorder of a program that an interpreter runs: names, modules and lines are those of the program's nodes."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aligner.adapters.pytorch_adapter.recorder import Recorder
from aligner.adapters.pytorch_adapter.tensors import substitute, tensors_in
from aligner.adapters.pytorch_adapter.torch_calls import plain_torch

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH = re.compile(r"(?:site-packages|dist-packages)/torch/|^<")
_OWN_WORDS = ("alias", "untracked")
"""Nodes that no node of the program stands for."""


class ProgramRecorder(Recorder):
    """Told which node runs; a value's id is the node's name, behind "cond/" inside a graph that ``cond`` runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._node_of_program: Any = None
        self._prefix = ""

    @contextmanager
    def running(self, node: Any) -> Iterator[None]:
        """What is recorded inside the block is this node's."""
        outer = self._node_of_program
        self._node_of_program = node
        self._scopes.append(_modules(node)[-1][1])
        try:
            yield
        finally:
            self._scopes.pop()
            self._node_of_program = outer

    @contextmanager
    def inside(self, node: Any) -> Iterator[None]:
        """The block runs a graph that is an operand of this node."""
        outer = self._prefix
        self._prefix = f"{outer}{node.name}/"
        try:
            yield
        finally:
            self._prefix = outer

    def returned(self, node: Any, result: Any) -> None:
        """Add the paths of the modules that end with this node, and the names of nodes that only take a list apart."""
        tensors = tensors_in(result)
        if len(tensors) != 1 or self._node_of_program is not None:
            return
        if self.name_of(tensors[0]) != self._prefix + node.name and node.op == "call_function":
            self.add_alias(tensors[0], self._prefix + node.name)
        for path in _ending(node):
            self.add_alias(tensors[0], path)

    def made_of(self, node: Any, fed: Sequence[Any], result: Any) -> Any:
        """A node that nothing more is known of than what went in; returns what takes its result's place."""
        inputs = [self.name_of(tensor) for tensor in fed]
        with self.running(node), plain_torch():
            replaced = self._record(node.name, "opaque", list(dict.fromkeys(inputs)), tensors_in(result), [], None)
        return substitute(result, replaced)

    def _fresh_name(self, name: str) -> str:
        if self._node_of_program is None or name in _OWN_WORDS:
            return super()._fresh_name(name)
        base: str = self._prefix + self._node_of_program.name
        number = 0
        found = base
        while found in self.weights or self._counts[found]:
            found = f"{base}.{number}"
            number += 1
        self._counts[found] += 1
        return found

    def _results(self, node: str, count: int) -> list[str]:
        """Results that the program never takes out of the list are nobody's."""
        if self._node_of_program is None or count == 1:
            return super()._results(node, count)
        taken = {
            user.args[1]: self._prefix + user.name
            for user in reversed(list(self._node_of_program.users))
            if user.target is operator.getitem and isinstance(user.args[1], int)
        }
        if not taken:
            return super()._results(node, count)
        last = max(taken)
        return [taken.get(number, f"{node}:{number}" if number < last else "") for number in range(count)]

    def _source(self) -> str | None:
        if self._node_of_program is None:
            return super()._source()
        return source_of(self._node_of_program)


def _modules(node: Any) -> list[tuple[str, str]]:
    """(call, path) of the modules around a node, from the outermost on; the root's path is empty."""
    stack = node.meta.get("nn_module_stack") or {}
    return [("", ""), *((key, str(entry[0]).split("@", 1)[0]) for key, entry in stack.items())]


def _ending(node: Any) -> list[str]:
    """Paths of the modules that have no node behind this one."""
    behind = {call for call, _ in _modules(node.next)} if node.next.op != "output" else {""}
    return [path for call, path in _modules(node) if call not in behind and path]


def source_of(node: Any) -> str | None:
    """ "file.py:12" of the innermost line outside torch; None where nothing was kept."""
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if not _TORCH.search(frame[0])]
    file, line = next(iter((own or frames)[::-1]), (None, None))
    return f"{file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{line}" if file else None
