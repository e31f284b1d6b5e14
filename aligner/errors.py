"""Every error aligner raises on purpose.

    AlignerError                 base; carries the three-part message
    ├── ModelError               a model cannot be found, read, loaded or run
    │   ├── ModelNotFoundError       no such file, factory or object
    │   ├── ModelFormatError         the file is not what it claims to be (empty, truncated, wrong magic)
    │   ├── UntrustedFileError       loading would execute code; needs --trust
    │   ├── UnsupportedModelError    readable, but holds something no runtime here can execute
    │   └── ModelExecutionError      the framework raised while the model ran
    ├── MissingFrameworkError    an adapter exists, its framework is not installed
    ├── InputError               an input is missing, unreadable or of the wrong rank, shape, dtype or name
    ├── MappingError             a mapping file is malformed or names what does not exist
    ├── ComparisonError          the two sides cannot be compared
    ├── OutputError              a report or capture cannot be written
    └── CrashError               the runtime killed the working process

Foreign exceptions are translated at the border of the room that meets them, with ``from exc``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_SHOWN = 5
_LONGEST = 400
"""Characters of a name that a message shows."""


class AlignerError(Exception):
    """What happened, what was found, what to do next; exit code 2 on the command line."""

    exit_code = 2

    def __init__(self, what: str, *, found: str | None = None, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.found = "an empty text" if found == "" else found or ""
        self.hint = hint

    @classmethod
    def of(cls, what: str, error: BaseException, hint: str) -> Self:
        """With what another exception says; of the system's own its bare words."""
        return cls(what, found=getattr(error, "strerror", None) or str(error), hint=hint)

    def __str__(self) -> str:
        parts = [self.what]
        if self.found:
            parts.append(f"found: {self.found}")
        if self.hint:
            parts.append(f"next: {self.hint}")
        return "\n".join(parts)


class ModelError(AlignerError):
    """A model cannot be found, read, loaded or run."""


class ModelNotFoundError(ModelError):
    """No such file, factory or object."""


class ModelFormatError(ModelError):
    """The file is not what its name or magic bytes claim."""


class UntrustedFileError(ModelError):
    """Loading the file would execute code stored in it."""


class UnsupportedModelError(ModelError):
    """The file is valid, but no runtime installed here can execute it."""


class ModelExecutionError(ModelError):
    """The framework raised while the model ran."""


class RehearsalError(ModelExecutionError):
    """A run took another way than the one without numbers that told its graph; read the graph by running."""


class MissingFrameworkError(AlignerError):
    """An adapter could read the model, but its framework is not installed."""


class InputError(AlignerError):
    """An input is missing, unreadable, or does not fit the model."""


class MappingError(AlignerError):
    """A mapping file is malformed, or an entry names no tensor."""


class ComparisonError(AlignerError):
    """The two sides cannot be compared at all."""


class OutputError(AlignerError):
    """A report or a capture cannot be written."""


class CrashError(AlignerError):
    """The runtime killed the working process (segmentation fault, abort, out of memory), or its time was over."""

    of_time = False


def listing(names: Iterable[object]) -> str:
    """Join at most five names and say how many were left out."""
    every = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in (str(one) or "''" for one in names)]
    shown = ", ".join(every[:_SHOWN])
    rest = len(every) - _SHOWN
    return f"{shown} and {rest} more ({len(every)} in all)" if rest > 0 else shown
