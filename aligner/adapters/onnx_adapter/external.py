"""Where a tensor's bytes lie outside the graph; no file beyond the model's own folder is read."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any

from aligner.adapters.onnx_adapter.embedded import HERE
from aligner.adapters.target import lies_with, real_path
from aligner.errors import ModelFormatError, UntrustedFileError

REEXPORT = "export or download the model again; the copy may have been cut off"


def place_within(tensor: Any) -> tuple[int, int] | None:
    """(offset, length) of a tensor that was left in the model's own file."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if entries.get("location") != HERE:
        return None
    try:
        return int(entries["offset"]), int(entries["length"])
    except (KeyError, ValueError):  # nobody but the file itself says so
        return None


def place_of(tensor: Any, model: Path | None) -> tuple[Path, int, int]:
    """(file, offset, length) of an external tensor, after checking that the file lies in the model's folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if model is None:
        raise ModelFormatError(
            f"the weights of the ModelProto are not in it: tensor {tensor.name!r}",
            found=f"external data in {location!r}, of a folder that is not known",
            hint="give the model's path, or load it with onnx.load(path), which reads external data",
        )
    path = _inside(tensor.name, location, model)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelFormatError(
            f"the external data of tensor {tensor.name!r} is missing",
            found=f"no file {location!r} beside {model}",
            hint="copy the data file into the model's folder",
        ) from error
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", size - offset))
    except ValueError as error:
        raise ModelFormatError.of(f"the place of tensor {tensor.name!r} is malformed", error, REEXPORT) from error
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelFormatError(
            f"the external data of tensor {tensor.name!r} is cut off",
            found=f"bytes {offset} to {offset + length} of {path.name}, which has {size}",
            hint=REEXPORT,
        )
    return path, offset, length


def _inside(name: str, location: str, model: Path) -> Path:
    windows = PureWindowsPath(location)
    outside = not location or windows.is_absolute() or bool(windows.drive) or location.startswith("/")
    path = model.parent / location
    if outside or ".." in windows.parts or not lies_with(path, model):
        raise UntrustedFileError(
            f"tensor {name!r} points outside the model's folder",
            found=f"external data location {location!r}",
            hint="put the data file beside the model, and have the model name it without a folder",
        )
    return real_path(path)
