"""PyTorch's zip archives, read without PyTorch: what they declare is checked before native code believes it."""

from __future__ import annotations

import io
import itertools
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from aligner.errors import ModelFormatError, UntrustedFileError, listing
from aligner.records.dataclass import dataclass

_DEFLATED_LIMIT = 1 << 26
"""Bytes of code and pickles in an archive; the largest models' sources stay under a tenth of it."""
_EXPANDED_LIMIT = 1 << 28
"""Bytes of a tensor whose elements share storage (a stride of zero): it is small in the file, not in memory."""
_DIRECTORY_END, _DIRECTORY_END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED_ONLY = ("data", "constants", "tensors", "traced_inputs")
"""Folders of tensors, which PyTorch never compresses."""
_WITH_TENSORS = ("data.pkl", "constants.pkl")
"""Pickles whose tensors are made when the archive is loaded."""
_ITEMSIZE = {
    **dict.fromkeys(("Byte", "Char", "Bool", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4"), 1),
    **dict.fromkeys(("Half", "Short", "BFloat16"), 2),
    **dict.fromkeys(("Float", "Int", "QInt32", "ComplexHalf"), 4),
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}
_UNTYPED = ("torch.storage UntypedStorage", "torch UntypedStorage")
_BUILDERS = frozenset(
    {"torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_qtensor"}
    | {"torch._utils _rebuild_parameter"}
)
_INERT = frozenset(
    {"collections OrderedDict", "torch device", "torch Size", "torch._C _set_dtype"}
    | {f"torch {word}" for word in ("per_tensor_affine", "per_channel_affine", "per_tensor_symmetric")}
    | {f"torch {word}" for word in ("per_channel_symmetric", "per_channel_affine_float_qparams")}
)
_PACKED = frozenset(
    f"__torch__.torch.classes.quantized {name}PackedParamsBase" for name in ("Linear", "Conv2d", "Conv3d", "Embedding")
)


def damaged(path: Path, found: str) -> ModelFormatError:
    """The error of an archive that PyTorch would not have written."""
    return ModelFormatError(
        f"{path.name} is no archive that PyTorch would write",
        found=found,
        hint="download or save it again; the file is damaged, or was made to mislead",
    )


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes of the archive that tensors look into."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as its archive describes it; its dtype is that of the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(eq=False)
class StoredObject:
    """An instance of one of the archive's own classes, by its attributes."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class TorchArchive:
    """An open archive whose directory was checked; nothing in it is executed."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self._archive = path, archive
        names = archive.namelist()
        self._root = names[0].split("/", 1)[0] + "/" if names and "/" in names[0] else ""
        self.members = {info.filename.removeprefix(self._root): info for info in archive.infolist()}
        self.strays = tuple(name for name in names if not name.startswith(self._root))
        """Members outside the one folder that PyTorch writes."""

    def __enter__(self) -> TorchArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def read(self, member: str) -> bytes:
        """A member's bytes. Raises ModelFormatError where they are damaged."""
        try:
            return self._archive.read(self.members[member])
        except Exception as error:  # zipfile lets through what zlib and struct raise
            raise damaged(self.path, f"{member}: {error}") from error

    def pickles(self) -> Iterator[str]:
        """The members that PyTorch unpickles."""
        return (name for name in self.members if name.endswith((".pkl", ".debug_pkl")))

    def sources(self) -> Iterator[tuple[str, str]]:
        """(member, text) of the archive's code."""
        for name in self.members:
            if name.startswith("code/") and name.endswith(".py"):
                try:
                    yield name, self.read(name).decode("ascii")
                except UnicodeDecodeError as error:
                    raise damaged(self.path, f"{name}: {error}") from error


def open_archive(path: Path) -> TorchArchive:
    """Check the directory of an archive: all readers must see the same members, and their sizes be those of the file.

    Raises ModelFormatError.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError) as error:
        raise damaged(path, f"a zip archive that is truncated or corrupt ({error})") from error
    _check_directory(path, archive)
    found = TorchArchive(path, archive)
    inflated = 0
    for name, info in found.members.items():
        if info.compress_type == zipfile.ZIP_STORED:
            continue
        if name.split("/", 1)[0] in _STORED_ONLY:
            raise damaged(path, f"{name} is compressed to a {_ratio(info)}th of its size; tensors never are")
        inflated += info.file_size
        if inflated > _DEFLATED_LIMIT:
            raise damaged(path, f"more than {_DEFLATED_LIMIT:,} bytes of compressed text and pickles")
    return found


def check_storages(archive: TorchArchive) -> None:
    """Look at every tensor and pickle before they are loaded.

    Raises ModelFormatError where a tensor looks beyond its storage, or a pickle asks for memory it does not fill, and
    UntrustedFileError where a pickle names anything but tensors, containers and the archive's own classes.
    """
    for name in archive.pickles():
        content = archive.read(name)
        check_opcodes(archive.path, name, content)
        if name in _WITH_TENSORS:
            reader = _Reader(archive.path, content)
            reader.load_checked()
            for tensor in reader.tensors:
                _check_tensor(archive, name.removesuffix(".pkl"), tensor)


def content_of(archive: TorchArchive) -> Any:
    """What ``data.pkl`` describes, after ``check_storages``: StoredObject, StoredTensor and plain values."""
    if "data.pkl" not in archive.members:
        raise damaged(archive.path, "no data.pkl")
    return _Reader(archive.path, archive.read("data.pkl")).load_checked()


def check_pickled_tensors(path: Path) -> None:
    """Check a file for ``torch.load``: tensors that are as large as the file, and no memo larger than its pickle."""
    if not zipfile.is_zipfile(path):
        return
    with open_archive(path) as archive:
        for name in archive.pickles():
            check_opcodes(path, name, archive.read(name))


def within_limits(content: Any, path: Path) -> Any:
    """What ``torch.load`` gave, if none of its tensors stands for far more than the file holds.

    Raises ModelFormatError.
    """
    todo, seen = [content], set[int]()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if hasattr(value, "untyped_storage") and str(value.layout) == "torch.strided":
            wanted, held = value.numel() * value.element_size(), value.untyped_storage().nbytes()
            if wanted > held and wanted > _EXPANDED_LIMIT:
                raise damaged(
                    path, f"a tensor of shape {list(value.shape)} stands for {wanted:,} bytes; {held} are there"
                )
        elif isinstance(value, Mapping):
            todo.extend(value.values())
        elif isinstance(value, (list, tuple, set)):
            todo.extend(value)
    return content


def check_opcodes(path: Path, name: str, content: bytes) -> None:
    """Raise ModelFormatError for a pickle whose memo is larger than the pickle: readers make room for it."""
    try:
        for op, argument, _ in pickletools.genops(content):
            if op.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
                raise damaged(path, f"{name} asks for a memo of {argument:,} entries in {len(content):,} bytes")
    except ModelFormatError:
        raise
    except Exception as error:  # pickletools raises whatever the damage leads to
        raise damaged(path, f"{name}: {error}") from error


def _check_directory(path: Path, archive: zipfile.ZipFile) -> None:
    """Members stand once each, from byte 0 on, up to a directory that ends with the file."""
    infos = archive.infolist()
    if not infos or len({info.filename for info in infos}) != len(infos):
        raise damaged(path, "a member that is listed twice" if infos else "an empty zip archive")
    size = path.stat().st_size
    with path.open("rb") as file:
        end = _end_of_members(path, file, size)
        spans = []
        for info in infos:
            file.seek(info.header_offset)
            head = file.read(_LOCAL.size)
            fields = _LOCAL.unpack(head) if len(head) == _LOCAL.size else (b"",) * 11
            if fields[0] != b"PK\x03\x04" or file.read(fields[9]) != info.orig_filename.encode("utf-8", "replace"):
                raise damaged(path, f"the directory says another name than the member {info.filename!r} itself")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise damaged(path, f"{info.filename} is encrypted, or compressed in a way that PyTorch cannot read")
            if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
                raise damaged(path, f"{info.filename} has two sizes: {info.file_size} and {info.compress_size}")
            begin = info.header_offset + _LOCAL.size + fields[9] + fields[10]
            spans.append((info.header_offset, begin + info.compress_size))
    spans.sort()
    follows = all(end_of <= begin for (_, end_of), (begin, _) in itertools.pairwise(spans))
    if spans[0][0] != 0 or not follows or spans[-1][1] > end:
        raise damaged(path, "members that overlap, or bytes before the first one")


def _end_of_members(path: Path, file: Any, size: int) -> int:
    """Where the directory begins; it and its end record must close the file, without a comment to hide another in."""
    file.seek(size - _DIRECTORY_END.size)
    magic, _, _, _, _, length, begin, comment = _DIRECTORY_END.unpack(file.read(_DIRECTORY_END.size))
    if magic != b"PK\x05\x06" or comment:
        raise damaged(path, "bytes after the zip archive's directory")
    at = size - _DIRECTORY_END.size
    file.seek(max(at - _LOCATOR64.size, 0))
    locator = file.read(_LOCATOR64.size)
    if len(locator) == _LOCATOR64.size and locator[:4] == b"PK\x06\x07":
        at = _LOCATOR64.unpack(locator)[2]
        file.seek(at)
        record = file.read(_DIRECTORY_END64.size)
        if len(record) < _DIRECTORY_END64.size or record[:4] != b"PK\x06\x06":
            raise damaged(path, "a zip archive whose two directories contradict each other")
        length, begin = _DIRECTORY_END64.unpack(record)[8:]
        if at + _DIRECTORY_END64.size + _LOCATOR64.size + _DIRECTORY_END.size != size:
            raise damaged(path, "bytes between the zip archive's directories")
    if begin + length != at:
        raise damaged(path, "bytes between the zip archive's directory and its end")
    return int(begin)


def _ratio(info: zipfile.ZipInfo) -> int:
    return info.file_size // max(info.compress_size, 1)


def _check_tensor(archive: TorchArchive, folder: str, tensor: StoredTensor) -> None:
    storage = tensor.storage
    itemsize = _ITEMSIZE.get(storage.dtype)
    member = archive.members.get(f"{folder}/{storage.key}")
    where = f"a tensor of shape {list(tensor.shape)} in {folder}/{storage.key}"
    if itemsize is None:
        raise damaged(archive.path, f"{where} has an unknown type, {storage.dtype}")
    held = member.file_size // itemsize if member is not None else 0
    if storage.count < 0 or storage.count > held:
        raise damaged(archive.path, f"{where} is said to have {storage.count} elements; the archive holds {held}")
    if len(tensor.shape) != len(tensor.strides) or min((*tensor.shape, *tensor.strides, tensor.offset, 0)) < 0:
        raise damaged(archive.path, f"{where} has strides {list(tensor.strides)} and offset {tensor.offset}")
    elements = math.prod(tensor.shape)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if elements and last >= held:
        raise damaged(archive.path, f"{where} reaches to element {last} of {held}")
    if elements > held and elements * itemsize > _EXPANDED_LIMIT:
        raise damaged(archive.path, f"{where} stands for {elements * itemsize:,} bytes; {held * itemsize:,} are there")


class _Call:
    """A class or function that the pickle names; calling it builds a description."""

    def __init__(self, name: str, reader: _Reader) -> None:
        self.name, self._reader = name, reader

    def __call__(self, *arguments: Any) -> Any:
        if self.name == "collections OrderedDict":
            return dict(*arguments)
        if self.name.startswith("torch.jit._pickle "):
            return arguments[0]
        if self.name not in _BUILDERS:
            return StoredObject(self.name)
        tensor = arguments[0]
        if isinstance(tensor, Storage):
            _, offset, shape, strides = arguments[:4]
            whole = all(type(number) is int for number in (offset, *shape, *strides))
            if not whole:
                raise damaged(self._reader.path, "a tensor whose sizes are no whole numbers")
            tensor = StoredTensor(tensor, offset, tuple(shape), tuple(strides))
            self._reader.tensors.append(tensor)
        return tensor


class _Reader(pickle.Unpickler):
    """Unpickles into descriptions: no name in the pickle is ever imported."""

    def __init__(self, path: Path, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.path = path
        self.tensors: list[StoredTensor] = []

    def load_checked(self) -> Any:
        try:
            return self.load()
        except (ModelFormatError, UntrustedFileError):
            raise
        except Exception as error:  # a damaged pickle raises anything
            raise damaged(self.path, f"its pickle: {error}") from error

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module} {name}"
        storage = full in _UNTYPED or (module == "torch" and name.removesuffix("Storage") in _ITEMSIZE)
        own = module.startswith("__torch__") and (not module.startswith("__torch__.torch.classes") or full in _PACKED)
        if not (storage or own or full in _BUILDERS or full in _INERT or module == "torch.jit._pickle"):
            raise UntrustedFileError(
                f"{self.path.name} holds more than tensors and its own modules",
                found=f"its pickle names {module}.{name}",
                hint="if you trust its author, add --trust; or save it again with torch.jit.save",
            )
        return _class_of(full) if own else _Call(full, self)

    def persistent_load(self, pid: Any) -> Storage:
        word, kind, key, _, count = pid[:5]
        dtype = kind.name.rsplit(" ", 1)[1].removesuffix("Storage")
        if word != "storage" or type(count) is not int:
            raise ValueError(f"a storage that is described as {listing(pid)}")
        return Storage("Byte" if dtype == "Untyped" else dtype, str(key), count)


def _class_of(name: str) -> type[StoredObject]:
    def begin(self: Any, *_: Any) -> None:
        StoredObject.__init__(self, name)

    def fill(self: Any, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {"state": state}

    def make(kind: Any, *_: Any) -> Any:
        made = object.__new__(kind)
        made.__init__()
        return made

    return type("StoredObject", (StoredObject,), {"__new__": make, "__init__": begin, "__setstate__": fill})
