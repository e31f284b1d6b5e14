"""A pairing on a terminal and as JSON, ``aligner.match/1``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console, RenderableType

from aligner.records.comparison import Coverage, ModelSummary, Unpaired
from aligner.records.match import Match, MatchedPair
from aligner.records.weight import WEIGHTS_ALONE
from aligner.report.codec import Document, encode, plain
from aligner.report.columns import Column, table
from aligner.report.numbers import number, percent, plural, shape
from aligner.report.page import Page, sentence
from aligner.report.words import label

FORMAT = "aligner.match/1"
_EXAMPLES = 3


def to_document(match: Match) -> Document:
    """The pairing as JSON's own types."""
    reasons = match.reasons()
    return {
        "format": FORMAT,
        "reference": encode(match.reference),
        "candidate": encode(match.candidate),
        "coverage": encode(match.coverage),
        "lowest_confidence": plain(match.lowest_confidence),
        "observed": match.observed,
        "pairs": [encode(pair) for pair in match.pairs],
        "unpaired": {
            "reference": [encode(item) for item in match.unpaired_reference],
            "candidate": [encode(item) for item in match.unpaired_candidate],
        },
        "reasons": {"reference": dict(reasons[0]), "candidate": dict(reasons[1])},
        "inputs": [encode(fed) for fed in match.inputs],
        "notes": plain(match.notes),
    }


def print_match(match: Match, console: Console) -> None:
    """Print the headline, every pair in the candidate's order, and why the rest has none."""
    page = Page.of(console)
    page.print(page.text(headline(match), "bold"))
    page.print(page.facts(_facts(page, match)))
    if match.pairs:
        page.heading("pairs", "in the candidate's order")
        page.print(table(page, _COLUMNS, match.pairs, lambda pair: "yellow" if pair.note else ""))


def headline(match: Match) -> str:
    """How much was paired, on both sides, and how sure the least sure pair is."""
    lowest = match.lowest_confidence
    sure = "" if lowest is None else f", lowest confidence {number(lowest)}"
    shares = (
        f"{percent(match.coverage.reference)} of the reference, {percent(match.coverage.candidate)} of the candidate"
    )
    return f"{plural(len(match.pairs), 'pair')}: {shares}{sure}"


def model_facts(page: Page, reference: ModelSummary, candidate: ModelSummary) -> list[tuple[str, RenderableType]]:
    """Which model stands on which side."""
    return [
        (side, page.text(f"{model.path} — {model.framework}, {plural(model.nodes, _unit(model))}"))
        for side, model in (("reference", reference), ("candidate", candidate))
    ]


def _unit(model: ModelSummary) -> str:
    """What is counted of a side."""
    return "tensor" if model.runtime == WEIGHTS_ALONE else "node"


def _facts(page: Page, match: Match) -> list[tuple[str, RenderableType]]:
    found = model_facts(page, match.reference, match.candidate)
    rules = Counter(pair.rule for pair in match.pairs)
    found.append(("paired by", page.prose(", ".join(f"{many:,} {rule}" for rule, many in rules.most_common()))))
    if words := _answered(match.coverage):
        found.append(("answered", page.prose(words)))
    unpaired = [
        f"{side} {len(items):,}: {_reasons(items)}"
        for side, items in (("reference", match.unpaired_reference), ("candidate", match.unpaired_candidate))
        if items
    ]
    found += [("unpaired" if place == 0 else "", page.prose(line)) for place, line in enumerate(unpaired)]
    lost = [
        f"{side} {', '.join(page.plain(label(item.side), 60) for item in open_[:_EXAMPLES])}"
        + (f" and {len(open_) - _EXAMPLES:,} more" if len(open_) > _EXAMPLES else "")
        for side, open_ in (
            ("reference", _without_counterpart(match.unpaired_reference)),
            ("candidate", _without_counterpart(match.unpaired_candidate)),
        )
        if open_
    ]
    found += [("no partner" if place == 0 else "", page.prose(line)) for place, line in enumerate(lost)]
    read = (
        "both models ran; values confirm pairs" if match.observed else "the graphs alone; with --input both models run"
    )
    found.append(("seen", page.text(read)))
    found += [("notes" if place == 0 else "", page.prose(sentence(note))) for place, note in enumerate(match.notes)]
    return found


def _answered(coverage: Coverage) -> str:
    """The shares of what computes that is paired; beside them, what lies inside one node of the other side."""
    shares = coverage.computing_reference, coverage.computing_candidate
    virtual = coverage.virtual_reference or 0.0, coverage.virtual_candidate or 0.0
    if shares[0] is None or shares[1] is None:
        return ""
    words = f"{percent(shares[0])} / {percent(shares[1])} of the tensors that compute something"
    if any(virtual):
        words += f"; {percent(virtual[0])} / {percent(virtual[1])} lie inside what the other side computes in one node"
    return words


def _reasons(items: Iterable[Unpaired]) -> str:
    return ", ".join(f"{many:,} {reason}" for reason, many in Counter(item.reason for item in items).most_common())


def _without_counterpart(items: Iterable[Unpaired]) -> list[Unpaired]:
    return [item for item in items if item.reason in {"no counterpart", "pairing suspect"}]


def _op(pair: MatchedPair) -> str:
    ours, theirs = pair.reference.op, pair.candidate.op
    return theirs if pair.reference.kind == pair.candidate.kind else f"{ours} → {theirs}"


def _shapes(pair: MatchedPair) -> str:
    ours, theirs = shape(pair.reference_shape), shape(pair.candidate_shape)
    return ours if ours == theirs else f"{ours} → {theirs}"


def _axes(pair: MatchedPair) -> str:
    return "" if pair.axes is None else ",".join(map(str, pair.axes))


def _nodes(pair: MatchedPair) -> str:
    """What each region holds, where it is more than the node itself: "conv2d.0 + batch_norm.0 | Conv_3"."""
    sides = [pair.reference_nodes, pair.candidate_nodes]
    return " | ".join(" + ".join(nodes) for nodes in sides) if max(map(len, sides)) > 1 else ""


def _counts(pair: MatchedPair) -> str:
    sides = [len(pair.reference_nodes), len(pair.candidate_nodes)]
    return "{} | {} nodes".format(*sides) if max(sides) > 1 else ""


_COLUMNS: list[Column[MatchedPair]] = [
    Column("reference", lambda pair: label(pair.reference), flexible=True, least=20),
    Column("candidate", lambda pair: label(pair.candidate), flexible=True, least=20),
    Column("op", _op, rank=3, most=26),
    Column("shape", _shapes, rank=5, most=30),
    Column("rule", lambda pair: pair.rule, rank=1),
    Column("sure", lambda pair: number(pair.confidence), rank=1, right=True),
    Column("axes", _axes, rank=4, most=10),
    Column("nodes of the region", _nodes, rank=6, brief=_counts, flexible=True, least=12),
]
