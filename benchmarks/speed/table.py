"""The measurements as Markdown, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed.cases import Case
from benchmarks.speed.measuring import Cost

HEADS = ("case", "plain", "compare", "ratio", "CPU ratio", "peak RSS, plain / compare", "answer")
_WORTH_TELLING = 1 << 20


def row(case: Case, label: str, plain: Cost, ours: Cost) -> tuple[str, ...]:
    """One line of the table."""
    return (
        f"{case.name}, {label}" if label else case.name,
        f"{plain.wall:.2f} s",
        f"{ours.wall:.2f} s",
        f"{ours.wall / plain.wall:.2f}",
        f"{ours.cpu / plain.cpu:.2f}" if plain.cpu else "–",
        f"{_megabytes(plain.peak)} / {_megabytes(ours.peak)}",
        _answer(case, ours),
    )


def failed(case: Case, label: str, reason: str) -> tuple[str, ...]:
    """A line that says what went wrong."""
    words = " ".join(reason.split()).replace("|", "/")
    return (f"{case.name}, {label}" if label else case.name, *["–"] * 5, f"failed: {words[:120]}")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Heads and lines; numbers to the right."""
    rule = ("---", *["---:"] * (len(HEADS) - 2), "---")
    return "\n".join("| " + " | ".join(line) + " |" for line in (HEADS, rule, *rows))


def _answer(case: Case, cost: Cost) -> str:
    words = []
    if "verdict" in cost.said:
        words.append(f"{cost.said['verdict']}, {cost.said['pairs']:,} pairs")
    if case.tensor:
        words.append(f"{(cost.peak - cost.base) / case.tensor:.1f} tensors above the imports")
    if cost.written > _WORTH_TELLING and "verdict" in cost.said:
        words.append(f"{_megabytes(cost.written)} to disk")
    return "; ".join(words)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
