"""What goes wrong while a module runs."""

from __future__ import annotations

from typing import Any

from aligner.adapters.pytorch_adapter.recorder import Recorder
from aligner.adapters.pytorch_adapter.source_line import raising_line
from aligner.errors import ModelExecutionError, RehearsalError


def execution_error(error: Exception, recorder: Recorder | None) -> ModelExecutionError:
    """What a module raised, with the call and the line where, as far as they are known."""
    failure = recorder.failure if recorder is not None else None
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
    """A run with numbers has computed a value that the rehearsal did not show there."""
    return RehearsalError(
        f"{type(module).__name__} computes something else with numbers than without",
        found=f"another tensor in the place of {value}",
        hint="read its graph from a run with numbers",
    )
