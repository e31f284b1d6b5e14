"""Settings that differ where no cause of its own says what that means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from aligner.adapters.advice import settings_as_written
from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.causes.setting_cause import listed, shown
from aligner.operations.operation import Operation
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node
from aligner.regions.culprit import Counterfactual, Culprit
from aligner.regions.settings import UNCOMPARED, alike, in_pieces
from aligner.regions.subgraph import Change, Subgraph

_BY_PLACE = frozenset({"axis", "axes", "shape"})
"""Settings that count axes: one layout counts them alike."""
_PLAIN = (bool, int, float, str, tuple, type(None))


@dataclass(frozen=True, slots=True, eq=False)
class _Difference:
    """Two nodes that answer each other, and the settings in which they differ: the reference's and the candidate's."""

    reference: Node
    candidate: Node
    right: dict[str, Any]
    wrong: dict[str, Any]


class SettingChanged(Cause):
    """A setting of a node is not the reference's: put from one side into the other, the tensors agree."""

    id: ClassVar[str] = "setting-changed"
    fix: ClassVar[str] = "give the node the reference's settings"
    example: ClassVar[str] = "align_corners of a grid sample"
    general: ClassVar[bool] = True
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Each pair of nodes alone, then all of them: sizes and orders of axes go together."""
        found = list(_differences(culprit))
        for one in found:
            yield from _claims(culprit, [one])
        if len(found) > 1:
            yield from _claims(culprit, found)


class AttributesDiffer(Cause):
    """An operator that cannot be recomputed here stands in both models, with other attributes or constants."""

    id: ClassVar[str] = "attributes-differ"
    fix: ClassVar[str] = "give the node the reference's attributes"
    example: ClassVar[str] = "an operator of a vendor's own, or a tree ensemble, with other numbers inside"
    shown: ClassVar[str] = "It stands in both files; nothing is recomputed that shows it."
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Operators of one spelling, in order."""
        for node, other in _opaque_alike(culprit):
            told = _told(culprit.reference, node), _told(culprit.candidate, other)
            differing = [name for name in sorted(told[0].keys() | told[1].keys()) if _apart(name, told)]
            if differing:
                right, wrong = ({name: one.get(name) for name in differing} for one in told)
                yield Claim(
                    f"{other.op} {other.name} has {_brief(wrong)}, the reference's {_brief(right)}",
                    f"give {other.name} the reference's {', '.join(differing)}",
                    node=other.name,
                    structural=True,
                )


def _opaque_alike(culprit: Culprit) -> Iterator[tuple[Node, Node]]:
    """Nodes of both regions that nobody but their runtime can compute, where both have as many of one spelling."""
    sides: tuple[dict[str, list[Node]], dict[str, list[Node]]] = {}, {}
    for subgraph, found in zip((culprit.reference, culprit.candidate), sides, strict=True):
        for node in subgraph.nodes:
            if subgraph.operation(node) is None:
                found.setdefault(node.op, []).append(node)
    for op, nodes in sides[0].items():
        if len(nodes) == len(sides[1].get(op, ())):
            yield from zip(nodes, sides[1][op], strict=True)


def _told(subgraph: Subgraph, node: Node) -> dict[str, Any]:
    """A node's attributes, and by their place the small constants it reads that are not told as one."""
    found = dict(node.attributes)
    known = list(node.attributes.values())
    for place, name in enumerate(node.inputs):
        array = subgraph.weight(name) if name in subgraph.graph.weights else None
        if array is not None and array.size <= _FEW:
            numbers = tuple(array.reshape(-1).tolist())
            value = numbers[0] if len(numbers) == 1 else numbers
            if not any(alike(value, other) for other in known):
                found[f"operand {place}"] = value
    return found


def _apart(name: str, told: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    return (name in told[0]) != (name in told[1]) or not alike(told[0][name], told[1][name])


_SHOWN = 60
"""Characters of one setting that a sentence still carries."""
_FEW = 4096
"""Elements of a constant that is a setting; what is larger is a weight, and told by the causes that read weights."""


def _brief(settings: dict[str, Any]) -> str:
    """Settings in words, tables of numbers cut."""
    parts = (f"{name} {shown(value)}" for name, value in settings.items())
    return ", ".join(part if len(part) <= _SHOWN else f"{part[:_SHOWN]}…" for part in parts)


def _differences(culprit: Culprit) -> Iterator[_Difference]:
    for node in culprit.reference.nodes:
        operation, partner = culprit.reference.operation(node), culprit.partner(culprit.reference, node)
        if operation is None or partner is None:
            continue
        other, theirs = partner
        if operation.kind != theirs.kind or in_pieces(operation, theirs):
            continue
        names = _differing(culprit, operation, theirs)
        if names:
            right, wrong = ({name: one.settings[name] for name in names} for one in (operation, theirs))
            yield _Difference(node, other, right, wrong)


def _differing(culprit: Culprit, operation: Operation, theirs: Operation) -> list[str]:
    axes = culprit.measured.pair.axes
    same_layout = (axes is None or axes == tuple(sorted(axes))) and len({g.channels for g in culprit.graphs}) == 1
    left_out = UNCOMPARED - _BY_PLACE if same_layout else UNCOMPARED
    return [
        name
        for name, value in operation.settings.items()
        if name in theirs.settings
        and name not in left_out
        and isinstance(value, _PLAIN)
        and not alike(value, theirs.settings[name])
    ]


def _claims(culprit: Culprit, found: list[_Difference]) -> Iterator[Claim]:
    """The reference's settings in the candidate's nodes; the other way round, where those cannot be replayed."""
    first = found[0]
    words = [
        f"{one.candidate.op} {one.candidate.name} has {listed(one.wrong)}, the reference's {one.reference.op} "
        f"{listed(one.right)}"
        for one in found
    ]
    right = " and ".join(
        f"{one.candidate.name} {listed(one.right)}"
        f"{settings_as_written(one.reference.kind, one.right, culprit.frameworks)}"
        for one in found
    )
    change = f"with {listed(first.right)} instead of {listed(first.wrong)}" if len(found) == 1 else "with all of these"
    for side in (1, 0):
        edits = {
            (one.candidate if side else one.reference).index: _with(one.right if side else one.wrong) for one in found
        }
        yield Claim(
            "; ".join(words),
            f"give {right}",
            change,
            Counterfactual(culprit, side, Change(edits)),
            node=first.candidate.name,
            written=True,
            structural=True,
        )


def _with(settings: dict[str, Any]) -> Any:
    return lambda operation: operation.with_settings(**settings)
