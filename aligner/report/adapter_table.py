"""What can be read here, and how to get the rest, for ``align adapters``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console

from aligner.report.columns import Column, table
from aligner.report.page import Page


class AdapterStatus(Protocol):
    """What the table needs to know of an adapter; any object with these attributes will do."""

    @property
    def name(self) -> str:
        """The framework's word: "onnx"."""

    @property
    def reads(self) -> str:
        """What it opens: "*.onnx"."""

    @property
    def installed(self) -> bool:
        """Whether its framework can be imported."""

    @property
    def version(self) -> str | None:
        """Each package found with its version: "onnx 1.23, onnxruntime 1.31"."""

    @property
    def how(self) -> str:
        """What to type to get it."""


def print_adapters(statuses: Sequence[AdapterStatus], console: Console) -> None:
    """Print one row for each adapter; those missing say how to get them."""
    page = Page.of(console)
    page.print(table(page, _COLUMNS, list(statuses), lambda status: "" if status.installed else "yellow"))
    missing = [status for status in statuses if not status.installed]
    if missing:
        page.print()
        facts = [(status.name, page.text(status.how or "not installed")) for status in missing]
        page.print(page.text("to install what is missing:"))
        page.print(page.facts(facts, max(len(page.plain(status.name)) for status in missing)), indent=2)


_COLUMNS: list[Column[AdapterStatus]] = [
    Column("adapter", lambda status: status.name),
    Column("installed", lambda status: "yes" if status.installed else "no"),
    Column("reads", lambda status: status.reads, flexible=True, wrap=True, least=12),
    Column("version", lambda status: status.version or "", flexible=True, wrap=True, least=14),
]
