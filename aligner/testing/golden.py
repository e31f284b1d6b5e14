"""A model against its own past: a recording made on request, compared with ever after."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aligner.errors import AlignerError, ComparisonError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_OPENING = ("trust", "evaluation_mode", "provider", "ort_optimization", "signature", "device", "memory_limit")


def golden_file(folder: Path, name: str, parameters: str = "") -> Path:
    """Where a golden lies; ``parameters`` tells apart the cases of a parametrised test.

    Raises ComparisonError for a name that is no plain file name.
    """
    __tracebackhide__ = True
    if not _NAME.fullmatch(name):
        raise ComparisonError(
            f"{name!r} cannot name a golden",
            found="a name becomes a file name",
            hint="use letters, digits, '.', '-' and '_'",
        )
    return folder / f"{name}{f'-{parameters}' if parameters else ''}.npz"


def recorded(path: Path, rerun: str | None) -> Path:
    """The golden, as short as the working directory allows.

    Raises ComparisonError where it was never recorded.
    """
    __tracebackhide__ = True
    if not path.is_file():
        raise ComparisonError(
            f"there is no golden {path.name}",
            found=f"nothing at {path}",
            hint=f"record it from a version you trust: {rerun or 'pytest'} --align-update",
        )
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else Path(relative)


def record(model: object, inputs: Any, path: Path, options: Mapping[str, Any]) -> None:
    """Run the model once and write every tensor; ``options`` are those of ``compare``.

    Raises what ``aligner.capture`` raises.
    """
    __tracebackhide__ = True
    from aligner.adapters.base import OpenOptions
    from aligner.api import capture

    opening: dict[str, Any] = {name: options[name] for name in _OPENING if name in options}
    weights = options.get("candidate_weights")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        capture(
            model,
            path,
            inputs,
            options=OpenOptions(weights=None if weights is None else Path(weights), **opening),
            preprocessing=options.get("preprocessing"),
            seed=options.get("seed", 0),
        )
    except AlignerError as error:
        failure: Exception = error
    except OSError as error:
        failure = ComparisonError(f"the golden {path} cannot be written", found=str(error), hint="check the folder")
    else:
        return
    raise failure.with_traceback(None) from None
