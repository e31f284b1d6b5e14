"""Outputs that stand in another order, go by each other's names, or end before or behind the reference's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aligner.adapters.rewriting import Recompute, Reorder
from aligner.causes.context import Context
from aligner.causes.global_causes.outputs import partners, tails
from aligner.records.alignment import PairedValues, Region
from aligner.records.comparison import Finding
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.repair.patch import Patch, Plan
from aligner.repair.transplant import transplant


def output_plans(context: Context, findings: list[Finding]) -> Iterator[Plan]:
    """What is found of the outputs, put right."""
    known = {one.id for one in findings}
    if context.exchanged:
        yield from _renamed(context)
    elif "output-order" in known:
        yield from _in_order(context)
    if "operation-missing" in known:
        yield from _continued(context)
    if "operation-extra" in known:
        yield from _shortened(context)


def _in_order(context: Context) -> Iterator[Plan]:
    left, right = (tuple(dict.fromkeys(graph.outputs)) for graph in context.graphs)
    answers = _answers(context)
    places = [right.index(answers[value]) for value in left if answers.get(value) in right]
    if sorted(places) != list(range(len(right))):
        return
    names = ", ".join(context.graphs[1].values[right[place]].name for place in places)
    yield _plan(right[0], f"outputs in the reference's order: {names}", Reorder(tuple(places)))


def _renamed(context: Context) -> Iterator[Plan]:
    """Each name for the tensor that the reference gives it to."""
    answers = _answers(context)
    names = {context.graphs[1].values[value].name: value for value in context.graphs[1].outputs}
    values: dict[str, str] = {}
    for value in context.graphs[0].outputs:
        called, answer = names.get(context.graphs[0].values[value].name), answers.get(value)
        if called is not None and answer is not None and answer != called:
            values[called] = answer
    if values:
        told = ", ".join(f"{called} is what was {answer}" for called, answer in values.items())
        yield _plan(next(iter(values)), f"each output under its own name: {told}", Recompute(values, ()))


def _continued(context: Context) -> Iterator[Plan]:
    """What the reference does behind the tensor with which the candidate ends, on the output alone."""
    pairs = {item.pair.reference: item.pair for item in context.measured}
    for own, start, other in tails(context, 0):
        graph, pair = context.graphs[0], pairs[start]
        value, before = graph.values[own], graph.values[start]
        kept = value.shape is not None and before.shape is not None and len(value.shape) == len(before.shape)
        made = PairedValues(
            own,
            other,
            "output",
            pair.confidence,
            pair.axes if kept else None,
            reference_region=_region(context, own, set(pairs)),
            candidate_region=Region(inputs=(other,)),
        )
        shape = None if value.shape is None or None in value.shape else tuple(int(size or 0) for size in value.shape)
        patch = transplant(Culprit(context.graphs, Measured(made, shape, None, value.dtype, None)), context)
        if patch is not None:
            edits = tuple(replace(edit, outputs=True) if isinstance(edit, Recompute) else edit for edit in patch.edits)
            words = patch.words.replace(
                "computed as the reference computes it", "with what the reference does behind it"
            )
            yield Plan(other, other, True, (replace(patch, words=words, edits=edits),))


def _region(context: Context, own: str, paired: set[str]) -> Region:
    """The reference's nodes between paired tensors and an output."""
    graph, found = context.graphs[0], set[int]()
    waiting, inputs = [own], list[str]()
    while waiting:
        value = waiting.pop()
        node = graph.producer(value)
        if value in paired or node is None:
            inputs.append(value)
        elif node.index not in found:
            found.add(node.index)
            waiting += [name for name in node.inputs if name]
    weights = [name for index in found for name in graph.nodes[index].weights]
    return Region(tuple(sorted(found)), tuple(dict.fromkeys(weights)), tuple(dict.fromkeys(inputs)))


def _shortened(context: Context) -> Iterator[Plan]:
    for own, start, _ in tails(context, 1):
        yield _plan(own, f"the output is {start} itself", Recompute({own: start}, ()))


def _answers(context: Context) -> dict[str, str]:
    """Reference output → candidate value, of several an output."""
    outputs, found = set(context.graphs[1].outputs), dict[str, str]()
    for candidate, reference in partners(context).items():
        if reference not in found or candidate in outputs:
            found[reference] = candidate
    return found


def _plan(value: str, words: str, edit: Recompute | Reorder) -> Plan:
    return Plan(value, value, True, (Patch(value, value, words, (edit,)),))
