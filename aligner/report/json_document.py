"""The JSON report, ``aligner.comparison/1``: a Comparison as plain dictionaries, and back.

Keys are those of the records; a SIDE carries its statistics flattened. JSON has no NaN and no infinity: a number that
is not finite is written as null, and the counts ``nan`` and ``inf`` of a SIDE say why. Read back, such a null becomes
NaN where the record asks for a number. The schema is ``docs/comparison.schema.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TextIO, cast

from aligner.errors import OutputError
from aligner.records.comparison import (
    EXIT_CODES,
    Comparison,
    Coverage,
    Errors,
    FedInput,
    Finding,
    ModelSummary,
    NoiseFloor,
    Pair,
    Side,
    TensorStatistics,
    Tolerance,
    Unpaired,
    WeightTally,
)
from aligner.report.dissection_document import dissection_document, dissection_from
from aligner.report.document_file import write_document
from aligner.report.preview_document import preview_document, preview_from

FORMAT = "aligner.comparison/1"

Document = dict[str, Any]

_SIDE_PLAIN = ("name", "names", "op", "kind", "node", "index", "scope", "source", "shape", "dtype")
_TUPLES = frozenset(
    {
        "names",
        "shape",
        "unique_head",
        "unique_tail",
        "worst_index",
        "axes",
        "notes",
        "reference_nodes",
        "candidate_nodes",
    }
)
_ERRORS_ALWAYS = frozenset({"max_abs", "mean_abs", "sum_abs", "rmse", "max_rel", "beyond"})


def plain(value: Any) -> Any:
    """A value as JSON can hold it: tuples to lists, NumPy scalars to Python's, numbers that are not finite to None."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (bytes, bytearray)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    item = getattr(value, "item", None)  # a NumPy scalar; anything else is shown as its own words
    if callable(item) and getattr(value, "ndim", 1) == 0:
        return plain(item())
    return str(value)


def _record(record: object) -> Document:
    return {item.name: plain(getattr(record, item.name)) for item in fields(cast(Any, record))}


def side_document(side: Side) -> Document:
    """SIDE: where the tensor is found, then its statistics; that a number is estimated is said only where it is."""
    document = {name: plain(getattr(side, name)) for name in _SIDE_PLAIN} | _record(side.statistics)
    if not side.statistics.unique_estimated:
        del document["unique_estimated"]
    return document


def pair_document(pair: Pair) -> Document:
    """PAIR, in the order of DESIGN's contract; ``bound`` and ``note`` follow, ``floor`` where it was measured."""
    return {
        "reference": side_document(pair.reference),
        "candidate": side_document(pair.candidate),
        "rule": pair.rule,
        "confidence": plain(pair.confidence),
        "axes": plain(pair.axes),
        "verdict": pair.verdict,
        "accumulated": None if pair.accumulated is None else _record(pair.accumulated),
        "local": None if pair.local is None else _record(pair.local),
        "noise": plain(pair.noise),
        "bound": plain(pair.bound),
        "note": pair.note,
        "reference_nodes": plain(pair.reference_nodes),
        "candidate_nodes": plain(pair.candidate_nodes),
    } | ({} if pair.floor is None else {"floor": _record(pair.floor)})


def to_document(comparison: Comparison) -> Document:
    """The comparison as JSON's own types; ``json.dumps(…, allow_nan=False)`` accepts it."""
    first = comparison.first_divergence
    return {
        "format": FORMAT,
        "verdict": comparison.verdict,
        "reason": comparison.reason,
        "reference": _record(comparison.reference),
        "candidate": _record(comparison.candidate),
        "tolerance": _record(comparison.tolerance),
        "coverage": _record(comparison.coverage),
        "first_divergence": None if first is None else pair_document(first),
        "introduced": [pair_document(pair) for pair in comparison.introduced],
        "causes": [_record(cause) for cause in comparison.causes],
        "outputs": [pair_document(pair) for pair in comparison.outputs],
        "pairs": [pair_document(pair) for pair in comparison.pairs],
        "unpaired": {
            "reference": [_unpaired_document(item) for item in comparison.unpaired_reference],
            "candidate": [_unpaired_document(item) for item in comparison.unpaired_candidate],
        },
        "inputs": [_record(fed) for fed in comparison.inputs],
        "notes": plain(comparison.notes),
        "timing": plain(comparison.timing),
        "command": comparison.command,
        "previews": [preview_document(preview) for preview in comparison.previews],
        "regions": [dissection_document(dissection) for dissection in comparison.dissections],
    } | ({} if comparison.weights is None else {"weights": _record(comparison.weights)})


def write_json(comparison: Comparison, target: Path | TextIO) -> None:
    """Write the report to a file (whole or not at all) or to an open stream.

    Raises OutputError where the target cannot be written.
    """
    write_document(to_document(comparison), target)


