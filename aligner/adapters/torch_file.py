"""Tell PyTorch's file formats apart by content, without unpickling anything."""

from __future__ import annotations

import json
import pickletools
import zipfile
from pathlib import Path
from typing import IO, Literal

from aligner.errors import ModelFormatError, ModelNotFoundError
from aligner.records.dataclass import dataclass

TorchFileKind = Literal["torchscript", "export", "package", "module", "state_dict", "safetensors", "damaged", "unknown"]

OP_LIBRARIES = ("torchvision", "torchaudio")
"""Packages that register operators when they are imported; an archive may name no others."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""With which files begin that torch.save wrote before 1.6 (torch/serialization.py, MAGIC_NUMBER)."""
_LEGACY_PREAMBLE = 3
"""Pickles before the object in a file of torch < 1.6: magic number, protocol, system information."""
_MODULE_KEYS = frozenset({"_parameters", "_buffers", "_modules"})
"""Keys of every nn.Module's ``__dict__``; a state dict has none of them."""
_INERT_PREFIXES = ("torch._utils _rebuild", "torch._tensor _rebuild", "torch.serialization _get_layout", "numpy")
_INERT = frozenset(
    {
        "collections OrderedDict",
        "collections defaultdict",
        "torch Size",
        "torch device",
        "torch Tensor",
        "torch.nn.parameter Parameter",
        "_codecs encode",
        "__builtin__ set",
        "builtins set",
        "__builtin__ dict",
        "builtins dict",
    }
)
_LARGEST_PICKLE = 1 << 29
"""Bytes of the description of tensors, without them: a limit of memory, files being a stranger's."""


@dataclass(frozen=True, slots=True)
class TorchFile:
    """What a file turned out to be.

    ``classes`` are the classes and functions that unpickling would call, beyond tensors and containers ("pkg.mod.Net").
    ``detail`` says in a few words what was seen; for "damaged" and "unknown" it is the reason.
    """

    kind: TorchFileKind
    detail: str
    classes: tuple[str, ...] = ()


def expect(path: Path, kind: TorchFileKind, what: str, writer: str) -> None:
    """Raise ModelNotFoundError or ModelFormatError unless the file is there and of this kind."""
    if not path.is_file():
        raise ModelNotFoundError(f"{path} does not exist", found="no such file", hint="check the path")
    file = classify(path)
    if file.kind != kind:
        raise ModelFormatError(
            f"{path.name} is not {what}",
            found=file.detail,
            hint=f"save the {'program' if kind == 'export' else 'model'} with {writer}, or download the file again",
        )


def classify(path: Path) -> TorchFile:
    """Look into the file; reads the archive's directory and the opcodes of its pickle, never the tensors.

    Raises OSError where the file cannot be read; anything else about its content is an answer.
    """
    if path.stat().st_size == 0:
        return TorchFile("damaged", "an empty file")
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        if head.startswith(b"PK"):
            return _zip_archive(file)
        if head.startswith(b"\x80"):
            return _legacy_pickles(file)
        if head[8:9] == b"{":
            return _safetensors(file, path.stat().st_size)
    if _is_tar(path):
        return TorchFile("state_dict", "a tar archive of torch before 0.2")
    return TorchFile("unknown", f"first bytes {head[:8]!r}")


def is_program(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a model, where tensors are wanted. Raises OSError."""
    return classify(path).kind == "torchscript"


def _zip_archive(file: IO[bytes]) -> TorchFile:
    try:
        with zipfile.ZipFile(file) as archive:
            return _members(archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        return TorchFile("damaged", f"a zip archive that is truncated or corrupt ({error})")


def _members(archive: zipfile.ZipFile) -> TorchFile:
    names = archive.namelist()
    inner = {name.split("/", 1)[1] if "/" in name else name for name in names}
    if any(name.startswith("code/") for name in inner) and inner & {"constants.pkl", "data.pkl", "model.json"}:
        return TorchFile("torchscript", "a TorchScript archive")
    exported = {"serialized_exported_program.json", "archive_format"} & (inner | set(names))
    if exported or any(name.startswith(("models/", "data/aotinductor/")) for name in inner):
        return TorchFile("export", "an archive of torch.export")
    if any(name.startswith(".data/extern_modules") for name in inner):
        return TorchFile("package", "an archive of torch.package")
    pickles = [name for name in names if name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1)]
    if not pickles:
        return TorchFile("unknown", "a zip archive without data.pkl or code/")
    if archive.getinfo(pickles[0]).file_size > _LARGEST_PICKLE:
        return TorchFile("damaged", "a zip archive whose data.pkl is implausibly large")
    with archive.open(pickles[0]) as pickled:
        return _pickled(pickled)


def _legacy_pickles(file: IO[bytes]) -> TorchFile:
    try:
        magic = [argument for op, argument, _ in pickletools.genops(file) if op.name == "LONG1"]
        if magic != [_LEGACY_MAGIC]:
            return TorchFile("unknown", "a plain pickle, not written by torch.save")
        for _ in range(_LEGACY_PREAMBLE - 1):
            for _ in pickletools.genops(file):
                pass
    except Exception as error:  # noqa: BLE001 - pickletools raises whatever the damage leads to
        return TorchFile("damaged", f"a pickle that is truncated or corrupt ({error})")
    return _pickled(file)


def _pickled(file: IO[bytes]) -> TorchFile:
    """Read opcodes up to the end of one pickle; nothing is executed."""
    classes: dict[str, None] = {}
    keys: set[str] = set()
    recent: list[str] = []
    try:
        for op, argument, _ in pickletools.genops(file):
            if op.name == "GLOBAL":
                classes[str(argument)] = None
            elif op.name == "STACK_GLOBAL":
                classes[" ".join(recent[-2:])] = None
            elif "UNICODE" in op.name or "STRING" in op.name:
                recent = [*recent[-1:], str(argument)]
                keys.update(_MODULE_KEYS & {str(argument)})
    except Exception as error:  # noqa: BLE001 - pickletools raises whatever the damage leads to
        return TorchFile("damaged", f"a pickle that is truncated or corrupt ({error})")
    called = tuple(name.replace(" ", ".") for name in classes if not _inert(name))
    if keys == _MODULE_KEYS or any(name.startswith("torch.nn.modules.") for name in called):
        return TorchFile("module", "a pickled nn.Module", called)
    return TorchFile("state_dict", "tensors without a model (a state dict or a checkpoint)", called)


def _inert(name: str) -> bool:
    storage = name.startswith("torch ") and (name.endswith("Storage") or name.split(" ")[1].islower())
    return name in _INERT or storage or name.startswith(_INERT_PREFIXES)


def _safetensors(file: IO[bytes], size: int) -> TorchFile:
    length = int.from_bytes(file.read(8), "little")
    if length + 8 > size:
        return TorchFile(
            "damaged", f"a safetensors file cut off in its header ({size} bytes, header alone {length + 8})"
        )
    try:
        header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return TorchFile("unknown", "neither safetensors nor anything PyTorch writes")
    if max(ends, default=0) + 8 + length > size:
        return TorchFile("damaged", f"a safetensors file cut off in its tensors ({size} bytes)")
    return TorchFile("safetensors", f"{len(ends)} named tensors (safetensors)")


def _is_tar(path: Path) -> bool:
    """Whether it begins like a tar archive of PyTorch's: looked at by its first header, nothing is decompressed."""
    with path.open("rb") as file:
        header = file.read(512)
    name = header[:100].rstrip(b"\0").decode("ascii", "replace").strip("./")
    return header[257:262] == b"ustar" and name in ("storages", "tensors", "pickle", "sys_info")
