"""A fault cut out of a model, with what shows it."""

from __future__ import annotations

from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A folder with the guilty part of a model, what it is fed, what it should give, a script and an issue's text.

    ``error`` is what the script measures alone, ``allowed`` what rounding explains there; ``said`` its own words.
    """

    folder: str
    node: str
    value: str
    operations: tuple[str, ...]
    error: float
    allowed: float
    said: str
    files: tuple[str, ...] = ()
    exit_code: int = 0
