"""The user's own code: what "file.py:name" or "package.module:name" means."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from aligner.adapters.pytorch_adapter.source_line import raising_line
from aligner.errors import ModelError, ModelFormatError, ModelNotFoundError, listing

_FORM = re.compile(r"(?P<place>.+\.py|[A-Za-z_]\w*(?:\.\w+)*):(?P<name>[A-Za-z_][\w.]*)", re.DOTALL)

_siblings: dict[str, Path] = {}
"""Modules that model files imported from their own folder: two files may each have a neighbour of the same name."""


def is_factory(target: object) -> bool:
    """Whether the target has the form "file.py:name" or "package.module:name"."""
    return isinstance(target, str) and _FORM.fullmatch(target) is not None


def call_named(target: str) -> Any:
    """What the user's own callable returns, whatever it is; the name is of the same form.

    Raises ModelNotFoundError, ModelFormatError, or ModelError when the code raises.
    """
    with named(target) as found:
        try:
            return found()
        except (Exception, SystemExit) as error:
            raise raised(target, "calling", error) from error


@contextlib.contextmanager
def named(target: str) -> Iterator[Any]:
    """The object that a name means, its neighbours importable.

    Raises ModelNotFoundError, ModelFormatError, or ModelError when the code raises.
    """
    match = _FORM.fullmatch(target)
    if match is None:
        raise ModelNotFoundError(
            f"{target} names no factory",
            found="no colon and name",
            hint="write file.py:factory or package.module:factory",
        )
    place, name = match["place"], match["name"]
    is_file = place.endswith(".py")
    folder = Path(place).absolute().parent if is_file else Path.cwd()
    with _importable(folder, own=is_file):
        yield _attribute(_load_file(Path(place)) if is_file else _load_package(place), name, target)


@contextlib.contextmanager
def _importable(folder: Path, *, own: bool) -> Iterator[None]:
    """Put the folder first on the import path, as when the file is run as a script."""
    for name, origin in list(_siblings.items()):
        if own and origin != folder:
            sys.modules.pop(name, None)
            del _siblings[name]
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
        if own:
            new = {name: sys.modules.get(name) for name in set(sys.modules) - before}
            _siblings.update({name: folder for name, module in new.items() if _lies_in(module, folder)})


def _lies_in(module: ModuleType | None, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and "site-packages" not in file and Path(file).is_relative_to(folder)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelNotFoundError(
            f"{path} does not exist",
            found=f"looked in {path.absolute().parent}",
            hint="check the path before the colon",
        )
    name = f"model_{path.stem}_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise ModelFormatError(f"{path} is not a Python file", found=path.suffix, hint="give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise raised(str(path), "loading", error) from error
    return module


def _load_package(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise ModelNotFoundError(
                f"there is no module {place}",
                found=f"Python finds no {error.name}",
                hint="install it, run from the folder that holds it, or write path/to/file.py:factory",
            ) from error
        raise raised(place, "importing", error) from error
    except (Exception, SystemExit) as error:
        raise raised(place, "importing", error) from error


def _attribute(module: ModuleType, name: str, target: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ModelNotFoundError(
                f"{target}: there is no {name}",
                found="callables there: " + (listing(_offers(module)) or "none"),
                hint="name a function or class that makes what is asked for",
            )
        found = getattr(found, part)
    return found


def _offers(module: ModuleType) -> list[str]:
    """What could have been meant: callable objects, and the functions and classes that are defined there."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and (
            getattr(value, "__module__", None) == module.__name__
            or not (inspect.isclass(value) or inspect.isroutine(value))
        )
    ]


def raised(place: str, doing: str, error: BaseException) -> ModelError:
    """The error of code that has raised another, with the line that led to it."""
    line = raising_line(error.__traceback__)
    if isinstance(error, SyntaxError):
        line = f"{Path(error.filename or place).name}:{error.lineno}"
    hint = "install what it imports" if isinstance(error, ImportError) else "run it in Python on its own to see more"
    return ModelError(
        f"{doing} {place} raised an error",
        found=f"{type(error).__name__}: {error}" + (f" ({line})" if line else ""),
        hint=hint,
    )
