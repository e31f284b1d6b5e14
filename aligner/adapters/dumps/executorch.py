"""ExecuTorch's etdump with its debug buffer (and etrecord), read through executorch.devtools where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aligner.adapters.dumps.dump import Dump, DumpedTensor, LazyDump, damage, files_of
from aligner.errors import MissingFrameworkError, ModelFormatError

if TYPE_CHECKING:
    from aligner.adapters.dumps.dump import Array

_MAGIC = b"ED00"
_BUFFERS = (".bin", ".buffer", ".debug")


def recognises(path: Path) -> bool:
    """Whether it is an etdump, or a folder with one."""
    return _etdump(path) is not None


def _etdump(path: Path) -> Path | None:
    files = files_of(path, ".etdp", ".etdump") if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as opened:
            if opened.read(8)[4:] == _MAGIC:
                return file
    return None


def open_dump(path: Path) -> Dump:
    """What each instruction gave, once; the debug buffer is the .bin beside it, the etrecord etrecord.bin."""
    etdump = _etdump(path)
    assert etdump is not None
    record = etdump.parent / "etrecord.bin"
    buffers = [file for file in files_of(etdump.parent, *_BUFFERS) if file != record]
    if len(buffers) != 1:
        raise ModelFormatError(
            f"{etdump} needs its debug buffer beside it",
            found=", ".join(file.name for file in buffers) or "no .bin file",
            hint="put the debug buffer of that run, and nothing else, into the folder as debug_buffer.bin",
        )
    with damage(etdump, "its events"):
        tensors = _tensors(etdump, buffers[0], record if record.is_file() else None)
    return LazyDump(path, "ExecuTorch's etdump", tensors)


def _tensors(etdump: Path, buffer: Path, record: Path | None) -> list[tuple[DumpedTensor, Callable[[], Array]]]:
    try:
        import torch
        from executorch.devtools import Inspector  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingFrameworkError(
            f"{etdump} cannot be read without ExecuTorch", found=str(error), hint="pip install executorch"
        ) from error
    inspector = Inspector(
        etdump_path=str(etdump), debug_buffer_path=str(buffer), etrecord=str(record) if record else None
    )
    found: list[tuple[DumpedTensor, Callable[[], Array]]] = []
    seen = set()
    for block in inspector.event_blocks:
        for event in block.events:
            data: list[Any] = [one for one in event.debug_data if isinstance(one, torch.Tensor)]
            key = getattr(event, "_instruction_id", None)
            if not data or (key is not None and key in seen):
                continue  # each instruction is logged twice, as a call and as an operator
            seen.add(key)
            tensor = data[-1]
            described = DumpedTensor(str(event.name), tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            found.append((described, _reader(tensor)))
    return found


def _reader(tensor: Any) -> Callable[[], Array]:
    from aligner.adapters.dumps.torch_file import as_array

    return lambda: as_array(tensor)