def read_json(path: Path) -> Comparison:
    """The comparison that a JSON report holds.

    Raises OutputError where the file cannot be read or holds something else.
    """
    hint = "give a file written with: align compare … --json FILE"
    try:
        document = json.loads(path.read_bytes())
    except OSError as exc:
        raise OutputError(f"cannot read {path}", found=exc.strerror or str(exc), hint=hint) from exc
    except (ValueError, RecursionError) as exc:
        raise OutputError(f"{path} holds no JSON", found=str(exc)[:200], hint=hint) from exc
    return from_document(document)


def from_document(document: Mapping[str, Any]) -> Comparison:
    """The comparison a document was made from.

    Pairs named in several places (first divergence, introduced, outputs) become one and the same record.
    Raises OutputError where the document is not an ``aligner.comparison/1``.
    """
    found = document.get("format") if isinstance(document, Mapping) else type(document).__name__
    if found != FORMAT:
        raise OutputError(
            "not a comparison written by aligner",
            found=f"format {found!r} instead of {FORMAT!r}",
            hint="give a file written with: align compare … --json FILE",
        )
    try:
        return _comparison(document)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise OutputError(
            f"the comparison document does not follow {FORMAT}",
            found=f"{type(exc).__name__}: {exc}",
            hint="write it again with: align compare … --json FILE",
        ) from exc


def _comparison(document: Mapping[str, Any]) -> Comparison:
    if document["verdict"] not in EXIT_CODES:
        raise ValueError(f"verdict {document['verdict']!r}")
    known: dict[str, Pair] = {}

    def pair(item: Mapping[str, Any]) -> Pair:
        return known.setdefault(json.dumps(item, sort_keys=True), _pair(item))

    pairs = tuple(pair(item) for item in document["pairs"])
    first = document["first_divergence"]
    return Comparison(
        verdict=document["verdict"],
        reason=document["reason"],
        reference=_fill(ModelSummary, document["reference"]),
        candidate=_fill(ModelSummary, document["candidate"]),
        tolerance=_fill(Tolerance, document["tolerance"]),
        coverage=_fill(Coverage, document["coverage"]),
        first_divergence=None if first is None else pair(first),
        introduced=tuple(pair(item) for item in document["introduced"]),
        causes=tuple(_fill(Finding, item) for item in document["causes"]),
        outputs=tuple(pair(item) for item in document["outputs"]),
        pairs=pairs,
        unpaired_reference=tuple(_unpaired(item) for item in document["unpaired"]["reference"]),
        unpaired_candidate=tuple(_unpaired(item) for item in document["unpaired"]["candidate"]),
        inputs=tuple(_fill(FedInput, item) for item in document.get("inputs", ())),
        notes=tuple(document.get("notes", ())),
        timing=dict(document.get("timing", {})),
        command=document.get("command"),
        previews=tuple(preview_from(item) for item in document.get("previews", ())),
        dissections=tuple(dissection_from(item) for item in document.get("regions", ())),
        weights=None if document.get("weights") is None else _tally(document["weights"]),
    )


def _tally(document: Mapping[str, Any]) -> WeightTally:
    tally: WeightTally = _fill(WeightTally, document)
    return replace(tally, changed=tuple(tally.changed), missing=tuple(tally.missing))


def _fill(record: type[Any], document: Mapping[str, Any]) -> Any:
    """A record from the keys it knows; keys that a later version added are left aside."""
    return record(
        **{
            item.name: tuple(document[item.name])
            if item.name in _TUPLES and document[item.name] is not None
            else document[item.name]
            for item in fields(record)
            if item.name in document
        }
    )


def _side(document: Mapping[str, Any]) -> Side:
    own = {name: document[name] for name in _SIDE_PLAIN}
    side = _fill(Side, own | {"statistics": _fill(TensorStatistics, document)})
    return cast(Side, side)


def _errors(document: Mapping[str, Any] | None) -> Errors | None:
    if document is None:
        return None
    numbers = {key: math.nan if value is None and key in _ERRORS_ALWAYS else value for key, value in document.items()}
    return cast(Errors, _fill(Errors, numbers))


def _pair(document: Mapping[str, Any]) -> Pair:
    sides = {
        "reference": _side(document["reference"]),
        "candidate": _side(document["candidate"]),
        "accumulated": _errors(document["accumulated"]),
        "local": _errors(document["local"]),
        "floor": _floor(document.get("floor")),
    }
    return cast(Pair, _fill(Pair, {**document, **sides}))


def _floor(document: Mapping[str, Any] | None) -> NoiseFloor | None:
    if document is None:
        return None
    distances = {side: math.nan if document[side] is None else document[side] for side in ("reference", "candidate")}
    return NoiseFloor(**distances, nearer=document["nearer"])


def _unpaired(document: Mapping[str, Any]) -> Unpaired:
    return Unpaired(side=_side(document), reason=document["reason"])


def _unpaired_document(item: Unpaired) -> Document:
    return side_document(item.side) | {"reason": item.reason}
