"""RKNN's accuracy_analysis: snapshot/golden/npy and snapshot/simulator/npy, with map_name_to_file.txt."""

from __future__ import annotations

from pathlib import Path

from aligner.adapters.dumps.dump import MOST_FILES, Dump, LazyDump, damage, files_of, inside_if_there, leads_out
from aligner.adapters.dumps.npy_file import npy

_MAP = "map_name_to_file.txt"
_SIDES = ("runtime", "simulator", "golden")


def recognises(path: Path) -> bool:
    """Whether it is a snapshot, or the tensors of one of its sides."""
    return path.is_dir() and _side(path) is not None and _map(path) is not None


def _map(path: Path) -> Path | None:
    return next((file for folder in (path, *path.parents[:2]) if (file := inside_if_there(folder, _MAP))), None)


def beside(path: Path) -> list[Path]:
    """The map of a snapshot where one side of it is named: it lies around that folder."""
    around = [folder / _MAP for folder in path.absolute().parents[:2]]
    return [file for file in around if not file.is_symlink() and file.is_file()]


def _side(path: Path) -> Path | None:
    """The folder of .npy files: the one that is named, else the nearest to the device."""
    folders = [path, path / "npy", *(path / side / "npy" for side in _SIDES), *(path / side for side in _SIDES)]
    own = [folder for folder in folders if not leads_out(path, folder) and folder.is_dir()]
    return next((folder for folder in own if files_of(folder, ".npy")), None)


def open_dump(path: Path) -> Dump:
    """Tensors by the layer names of the map."""
    folder, mapping = _side(path), _map(path)
    assert folder is not None and mapping is not None
    names: dict[str, str] = {}
    with damage(mapping, "its lines"):
        for line in mapping.read_text(encoding="utf-8", errors="replace").splitlines()[:MOST_FILES]:
            words = line.replace("\t", " ").split()
            if len(words) >= 2:
                names[Path(words[-1]).stem] = " ".join(words[:-1]).strip(":")
    side = folder.parent.name if folder.name == "npy" else folder.name
    tensors = [npy(file, names.get(file.stem, file.stem)) for file in files_of(folder, ".npy")]
    other = [one for one in _SIDES if one != side and (path / one).is_dir()]
    notes = [f"read from {side}; the snapshot also holds {', '.join(other)}"] if other else []
    return LazyDump(folder, f"RKNN's accuracy analysis ({side})", tensors, notes)
