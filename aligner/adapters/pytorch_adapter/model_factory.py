"""Find the nn.Module that "file.py:factory" or "package.module:factory" names."""

from __future__ import annotations

import inspect
from typing import Any

from aligner.adapters.factory import named, raised
from aligner.errors import ModelFormatError, listing


def build_module(target: str) -> Any:
    """Import the place and return the module: made by the callable, or the nn.Module instance itself.

    Raises ModelNotFoundError, ModelFormatError, or ModelError when the code raises.
    """
    with named(target) as found:
        return _call(found, target)


def _call(found: Any, target: str) -> Any:
    from torch import nn

    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise _wrong(target, f"an object of type {type(found).__name__}")
    needed = _required(found)
    if needed:
        raise ModelFormatError(
            f"{target} cannot be called without arguments",
            found=f"it needs {listing(needed)}",
            hint="add a function without parameters that builds the model, and name that",
        )
    try:
        made = found()
    except (Exception, SystemExit) as error:
        raise raised(target, "calling", error) from error
    if not isinstance(made, nn.Module):
        raise _wrong(target, f"it returned {'None' if made is None else f'an object of type {type(made).__name__}'}")
    return made


def _required(found: Any) -> list[str]:
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    loose = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [entry.name for entry in parameters if entry.default is entry.empty and entry.kind not in loose]


def _wrong(target: str, found: str) -> ModelFormatError:
    return ModelFormatError(
        f"{target} is no nn.Module and makes none", found=found, hint="name a callable that returns an nn.Module"
    )
