"""Pairs that names give away: module scopes that exporters keep, and names that both files share."""

from __future__ import annotations

import re
from collections import defaultdict

from aligner.alignment.compatibility import same_family
from aligner.alignment.skeleton import Skeleton
from aligner.records.graph import Node

_NUMBERED = re.compile(r"^(?:[\w:./]*[._:/])?\d+(?::\d+)?$|^[a-z_]{1,8}[._]?\d*(?:\.\d+)*$|^onnx::", re.IGNORECASE)
"""Names a tool counted up ("x.23", "onnx::Conv_193", "417"): equal ones in two files mean nothing."""


def named_nodes(reference: Skeleton, candidate: Skeleton) -> list[tuple[Node, Node]]:
    """Nodes of one kind, alone with it in their module scope on both sides, or with it in equal numbers."""
    sides = [_by_scope(reference), _by_scope(candidate)]
    pairs = []
    for key, nodes in sides[0].items():
        others = sides[1].get(key, [])
        if len(nodes) == len(others):
            pairs += list(zip(nodes, others, strict=True))
    return pairs


def _by_scope(skeleton: Skeleton) -> dict[tuple[str, str], list[Node]]:
    groups: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in skeleton.compute:
        if node.scope:
            groups[node.scope, node.kind].append(node)
    return groups


def named_values(reference: Skeleton, candidate: Skeleton) -> list[tuple[str, str]]:
    """Value ids whose names agree word for word and were not merely counted up."""
    names: list[dict[str, list[str]]] = [defaultdict(list), defaultdict(list)]
    for side, skeleton in zip(names, (reference, candidate), strict=True):
        for value in skeleton.graph.values.values():
            if value.id not in skeleton.constants:
                side[_plain(value.name)].append(value.id)
    pairs = []
    for name, ids in names[0].items():
        others = names[1].get(name, [])
        if len(ids) == len(others) == 1 and (
            not _NUMBERED.match(name) or _kin(reference, candidate, ids[0], others[0])
        ):
            pairs.append((ids[0], others[0]))
    return pairs


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
