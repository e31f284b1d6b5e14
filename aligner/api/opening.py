"""Open the models of a comparison and name them for the report."""

from __future__ import annotations

import gc
from pathlib import Path

from aligner.adapters.base import OpenOptions
from aligner.adapters.registry import open_model
from aligner.api.side import OpenSide
from aligner.inputs import SideInfo
from aligner.records import progress

_CHANNELS_LAST = frozenset({"tflite", "keras"})


def open_side(role: str, target: object, options: OpenOptions, seed: int) -> OpenSide:
    """Open one model; ``role`` is "reference", "candidate" or "model"."""
    path = target_name(target)
    progress.enter(role, "loading", path)
    session = open_model(target, options)
    gc.enable()  # the command line leaves it off while frameworks are imported
    return OpenSide(role=role, path=path, session=session, seed=seed)


def target_name(target: object) -> str:
    """What the report calls a model: the path as given, a factory's name, or the class of a live object."""
    if isinstance(target, (str, Path)):
        return str(target)
    return f"<{type(target).__module__}.{type(target).__qualname__}>"


def side_info(side: OpenSide) -> SideInfo:
    """What feeding needs to know of a side, before its graph is read."""
    session = side.session
    recorded = getattr(session, "recorded_feeds", None)
    return SideInfo(
        signature=session.signature,
        channels="last" if session.framework.removeprefix("recording of ") in _CHANNELS_LAST else "first",
        framework=session.framework,
        recorded=recorded() if callable(recorded) else None,
    )
