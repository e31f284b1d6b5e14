"""Pairs that names give away: module scopes that exporters keep, and names that both files share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aligner.alignment.compatibility import agree, same_order
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import same_family
from aligner.records.graph import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

Modules = tuple[Mapping[str, str], Mapping[str, str]]
"""For each side, scope → the module that is called there, where the scope is not the module's own name."""
_NUMBERED = re.compile(r"^(?:[\w:./]*[._:/])?\d+(?::\d+)?$|^[a-z_]{1,8}[._]?\d*(?:\.\d+)*$|^\w+::", re.IGNORECASE)
"""Names a tool counted up ("x.23", "onnx::Conv_193", "417"): equal ones in two files mean nothing."""

_FURTHER_CALL = re.compile(r"_\d+$")
"""What the older ONNX exporter puts behind a module's name where the module is called again ("cell_1", "cell_2")."""

_MOST = 100
"""Nodes of one kind in one module up to which each is held against each."""


def named_nodes(reference: Skeleton, candidate: Skeleton, modules: Modules) -> list[tuple[Node, Node]]:
    """Nodes of one kind, alone with it in their module on both sides, or with it in equal numbers."""
    sides = [_by_scope(reference, modules[0]), _by_scope(candidate, modules[1])]
    pairs = []
    for key, nodes in sides[0].items():
        others = sides[1].get(key, [])
        if len(nodes) == len(others):
            pairs += _told_apart(nodes, others, reference, candidate)
    return pairs


def _told_apart(
    nodes: list[Node], others: list[Node], reference: Skeleton, candidate: Skeleton
) -> list[tuple[Node, Node]]:
    """One to one: those that alone give the same tensor, the others in order.

    Where a branch leads nowhere on one side the order is another one.
    """
    plain = list(zip(nodes, others, strict=True))
    if len(nodes) > _MOST or all(_gives_the_same(*pair, reference, candidate) for pair in plain):
        return plain
    alike = [[_gives_the_same(node, other, reference, candidate) for other in others] for node in nodes]
    certain = {
        i: row.index(True)
        for i, row in enumerate(alike)
        if row.count(True) == 1 and sum(line[row.index(True)] for line in alike) == 1
    }
    taken = set(certain.values())
    rest = zip(
        [i for i in range(len(nodes)) if i not in certain],
        [j for j in range(len(others)) if j not in taken],
        strict=True,
    )
    return [(nodes[i], others[j]) for i, j in sorted([*certain.items(), *rest])]


def _gives_the_same(node: Node, other: Node, reference: Skeleton, candidate: Skeleton) -> bool:
    sketches = reference.sketches.get(node.outputs[0]), candidate.sketches.get(other.outputs[0])
    return agree(*sketches) is True and same_order(*sketches) is not False


def conflicting(
    left: Sequence[str | None], right: Sequence[str | None], known: tuple[Collection[str], Collection[str]]
) -> NDArray[np.bool_]:
    """Which of the left module paths are of other places than which of the right ones.

    One of the two has to be ``known`` to the other side, too. A part of a module and the whole are one place: what one
    side inlines the other may not.
    """
    told = np.array([bool(one) for one in left])[:, None] & np.array([bool(one) for one in right])[None, :]
    shared = (
        np.array([one in known[1] for one in left])[:, None] | np.array([one in known[0] for one in right])[None, :]
    )
    apart: NDArray[np.bool_] = told & shared
    places: tuple[dict[str, list[int]], dict[str, list[int]]] = (defaultdict(list), defaultdict(list))
    for side, paths in enumerate((left, right)):
        for at, path in enumerate(paths):
            places[side][path or ""].append(at)
    for path, rows in places[0].items():
        for whole in _enclosing(path):
            apart[np.ix_(rows, places[1].get(whole, []))] = False
    for path, columns in places[1].items():
        for whole in _enclosing(path):
            apart[np.ix_(places[0].get(whole, []), columns)] = False
    return apart


def _enclosing(path: str) -> Iterator[str]:
    """The module and those it is a part of."""
    parts = path.split(".")
    return (".".join(parts[:count]) for count in range(len(parts), 0, -1))


def modules_called(reference: Skeleton, candidate: Skeleton) -> Modules:
    """Scope → module, of the scopes that one side counts for further calls of a module and the other does not."""
    scopes = reference.scopes(), candidate.scopes()
    return _further_calls(*scopes), _further_calls(*scopes[::-1])


def _further_calls(own: Collection[str], other: Collection[str]) -> dict[str, str]:
    modules = {path: _FURTHER_CALL.sub("", path) for path in own if path not in other}
    return {path: module for path, module in modules.items() if module != path and module in own and module in other}


def _by_scope(skeleton: Skeleton, modules: Mapping[str, str]) -> dict[tuple[str, str], list[Node]]:
    groups: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in skeleton.compute:
        if node.scope:
            groups[modules.get(node.scope, node.scope), node.kind].append(node)
    return groups


