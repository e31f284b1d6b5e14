"""Causes that lie in one setting: the two sides' nodes do the same thing otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from aligner.adapters.advice import settings_as_written
from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.operations.kinds import MOVES_DATA
from aligner.operations.operation import Operation
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.settings import UNCOMPARED, alike, in_pieces
from aligner.regions.subgraph import Subgraph


class SettingCause(Cause):
    """Settings that differ are put from one side into the other; where they cannot be compared, other values are tried.

    ``kinds`` are the kinds of operation, ``names`` the settings; ``others`` proposes values to try blindly.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()
    shown: ClassVar[str] = (
        "The reference's settings are put into the candidate's node, or the candidate's into the reference's; where "
        "both say the same, other values are tried."
    )
    follows: ClassVar[bool] = False
    """These settings follow from others: where those differ as well, theirs is the cause."""
    needs_error: ClassVar[bool] = False

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:  # noqa: ARG002
        """Values to try on an operation: settings that replace its own."""
        return iter(())

    def relevant(self, operation: Operation, name: str) -> bool:  # noqa: ARG002
        """Whether a setting means anything for this operation."""
        return True

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:  # noqa: ARG002 - the culprit is enough
        """Differences first, then blind alternatives."""
        for node in culprit.reference.of_kind(*self._node_kinds()):
            operation, partner = culprit.reference.operation(node), culprit.partner(culprit.reference, node)
            if operation is not None and partner is not None and operation.kind == partner[1].kind in self.kinds:
                yield from self._differences(culprit, (node, operation), partner)
        if culprit.gap > 0:
            for subgraph, node, operation in culprit.nodes(*self._node_kinds()):
                if operation.kind in self.kinds:
                    yield from self._blind(culprit, subgraph, node, operation)

    def _node_kinds(self) -> tuple[str, ...]:
        return tuple(kind.removeprefix("adaptive_") for kind in self.kinds)

    def _differences(
        self, culprit: Culprit, reference: tuple[Node, Operation], candidate: tuple[Node, Operation]
    ) -> Iterator[Claim]:
        (node, operation), (other, theirs) = reference, candidate
        if in_pieces(operation, theirs):
            return
        differing = [
            name
            for name in self.names
            if name in operation.settings
            and name in theirs.settings
            and self.relevant(operation, name)
            and not alike(operation.settings[name], theirs.settings[name])
        ]
        if not differing:
            return
        right = {name: operation.settings[name] for name in differing}
        wrong = {name: theirs.settings[name] for name in differing}
        every = {
            name: value
            for name, value in operation.settings.items()
            if name in theirs.settings and name not in UNCOMPARED and not alike(value, theirs.settings[name])
        }
        words = f"{listed(wrong)} in {_called(other)}, {listed(right)} in the reference's {_called(node)}"
        suggestion = f"give {other.name} {_advised(culprit, operation.kind, right)}"
        for settings in (right, every):
            vague = self.follows and settings is every and len(every) > len(right)
            back = {name: theirs.settings[name] for name in settings}
            for subgraph, at, put in ((culprit.candidate, other, settings), (culprit.reference, node, back)):
                yield Claim(
                    words,
                    suggestion,
                    f"with {listed(right)} instead of {listed(wrong)}",
                    _prediction(culprit, subgraph, at, put),
                    node=other.name,
                    written=True,
                    vague=vague,
                )

    def _blind(self, culprit: Culprit, subgraph: Subgraph, node: Node, operation: Operation) -> Iterator[Claim]:
        where = _answering(culprit, node) if subgraph.side == 0 else culprit.where
        meant = f"'s {node.name}" if subgraph.side == 0 and len(subgraph.nodes) > 1 else ""
        for settings in self.others(operation, culprit):
            before = {name: operation.settings.get(name) for name in settings if name in operation.settings}
            mine, theirs = (settings, before) if subgraph.side == 0 else (before, settings)
            partner = culprit.partner(subgraph, node)
            there = partner[1].settings if partner is not None and partner[1].kind == operation.kind else {}
            yield Claim(
                f"{where} behaves as if it had {listed(mine)}; the reference{meant} has {listed(theirs)}",
                f"make {where} compute with {_advised(culprit, operation.kind, theirs)}",
                f"with {listed(theirs)} instead of {listed(mine)}",
                _prediction(culprit, subgraph, node, settings),
                node=where if subgraph.side == 0 else None,
                borrowed=any(name in there and alike(value, there[name]) for name, value in settings.items()),
                alike=all(name in there and alike(value, there[name]) for name, value in before.items()),
            )


def _called(node: Node) -> str:
    """What it does and its name, where that says more."""
    return node.op if node.op == node.name else f"{node.op} {node.name}"


def _answering(culprit: Culprit, node: Node) -> str:
    """The candidate's node to open where the reference's does otherwise: before what only hands on behind both."""
    tail = [one for one in culprit.reference.nodes if one.index > node.index]
    last = culprit.candidate.nodes[-1:]
    if not tail or culprit.candidate.node not in last or not {one.kind for one in tail} <= MOVES_DATA:
        return culprit.where
    before = [one for one in culprit.candidate.nodes if one.kind not in {one.kind for one in tail}]
    return before[-1].name if before else culprit.where


def _prediction(
    culprit: Culprit, subgraph: Subgraph, node: Node, settings: Mapping[str, Any]
) -> Callable[[], Array | None]:
    return culprit.prediction(subgraph, node, lambda operation: operation.with_settings(**settings))


def is_borrowed(culprit: Culprit, subgraph: Subgraph, node: Node, changed: Operation) -> bool:
    """Whether an operation, as it was changed, is what the other side's node does: it was not guessed."""
    partner = culprit.partner(subgraph, node)
    return (
        partner is not None
        and partner[1].kind == changed.kind
        and all(
            alike(value, partner[1].settings[name])
            for name, value in changed.settings.items()
            if name in partner[1].settings and name not in UNCOMPARED - _COUNTED
        )
    )


_COUNTED = frozenset({"axis", "axes", "shape"})
"""Settings that count axes: where they are alike, they are so whatever the layout."""


def _advised(culprit: Culprit, kind: str, right: Mapping[str, Any]) -> str:
    """The reference's settings, as advice says them, and as the frameworks at hand write them.

    Pads of a node of their own, and its mode, are said as those of the layer that does without one.
    """
    node, pads = culprit.candidate.node, right.get("pads")
    if kind == "pad" and node is not None and (node.kind == "conv" or (node.kind != kind and isinstance(pads, tuple))):
        kind, right = node.kind, dict(right)
        if isinstance(pads, tuple):
            right["pads"] = spatial(pads)
        if "mode" in right and kind == "conv":
            right["padding_mode"] = right.pop("mode")
    return listed(right) + settings_as_written(kind, right, culprit.frameworks)


def spatial(pads: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Without samples and channels, as far as nothing pads them."""
    for inner in (pads[2:], pads[1:-1]):
        if len(pads) > 2 and sum(map(sum, inner)) == sum(map(sum, pads)):
            return inner
    return pads


def listed(settings: Mapping[str, Any]) -> str:
    """Settings in words; what an operation leaves unsaid is its default."""
    return ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in settings.items()) or "the default"


def shown(value: Any) -> str:
    """A setting as a person writes it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(shown(item) for item in value) + ")"
    return "none" if value is None else str(value)
