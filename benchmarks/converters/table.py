"""Outcomes as a table, and failures by kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from benchmarks.converters.faults import INSERTED
from benchmarks.converters.scoring import NOT_MADE, Outcome

_HEADS = (
    *("network", "clean pairs", "aligned", "pairs right", "answered", "virtual"),
    *("faults", "flagged", "located", "in region", "near"),
)


def failure(outcome: Outcome) -> str | None:
    """The kind of a failure, None for a pass."""
    if outcome.violations:
        return outcome.violations[0].partition(":")[0]
    if outcome.exact is False:
        return "located beside" if outcome.near else "located elsewhere"
    return "wrong pair" if outcome.wrong_pairs else None


def summary(outcomes: Sequence[Outcome]) -> str:
    """The figures of a run, by network, of all and of nodes put in, then failures by kind and by fault."""
    kinds = Counter(kind for outcome in outcomes if (kind := failure(outcome)))
    outcomes = [outcome for outcome in outcomes if outcome.verdict != NOT_MADE]
    lines = [
        f"| {' | '.join(_HEADS)} |",
        f"| --- |{' ---: |' * (len(_HEADS) - 1)}",
    ]
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        rows[outcome.network].append(outcome)
    lines += [_row(name, found) for name, found in sorted(rows.items())]
    lines.append(_row("all", outcomes))
    if inserted := [each for each in outcomes if each.fault in INSERTED]:
        lines.append(_row("of these: a node put in", inserted))
    lines += ["", *(f"{count:5d}  {kind}" for kind, count in kinds.most_common())]
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for outcome in outcomes:
        if outcome.fault:
            tally[outcome.fault][0] += bool(outcome.exact)
            tally[outcome.fault][1] += 1
    missed = sorted((right / total, name, right, total) for name, (right, total) in tally.items() if right < total)
    lines += ["", "faults located less than always: " + ", ".join(f"{name} {r}/{t}" for _, name, r, t in missed)]
    return "\n".join(lines)


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    clean = [each for each in outcomes if each.fault is None]
    faults = [each for each in outcomes if each.fault is not None]
    told = [each for each in clean if each.virtual is not None]
    flagged = [each.verdict == "diverged" for each in faults]
    cells = [
        name,
        str(len(clean)),
        _share([each.verdict == "aligned" for each in clean]),
        _parts(sum(each.right for each in clean), sum(each.pairs for each in clean)),
        _parts(sum(each.answered for each in clean), sum(each.pairable for each in clean)),
        _parts(sum(each.virtual or 0 for each in told), 1000 * len(told)),
        str(len(faults)),
        _share(flagged),
        _share([bool(each.exact) for each in faults]),
        _share([bool(each.inside) for each in faults]),
        _share([bool(each.near) for each in faults]),
    ]
    return "| " + " | ".join(cells) + " |"


def _share(rows: Sequence[bool]) -> str:
    return _parts(sum(rows), len(rows))


def _parts(some: int, total: int) -> str:
    return f"{100 * some / total:.1f}%" if total else "–"
