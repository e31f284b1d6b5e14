"""The JSON report, ``aligner.comparison/1``: a Comparison as plain dictionaries, and back.

Keys are those of the records (``aligner.report.codec``); the two lists of unpaired tensors stand under one key. The
schema is ``docs/comparison.schema.json``, made by ``aligner.report.schema``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from aligner.errors import OutputError
from aligner.records.comparison import EXIT_CODES, Comparison, Pair
from aligner.records.regular_file import read_regular
from aligner.report.codec import Document, decode, encode
from aligner.report.document_file import write_document

FORMAT = "aligner.comparison/1"

UNPAIRED = {"reference": "unpaired_reference", "candidate": "unpaired_candidate"}
"""Under ``unpaired``, a side's list, and the field that holds it."""
RENAMED = {"dissections": "regions"}
"""Fields of a comparison that JSON calls otherwise."""


def to_document(comparison: Comparison) -> Document:
    """The comparison as JSON's own types; ``json.dumps(…, allow_nan=False)`` accepts it."""
    document: Document = {"format": FORMAT}
    for name, value in encode(comparison).items():
        if name in UNPAIRED.values():
            side = next(side for side, field in UNPAIRED.items() if field == name)
            document.setdefault("unpaired", {})[side] = value
        else:
            document[RENAMED.get(name, name)] = value
    return document


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
        document = json.loads(read_regular(path), parse_constant=_refuse_constant)
    except OSError as exc:
        raise OutputError.of(f"cannot read {path}", exc, hint) from exc
    except (ValueError, RecursionError) as exc:
        raise OutputError(f"{path} holds no JSON", found=str(exc)[:200], hint=hint) from exc
    return from_document(document)


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word}, which JSON does not have")


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
    named = {name: document[key] for name, key in RENAMED.items() if key in document}
    unpaired = {field: document["unpaired"][side] for side, field in UNPAIRED.items()}
    return _joined(decode(Comparison, {**document, **named, **unpaired}))


def _joined(comparison: Comparison) -> Comparison:
    """Pairs that are named in several places as one and the same record."""
    known: dict[str, Pair] = {}

    def one(pair: Pair) -> Pair:
        return known.setdefault(json.dumps(encode(pair), sort_keys=True), pair)

    first = comparison.first_divergence
    pairs, introduced, outputs = (
        tuple(map(one, several)) for several in (comparison.pairs, comparison.introduced, comparison.outputs)
    )
    return replace(
        comparison,
        pairs=pairs,
        introduced=introduced,
        outputs=outputs,
        first_divergence=None if first is None else one(first),
    )
