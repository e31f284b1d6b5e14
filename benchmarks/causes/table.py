"""Outcomes as a table: a line for each fault, one for all."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.causes.scoring import Outcome


def summary(outcomes: Sequence[Outcome]) -> str:
    """Right answers of all, and where one was wrong what was."""
    lines = ["| fault | cases | right | otherwise |", "| --- | ---: | ---: | --- |"]
    for name in dict.fromkeys(one.fault for one in outcomes):
        mine = [one for one in outcomes if one.fault == name]
        wrong = [f"{one.form}: {', '.join(one.missed)}" for one in mine if one.missed]
        lines.append(f"| {name} | {len(mine)} | {len(mine) - len(wrong)} | {'; '.join(wrong)} |")
    right = sum(not one.missed for one in outcomes)
    lines.append(f"| **all** | {len(outcomes)} | {right} ({100 * right / max(len(outcomes), 1):.1f} %) | |")
    return "\n".join(lines)
