"""The program that an archive of torch.export holds, and the module that it unlifts to."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aligner.adapters.torch_file import OP_LIBRARIES, expect
from aligner.errors import ModelError, ModelFormatError, UnsupportedModelError


def load(path: Path, *, trust: bool = False) -> Any:
    """The program of an archive.

    Raises ModelNotFoundError, ModelFormatError, UntrustedFileError or UnsupportedModelError.
    """
    from aligner.adapters.export_adapter.archive import check_archive
    from aligner.adapters.torch_archive import within_limits

    expect(path, "export", "an archive of torch.export", "torch.export.save")
    name = check_archive(path, trust=trust)
    if importlib.util.find_spec("torch.export.pt2_archive") is None:
        raise UnsupportedModelError(
            f"{path.name} is read by torch 2.8 and later", found=f"torch {_version()}", hint="pip install -U torch"
        )
    try:
        program = _loaded(path, name)
    except Exception as first:
        if not _imported_operators():
            raise _damaged(path, first) from first
        try:
            program = _loaded(path, name)
        except Exception as error:
            raise _damaged(path, error) from error
    within_limits([program.state_dict, program.constants], path)
    return program


def _loaded(path: Path, name: str) -> Any:
    from torch.export.pt2_archive._package import load_pt2  # export.load goes on to older layouts, unchecked

    with path.open("rb") as file, _quiet():
        return load_pt2(file).exported_programs[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """What PyTorch logs of a file that it cannot read is told by our own error."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch.export.pt2_archive._package")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _version() -> str:
    import torch

    return str(torch.__version__)


def _imported_operators() -> bool:
    """Import the packages of operators that are installed and were not; whether there were any."""
    found = False
    for library in OP_LIBRARIES:
        if library not in sys.modules:
            try:
                importlib.import_module(library)
                found = True
            except ImportError:
                continue
    return found


def _damaged(path: Path, error: Exception) -> ModelError:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else "")
    return ModelFormatError(
        f"{path.name} cannot be loaded by torch.export",
        found=f"{type(error).__name__}: {text.strip()[:300]}",
        hint="it may be damaged, written by another version of PyTorch, or need operators that are not imported",
    )


def placed(program: Any, device: str) -> Any:
    """The program on a device. Raises ModelError where it cannot be moved there."""
    if device == "cpu":
        return program
    from torch.export.passes import move_to_device_pass

    try:
        return move_to_device_pass(program, device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"the program cannot be moved to {device}",
            found=str(error).strip().splitlines()[0],
            hint="use --device cpu",
        ) from error


def unlifted(program: Any, *, guarded: bool) -> Any:
    """The program as a module; conditions on inputs that a file states are code, and left out where it is no trusted
    one.
    """
    import inspect

    known = "check_guards" in inspect.signature(program.module).parameters  # torch 2.9
    try:
        return program.module(check_guards=guarded) if known else program.module()
    except Exception as error:
        raise UnsupportedModelError(
            "the exported program has no form that can be called",
            found=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
            hint="export the module again, or give the module itself (my_model.py:build)",
        ) from error
