"""A pairing, written as a file that ``mapping`` takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from aligner.alignment.saved_mapping import mapping_text
from aligner.report.document_file import write_text


def write_mapping(mapping: Sequence[tuple[str, str]], target: Path | TextIO) -> None:
    """Write pairs of names as CSV, whole or not at all.

    Raises OutputError where the target cannot be written.
    """
    write_text(mapping_text(tuple(mapping)), target)
