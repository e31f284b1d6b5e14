"""Reading what the user points at: pictures, arrays, containers of arrays. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aligner.adapters.border import unreadable_input
from aligner.errors import InputError, MissingFrameworkError, listing
from aligner.inputs.value import READABLE, Picture, Value, checked, plain_array
from aligner.records.free_memory import available

if TYPE_CHECKING:
    from PIL.Image import Image

    from aligner.inputs.items import InputItem
from aligner.records.array import Array

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "ICO")
"""Formats that Pillow decodes by itself: others may start programs (EPS starts Ghostscript)."""
_MOST_PIXELS = 50_000_000
"""A camera's largest picture. Each pixel takes up to 3 bytes decoded, 3 upright and 12 as floats: 900 MB in all."""
_SAVED = frozenset(".pt .pth .safetensors .pb .json .txt".split())


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
        from aligner.adapters.dumps import npy_folder, onnx_test_data

        if onnx_test_data.recognises(path) or npy_folder.recognises(path):
            from aligner.inputs.saved import read_dumped

            return read_dumped(path)
        raise InputError(
            f"the input {path} is a directory",
            found=f"{sum(1 for _ in path.iterdir())} entries in it",
            hint=f"name a file in it; {READABLE}",
        )
    try:
        if path.stat().st_size == 0:
            raise InputError(f"the input file {path} is empty", found="0 bytes", hint="write it again")
    except (OSError, ValueError) as error:
        raise InputError(f"no such input file: {path}", found=str(error), hint="check the path") from error
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return _read_numpy(path)
    if suffix in _SAVED:
        from aligner.inputs.saved import read_saved

        return read_saved(path)
    return _read_picture(path)


_NUMPY_STARTS = (b"\x93NUM", b"PK", b"\x80")
"""First bytes of numpy's arrays and archives, and of pickles, which it refuses by their name."""


def _read_numpy(path: Path) -> Value | dict[str, Array]:
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start.startswith(_NUMPY_STARTS):  # of which numpy says that they are pickled
            raise ValueError(f"it begins with {start!r}: neither an array (.npy) nor an archive of arrays (.npz)")
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                _check_members(loaded, path)
                loaded = {name: loaded[name] for name in loaded.files}
    except InputError:
        raise
    except Exception as error:  # a damaged file shows as anything from ValueError to zlib.error
        raise unreadable_input(path, error, "save it with numpy.save or numpy.savez, without objects") from error
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
        raise InputError(f"cannot read the input {path}", found="not a known picture format", hint=READABLE) from error
    except InputError:
        raise
    except Exception as error:  # a decoder raises anything on a damaged file
        raise unreadable_input(path, error, "the picture may be damaged or cut off; save it again") from error


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


def pick(arrays: Mapping[str, Array], name: str, source: str) -> Array:
    """The array of that name, or the only one there is."""
    if name in arrays or len(arrays) == 1:
        return arrays.get(name, next(iter(arrays.values())))
    raise InputError(
        f"{source} holds no array named {name!r}", found=listing(arrays), hint="name one of its arrays like the input"
    )
