"""What pairs, judges and reports, imported while the models run: Python works while runtimes compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Lock, Thread

from aligner.records import progress

_BEGINS = "observing"
"""The phase from which it goes on. Before it frameworks are imported, which keeps Python busy itself, and TorchScript
runs to show its graph: its threads would spin while the run waits for Python between two nodes."""
_NEEDED = ("aligner.api.matching", "aligner.api.second_look", "aligner.api.concluding", "aligner.report.terminal")
"""In the order in which a comparison asks for them."""


@contextmanager
def prepared_ahead() -> Iterator[None]:
    """Import for the block's comparison and its report in a thread, from the first observed run on.

    What the block itself imports meanwhile waits for it, or goes before: modules of ours never import each other in a
    circle, and the progress bar has the table's library before.
    """
    thread = Thread(target=_prepare, name="aligner-ahead", daemon=True)
    once = Lock()  # marks come from several threads

    def told(mark: progress.Mark) -> None:
        if mark.phase == _BEGINS and once.acquire(blocking=False):
            thread.start()

    stop = progress.listen(told)
    try:
        yield
    finally:
        stop()
        if thread.ident is not None:
            thread.join()


def _prepare() -> None:
    with suppress(Exception):  # it comes again where it is needed
        for module in _NEEDED:
            import_module(module)
