"""Outputs in another order, or more or fewer of them: nothing is wrong inside."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from aligner.causes.context import Context
from aligner.causes.global_cause import GlobalCause
from aligner.errors import listing
from aligner.operations.kinds import RECODED, RENAMED, SILENT
from aligner.records.comparison import Finding
from aligner.records.graph import Graph, Node


class OutputOrder(GlobalCause):
    """The same outputs at other places, or under each other's names."""

    id: ClassVar[str] = "output-order"
    fix: ClassVar[str] = "bind outputs by name, not by position"
    example: ClassVar[str] = "outputs sorted by name by a converter"

    def findings(self, context: Context) -> Iterator[Finding]:
        """Places of paired outputs that are not in order; else names that stand for other outputs."""
        left, right = (tuple(dict.fromkeys(graph.outputs)) for graph in context.graphs)
        partner = partners(context)
        places = [left.index(partner[value]) for value in right if partner.get(value) in left]
        if len(places) < 2 or not (context.exchanged or places != sorted(places)):
            return
        names = [context.graphs[1].values[value].name for value in right]
        told = (
            f"the candidate's outputs {', '.join(names)} are the reference's outputs number "
            f"{', '.join(str(place + 1) for place in places)}"
        )
        if context.exchanged:
            wrong = listing([f"the reference's {name} is called {other}" for name, other in context.exchanged])
            yield Finding.of(self.id, names[0], "proven", f"{told}: {wrong}", "give each output its own name")
        else:
            told += "; converters sort outputs by name"
            yield Finding.of(self.id, names[0], "proven", told, self.fix)


class OutputExtra(GlobalCause):
    """Outputs that only one side has: training heads, a list flattened, the same tensor twice."""

    id: ClassVar[str] = "output-extra"
    fix: ClassVar[str] = "leave training outputs out of the export, and bind outputs by name"
    example: ClassVar[str] = "auxiliary heads exported"

    def findings(self, context: Context) -> Iterator[Finding]:
        """Another number of outputs."""
        counts = [len(graph.outputs) for graph in context.graphs]
        if counts[0] == counts[1]:
            return
        side = 0 if counts[0] > counts[1] else 1
        if 1 - side in context.partial:
            return
        paired = partners(context)
        known = set(paired.values()) if side == 0 else set(paired)
        others = set(context.graphs[1 - side].outputs)
        extra = [value for value in context.graphs[side].outputs if not _answered(value, side, paired, others)]
        seen = [value for value in context.graphs[side].outputs if value in known]
        names = [context.graphs[side].values[v].name for v in extra or seen[-1:]]
        owner = ("reference", "candidate")[side]
        yield Finding.of(
            self.id,
            names[0] if names else "",
            "proven",
            f"the {owner} has {counts[side]} outputs, the other side {counts[1 - side]}: "
            f"{', '.join(names[:5]) or 'one'} {'has' if len(names) < 2 else 'have'} no counterpart",
            self.fix,
        )


class _Tail(GlobalCause):
    """What one side does after the tensor with which the other one ends."""

    side: ClassVar[int]
    shown: ClassVar[str] = (
        "The other side's output agrees with a tensor before it, and nothing there answers the output."
    )

    def findings(self, context: Context) -> Iterator[Finding]:
        """Each output, by its place, that only this side goes on to."""
        for own, start, _ in tails(context, self.side):
            nodes = [n for n in _between(context.graphs[self.side], start, own) if n.kind not in SILENT | RECODED]
            if nodes:
                yield self._finding(context, nodes, own)

    def _finding(self, context: Context, nodes: list[Node], own: str) -> Finding:
        names = listing([f"{node.op} {node.name}" for node in nodes])
        who, whom = ("reference", "candidate") if self.side == 0 else ("candidate", "reference")
        source = next((f" [{node.source}]" for node in nodes if node.source), "")
        where = context.graphs[self.side].values[own].name
        words = f"the {who} applies {names} before its output {where}; the {whom} ends with what it reads{source}"
        fix = (
            f"add what {names} does to the candidate, or leave it out of the reference"
            if self.side == 0
            else f"remove {names} from the candidate, or add it to the reference"
        )
        return Finding.of(self.id, nodes[0].name, "proven", words, fix)


class TailMissing(_Tail):
    """The candidate's output is a tensor that the reference goes on from: decoding, probabilities, a scale."""

    id: ClassVar[str] = "operation-missing"
    side: ClassVar[int] = 0


class TailExtra(_Tail):
    """The candidate goes on from a tensor that is the reference's output."""

    id: ClassVar[str] = "operation-extra"
    side: ClassVar[int] = 1


def tails(context: Context, side: int) -> Iterator[tuple[str, str, str]]:
    """Outputs of one side, by their places, that nothing answers: each, the tensor it goes on from, and the other
    side's output, which answers that tensor.
    """
    partner = partners(context)
    answers = {reference: candidate for candidate, reference in partner.items()}
    known, beyond = (answers, partner) if side == 0 else (partner, answers)
    outputs = [tuple(dict.fromkeys(graph.outputs)) for graph in context.graphs]
    if len(outputs[0]) != len(outputs[1]):
        return
    for own, other in zip(outputs[side], outputs[1 - side], strict=True):
        start = beyond.get(other)
        if own in known or own in context.sliding or start is None or start in context.graphs[side].outputs:
            continue
        if context.verdicts.get(other if side == 0 else start) in {"aligned", "inherited"}:
            yield own, start, other


def _between(graph: Graph, start: str, end: str) -> list[Node]:
    """The nodes that make one value of another, in order; none where it does not lead there."""
    found: dict[int, bool] = {}

    def leads(value: str) -> bool:
        node = graph.producer(value)
        if value == start or node is None:
            return value == start
        if node.index not in found:
            found[node.index] = False
            if len(found) <= _LONGEST:
                for name in node.inputs:  # every way there, not the first alone
                    found[node.index] |= bool(name) and leads(name)
        return found[node.index]

    leads(end)
    return [graph.nodes[index] for index in sorted(found) if found[index]]


_LONGEST = 64
"""Nodes that are looked at behind an output."""


def partners(context: Context) -> dict[str, str]:
    """Candidate value → reference value; an output that only repeats a tensor stands for it as well."""
    found = {item.pair.candidate: item.pair.reference for item in context.measured}
    repeated = [_repeated(graph, paired) for graph, paired in zip(context.graphs, (found.values(), found), strict=True)]
    found = {candidate: repeated[0].get(reference, reference) for candidate, reference in found.items()}
    return found | {output: found[value] for value, output in repeated[1].items()}


def _repeated(graph: Graph, paired: Collection[str]) -> dict[str, str]:
    """Paired tensor → the output that is the same under another name."""
    found: dict[str, str] = {}
    for output in graph.outputs:
        value, node = output, graph.producer(output)
        while value not in paired and node is not None and node.kind in RENAMED and node.inputs:
            value = node.inputs[0]
            node = graph.producer(value)
        if value != output and value in paired and value not in graph.outputs:
            found.setdefault(value, output)
    return found


def _answered(value: str, side: int, paired: dict[str, str], others: set[str]) -> bool:
    if side == 1:
        return paired.get(value) in others
    return any(reference == value and candidate in others for candidate, reference in paired.items())
