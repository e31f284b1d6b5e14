"""How numbers, shapes and shares read in a report; nothing is computed beyond what formatting needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aligner.records.comparison import TensorStatistics

ABSENT = "–"


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits, integers whole: 0.412, 3.1e-06, 255, nan; a dash where there is nothing."""
    if value is None:
        return ABSENT
    if math.isfinite(value) and value == int(value) and abs(value) < 10 ** max(digits, 6):
        return str(int(value))
    return f"{value:.{digits}g}"


def count(value: int | None) -> str:
    """A whole number with separators: 65,536."""
    return ABSENT if value is None else f"{value:,}"


def unique_count(statistics: TensorStatistics) -> str:
    """How many different values: 65,536; ≈4,200,000 where it is estimated."""
    value = statistics.unique
    if value is None or not statistics.unique_estimated:
        return count(value)
    return f"≈{round(value, 2 - len(str(value))):,}"


def percent(share: float) -> str:
    """A share in percent that says 0 or 100 only where it is exactly that."""
    if math.isnan(share):
        return ABSENT
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return "99.9%"
    return f"{share * 100:.1f}".removesuffix(".0") + "%"


def multiple(value: float | None, unit: float | None) -> str | None:
    """How many times the unit a value is, "34,000×"; None where that says nothing."""
    if value is None or unit is None or not unit > 0 or not math.isfinite(value):
        return None
    times = value / unit
    if not math.isfinite(times):
        return None
    if times < 10:
        return f"{times:.1f}×"
    if times >= 1e9:
        return f"{times:.0e}×".replace("e+", "e")
    rounded = round(times, 1 - math.floor(math.log10(times)))
    return f"{rounded:,.0f}×"


def shape(dims: Sequence[int | None] | None) -> str:
    """1×64×32×32; "scalar" for no axes, "?" for what is not known."""
    if dims is None:
        return "?"
    return "×".join("?" if dim is None else str(dim) for dim in dims) if dims else "scalar"


def index(position: Sequence[int]) -> str:
    """[0, 3, 1, 2]."""
    return "[" + ", ".join(str(place) for place in position) + "]"


def plural(many: int, word: str, several: str | None = None) -> str:
    """1 pair, 12 pairs."""
    return f"{many:,} {word if many == 1 else several or word + 's'}"
