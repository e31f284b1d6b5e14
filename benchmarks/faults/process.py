"""Run a function in a process of its own: a crash, a hang or a leak is one failed case."""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import pickle
import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status``: "ok", "error" (``value`` is the traceback), "crashed" or "timeout"."""

    status: str
    value: Any
    seconds: float
    peak_mb: float = 0.0


def run_apart(function: Callable[..., Any], *given: Any, log: Path, timeout: float) -> Outcome:
    """Fork, run, bring the answer back through a file; everything printed goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    answer = log.with_suffix(".answer")
    answer.unlink(missing_ok=True)
    start = time.perf_counter()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(function, given, log, answer, timeout))
    process.start()
    process.join(timeout)
    seconds = time.perf_counter() - start
    if process.is_alive():
        process.kill()
        process.join()
        return Outcome("timeout", f"no answer within {timeout:g} s", seconds)
    if not answer.exists():
        return Outcome("crashed", f"the process died with exit code {process.exitcode}", seconds)
    with answer.open("rb") as file:
        status, value, peak = pickle.load(file)  # written by the child just above
    answer.unlink()
    return Outcome(status, value, seconds, peak)


def peak_megabytes() -> float:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _work(function: Callable[..., Any], given: tuple[Any, ...], log: Path, answer: Path, timeout: float) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable(2)
    faulthandler.dump_traceback_later(0.95 * timeout, file=2)  # where it hangs stands in the log
    try:
        result = ("ok", function(*given), peak_megabytes())
    except Exception:  # noqa: BLE001 - whatever happens is the case's result
        result = ("error", traceback.format_exc(limit=-6), peak_megabytes())
    with contextlib.suppress(OSError):
        partial = answer.with_suffix(".partial")
        partial.write_bytes(pickle.dumps(result))
        partial.rename(answer)
    os._exit(0)  # runtimes' teardown is not what is measured here
