"""A set of inputs: files by pattern, folder or list, or what a dataset of the user's own yields; imports no numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from aligner.errors import AlignerError, InputError
from aligner.inputs.items import InputItem
from aligner.records.dataclass import dataclass
from aligner.records.regular_file import read_regular

_FORMS = "give a pattern in quotes ('val/*.png'), a folder, a .txt file of paths, or your data.py:factory alone"


@dataclass(frozen=True, slots=True)
class Sample:
    """One input of a set: its place, what it is called, what both models are fed; ``unread``: why there is nothing."""

    index: int
    name: str
    inputs: Any
    unread: InputError | None = None

    @classmethod
    def of_file(cls, index: int, path: Path) -> Sample:
        """A picture or an array for the only input, or a container of arrays by input name."""
        return cls(index, str(path), [InputItem(None, None, path)])


def names_dataset(word: str) -> bool:
    """Whether it is no file's name or pattern but a factory's, "file.py:samples"."""
    from aligner.adapters.factory import is_factory

    return ":" in word and is_factory(word) and not Path(word).exists()


def sample_files(words: Sequence[str], *, missing: bool = False) -> list[Path]:
    """The files that patterns, folders and lists name: each word's in order of names, a list's in its own order.

    Raises InputError where a word names nothing, or a list a file that is not there, unless ``missing`` ones may be.
    """
    files = []
    for word in words:
        try:
            files += _files(word, missing=missing)
        except (OSError, ValueError, RuntimeError, NotImplementedError) as error:  # too long, a NUL, ~nobody
            raise InputError(f"no file is meant by {word}", found=str(error), hint=_FORMS) from error
    if not files:
        raise InputError("there are no inputs to go through", found="nothing was named", hint=_FORMS)
    return files


def dataset(target: str) -> Dataset | Stream:
    """What a factory of the user's own gives ("file.py:samples" or "package.module:samples"), read as it is needed.

    Raises InputError where there is no such factory, it yields nothing one could go through, or raises.
    """
    from aligner.adapters.factory import call_named

    made = call_named(target)
    if has_places(made):
        return Dataset(made)
    if not isinstance(made, Iterable):
        raise InputError(f"{target} gives no set of inputs", found=type(made).__name__, hint="return a list, or yield")
    return Stream(made)


def has_places(made: Any) -> bool:
    """Whether samples can be asked for one by one, as of torch's datasets."""
    return hasattr(made, "__len__") and hasattr(made, "__getitem__") and not isinstance(made, (str, Mapping))


class Stream:
    """Samples that are only yielded, once: how many there are is known where it has ended."""

    def __init__(self, made: Iterable[Any]) -> None:
        self._made, self._seen, self._ended = made, 0, False

    def __iter__(self) -> Iterator[Sample]:
        for sample in samples_of(self._made):
            self._seen += 1
            yield sample
        self._ended = True

    @property
    def fewest(self) -> int:
        """How many there are; before its end, one more than were seen."""
        return self._seen if self._ended else self._seen + 1


class Dataset(Sequence[Sample]):
    """Samples of a length and places, as torch's datasets have: read when they are asked for, and kept by nobody."""

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

    def each(self, wanted: Callable[[int], bool], *, skip_bad: bool) -> Iterator[Sample]:
        """Those that are wanted, no other is read. Raises InputError where one raises, unless ``skip_bad``."""
        for index in filter(wanted, range(len(self))):
            try:
                sample = self[index]
            except InputError as error:
                if not skip_bad:
                    raise
                why = InputError("the dataset raised", found=error.found, hint=error.hint)
                sample = Sample(index, f"sample {index}", None, why)
            yield sample


def _files(word: str, *, missing: bool) -> list[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
        if not found:
            raise InputError(f"the folder {word} holds no files", found="nothing to feed", hint=_FORMS)
        return found
    if path.suffix.lower() == ".txt" and path.is_file():
        return list(_listed(path, missing=missing))
    if path.is_file():
        return [path]
    fixed = Path(*takewhile(lambda part: not set(part) & set("*?["), path.parts))
    pattern = path.relative_to(fixed)
    found = sorted(one for one in fixed.glob(str(pattern)) if one.is_file()) if pattern.parts else []
    if not found:
        raise InputError(f"no file is meant by {word}", found="the pattern fits nothing", hint=_FORMS)
    return found


def _listed(path: Path, *, missing: bool) -> Iterator[Path]:
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
        if not (missing or file.is_file()):
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
