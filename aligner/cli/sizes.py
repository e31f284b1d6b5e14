"""Sizes by name on a command line: ``--shapes batch=1,4 seq=16,128``."""

from __future__ import annotations

import re
from typing import Any

import click

from aligner.cli.targets import FileCommand

_FORM = re.compile(r"[^\s=,]+=\d+(?:,\d+)*")


class NamedSizes(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """One name and its sizes: "seq=16,128"."""

    name = "name=n,n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        if not _FORM.fullmatch(str(value)):
            self.fail(f"{value!r} is no name and sizes such as batch=1,4", param, ctx)
        name, _, sizes = str(value).partition("=")
        return name, tuple(int(size) for size in sizes.split(","))


class SizesCommand(FileCommand):
    """A command whose ``--shapes`` takes one word or several."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its words."""
        spread: list[str] = []
        inside = False
        for word in args:
            parts = (word.split() or [word]) if inside or (spread and spread[-1] == "--shapes") else [word]
            for part in parts:
                first = bool(spread) and spread[-1] == "--shapes"
                inside = first or (inside and _FORM.fullmatch(part) is not None)
                spread += [part] if first or not inside else ["--shapes", part]
        return super().parse_args(ctx, spread)
