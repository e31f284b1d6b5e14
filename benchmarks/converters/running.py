"""Many cases, one after another, each outcome handed out as it is known."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from types import FrameType

from benchmarks.converters.case import case, recipe
from benchmarks.converters.scoring import NOT_MADE, Outcome, judge

TWICE_EVERY = 8
"""Every so many seeds are compared twice."""
LIMIT = 240
"""Seconds after which a comparison counts as stuck."""


def run(
    seeds: Sequence[int],
    *,
    kinds: Sequence[bool],
    networks: Sequence[str] = (),
    torch: str = "",
    planted: Sequence[str] = (),
    rarer: bool = False,
) -> Iterator[Outcome]:
    """``kinds``: False for clean cases, True for ones with a fault, which is one of those ``planted``, else of all."""
    for seed in seeds:
        for faulty in kinds:
            outcome = once(seed, faulty=faulty, networks=networks, torch=torch, planted=planted, rarer=rarer)
            if outcome is not None:
                yield outcome


def once(
    seed: int,
    *,
    faulty: bool,
    networks: Sequence[str] = (),
    torch: str = "",
    planted: Sequence[str] = (),
    rarer: bool = False,
) -> Outcome | None:
    """The outcome of one case; None where its fault finds no place. What fails in the making is one, too."""
    try:
        made = case(seed, faulty=faulty, networks=networks, torch=torch, planted=planted, rarer=rarer)
    except Exception as error:  # noqa: BLE001 - one broken rewrite must not end the run of all the others
        drawn = recipe(seed, faulty=faulty, networks=networks, planted=planted)
        said = f"{NOT_MADE}: {type(error).__name__}: {str(error)[:300]}"
        return Outcome(seed, drawn.network, drawn.fault and drawn.fault.name, "", NOT_MADE, violations=[said])
    if made is None:
        return None

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise TimeoutError(f"no answer after {LIMIT} s")

    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        return judge(made, twice=seed % TWICE_EVERY == 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
