"""Open the models of a comparison and name them for the report."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from aligner.adapters.base import OpenOptions, Prepares
from aligner.adapters.registry import check_options, import_framework, open_model, opens_aside
from aligner.adapters.target import check_there
from aligner.errors import AlignerError
from aligner.execution import memory
from aligner.execution.side import OpenSide
from aligner.inputs import SideInfo
from aligner.records import progress
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """What to open: ``role`` is "reference", "candidate" or "model"."""

    role: str
    target: object
    options: OpenOptions


def open_both(models: tuple[Model, Model], seed: int, opened: list[OpenSide], *, ready: bool = True) -> None:
    """Open two models, beside each other where that can be, and get one ``ready`` to run.

    Adds to ``opened`` the reference, then the candidate; where one cannot be opened, the other.
    """
    for model in models:
        check_there(model.target, model.options.weights)
    check_options([(model.target, model.options) for model in models])
    aside = next((model for model in reversed(models) if opens_aside(model.target)), None)
    if aside is None:
        for model in models:
            progress.enter(model.role, "loading", target_name(model.target))
            opened.append(_opened_apart(model, seed))
        return
    here = models[0] if aside is models[1] else models[1]
    progress.enter("", "loading", " and ".join(target_name(model.target) for model in models))
    beside: Future[OpenSide] = Future()
    Thread(target=_open_aside, args=(aside, seed, beside, ready), name="aligner-open", daemon=True).start()
    try:
        found = {here.role: _outcome(lambda: _opened_apart(here, seed)), aside.role: _outcome(beside.result)}
    except BaseException:
        beside.add_done_callback(_close)
        raise
    outcomes = [found[model.role] for model in models]
    opened.extend(outcome for outcome in outcomes if isinstance(outcome, OpenSide))
    for outcome in outcomes:
        if isinstance(outcome, AlignerError):
            raise outcome


def _close(told: Future[OpenSide]) -> None:
    if told.exception() is None:
        told.result().session.close()


def _outcome(make: Callable[[], OpenSide]) -> OpenSide | AlignerError:
    try:
        return make()
    except AlignerError as error:
        return error


def _open_aside(model: Model, seed: int, told: Future[OpenSide], ready: bool) -> None:
    try:
        side = _opened_apart(model, seed)
    except BaseException as error:  # noqa: BLE001 - raised where the side is wanted
        told.set_exception(error)
        return
    told.set_result(side)
    if ready and isinstance(side.session, Prepares):
        side.session.get_ready()


def _opened_apart(model: Model, seed: int) -> OpenSide:
    """Open it, the framework out of the garbage collector's way where the process is the command's."""
    import_framework(model.target)
    memory.settle()
    return _opened(model, seed)


def open_side(role: str, target: object, options: OpenOptions, seed: int) -> OpenSide:
    """Open one model; ``role`` is "reference", "candidate" or "model"."""
    progress.enter(role, "loading", target_name(target))
    return _opened(Model(role, target, options), seed)


def _opened(model: Model, seed: int) -> OpenSide:
    role, target, options = model.role, model.target, model.options
    path = target_name(target)
    session = open_model(target, options)
    memory.settle()
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
        channels=session.capabilities.channels,
        framework=session.framework,
        recorded=recorded() if callable(recorded) else None,
    )
