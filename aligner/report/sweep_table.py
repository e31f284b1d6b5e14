"""A sweep on a terminal: the verdict over the set, the samples that break it, the nodes that err."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from aligner.records.sweep import NodeErrors, SampleResult, Sweep
from aligner.report.columns import Column, table
from aligner.report.numbers import number, percent, plural
from aligner.report.page import Page
from aligner.report.words import STYLES

_SHOWN = 10


def print_sweep(sweep: Sweep, console: Console, *, full: bool = False) -> None:
    """Print it; ``full`` shows every sample and node."""
    page = Page.of(console)
    page.print(page.text(headline(sweep), f"bold {STYLES.get(sweep.verdict, 'green')}"))
    facts = [
        (side, page.text(f"{model.path} — {model.framework}, {model.runtime}"))
        for side, model in (("reference", sweep.reference), ("candidate", sweep.candidate))
    ]
    facts += [("agrees", page.prose(words)) for words in agreement_words(sweep)]
    facts += [("skipped", page.prose(f"{one.name}: {one.why}")) for one in sweep.skipped[: None if full else _SHOWN]]
    page.print(page.facts(facts))
    samples = list(sweep.samples) if full else list(sweep.breaking[:_SHOWN])
    if samples:
        page.heading("samples" if full else "the samples that are furthest apart", "max abs of the outputs")
        page.print(table(page, _SAMPLES, samples, lambda one: STYLES.get(one.verdict, "") if full else ""))
    nodes = list(sweep.nodes) if full else worst_nodes(sweep)[:_SHOWN]
    if nodes:
        many = len(sweep.samples)
        page.heading("nodes" if full else "the nodes that err", f"local max abs over {plural(many, 'sample')}")
        page.print(table(page, _nodes(sweep), nodes, lambda one: "red" if one.introduced else ""))
    if sweep.breaking and not full:
        page.print(page.prose("--full prints every sample and node; align compare on the worst sample says why"))


def headline(sweep: Sweep) -> str:
    """ "DIVERGED on 12 of 400 samples, sample-dependent — the worst is val/7.png, first wrong at /conv/Conv"."""
    many = len(sweep.samples)
    skipped = f", {len(sweep.skipped):,} skipped" if sweep.skipped else ""
    if not sweep.breaking:
        alike = sum(one.verdict == "aligned" for one in sweep.samples)
        return f"{sweep.verdict.upper()} on {alike:,} of {plural(many, 'sample')}{skipped}"
    worst = sweep.breaking[0]
    first = f", first wrong at {worst.first}" if worst.first else ""
    apart = sweep.stability == "sample-dependent" and len(sweep.breaking) == many
    stability = "at different nodes" if apart else sweep.stability
    return (
        f"DIVERGED on {len(sweep.breaking):,} of {plural(many, 'sample')}{skipped}, {stability} — the worst is "
        f"{worst.name}{first}"
    )


def worst_nodes(sweep: Sweep) -> list[NodeErrors]:
    """The nodes that err by themselves on some sample, in the candidate's order."""
    return [node for node in sweep.nodes if node.introduced]


def agreement_words(sweep: Sweep) -> list[str]:
    """One sentence for each output: how often labels agree, how far their regions do, the least cosine and PSNR."""
    names = dict.fromkeys(one.output for sample in sweep.samples for one in sample.agreements)
    lines = []
    for name in names:
        found = [one for sample in sweep.samples for one in sample.agreements if one.output == name]
        words = [
            text
            for text in (
                _mean("largest element the same", [one.same_top for one in found]),
                _mean("five largest shared", [one.same_top5 for one in found]),
                _mean("mean IoU of labels", [one.iou for one in found]),
                _least("cosine", [one.cosine for one in found], 6),
                _least("PSNR", [one.psnr for one in found], 3, " dB"),
            )
            if text
        ]
        if words:
            lines.append(f"{name}: {', '.join(words)}")
    return lines


def _mean(words: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{words} {percent(sum(known) / len(known))}" if known else ""


def _least(words: str, values: Sequence[float | None], digits: int, unit: str = "") -> str:
    known = [value for value in values if value is not None]
    return f"least {words} {number(min(known), digits)}{unit}" if known else ""


_SAMPLES: list[Column[SampleResult]] = [
    Column("#", lambda one: str(one.index), right=True),
    Column("sample", lambda one: one.name, flexible=True),
    Column("verdict", lambda one: one.verdict),
    Column("max abs", lambda one: number(one.output_error), right=True),
    Column("first wrong at", lambda one: one.first or "", flexible=True, rank=1),
]


def _nodes(sweep: Sweep) -> list[Column[NodeErrors]]:
    many = max(len(sweep.samples), 1)
    return [
        Column("reference", lambda node: node.reference, flexible=True, rank=3),
        Column("candidate", lambda node: node.candidate, flexible=True),
        Column("op", lambda node: node.op, rank=2),
        Column("errs on", lambda node: percent(node.introduced / many), right=True),
        Column("median", lambda node: number(node.errors.quantile(0.5)), right=True),
        Column("99 %", lambda node: number(min(node.errors.quantile(0.99), node.worst)), right=True, rank=1),
        Column("max", lambda node: number(node.worst), right=True),
        Column("on", lambda node: f"#{node.worst_sample}", right=True),
    ]
