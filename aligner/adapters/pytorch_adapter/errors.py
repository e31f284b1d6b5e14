"""What goes wrong while a module runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aligner.adapters.pytorch_adapter.source_line import raising_line
from aligner.errors import ModelExecutionError, RehearsalError


@dataclass(slots=True)
class Failure:
    """The call that raised."""

    error: BaseException
    where: str
    source: str | None


def execution_error(error: Exception, failure: Failure | None) -> ModelExecutionError:
    """What a module raised, with the call and the line where, as far as they are known."""
    if failure is not None and failure.error is error:
        place, source = f" at {failure.where}", failure.source
    else:
        place, source = "", raising_line(error.__traceback__)
    return ModelExecutionError(
        f"the model raised an error while it ran{place}" + (f" ({source})" if source else ""),
        found=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}".rstrip(
            ": "
        ),
        hint="check the shapes, dtypes and ranges of the inputs against what this line expects",
    )


def another_way(module: Any, value: str) -> RehearsalError:
    """A run computes something that the run which gave the graph, perhaps without numbers, did not show there."""
    return RehearsalError(
        f"{type(module).__name__} computes something else than when its graph was read",
        found=f"another tensor in the place of {value}",
        hint="read its graph from a run with numbers",
    )
