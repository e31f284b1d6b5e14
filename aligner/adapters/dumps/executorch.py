"""ExecuTorch's etdump with its debug buffer (and etrecord), read through executorch.devtools where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aligner.adapters.dumps.dump import Dump, DumpedTensor, LazyDump, damage, files_of, inside_if_there
from aligner.errors import MissingFrameworkError, ModelFormatError
from aligner.records.array import Array

_MAGIC = b"ED00"
_RECORD = "etrecord.bin"
_BUFFERS = (".bin", ".buffer", ".debug")


def recognises(path: Path) -> bool:
    """Whether it is an etdump, or a folder with one."""
    return _etdump(path) is not None


def _etdump(path: Path) -> Path | None:
    files = files_of(path, ".etdp", ".etdump") if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as opened:
            head = opened.read(12)
            if _MAGIC in (head[4:8], head[8:12]):  # a flatbuffer, mostly with its size before it
                return file
    return None


def open_dump(path: Path) -> Dump:
    """What each instruction gave, once; the debug buffer is the .bin beside it, the etrecord etrecord.bin."""
    etdump = _etdump(path)
    assert etdump is not None
    record = inside_if_there(etdump.parent, _RECORD)
    buffers = [file for file in files_of(etdump.parent, *_BUFFERS) if file.name != _RECORD]
    if len(buffers) != 1:
        raise ModelFormatError(
            f"{etdump} needs its debug buffer beside it",
            found=", ".join(file.name for file in buffers) or "no .bin file",
            hint="put the debug buffer of that run, and nothing else, into the folder as debug_buffer.bin",
        )
    with damage(etdump, "its events"):
        tensors = _tensors(etdump, buffers[0], record)
    return LazyDump(path, "ExecuTorch's etdump", tensors)


def _tensors(etdump: Path, buffer: Path, record: Path | None) -> list[tuple[DumpedTensor, Callable[[], Array]]]:
    try:
        import torch
        from executorch.devtools import Inspector
    except ImportError as error:
        raise MissingFrameworkError.of(
            f"{etdump} cannot be read without ExecuTorch", error, "pip install executorch"
        ) from error
    inspector = Inspector(
        etdump_path=str(etdump), debug_buffer_path=str(buffer), etrecord=str(record) if record else None
    )
    events = []
    seen = set()
    for block in inspector.event_blocks:
        for event in block.events:
            data: list[Any] = [one for one in event.debug_data if isinstance(one, torch.Tensor)]
            key = getattr(event, "_instruction_id", None)
            if not data or (key is not None and key in seen):
                continue  # each instruction is logged twice, as a call and as an operator
            seen.add(key)
            events.append((event, data[-1]))
    last = {module: place for place, (event, _) in enumerate(events) if (module := _module(event))}
    found: list[tuple[DumpedTensor, Callable[[], Array]]] = []
    for place, (event, tensor) in enumerate(events):
        module = _module(event)
        name = module if module and last[module] == place else _operator(event)
        dtype = str(tensor.dtype).removeprefix("torch.")
        found.append((DumpedTensor(name, tuple(tensor.shape), dtype), _reader(tensor)))
    return found


def _module(event: Any) -> str:
    """The innermost module that an instruction came from, which an etrecord tells; its last one gives what it gives."""
    paths = [str(path) for modules in (event.module_hierarchy or {}).values() for path, _ in modules.values()]
    return paths[-1] if paths else ""


def _operator(event: Any) -> str:
    """The name of an instruction in the exported graph, else what the runtime calls it."""
    return str(next(iter(event.stack_traces or {}), event.name)).rstrip("_")


def _reader(tensor: Any) -> Callable[[], Array]:
    from aligner.adapters.dumps.torch_file import as_array

    return lambda: as_array(tensor)
