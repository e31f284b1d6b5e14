"""The comparison on a terminal: the answer first, then what supports it, then where the rest is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType

from aligner.errors import listing
from aligner.records.comparison import Comparison, FedInput, ModelSummary, Unpaired, WeightTally
from aligner.report import half_blocks
from aligner.report.certificate_words import certificate_lines
from aligner.report.distinct_names import shortened
from aligner.report.divergence_panel import cause_facts, divergence_panel
from aligner.report.headline import headline
from aligner.report.numbers import number, plural
from aligner.report.page import Page, sentence
from aligner.report.pair_table import AFTER, BEFORE, around, culprit_table, measured, output_table, pair_table, rows
from aligner.report.selection import EVERYTHING, Selection
from aligner.report.series_table import series
from aligner.report.sparkline import depth
from aligner.report.words import by_reason, label, other_culprits, place, runs_on, tally

_CULPRITS, _CAUSES, _OUTPUTS, _NOTES, _REASONS, _EXAMPLES, _FED = 5, 2, 6, 5, 3, 2, 8
_SELECTED, _PLACE = 40, 64
_CERTAIN = 0.95
"""Confidence from which on nobody needs to look at a pair."""

Fact = tuple[str, RenderableType]


def print_comparison(
    comparison: Comparison,
    console: Console,
    *,
    full: bool = False,
    quiet: bool = False,
    pictures: bool = False,
    selection: Selection = EVERYTHING,
) -> None:
    """Print the report; ``full`` prints every pair and leaves nothing out, ``quiet`` the verdict's line alone.

    ``pictures`` adds those of the first divergence; ``selection`` says which pairs the table shows.
    """
    page = Page.of(console)
    if quiet:
        page.line(headline(page, comparison))
        return
    page.print(headline(page, comparison))
    _print_models(page, comparison)
    for one in series(comparison):
        page.heading(one.title, one.remark)
        page.print(one.on(page))
    panel = divergence_panel(page, comparison)
    if panel is not None:
        page.print()
        page.print(panel)
    if comparison.verdict == "inconclusive":
        _print_settling(page, comparison)
    _print_causes(page, comparison, full)
    if pictures:
        _print_pictures(page, comparison)
    if comparison.verdict == "aligned":
        _print_worst(page, comparison)
    _print_depth(page, comparison)
    if selection:
        _print_selection(page, comparison, full, selection)
    else:
        _print_pairs(page, comparison, full)
    _print_culprits(page, comparison, full)
    _print_outputs(page, comparison, full)
    _print_circumstances(page, comparison, full)


def _print_models(page: Page, comparison: Comparison) -> None:
    told = comparison.verdict == "inconclusive" or comparison.first_divergence is not None  # by the headline
    if comparison.reason and not told:
        page.print(page.prose(comparison.reason))
    facts: list[Fact] = [(side, page.text(_model(summary))) for side, summary in _summaries(comparison)]
    page.print(page.facts(facts))


def _summaries(comparison: Comparison) -> list[tuple[str, ModelSummary]]:
    return [("reference", comparison.reference), ("candidate", comparison.candidate)]


def _model(summary: ModelSummary) -> str:
    return f"{summary.path} — {runs_on(summary.framework, summary.runtime)}, {plural(summary.nodes, 'node')}"


def _print_settling(page: Page, comparison: Comparison) -> None:
    """What would settle an inconclusive comparison, as far as the record tells."""
    advice = []
    shares = comparison.coverage
    if min(shares.reference, shares.candidate) < 1 and comparison.rule != "output-not-recorded":
        advice.append("pair tensors by hand with --map FILE, or by position with --align-by order")
    if any(fed.source.lower().startswith(("random", "seeded")) for fed in comparison.inputs):
        advice.append("feed a real input with --input FILE: random or constant data hides faults")
    if any(pair.verdict == "nondeterministic" and pair.verdict_rule != "ties" for pair in comparison.pairs):
        advice.append("fix what is random: another --seed, or noise given as an input on both sides")
    if advice:
        page.print()
        page.print(page.facts([("to settle", page.prose(advice[0])), *(("", page.prose(item)) for item in advice[1:])]))


def _print_causes(page: Page, comparison: Comparison, full: bool) -> None:
    """The causes that the panel did not already show."""
    rest = comparison.causes[1:] if comparison.first_divergence is not None else comparison.causes
    for cause in rest if full else rest[:_CAUSES]:
        page.print()
        page.print(cause_facts(page, cause))
    if not full and len(rest) > _CAUSES:
        page.print(page.text(f"{plural(len(rest) - _CAUSES, 'more cause')}: --full", "dim"))


def _print_pictures(page: Page, comparison: Comparison) -> None:
    drawn = half_blocks.pictures(page, comparison)
    if drawn is None:
        page.print()
        page.print(page.text("no pictures: they are made of culprits and of outputs beyond the tolerance", "dim"))
        return
    page.heading(f"pictures of {page.plain(place(drawn.pair.reference), _PLACE)}", drawn.remark)
    page.print(drawn.drawing)


def _print_depth(page: Page, comparison: Comparison) -> None:
    drawn = depth(page, comparison) if len(comparison.pairs) > BEFORE + 1 + AFTER else None  # else the table shows all
    if drawn is not None:
        page.heading("error along the depth", drawn.remark)
        page.print(drawn.drawing)


def _print_selection(page: Page, comparison: Comparison, full: bool, selection: Selection) -> None:
    chosen = rows(comparison, selection.pairs(comparison))
    page.heading(selection.words, f"{len(chosen):,} of {len(comparison.pairs):,}, max abs difference")
    shown = chosen if full else chosen[:_SELECTED]
    if shown:
        page.print(pair_table(page, shown))
    else:
        page.print(page.text("no pair matches: a filter is a verdict, or words of names, ops, modules, sources", "dim"))
    if len(shown) < len(chosen):
        page.print(page.text(f"{len(chosen) - len(shown):,} more: --full", "dim"))


def _print_pairs(page: Page, comparison: Comparison, full: bool) -> None:
    every = rows(comparison)
    if full and every:
        page.heading("every pair", f"in the candidate's order, max abs difference; {tally(comparison.pairs)}")
        page.print(pair_table(page, every))
        return
    near = around(every, comparison)
    if near:
        title = "around the first divergence" if comparison.first_divergence else "around the first disagreement"
        page.heading(title, f"max abs difference; {plural(len(every), 'pair')}: {tally(comparison.pairs)}")
        page.print(pair_table(page, near))


def _print_worst(page: Page, comparison: Comparison) -> None:
    known = [(pair, pair.accumulated) for pair in comparison.pairs if pair.accumulated is not None]
    if not known:
        return
    worst, errors = max(known, key=lambda item: (math.isnan(item[1].max_abs), item[1].max_abs))
    where = f"{number(errors.max_abs)} at {place(worst.reference)} — candidate {worst.candidate.name}"
    where += "".join(f": {one.why}" for one in worst.opinions if one.rule == worst.verdict_rule and one.why)
    page.print(page.facts([("worst", page.text(where)), ("verdicts", page.text(tally(comparison.pairs)))]))


def _print_culprits(page: Page, comparison: Comparison, full: bool) -> None:
    others = other_culprits(comparison)
    if full or not others:
        return
    shown = rows(comparison, others[:_CULPRITS])
    page.heading("other culprits", "each errs by itself, whatever it was fed" if measured(shown) else "")
    page.print(culprit_table(page, shown))
    if len(others) > _CULPRITS:
        page.print(page.text(f"{len(others) - _CULPRITS:,} more: --full", "dim"))


def _print_outputs(page: Page, comparison: Comparison, full: bool) -> None:
    if not comparison.outputs:
        return
    tolerance = comparison.tolerance
    page.heading("outputs", f"tolerance {number(tolerance.atol)} + {number(tolerance.rtol)}·|reference|")
    page.print(output_table(page, comparison.outputs if full else comparison.outputs[:_OUTPUTS]))
    if not full and len(comparison.outputs) > _OUTPUTS:
        page.print(page.text(f"{len(comparison.outputs) - _OUTPUTS:,} more: --full", "dim"))


def _print_circumstances(page: Page, comparison: Comparison, full: bool) -> None:
    facts = [
        *_labelled(
            "fed", _cut(page, [line for fed in comparison.inputs for line in _fed(fed)], None if full else _FED)
        ),
        *_labelled("notes", _cut(page, [*map(sentence, _notes(comparison))], None if full else _NOTES)),
        *_labelled("certified", [page.prose(line) for line in certificate_lines(comparison)]),
        *_labelled("rule", [page.text(comparison.rule)] if full and comparison.rule else []),
        *_labelled("paired", _paired(page, comparison)),
        *_labelled("unpaired", _unpaired(page, comparison, full)),
        *_labelled("weights", [page.prose(_weights(comparison.weights))] if full and comparison.weights else []),
        *_labelled("judged by", [page.prose(comparison.tolerance.rule)] if full and comparison.tolerance.rule else []),
        *_labelled("seconds", [page.text(_seconds(comparison))] if full and comparison.timing else []),
        *_labelled("again", [page.command(comparison.command)] if comparison.command else []),
        *_labelled("more", [] if full else [page.text(_more(comparison))]),
    ]
    page.print()
    page.print(page.facts(facts))
    if comparison.next_step:
        page.print(page.facts([("next", page.command(comparison.next_step))]))


def _labelled(title: str, facts: Iterable[RenderableType]) -> list[Fact]:
    return [(title if place == 0 else "", fact) for place, fact in enumerate(facts)]


def _fed(fed: FedInput) -> list[str]:
    """One line where both sides got the same, otherwise one for each."""
    start = f"{fed.name}: {fed.source}" if fed.source else fed.name
    if fed.reference == fed.candidate:
        return [f"{start} → {fed.reference}, both sides" if fed.reference else start]
    sides = (("reference", fed.reference), ("candidate", fed.candidate))
    return [start, *(f"  → {side} {what}" for side, what in sides if what)]


def _notes(comparison: Comparison) -> list[str]:
    """What was noted and is no cause's evidence, which is printed with it."""
    own = [f"{side}: {note}" for side, summary in _summaries(comparison) for note in summary.notes]
    told = " ".join(cause.evidence for cause in comparison.causes[:_CAUSES])
    return [note for note in (*comparison.notes, *own) if note not in told]


