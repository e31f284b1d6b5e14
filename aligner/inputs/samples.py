"""A set of inputs: files by pattern, folder or list, or what a dataset of the user's own yields; imports no numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from aligner.errors import AlignerError, InputError
from aligner.inputs.items import InputItem
from aligner.records.regular_file import read_regular

_FORMS = "give a pattern in quotes ('val/*.png'), a folder, or a .txt file with a path on each line"


@dataclass(frozen=True, slots=True)
class Sample:
    """One input of a set: its place, what it is called, what both models are fed."""

    index: int
    name: str
    inputs: Any

    @classmethod
    def of_file(cls, index: int, path: Path) -> Sample:
        """A picture or an array for the only input, or a container of arrays by input name."""
        return cls(index, str(path), [InputItem(None, None, path)])


def sample_files(words: Sequence[str]) -> list[Path]:
    """The files that patterns, folders and lists name: each word's in order of names, a list's in its own order.

    Raises InputError where a word names nothing, or a list a file that is not there.
    """
    files = []
    for word in words:
        try:
            files += _files(word)
        except (OSError, ValueError, RuntimeError, NotImplementedError) as error:  # too long, a NUL, ~nobody
            raise InputError(f"no file is meant by {word}", found=str(error), hint=_FORMS) from error
    if not files:
        raise InputError("there are no inputs to go through", found="nothing was named", hint=_FORMS)
    return files


def dataset(target: str) -> Sequence[Sample]:
    """What a factory of the user's own gives ("file.py:samples" or "package.module:samples").

    What has a length and places, as torch's datasets do, is read one by one; what only yields is read at once.
    Raises InputError where there is no such factory, it yields nothing one could go through, or raises.
    """
    from aligner.adapters.factory import call_named

    made = call_named(target)
    if hasattr(made, "__len__") and hasattr(made, "__getitem__") and not isinstance(made, (str, Mapping)):
        return _Dataset(made)
    if not isinstance(made, Iterable):
        raise InputError(f"{target} gives no set of inputs", found=type(made).__name__, hint="return a list, or yield")
    return list(samples_of(made))


class _Dataset(Sequence[Sample]):
    """Samples that are read when they are asked for, and kept by nobody."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            item = self._made[index]
        except Exception as error:
            raise _ended(error, f"at sample {index}") from error
        return _sample(index, item)


def _files(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
        if not found:
            raise InputError(f"the folder {word} holds no files", found="nothing to feed", hint=_FORMS)
        return found
    if path.suffix.lower() == ".txt" and path.is_file():
        return list(_listed(path))
    if path.is_file():
        return [path]
    fixed = Path(*takewhile(lambda part: not set(part) & set("*?["), path.parts))
    pattern = path.relative_to(fixed)
    found = sorted(one for one in fixed.glob(str(pattern)) if one.is_file()) if pattern.parts else []
    if not found:
        raise InputError(f"no file is meant by {word}", found="the pattern fits nothing", hint=_FORMS)
    return found


def _listed(path: Path) -> Iterator[Path]:
    """The files that a list names, relative to its own folder; empty lines and those after # are left out."""
    try:
        lines = read_regular(path).decode().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"the list {path} cannot be read", found=str(error), hint=_FORMS) from error
    named = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    named = [(number, line) for number, line in named if line and not line.startswith("#")]
    if not named:
        raise InputError(f"the list {path} is empty", found="no line names a file", hint=_FORMS)
    for number, line in named:
        file = path.parent / Path(line).expanduser()
        if not file.is_file():
            raise InputError(
                f"the list {path} names a file that is not there",
                found=f"line {number}: {line}",
                hint="paths are relative to the list's own folder",
            )
        yield file


def samples_of(given: Any) -> Iterator[Sample]:
    """What a Python caller gives: words or paths of files, or anything that yields inputs, one after another.

    Raises InputError where what yields them raises, with the sample it came to.
    """
    if isinstance(given, (str, Path)):
        given = sample_files([str(given)])
    last = "before the first sample"
    try:
        for index, item in enumerate(given):
            sample = _sample(index, item)
            yield sample
            last = f"after {sample.name}"
    except AlignerError:
        raise
    except Exception as error:
        raise _ended(error, last) from error


def _sample(index: int, item: Any) -> Sample:
    if isinstance(item, Sample):
        return item
    return (
        Sample.of_file(index, Path(item)) if isinstance(item, (str, Path)) else Sample(index, f"sample {index}", item)
    )


def _ended(error: Exception, where: str) -> InputError:
    return InputError(
        "the set of inputs ended with an error",
        found=f"{type(error).__name__}: {error}, {where}",
        hint="mend the dataset, or give files",
    )
