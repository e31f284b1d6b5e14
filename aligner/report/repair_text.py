"""What was done to a file, as a terminal shows it and as JSON, ``aligner.repair/1``."""

from __future__ import annotations

from collections.abc import Iterator

from aligner.records.repair import Repair
from aligner.report.codec import Document, encode
from aligner.report.numbers import number, plural

FORMAT = "aligner.repair/1"
_MOST_LINES = 40
"""Changed lines of one patch that a terminal shows; the JSON document has all."""


def to_document(repair: Repair) -> Document:
    """The repair as JSON's own types."""
    return {"format": FORMAT, **encode(repair), "exit_code": repair.exit_code}


def lines(repair: Repair) -> Iterator[str]:
    """The outcome, then what was changed node by node, then what is left to do."""
    yield headline(repair)
    for patch in repair.patches:
        yield ""
        yield f"{patch.node}: {patch.words}"
        yield from (f"    {line}" for line in patch.lines[:_MOST_LINES])
        if len(patch.lines) > _MOST_LINES:
            yield f"    … and {len(patch.lines) - _MOST_LINES} more lines; --json has them"
    if repair.left:
        yield ""
        yield "left to change where the model is made or exported:"
        for one in repair.left:
            place = f" [{one.source}]" if one.source else ""
            yield f"    {one.node}{place}: {one.suggestion} ({one.why})"
    yield from (f"note: {note}" for note in repair.notes)


def headline(repair: Repair) -> str:
    """Whether it is right now, and by how much it was wrong."""
    if not repair.patches and repair.after == "aligned":
        return f"ALIGNED: there is nothing to put right in {repair.candidate}"
    errors = " → ".join("unknown" if error is None else number(error) for error in repair.errors)
    count = f"{plural(len(repair.patches), 'edit')} in {plural(repair.rounds, 'round')}"
    if repair.after == "aligned":
        where = f"wrote {repair.written}" if repair.written else "nothing written: a dry run"
        return f"FIXED: {count}, largest output error {errors}; {where}"
    count = count if repair.patches else "no edit of the file does it"
    return f"NOT FIXED: {count}, largest output error {errors}, {repair.after}; nothing written"
