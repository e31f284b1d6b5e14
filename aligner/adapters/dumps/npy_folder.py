"""A folder of .npy files, one for each tensor; folders in it are parts of the names. Or one such file."""

from __future__ import annotations

from pathlib import Path

from aligner.adapters.dumps.dump import MOST_FILES, Dump, LazyDump, inside_if_there, read_json
from aligner.adapters.dumps.npy_file import npy
from aligner.errors import ModelFormatError

_MAGIC = b"\x93NUMPY"


def recognises(path: Path) -> bool:
    """Whether it is a folder with .npy files in it, or in folders of it, or one such file."""
    if path.is_dir():
        return bool(_files(path))
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def open_dump(path: Path) -> Dump:
    """Tensors named as their files."""
    if not path.is_dir():
        return LazyDump(path, "a .npy file", [npy(path, path.stem)])
    files = _files(path)
    index = _index(path)
    places = [file.relative_to(path) for file in files]
    names = [index.get(place.as_posix(), place.with_suffix("").as_posix()) for place in places]
    kept = [(file, name) for file, name in zip(files, names, strict=True) if "@" not in name]
    return LazyDump(path, "a folder of .npy files", [npy(file, name) for file, name in kept])


def _index(path: Path) -> dict[str, str]:
    """File → true name, where align capture wrote the folder; a later turn of a loop has "@" in its name."""
    index = inside_if_there(path, "index.json")
    found = read_json(index) if index is not None else {}
    return {str(file): str(name) for file, name in found.items()} if isinstance(found, dict) else {}


def _files(path: Path) -> list[Path]:
    found = []
    for number, entry in enumerate(path.rglob("*.npy")):
        if number >= MOST_FILES:
            raise ModelFormatError(
                f"{path} holds too many files for a dump",
                found=f"more than {MOST_FILES:,}",
                hint="name the folder of one run",
            )
        if not entry.is_symlink() and entry.is_file():
            found.append(entry)
    return sorted(found)
