"""The one command to run after a comparison, with this comparison's own models, inputs and options."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aligner.cli.targets import outputs_of

if TYPE_CHECKING:
    from aligner.records.comparison import Comparison


def with_next_step(comparison: Comparison, words: Sequence[str], compare: click.Command) -> Comparison:
    """The comparison that says what to run next; ``words`` are the arguments that ``compare`` was given for it."""
    group = click.get_current_context().find_root().command
    assert isinstance(group, click.Group)
    said = list(_said(compare, words))
    verb, more = _chosen(comparison, {name for name, _ in said})
    if verb is None:
        return comparison
    known = {param.name for param in group.commands[verb].params} - outputs_of()
    kept = [word for name, spelled in said if name in known for word in spelled]
    models = [comparison.reference.path, comparison.candidate.path]
    return replace(comparison, next_step=shlex.join(["align", verb, *models, *kept, *more]))


def _said(command: click.Command, words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Options as they were spelled, each by its parameter's name."""
    context = click.Context(command, resilient_parsing=True)
    values, _, order = command.make_parser(context).parse_args(list(words))
    for param in dict.fromkeys(order):
        if not isinstance(param, click.Option) or param.name is None:
            continue
        given = values[param.name]
        for each in given if isinstance(given, list) else [given]:
            yes = param.opts[0] if each or not param.secondary_opts else param.secondary_opts[0]
            yield param.name, [yes] if param.is_flag else [yes, str(each)]


def _chosen(comparison: Comparison, said: set[str]) -> tuple[str | None, list[str]]:
    """The command and what it is told beside the models; None where nothing is left to do."""
    candidate = Path(comparison.candidate.path)
    if comparison.verdict == "aligned":  # beyond the contract by rounding alone: a coarser twin
        coarse = any(pair.accumulated is not None and pair.accumulated.beyond for pair in comparison.outputs)
        return ("sensitivity", []) if coarse else (None, [])
    if comparison.first_divergence is not None or comparison.causes:
        proven = any(cause.explained is not None and cause.id != "unknown" for cause in comparison.causes)
        able = _able(comparison.candidate.path)
        if proven and "fix" in able:
            return "fix", ["-o", str(candidate.with_name(f"{candidate.stem}.fixed{candidate.suffix}"))]
        if "repro" in able and comparison.first_divergence is not None:
            return "repro", ["-o", _free(candidate.with_name(f"{candidate.stem}-fault"))]
        return (None, []) if "html_file" in said else ("compare", ["--html", _free(Path("report.html"))])
    if min(comparison.coverage.reference, comparison.coverage.candidate) < 1:
        return "match", ["--save-map", _free(Path("pairs.csv"))]
    return ("compare", ["--noise-floor"]) if "noise_floor" not in said else (None, [])


def _able(candidate: str) -> set[str]:
    """Which commands can do something with a candidate of this kind."""
    from aligner.adapters.registry import find_adapter
    from aligner.adapters.rewriting import Extracts, Rewrites
    from aligner.errors import AlignerError

    try:
        adapter = find_adapter(candidate)
    except AlignerError:
        return set()
    return {verb for verb, kind in (("fix", Rewrites), ("repro", Extracts)) if isinstance(adapter, kind)}


def _free(path: Path) -> str:
    """The path, with a number where something lies there already."""
    tried = (path, *(path.with_name(f"{path.stem}-{count}{path.suffix}") for count in range(2, 1000)))
    return str(next((one for one in tried if not one.exists()), path))
