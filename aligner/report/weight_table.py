"""The weights of two models on a terminal and as JSON, ``aligner.weights/1``."""

from __future__ import annotations

from collections import Counter

from rich.console import Console, RenderableType

from aligner.records.weight import StoredWeight, WeightAudit, WeightMatch
from aligner.report.codec import Document, encode, plain
from aligner.report.columns import Column, table
from aligner.report.match_table import model_facts
from aligner.report.numbers import number, shape
from aligner.report.page import Page, sentence

FORMAT = "aligner.weights/1"
_STYLES = {"matched": "", "changed": "red", "missing": "red", "extra": "yellow"}
_COUNTED = ("matched", "changed", "missing")


def to_document(audit: WeightAudit) -> Document:
    """The audit as JSON's own types."""
    return {
        "format": FORMAT,
        "reference": encode(audit.reference),
        "candidate": encode(audit.candidate),
        "counts": {word: audit.count(word) for word in (*_COUNTED, "extra")} | {"fresh": audit.fresh},  # type: ignore[arg-type]
        "weights": [_match_document(match) for match in audit.matches],
        "notes": plain(audit.notes),
    }


def _match_document(match: WeightMatch) -> Document:
    stored = {
        side: None if weight is None else encode(weight)
        for side, weight in (("reference", match.reference), ("candidate", match.candidate))
    }
    return encode(match) | stored


def print_weights(audit: WeightAudit, console: Console, *, full: bool = False) -> None:
    """Print what is not matched, or with ``full`` every weight; the summary comes first and last."""
    page = Page.of(console)
    page.print(page.text(summary(audit), "bold"))
    page.print(page.facts(_facts(page, audit)))
    shown = [match for match in audit.matches if full or match.status != "matched"]
    if shown:
        page.heading("weights" if full else "weights that are not matched", "‖candidate − reference‖ / ‖reference‖")
        page.print(table(page, _COLUMNS, shown, lambda match: _STYLES[match.status]))
        page.print()
        page.print(page.text(summary(audit), "bold"))


def summary(audit: WeightAudit) -> str:
    """ "matched 105, changed 2, missing 0, fresh 1"; extra ones where there are any."""
    counts = [(word, audit.count(word)) for word in _COUNTED]  # type: ignore[arg-type]
    extra = audit.count("extra")
    counts += [("fresh", audit.fresh), *([("extra", extra)] if extra else [])]
    return ", ".join(f"{word} {many:,}" for word, many in counts)


def _facts(page: Page, audit: WeightAudit) -> list[tuple[str, RenderableType]]:
    found = model_facts(page, audit.reference, audit.candidate)
    for status in ("matched", "changed"):
        words = Counter(_transform(match) for match in audit.matches if match.status == status)
        said = [f"{many:,} {word}" for word, many in words.most_common() if word]
        if said:
            found.append((status, page.prose(", ".join(said))))
    notes = [*audit.notes, *audit.reference.notes, *audit.candidate.notes]
    found += [("notes" if place == 0 else "", page.prose(sentence(note))) for place, note in enumerate(notes)]
    return found


def _transform(match: WeightMatch) -> str:
    axes = "" if match.axes is None else " " + ",".join(map(str, match.axes))
    return " + ".join(match.transforms) + axes if match.transforms else ""


def _status(match: WeightMatch) -> str:
    return "changed, fresh" if match.fresh else match.status


def _stored(weight: StoredWeight | None) -> str:
    if weight is None:
        return ""
    return weight.name if weight.index is None else f"{weight.name} #{weight.index}"


def _nodes(match: WeightMatch) -> str:
    weight = match.candidate or match.reference
    return "" if weight is None else ", ".join(weight.nodes)


def _both(left: str, right: str) -> str:
    return left if left == right or not right else right if not left else f"{left} → {right}"


def _shapes(match: WeightMatch) -> str:
    sides = (match.reference, match.candidate)
    return _both(*("" if weight is None else shape(weight.shape) for weight in sides))


def _dtypes(match: WeightMatch) -> str:
    sides = (match.reference, match.candidate)
    return _both(*("" if weight is None else weight.dtype for weight in sides))


def _relative(match: WeightMatch) -> str:
    return "" if match.relative is None else number(match.relative)


_COLUMNS: list[Column[WeightMatch]] = [
    Column("status", _status),
    Column("reference", lambda match: _stored(match.reference), flexible=True, least=18),
    Column("candidate", lambda match: _stored(match.candidate), flexible=True, least=18),
    Column("shape", _shapes, rank=3, most=28),
    Column("dtype", _dtypes, rank=4, most=20),
    Column("how", _transform, rank=2, most=28),
    Column("difference", _relative, rank=1, right=True),
    Column("paired by", lambda match: match.rule, rank=5),
    Column("node", _nodes, rank=6, flexible=True, least=14),
]