def named_values(reference: Skeleton, candidate: Skeleton) -> list[tuple[str, str]]:
    """Value ids whose names agree word for word and were not merely counted up.

    Of a list of tensors without a dataflow every name counts: whoever wrote it took them from the model. Counted ones
    count where one file was made from the other: most of those that both have are then of one node. Two counters that
    fall into step for a stretch say nothing.
    """
    listed = not (reference.flows and candidate.flows)
    names: list[dict[str, list[str]]] = [defaultdict(list), defaultdict(list)]
    for side, skeleton in zip(names, (reference, candidate), strict=True):
        for value in skeleton.graph.values.values():
            if value.id not in skeleton.constants:
                side[_plain(value.name)].append(value.id)
    shared = [(name, ids[0], *names[1][name]) for name, ids in names[0].items() if len(ids) == len(names[1][name]) == 1]
    counted = {(left, right) for name, left, right in shared if _NUMBERED.match(name) and not listed}
    kin = {pair for pair in counted if _kin(reference, candidate, *pair)}
    computed = sum(left in reference.producer and right in candidate.producer for left, right in counted)
    trusted = kin if len(kin) * 2 >= computed else set()
    pairs = [(left, right) for _, left, right in shared]
    return [pair for pair in pairs if pair not in counted or pair in trusted]


def fused_values(reference: Skeleton, candidate: Skeleton) -> Iterator[tuple[str, str]]:
    """Value ids of which one side's node says what layers of the other side it was made of: the last of them.

    Of several nodes that one layer became the last one answers it.
    """
    yield from _answered_by_fused(reference, candidate)
    yield from ((mine, theirs) for theirs, mine in _answered_by_fused(candidate, reference))


def _answered_by_fused(plain: Skeleton, fused: Skeleton) -> Iterator[tuple[str, str]]:
    nodes = _in_order(fused)
    end = {name: node for node in nodes for name in node.fused}
    if not end:
        return
    named = {name: node for node in _in_order(plain) for name in _names(plain, node)}
    for node in nodes:
        parts = [named[name] for name in node.fused if name in named]
        last = max(parts, key=lambda part: plain.order[part.index], default=None)
        if last is None or len(node.outputs) != 1 or len(last.outputs) != 1:
            continue
        if all(end[name] is node for name in _names(plain, last) if name in end):
            yield last.outputs[0], node.outputs[0]


def _in_order(skeleton: Skeleton) -> list[Node]:
    """The nodes that data reaches, those that only move it among them, in the order of the flow."""
    nodes = [node for node in skeleton.graph.nodes if not skeleton.constants.keys() >= set(node.outputs)]
    return sorted(nodes, key=lambda node: skeleton.order[node.index])


def module_ends(reference: Skeleton, candidate: Skeleton) -> Iterator[tuple[str, str]]:
    """Value ids of what modules give that both sides name, where each of them gives a single tensor for each call."""
    given = _given(reference), _given(candidate)
    for path in given[0].keys() & given[1].keys():
        calls = [_calls(side, path) for side in given]
        counted = any(len(each) > 1 for each in calls)
        ends = [[value for call in each for value in call] for each in calls]
        if len(ends[0]) == len(ends[1]) and (counted or len(ends[0]) == 1):
            yield from zip(*ends, strict=True)


def _calls(given: Mapping[str, Sequence[str]], path: str) -> list[Sequence[str]]:
    """What a module gives call by call, where an exporter has counted the calls; else all of it at once."""
    found = [given[path]]
    while (further := f"{path}_{len(found)}") in given:
        found.append(given[further])
    return found if all(len(each) == 1 for each in found) else found[:1]


def _given(skeleton: Skeleton) -> dict[str, list[str]]:
    """Module → the tensors of its own nodes that others read, in the order in which they are computed."""
    given: dict[str, list[str]] = defaultdict(list)
    for node in sorted(skeleton.compute, key=lambda node: node.index):
        for value in node.outputs if node.scope else ():
            read = {reader.scope for reader, _ in skeleton.readers(value)}
            if read != {node.scope}:
                given[node.scope or ""].append(value)
    return given


def _names(skeleton: Skeleton, node: Node) -> Iterator[str]:
    """What a node and the tensors that it gives are called."""
    yield node.name
    for value in node.outputs:
        known = skeleton.graph.values.get(value)
        yield from () if known is None else (known.name, *known.aliases)


def _plain(name: str) -> str:
    return name.removesuffix(":0")


def _kin(reference: Skeleton, candidate: Skeleton, left: str, right: str) -> bool:
    """Whether a counted-up name may still be trusted: one file was made from the other, node for node."""
    if reference.graph.framework != candidate.graph.framework:
        return False
    a, b = reference.producer.get(left), candidate.producer.get(right)
    if a is None or b is None or a.op != b.op or reference.shape(left) != candidate.shape(right):
        return False
    shared = sum(1 for name in a.inputs if name in b.inputs)
    return shared * 2 >= len(a.inputs) and same_family(a.kind, b.kind)