def _cut(page: Page, lines: Sequence[str], most: int | None) -> list[RenderableType]:
    shown: list[RenderableType] = [page.text(line, width=2000) for line in lines[:most]]
    if len(lines) > len(shown):
        shown.append(page.text(f"{len(lines) - len(shown):,} more: --full", "dim"))
    return shown


def _paired(page: Page, comparison: Comparison) -> list[RenderableType]:
    """How sure the least sure pair is; nothing where all are as good as certain."""
    least = min(comparison.pairs, key=lambda pair: pair.confidence, default=None)
    if least is None or least.confidence >= _CERTAIN:
        return []
    where = f"{place(least.reference)} — candidate {least.candidate.name}"
    return [page.text(f"lowest confidence {number(least.confidence)} ({least.rule}) at {where}")]


def _unpaired(page: Page, comparison: Comparison, full: bool) -> list[RenderableType]:
    sides = (("reference", comparison.unpaired_reference), ("candidate", comparison.unpaired_candidate))
    return [line for side, items in sides if items for line in _unpaired_side(page, side, items, full)]


def _unpaired_side(page: Page, side: str, items: Sequence[Unpaired], full: bool) -> list[RenderableType]:
    """Counts by reason, the most frequent first, each with a few names."""
    reasons = by_reason(items)
    lines: list[RenderableType] = []
    for reason, group in reasons if full else reasons[:_REASONS]:
        few = group if full else group[:_EXAMPLES]
        names = ", ".join(map(page.plain, shortened([label(item.side) for item in few], 120 if full else 40)))
        more = page.ellipsis if len(few) < len(group) else ""
        lines.append(page.prose(f"{side} {len(group):,} {reason}: {names}{more}"))
    if not full and len(reasons) > _REASONS:
        rest = sum(len(group) for _, group in reasons[_REASONS:])
        lines.append(page.text(f"{side} {rest:,} for other reasons: --full", "dim"))
    return lines


def _weights(found: WeightTally) -> str:
    parts = [f"{found.matched} matched"]
    for word, names in (("changed", found.changed), ("missing", found.missing)):
        parts += [f"{len(names)} {word}: {listing(names)}"] if names else []
    parts += [f"{found.extra} in the candidate alone"] if found.extra else []
    return "; ".join(parts) + " (align weights lists them)"


def _seconds(comparison: Comparison) -> str:
    return ", ".join(f"{name} {number(seconds)}" for name, seconds in comparison.timing.items())


def _more(comparison: Comparison) -> str:
    drawn = ", --pictures draws the first divergence" if comparison.previews else ""
    return f"--full prints every pair ({len(comparison.pairs):,}){drawn}, --html FILE shows everything"
