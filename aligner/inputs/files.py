"""Reading what the user points at: pictures, arrays, containers of arrays. Nothing is unpickled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aligner.adapters.dumps import formats, npy_folder, onnx_test_data
from aligner.adapters.dumps.dump import read_json, read_lines
from aligner.adapters.torch_archive import check_pickled_tensors, within_limits
from aligner.adapters.torch_file import is_program
from aligner.errors import AlignerError, InputError, MissingFrameworkError, listing
from aligner.records.free_memory import available

if TYPE_CHECKING:
    from PIL.Image import Image

    from aligner.inputs.items import InputItem
from aligner.records.array import Array

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO")
"""Formats that Pillow decodes by itself: others may start programs (EPS starts Ghostscript)."""
_MOST_PIXELS = 50_000_000
"""A camera's largest picture. Each pixel takes up to 3 bytes decoded, 3 upright and 12 as floats: 900 MB in all."""
_READABLE = (
    "aligner reads pictures (png, jpeg, webp, bmp, …), .npy, .npz, .pt/.pth tensors, .safetensors, "
    ".json and .txt of numbers, "
    "inputs saved by Polygraphy (.json), ONNX test data (.pb, or its folder), folders of .npy"
)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, upright; what it becomes depends on the models."""

    image: Image
    remark: str = ""


Value = Picture | np.ndarray[Any, np.dtype[Any]]


def read_value(value: Any, source: str) -> Value | dict[str, Array]:
    """Turn what the user gave into a picture, an array of our own, or a container of named arrays.

    Raises InputError when it cannot be read, MissingFrameworkError when its reader is not installed.
    """
    if isinstance(value, Path):
        return read_file(value)
    if type(value).__module__.startswith("PIL."):
        return _upright(value)
    return plain_array(value, source)


def with_content(items: Iterable[InputItem]) -> list[InputItem]:
    """The items, their files read: what is wrong with a file is told before a model is loaded.

    Raises what ``read_file`` raises.
    """
    return [
        replace(item, content=read_file(item.value)) if isinstance(item.value, Path) and item.content is None else item
        for item in items
    ]


def read_file(path: Path) -> Value | dict[str, Array]:
    """Read a file by its suffix, or as a picture when the suffix says nothing."""
    if path.is_dir():
        if onnx_test_data.recognises(path) or npy_folder.recognises(path):
            return _read_dumped(path)
        raise InputError(
            f"the input {path} is a directory",
            found=f"{sum(1 for _ in path.iterdir())} entries in it",
            hint=f"name a file in it; {_READABLE}",
        )
    try:
        if path.stat().st_size == 0:
            raise InputError(f"the input file {path} is empty", found="0 bytes", hint="write it again")
    except (OSError, ValueError) as error:
        raise InputError(f"no such input file: {path}", found=str(error), hint="check the path") from error
    readers = {".npy": _read_numpy, ".npz": _read_numpy, ".safetensors": _read_safetensors}
    readers |= dict.fromkeys((".pt", ".pth"), _read_torch)
    readers |= {".pb": _read_dumped, ".json": _read_json, ".txt": _read_text}
    return readers.get(path.suffix.lower(), _read_picture)(path)


def plain_array(value: Any, source: str) -> Array:
    """An array of our own from an array, a tensor, a number or a list; Python floats become float32."""
    if hasattr(value, "detach"):
        value = _from_tensor(value)
    try:
        array = np.array(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{source} is not an array", found=str(error), hint="give numbers, all rows equally long"
        ) from error
    if array.dtype == np.float64 and not hasattr(value, "dtype"):
        array = array.astype(np.float32)
    return checked(array, source)


def checked(array: Any, source: str) -> Array:
    """The array in native byte order, if a model can be fed with it.

    Raises InputError for no elements, NaN, infinity, and types that are no numbers, truth values or strings.
    """
    if not isinstance(array, np.ndarray):  # a member of an archive that does not begin like an array
        raise InputError(f"{source} is no array", found=type(array).__name__, hint="save it with numpy.savez")
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.kind not in "biufcOS" or (array.dtype.kind == "O" and not _all_text(array)):
        raise InputError(f"{source} holds no numbers", found=f"dtype {array.dtype}", hint="save a numeric array")
    if array.size == 0:
        found = f"shape {array.shape}, {array.dtype}"
        raise InputError(
            f"{source} is empty: one of its axes has size zero", found=found, hint="give at least one element"
        )
    if array.dtype.kind in "fc" and not (finite := np.isfinite(array)).all():
        where = tuple(int(index) for index in np.unravel_index(int(np.argmin(finite)), array.shape))
        bad = int(array.size - np.count_nonzero(finite))
        found = f"{bad} of {array.size} values, the first {array[where]} at {where}"
        raise InputError(f"{source} contains NaN or infinity", found=found, hint="comparing needs finite inputs")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _all_text(array: Array) -> bool:
    return all(isinstance(entry, str | bytes) for entry in array.ravel())


def _read_numpy(path: Path) -> Value | dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                _check_members(loaded, path)
                loaded = {name: loaded[name] for name in loaded.files}
    except InputError:
        raise
    except Exception as error:  # a damaged file shows as anything from ValueError to zlib.error
        raise _unreadable(path, error, "save it with numpy.save or numpy.savez, without objects") from error
    if isinstance(loaded, dict):
        return {name: checked(array, f"{path.name}[{name}]") for name, array in loaded.items()}
    return checked(loaded, path.name)


def _check_members(archive: Any, path: Path) -> None:
    """Refuse what is no array, and arrays that say they are larger than what is free."""
    foreign = [info.filename for info in archive.zip.infolist() if not info.filename.endswith(".npy")]
    if foreign:
        raise InputError(
            f"{path} holds more than arrays", found=listing(map(repr, foreign)), hint="save it with numpy.savez"
        )
    declared, free = sum(info.file_size for info in archive.zip.infolist()), available()
    if declared > free:
        raise InputError(
            f"the arrays of {path} do not fit into memory",
            found=f"{declared:,} bytes once decompressed, {free:,} are free",
            hint="give the arrays that the model needs alone",
        )


def _read_torch(path: Path) -> Value | dict[str, Array]:
    try:
        import torch
    except ImportError as error:
        raise MissingFrameworkError(
            f"reading {path} needs torch", found="torch is not installed", hint='pip install "aligner[torch]"'
        ) from error
    try:
        if is_program(path):
            raise InputError(
                f"{path} is a model, not an input",
                found="a TorchScript archive",
                hint="save a tensor or a dict of tensors with torch.save",
            )
        check_pickled_tensors(path)
        loaded = within_limits(torch.load(path, map_location="cpu", weights_only=True), path)
    except InputError:
        raise
    except Exception as error:  # torch raises anything from RuntimeError to UnpicklingError
        raise _unreadable(path, error, "save a tensor or a dict of tensors with torch.save") from error
    if isinstance(loaded, torch.Tensor):
        return plain_array(loaded, path.name)
    if isinstance(loaded, Mapping) and loaded and all(isinstance(entry, torch.Tensor) for entry in loaded.values()):
        return {str(name): plain_array(tensor, f"{path.name}[{name}]") for name, tensor in loaded.items()}
    raise InputError(
        f"{path} holds no tensor",
        found=type(loaded).__name__,
        hint="save a tensor or a dict of tensors with torch.save",
    )


def _from_tensor(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _read_safetensors(path: Path) -> Value | dict[str, Array]:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        found = "safetensors is not installed"
        raise MissingFrameworkError(
            f"reading {path} needs safetensors", found=found, hint="pip install safetensors"
        ) from error
    try:
        tensors = load_file(path)
    except Exception as error:
        raise _unreadable(path, error, "save float32 tensors with safetensors") from error
    return {name: checked(_float32_of_bfloat16(array), f"{path.name}[{name}]") for name, array in tensors.items()}


def _read_dumped(path: Path) -> dict[str, Array]:
    """What tools save as the inputs of a run: Polygraphy's JSON, an ONNX test data set or one tensor of it, .npy files.

    Tensors that are known to be outputs are left out.
    """
    try:
        dump = formats.open_dump(path)
        given = [place for place, tensor in enumerate(dump.tensors) if tensor.role != "output"]
        arrays = {dump.tensors[place].name: dump.read(place) for place in given}
    except AlignerError as error:
        raise _unreadable(path, error, _READABLE) from error
    return {name: checked(np.array(array), f"{path.name}[{name}]") for name, array in arrays.items()}


def _read_json(path: Path) -> Value | dict[str, Array]:
    """Numbers, in lists or by name, as tokenizers and people write them; else what a tool saved."""
    if formats.is_dump(path):
        return _read_dumped(path)
    try:
        document = read_json(path)
    except (AlignerError, OSError) as error:
        raise _unreadable(path, error, _READABLE) from error
    if isinstance(document, dict):
        return {name: plain_array(value, f"{path.name}[{name}]") for name, value in document.items()}
    return plain_array(document, path.name)


def _read_text(path: Path) -> Value:
    """Numbers between spaces and commas, a row on each line."""
    try:
        lines = [re.split(r"[,\s]+", line.strip(" \t\r,")) for line in read_lines(path) if line.strip(" \t\r,")]
        rows = [[_number(word) for word in words] for words in lines]
    except (AlignerError, OSError, ValueError) as error:
        raise _unreadable(path, error, "write numbers alone, a row on each line") from error
    return plain_array(rows[0] if len(rows) == 1 else rows, path.name)


def _number(word: str) -> int | float:
    try:
        return int(word)
    except ValueError:
        return float(word)


def _float32_of_bfloat16(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _read_picture(path: Path) -> Picture:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingFrameworkError(
            f"reading the picture {path} needs Pillow",
            found="Pillow is not installed",
            hint='pip install "aligner[image]"',
        ) from error
    try:
        Image.init()
        with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
            _check_pixels(image, path)
            image.load()
            return _upright(image)
    except UnidentifiedImageError as error:
        raise InputError(f"cannot read the input {path}", found="not a known picture format", hint=_READABLE) from error
    except InputError:
        raise
    except Exception as error:  # a decoder raises anything on a damaged file
        raise _unreadable(path, error, "the picture may be damaged or cut off; save it again") from error


def _upright(image: Image) -> Picture:
    from PIL import ImageOps

    animated = bool(getattr(image, "is_animated", False))
    return Picture(ImageOps.exif_transpose(image), "its first frame" if animated else "")


def _check_pixels(image: Image, path: Path) -> None:
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise InputError(
            f"the picture {path} is too large",
            found=f"{width}×{height} pixels, more than {_MOST_PIXELS:,}",
            hint="give it smaller, near the size that the model takes",
        )


def _unreadable(path: Path, error: Exception, hint: str) -> InputError:
    text = error.found or error.what if isinstance(error, AlignerError) else str(error)
    lines = text.strip().splitlines() or [type(error).__name__]
    return InputError(f"cannot read the input {path}", found=lines[0], hint=hint)


def pick(arrays: Mapping[str, Array], name: str, source: str) -> Array:
    """The array of that name, or the only one there is."""
    if name in arrays or len(arrays) == 1:
        return arrays.get(name, next(iter(arrays.values())))
    raise InputError(
        f"{source} holds no array named {name!r}", found=listing(arrays), hint="name one of its arrays like the input"
    )
