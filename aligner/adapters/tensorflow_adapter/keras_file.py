"""Keras's files: what they declare is read before Keras builds anything of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aligner.errors import ModelError, ModelFormatError, UnsupportedModelError, UntrustedFileError, listing

_CONFIG_LIMIT = 1 << 26
"""Bytes of a model's description; the largest models' stay under a tenth of it."""
_EXPANSION = 64
"""Times a file's size that its tensors may declare: deflate packs trained floats to no less than a half."""
_CODE = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"})
"""Classes that bring code of their own, or load it from elsewhere."""
_OLD = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"})
_ROOMS = frozenset(
    "layers models initializers regularizers constraints activations dtype_policies optimizers losses metrics ops "
    "quantizers".split()
)
"""Keras's own modules whose classes only compute."""


def load_model(path: Path, *, trust: bool) -> Any:
    """The model of a .keras or HDF5 file.

    Raises ModelFormatError, UntrustedFileError, or UnsupportedModelError for what this Keras cannot build.
    """
    import keras

    archive = zipfile.is_zipfile(path)
    config, version = _read_archive(path) if archive else _read_hdf5(path)
    classes = list(_classes(config))
    strange = sorted({name for name, module in classes if _runs_code(name, module)})
    if strange and not trust:
        raise UntrustedFileError(
            f"{path.name} holds layers that bring code of their own",
            found=listing(strange),
            hint="if you trust its author, add --trust; custom layers must be importable, too",
        )
    old = sorted({name for name, _ in classes if name in _OLD})
    try:
        if old:
            raise TypeError(f"layers that only Keras 2 has: {listing(old)}")
        return keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        raise _not_built(path, version, str(keras.__version__), error) from error


def _not_built(path: Path, version: str, installed: str, error: Exception) -> ModelError:
    text = (str(error).strip().splitlines() or [""])[0][:300]
    found = f"written by Keras {version or 'of unknown version'}; {type(error).__name__}: {text}"
    if version.startswith(("0.", "1.", "2.")):
        return UnsupportedModelError(
            f"{path.name} was written by Keras {version}, and Keras {installed} cannot build it",
            found=found,
            hint="load it with tf_keras (Keras 2), and give what tf_keras_model.export(FOLDER) writes",
        )
    return ModelFormatError(
        f"{path.name} cannot be built by Keras {installed}",
        found=found,
        hint="it may be damaged, need custom layers that are not imported, or a newer Keras",
    )


def _damaged(path: Path, found: str) -> ModelFormatError:
    return ModelFormatError(
        f"{path.name} is no file that Keras would write", found=found, hint="download or save it again"
    )


def _read_archive(path: Path) -> tuple[Any, str]:
    """Configuration and Keras's version; checks what the members declare."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            if "config.json" not in infos or path.suffix.lower() != ".keras":
                raise _damaged(path, f"an archive of {listing(infos) or 'nothing'}, named {path.suffix or 'nothing'}")
            texts = [infos[name].file_size for name in ("config.json", "metadata.json") if name in infos]
            declared = sum(info.file_size for info in infos.values())
            _check_size(path, sum(texts), _CONFIG_LIMIT)
            _check_size(path, declared, path.stat().st_size * _EXPANSION)
            config = json.loads(archive.read("config.json"))
            about = json.loads(archive.read("metadata.json")) if "metadata.json" in infos else {}
            if "model.weights.h5" in infos:
                with archive.open("model.weights.h5") as file, _hdf5(path, file) as content:
                    _check_tensors(path, content)
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    return config, str(about.get("keras_version", "")) if isinstance(about, dict) else ""


def _read_hdf5(path: Path) -> tuple[Any, str]:
    if path.suffix.lower() not in {".h5", ".hdf5"}:
        raise _damaged(path, f"no archive, named {path.suffix or 'without a suffix'}; Keras reads HDF5 files as .h5")
    with _hdf5(path, path) as content:
        _check_tensors(path, content)
        text = content.attrs.get("model_config")
        if text is None:
            raise ModelFormatError(
                f"{path.name} holds weights alone",
                found=f"groups {listing(content)}, no model_config",
                hint="build the model in Python, load_weights into it, and pass the model or save it as .keras",
            )
        version = content.attrs.get("keras_version", "")
        try:
            config = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise _damaged(path, f"model_config: {error}") from error
    return config, version.decode(errors="replace") if isinstance(version, bytes) else str(version)


@contextmanager
def _hdf5(path: Path, source: Any) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(source, "r") as content:
            yield content
    except (OSError, RuntimeError, KeyError, UnicodeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _check_tensors(path: Path, content: Any) -> None:
    """Raise for tensors in other files, links that lead out or round, and sizes that the file cannot hold."""
    import h5py

    declared, waiting, seen, places = 0, [content], 0, set()
    while waiting:
        group = waiting.pop()
        for name in group:
            seen += 1
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink) or seen > _CONFIG_LIMIT >> 6:
                raise _damaged(path, f"{group.name}/{name} is a {type(link).__name__}, entry {seen}")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in places:
                raise _damaged(path, f"{group.name}/{name} is a second name of what stands elsewhere")
            places.add(place)
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    others = item.external or item.virtual_sources()
                    raise _damaged(path, f"{item.name} lies in another file: {others[0]}")
                declared += int(item.nbytes)
            else:
                waiting.append(item)
    _check_size(path, declared, path.stat().st_size * _EXPANSION)


def _check_size(path: Path, declared: int, limit: int) -> None:
    if declared > limit:
        raise _damaged(path, f"{declared} bytes declared in {path.stat().st_size}, more than {limit}")


def _classes(config: Any) -> Iterator[tuple[str, str | None]]:
    """(class, module) of everything that a configuration has built."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            name = item.get("class_name")
            if isinstance(name, str):
                module = item.get("module")
                yield name, module if isinstance(module, str) else None
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _runs_code(name: str, module: str | None) -> bool:
    """Whether building this class may run anything but Keras's own arithmetic."""
    if name in _CODE:
        return True
    if module is None or (name.startswith("__") and name.endswith("__")):
        return False
    parts = [part for part in module.split(".") if part != "src"]
    own = parts[0] == "keras" and (len(parts) == 1 or parts[1] in _ROOMS)
    return not own or (name == "function" and len(parts) == 1)
