"""A function whose work is done in a forked child: threads that a runtime starts there do not outlive it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def apart(function: Callable[P, T]) -> Callable[P, T]:
    """The function, worked out once for each of its arguments; a process with a runtime's threads is no parent."""

    @cache
    @wraps(function)
    def worked_out(*arguments: P.args, **named: P.kwargs) -> T:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            code = 1
            try:
                with os.fdopen(writing, "wb") as pipe:
                    pickle.dump(function(*arguments, **named), pipe)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(pid, 0)
        if status:
            raise RuntimeError(f"{function.__name__}{arguments} could not be made")
        made: T = pickle.loads(data)  # our own child wrote it
        return made

    return worked_out
