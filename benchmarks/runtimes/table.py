"""Outcomes as tables."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.runtimes.outcome import Outcome


def clean_table(outcomes: Sequence[Outcome], absent: Sequence[str]) -> str:
    """Clean pairs as a matrix; ``absent`` forms, of which there are no outcomes, have a row that says so."""
    clean = {(one.reference, one.candidate): one for one in outcomes if one.fault is None}
    forms = list(dict.fromkeys(name for pair in clean for name in pair))
    lines = [f"| reference ↓ candidate → | {' | '.join(forms)} |", "|---" * (len(forms) + 1) + "|"]
    for row in forms:
        cells = (clean[row, column].verdict if (row, column) in clean else "–" for column in forms)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    lines += (f"| {name} | {' | '.join(['not installed'] * len(forms))} |" for name in absent if name not in forms)
    return "\n".join(lines)


def fault_table(outcomes: Sequence[Outcome], absent: Sequence[str]) -> str:
    """What became of the faults for each pair of forms, and those that were missed."""
    faulty = [one for one in outcomes if one.fault]
    lines = ["| pair | faults | diverged | located | cause among three | missed |", "|---" * 6 + "|"]
    for pair in dict.fromkeys((one.reference, one.candidate) for one in faulty):
        group = [one for one in faulty if (one.reference, one.candidate) == pair]
        lines.append(_row(f"{pair[0]} → {pair[1]}", group, _missed(group)))
    known = {name for one in faulty for name in (one.reference, one.candidate)}
    lines += (f"| {name} | – | – | – | – | not installed |" for name in absent if name not in known)
    lines.append(_row("all", faulty, ""))
    return "\n".join(lines)


_TOLD = {"right": "not diverged", "located": "place", "named": "cause"}


def _row(name: str, group: Sequence[Outcome], missed: str) -> str:
    counts = (str(sum(bool(getattr(one, word)) for one in group)) for word in _TOLD)
    return f"| {name} | {len(group)} | {' | '.join(counts)} | {missed} |"


def _missed(group: Sequence[Outcome]) -> str:
    told = {one.fault: [word for name, word in _TOLD.items() if not getattr(one, name)] for one in group}
    return ", ".join(f"{fault} ({_first(words)})" for fault, words in told.items() if words)


def _first(words: Sequence[str]) -> str:
    return words[0] if words[0] == "not diverged" else " and ".join(words)
