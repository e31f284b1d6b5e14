"""The errors along the candidate's execution order as a matplotlib figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aligner.errors import MissingFrameworkError
from aligner.records.comparison import GUILTY, Comparison, Errors
from aligner.report.words import place, position

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(comparison: Comparison) -> Figure:
    """Accumulated and local error, bound and noise of each pair, on a logarithmic scale; notebooks show it at once.

    An error of exactly 0 has no place on it and is left out. Raises MissingFrameworkError without matplotlib.
    """
    try:
        import matplotlib.figure  # noqa: F401 - the dependency itself, before what builds on it

        from aligner.report.figure import ShownFigure
    except ImportError as exc:
        raise MissingFrameworkError(
            "a plot needs matplotlib, which is not installed", hint='pip install "aligner[notebook]"'
        ) from exc
    figure = ShownFigure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots()
    pairs = comparison.pairs
    numbers = range(len(pairs))
    local = [_positive(pair.local) for pair in pairs]
    axes.plot(numbers, [_positive(pair.accumulated) for pair in pairs], color="#d98200", label="accumulated")
    axes.plot(numbers, local, ".", color="#c62828", markersize=3, label="local")
    axes.plot(
        numbers,
        [pair.bound or math.nan for pair in pairs],
        color="#2f8f4e",
        marker="_",
        linestyle="none",
        label="bound",
    )
    if any(pair.noise for pair in pairs):
        axes.plot(numbers, [pair.noise or math.nan for pair in pairs], ".", color="#8a94a3", label="noise")
    _mark_culprits(axes, comparison, local)
    axes.set_yscale("log")
    axes.set(xlabel="pair, in the candidate's order", ylabel="max abs")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _mark_culprits(axes: Any, comparison: Comparison, local: list[float]) -> None:
    guilty = [at for at, pair in enumerate(comparison.pairs) if pair.verdict in GUILTY]
    heights = [_positive(comparison.pairs[at].accumulated) if math.isnan(local[at]) else local[at] for at in guilty]
    if guilty:
        axes.plot(guilty, heights, "o", color="#c62828", markersize=5, label="introduced")
    first = position(comparison.pairs, comparison.first_divergence)
    if first is not None:
        axes.axvline(first, color="#c62828", linestyle=":", linewidth=1)
        pair = comparison.pairs[first]
        name, op = (text.replace("$", r"\$")[:80] for text in (place(pair.reference), pair.candidate.op))
        axes.set_title(f"first divergence: {name} ({op}), pair {first}", fontsize="medium", loc="left")


def _positive(errors: Errors | None) -> float:
    return errors.max_abs if errors is not None and errors.max_abs > 0 else math.nan
