"""ExecuTorch itself, imported without what it and torchao log about parts that are not for this machine."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_LOCK = threading.Lock()
_FOUND: list[Any] = []


def executorch() -> Any:
    """The runtime (``runtime``), the reader and writer of programs (``files``), their records (``schema``), and where
    flatc and the schema of XNNPACK's graphs lie (``flatc``).
    """
    with _LOCK:
        if not _FOUND:
            _FOUND.append(_imported())
        return _FOUND[0]


def _imported() -> Any:
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from executorch.exir import schema
            from executorch.exir._serialize import _program
            from executorch.extension.pybindings import portable_lib

            with suppress(Exception):  # kernels that only quantised programs call; loading them registers them
                import executorch.kernels.quantized  # noqa: F401
    finally:
        logging.disable(disabled)
    return SimpleNamespace(runtime=portable_lib, files=_program, schema=schema, flatc=_flatc)


def _flatc() -> tuple[str, str]:
    """ExecuTorch's own flatc where it brings one, else that on the path."""
    import executorch as package

    root = Path(next(iter(package.__path__)))
    own = root / "data" / "bin" / "flatc"
    schema = root / "backends" / "xnnpack" / "serialization" / "schema.fbs"
    return str(own if own.exists() else "flatc"), str(schema)
