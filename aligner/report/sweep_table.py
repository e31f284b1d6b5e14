"""A sweep on a terminal: the verdict over the set, the samples that break it, the nodes that err."""

from __future__ import annotations

from collections import Counter
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
        if sweep.samples
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
    skipped += f", {sweep.left:,} of the set not among them" if sweep.left else ""
    if sweep.skipped and not sweep.samples:
        return f"INCONCLUSIVE — no sample could be read{skipped}"
    if not sweep.breaking:
        alike = [one for one in sweep.samples if one.verdict == sweep.verdict]
        open_ = alike[0].reason if alike and sweep.verdict == "inconclusive" else None
        why = f" — on {alike[0].name}: {open_}" if open_ else ""
        return f"{sweep.verdict.upper()} on {len(alike):,} of {plural(many, 'sample')}{skipped}{why}"
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
    """One sentence for each output: how often labels agree, how far regions and boxes do, the least cosine and PSNR."""
    told = [(sample.index, one) for sample in sweep.samples for one in sample.agreements]
    lines = []
    for name in dict.fromkeys(one.output for _, one in told):
        found = [(index, one) for index, one in told if one.output == name]
        known = dict.fromkeys(measure for _, one in found for measure in one.measures)
        words = [
            _measure_words(measure, [(one.measures[measure], index) for index, one in found if measure in one.measures])
            for measure in sorted(known, key=_place)
        ]
        words += [
            f"{reason} on {plural(many, 'sample')}"
            for reason, many in sorted(Counter(one.without for _, one in found).items())
            if reason
        ]
        words += [f"without a pair on {len(sweep.samples) - len(found):,}"] if len(found) < len(sweep.samples) else []
        lines += [f"{name}: {', '.join(words)}"] if words else []
    fitting = {measure for _, one in told for measure in one.measures}
    missing = [name for name in sweep.agreement if name.partition("=")[0] not in fitting]
    return [*lines, *(f"{name}: fits no output" for name in missing if sweep.samples)]


_MEANS = {
    "argmax": "largest element the same",
    "top": "{} largest shared",
    "iou": "mean IoU of labels",
    "boxes": "mean IoU of matched boxes",
}
_LEASTS = {"cosine": ("cosine", 6, ""), "psnr": ("PSNR", 3, " dB")}


def _place(measure: str) -> tuple[int, str]:
    order, kind = (*_MEANS, *_LEASTS), measure.partition("-")[0]
    return order.index(kind) if kind in order else len(order), measure


def _measure_words(measure: str, values: Sequence[tuple[float, int]]) -> str:
    """ "largest element the same 98.2% (40% on #4)": what it is over all samples, and which one is the worst."""
    kind, _, many = measure.partition("-")
    mean, least = sum(value for value, _ in values) / len(values), _value(measure, min(values)[0])
    place = f"on #{min(values)[1]}" if _value(measure, max(values)[0]) != least else ""
    if kind in _LEASTS:
        return f"least {_LEASTS[kind][0]} {least}" + (f" ({place.removeprefix('on ')})" if place else "")
    return f"{_MEANS.get(kind, kind).format(many)} {_value(measure, mean)}" + (f" ({least} {place})" if place else "")


def _value(measure: str, value: float) -> str:
    if measure in _LEASTS:
        _, digits, unit = _LEASTS[measure]
        return f"{number(value, digits)}{unit}"
    return percent(value)


def sample_agreement(sample: SampleResult) -> str:
    """ "logits: argmax 100%, cosine 0.98": what is told of one sample."""
    told = ((one, sorted(one.measures.items(), key=lambda item: _place(item[0]))) for one in sample.agreements)
    return "; ".join(
        f"{one.output}: {', '.join(f'{name} {_value(name, value)}' for name, value in values) or one.without}"
        for one, values in told
        if values or one.without
    )


_SAMPLES: list[Column[SampleResult]] = [
    Column("#", lambda one: str(one.index), right=True),
    Column("sample", lambda one: one.name, flexible=True),
    Column("verdict", lambda one: one.verdict),
    Column("max abs", lambda one: number(one.output_error), right=True),
    Column("first wrong at", lambda one: one.first or "", flexible=True, rank=1),
    Column("agreement", sample_agreement, flexible=True, wrap=True, rank=2),
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
