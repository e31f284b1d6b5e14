"""Errors that adapters share: of damaged models, and of names that are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aligner.errors import AlignerError, InputError, ModelFormatError

OF_CONTENT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, AssertionError)
"""What reading contradictory content raises."""


@contextmanager
def reading(title: str) -> Iterator[None]:
    """Raise ModelFormatError for what goes wrong while a file's content is made into records.

    Formats allow more contradictions than anybody lists: those that are foreseen are told by name before.
    """
    try:
        yield
    except AlignerError:
        raise
    except OF_CONTENT as error:
        text = (str(error).splitlines() or [""])[0][:200]
        raise ModelFormatError(
            f"{title} contradicts itself",
            found=f"{type(error).__name__}{': ' if text else ''}{text}",
            hint="check it with its framework's own tools; where these find no fault, report this message",
        ) from error


def no_such_value(name: str, verb: str) -> InputError:
    """Nothing of this name can be observed, or injected, as ``verb`` says."""
    return InputError(
        f"there is no value to {verb} under this name",
        found=f'"{name}"',
        hint="align inspect MODEL lists the names of all values",
    )


def unreadable_input(path: Path, error: Exception, hint: str) -> InputError:
    """The error of a file that its reader refuses."""
    text = error.found or error.what if isinstance(error, AlignerError) else str(error)
    lines = text.strip().splitlines() or [type(error).__name__]
    return InputError(f"cannot read the input {path}", found=lines[0], hint=hint)
