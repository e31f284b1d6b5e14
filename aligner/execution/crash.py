"""What to say when a signal, or code that it ran, ended the working process."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from aligner.errors import CrashError
from aligner.execution.last_words import tail
from aligner.records.progress import Board, Mark

_MEANING = {
    "SIGSEGV": "segmentation fault",
    "SIGBUS": "bus error",
    "SIGABRT": "abort",
    "SIGFPE": "arithmetic fault",
    "SIGILL": "illegal instruction",
    "SIGKILL": "killed from outside",
    "SIGTRAP": "trap",
    "SIGSYS": "forbidden system call",
}

_ADVICE = {
    "SIGKILL": "the system kills a process that uses up the memory: try a smaller input, or free memory; "
    "the kernel's log (dmesg) says whether it was that",
    "SIGILL": "this build of the framework needs a newer processor: install a build made for this one",
    "SIGBUS": "a file that is mapped into memory may have been cut off, or /dev/shm is full: check both",
}
_ADVICE_ELSE = (
    "the framework itself died, not the comparison: update it or try another version, and run this side alone "
    "(align inspect) to see whether it needs the other; ALIGNER_DEBUG=1 shows all that it prints"
)

_ADVICE_LEFT = (
    "look for exit, quit, sys.exit or os._exit in the model's code and in what it calls, and take it out; "
    "align inspect runs this side alone"
)

_THREAD = re.compile(r"^Current thread 0x(?P<ident>[0-9a-f]+)", re.MULTILINE)
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)


def crash_error(number: int, board: Board, *, chatter: Path, stack: Path) -> CrashError:
    """Describe the death by signal ``number``; ``stack`` is what faulthandler wrote, ``chatter`` the last output."""
    name = signal_name(number)
    traces = _read(stack)
    thread = _THREAD.search(traces)  # not there where it is one that native code started
    marks = board.read(int(thread["ident"], 16) if thread else None)
    if name == "SIGALRM":
        late = CrashError(
            f"the time limit was reached while {_activities(marks)}",
            found=_traces(marks, "the model, or the comparison, was still at work", chatter),
            hint="raise it with --timeout SECONDS (0: no limit; 3600 where nothing is said), or try a smaller input",
        )
        late.of_time = True
        return late
    meaning = f", {_MEANING[name]}" if name in _MEANING else ""
    return CrashError(
        f"the working process died ({name}{meaning}) while {_activities(marks)}",
        found=_traces(marks, _python_frame(traces[thread.start() :]) if thread else "", chatter)
        or "no output before it died",
        hint=_ADVICE.get(name, _ADVICE_ELSE),
    )


def left_error(code: object, marks: Sequence[Mark], *, chatter: Path | None = None) -> CrashError:
    """Describe an exit, with that code, which was none of ours: a code of 0 would have read as "aligned"."""
    return CrashError(
        f"the process was told to exit, with code {code or 0}, while {_activities(marks)}",
        found=_traces(marks, "the work was not finished, so there is nothing to report", chatter),
        hint=_ADVICE_LEFT,
    )


def _traces(marks: Sequence[Mark], cause: str, chatter: Path | None) -> str:
    found = [part for part in (*map(_progress, marks), cause) if part]
    words = tail(chatter) if chatter is not None else []
    if words:
        found.append("its last words:\n" + "\n".join(f"    {line}" for line in words))
    return "; ".join(found)


def signal_name(number: int) -> str:
    """ "SIGSEGV", or "signal 40" where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _activities(marks: Sequence[Mark]) -> str:
    return " and, beside it, ".join(map(_activity, marks))


def _activity(mark: Mark) -> str:
    """ "running the candidate, model.onnx", "… on val/7.png"."""
    side = f"the {mark.side}" if mark.side else ""
    subject = ", ".join(part for part in (side, mark.detail, mark.item and f"on {mark.item}") if part)
    phase = f"{mark.phase} of" if mark.phase.endswith("graph") and subject else mark.phase
    return " ".join(part for part in (phase or "starting", subject) if part)


def _progress(mark: Mark) -> str:
    count = f"{mark.done} of {mark.total} nodes done" if mark.total else ""
    last = f"last node {mark.node}" if mark.node else ""
    return ", ".join(part for part in (count, last) if part)


def _read(stack: Path) -> str:
    try:
        return stack.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _python_frame(trace: str) -> str:
    """The innermost Python frame of the thread that died; native frames below it are not known."""
    match = _FRAME.search(trace)
    if match is None:
        return ""
    file = Path(*Path(match["file"]).parts[-3:])
    return f"called from {file}:{match['line']} in {match['function']}"
