"""Sides that are dumps: what model each is of, and what has to be known of their input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aligner.adapters.base import OpenOptions
from aligner.adapters.dumps.is_dump import IsDump
from aligner.adapters.target import WHAT_TO_WRITE, parse_target
from aligner.errors import ComparisonError, InputError
from aligner.execution.side import OpenSide
from aligner.inputs import PreparedFeeds
from aligner.inputs.items import ROLES


def dump_options(
    targets: tuple[object, object],
    options: tuple[OpenOptions, OpenOptions],
    dump_of: object,
    layout: str | None,
) -> tuple[OpenOptions, OpenOptions]:
    """How both sides are opened, with the model of each that is a dump; a mapping names it for each side.

    Raises ComparisonError where a model was named and no side is a dump.
    """
    if dump_of is None and layout is None:
        return options
    named = dump_of if isinstance(dump_of, Mapping) else None
    dumps = [_is_dump(target) for target in targets]
    if not any(dumps) and not any(_is_missing(target) for target in targets):
        raise ComparisonError(
            "--dump-of names the model of a dump, and neither side is one",
            found=" and ".join(_spoken(target) for target in targets),
            hint=f"give the file or folder that was dumped as one side; of a run without a format, {WHAT_TO_WRITE}",
        )
    told: list[OpenOptions] = []
    for role, option, is_dump in zip(ROLES, options, dumps, strict=True):
        model = named.get(role) if named is not None else dump_of
        told.append(replace(option, dump_of=model, dump_layout=layout) if is_dump else option)
    return told[0], told[1]


def _is_missing(target: object) -> bool:
    """A file that is not there has a message of its own."""
    parsed = parse_target(target)
    return parsed.path is not None and not parsed.path.exists()


def _is_dump(target: object) -> bool:
    from aligner.adapters.dumps.formats import is_dump

    return isinstance(target, str | Path) and is_dump(Path(target), stated=True)


def _spoken(target: object) -> str:
    """What the user named, and what is in it where that is a folder."""
    from aligner.adapters.dumps.formats import content

    path = Path(target) if isinstance(target, str | Path) else None
    return f"{target} ({content(path)})" if path is not None and path.is_dir() else str(target)


def lend_models(sides: Sequence[OpenSide], pairs: Sequence[tuple[str, str]]) -> None:
    """Let a dump that says nothing of its model be read as one of the other side's, as far as the names are its.

    ``pairs`` are the user's own: (reference name, candidate name).
    """
    for place, side in enumerate(sides):
        other, dump = sides[1 - place], side.session
        if isinstance(dump, IsDump) and not dump.knows_its_model and other.session.capabilities.can_inject:
            dump.try_model(other.session, Path(other.path).name, {pair[place]: pair[1 - place] for pair in pairs})


def known_by_statistics(sides: Sequence[OpenSide]) -> int | None:
    """Which side is a dump of statistics alone, 0 or 1; None for neither. Raises ComparisonError where both are."""
    found = [n for n, side in enumerate(sides) if isinstance(side.session, IsDump) and side.session.statistics]
    if len(found) > 1:
        raise ComparisonError(
            "two dumps of statistics cannot be compared",
            found=" and ".join(side.path for side in sides),
            hint="dump tensors on one side, or give the model itself",
        )
    return found[0] if found else None


def check_random(fed: PreparedFeeds, sides: Sequence[OpenSide]) -> None:
    """Raise InputError where the input was drawn and a side is a dump of a run on another one."""
    for side in sides:
        recorded: Any = getattr(side.session, "recorded_feeds", None)
        if fed.random and callable(recorded) and not recorded():
            raise InputError(
                f"the {side.role} {side.path} does not hold the input that it was made with",
                found="no --input, and no tensor of the dump that is an input of the model",
                hint="give what was fed there: --input FILE",
            )


def check_input(sides: Sequence[OpenSide]) -> list[str]:
    """Sentences where the first tensors of a dump may have been computed from another input than the given.

    Raises InputError where they were.
    """
    notes = []
    for side in sides:
        found = side.session.other_input(side.feeds) if isinstance(side.session, IsDump) else None
        if found is None:
            continue
        if found.proven:
            raise InputError(
                f"the {side.role} {side.path} was made from another input",
                found=f"its first tensors are what an input {found.name} gives that has little in common with the one "
                "given; everything after them is computed from them as it should be",
                hint="give what was fed there (--input FILE), or dump the input too: it is used as the input then",
            )
        notes.append(
            f"{side.role}: nothing but the first recorded tensors differs from what the model gives: if the device was "
            f"fed another {found.name} than the one given, that is why (dump the input too, and it is compared)"
        )
    return notes
