"""Load a checkpoint into a module, and say exactly what was loaded and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aligner.adapters.target import missing_checkpoint
from aligner.adapters.torch_archive import check_pickled_tensors, within_limits
from aligner.adapters.torch_file import TorchFile, classify
from aligner.errors import (
    MissingFrameworkError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
    UntrustedFileError,
    listing,
)
from aligner.records.dataclass import dataclass

_CONTAINERS = (
    "params_ema",
    "g_ema",
    "model_ema",
    "ema",
    "ema_state_dict",
    "state_dict_ema",
    "params",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "generator",
    "g",
)
"""Where several parts fit equally well, the earlier name wins: smoothed weights are the ones meant for inference."""
_WRAPPERS = ("_orig_mod.", "module.")
"""Written by torch.compile and DataParallel, also in the middle of a name."""
_DEPTH = 3
"""Dictionaries within each other that trainers wrap a state dict in: {"state": {"model": …}}."""
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class _Fit:
    """One way to read the checkpoint: which part of it, and how its keys become the module's."""

    container: str
    keys: dict[str, str]
    """The module's key → the checkpoint's key."""
    change: str
    matched: int
    """Keys found with the right shape."""
    named: int
    """Keys found."""


def load_into(module: Any, path: Path, *, trust: bool = False) -> tuple[str, ...]:
    """Copy a checkpoint's tensors into the module; returns what the user should read.

    Raises ModelNotFoundError, ModelFormatError (damaged, or no key fits), UntrustedFileError, UnsupportedModelError.
    """
    content = read_checkpoint(path, trust=trust)
    expected = module.state_dict()
    containers = dict(_containers(content))
    fits = [fit for name, tensors in containers.items() for fit in _fits(name, tensors, expected)]
    best = max(fits, key=_merit, default=None)
    if best is None or best.named == 0:
        keys = [key for tensors in containers.values() for key in tensors]
        raise ModelFormatError(
            f"{path.name} holds nothing that fits the model",
            found=f"its keys: {listing(keys) or 'no tensors'}; the model's: {listing(expected)}",
            hint="check that the checkpoint belongs to this architecture",
        )
    tensors = containers[best.container]
    fitting = {
        ours: tensors[theirs] for ours, theirs in best.keys.items() if _same_shape(expected, ours, tensors[theirs])
    }
    module.load_state_dict({key: value for key, value in fitting.items() if key in expected}, strict=False)
    return _report(path, best, containers, expected)


def weights_of(content: Any) -> tuple[str, dict[str, Any]]:
    """Which part of a checkpoint holds the most tensors, smoothed ones first among equals, and they by bare names."""
    found = dict(_containers(content))
    if not found:
        return "", {}
    rank = {name: place for place, name in enumerate(_CONTAINERS)}
    best = max(found, key=lambda name: (len(found[name]), -rank.get(name.rpartition(".")[2], len(rank))))
    bare = {_unwrapped(key): tensor for key, tensor in found[best].items() if not key.endswith(_COUNTER)}
    return best, bare if len(bare) == len({*map(_unwrapped, bare)}) else found[best]


def read_checkpoint(path: Path, *, trust: bool = False) -> Any:
    """Read a file's tensors in whatever containers they stand; nothing is executed unless ``trust`` is given."""
    try:
        file = classify(path)
    except FileNotFoundError as error:
        raise missing_checkpoint(path) from error
    except OSError as error:
        raise ModelNotFoundError.of(
            f"the checkpoint {path} cannot be read", error, "check the path and its permissions"
        ) from error
    if file.kind in ("damaged", "unknown"):
        raise ModelFormatError(
            f"{path} is no checkpoint", found=file.detail, hint="give a .pth, .pt or .safetensors file"
        )
    if file.kind in ("export", "package"):
        raise UnsupportedModelError(
            f"{path} is no checkpoint", found=file.detail, hint="save the module's state_dict() with torch.save"
        )
    if file.kind == "safetensors":
        return _read_safetensors(path)
    if file.kind == "torchscript":
        from aligner.adapters.pytorch_adapter.script_state import script_state

        return script_state(path)
    return _read_pickle(path, file, trust=trust)


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingFrameworkError(
            f"{path} cannot be read", found="the package safetensors is missing", hint="pip install safetensors"
        ) from error
    return _translated(path, lambda: load_file(str(path), device="cpu"))


def _read_pickle(path: Path, file: TorchFile, *, trust: bool) -> Any:
    import pickle

    import torch

    if not trust and file.kind == "module":
        raise _untrusted(path, file)
    try:
        check_pickled_tensors(path)
        return within_limits(torch.load(path, map_location="cpu", weights_only=not trust), path)
    except ModelFormatError:
        raise
    except pickle.UnpicklingError as error:
        if file.classes or "Unsupported" in str(error):
            raise _untrusted(path, file) from error
        raise _damaged(path, error) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _translated(path: Path, read: Any) -> Any:
    try:
        return read()
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ModelFormatError:
    first = (str(error).strip().splitlines() or [""])[0]
    return ModelFormatError(
        f"{path} cannot be read as a checkpoint",
        found=f"{type(error).__name__}: {first}",
        hint="the file may be truncated",
    )


def _untrusted(path: Path, file: TorchFile) -> UntrustedFileError:
    return UntrustedFileError(
        f"{path} holds more than tensors; loading it would execute code",
        found=f"{file.detail}, with {listing(file.classes) or 'objects of other types'}",
        hint="if you trust its author, add --trust; or save its state_dict() alone",
    )


def _containers(content: Any, path: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with tensors in it, by its path in the checkpoint; "" is the file itself."""
    import torch

    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping) or depth == 0:
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield path, tensors
    for key, value in content.items():
        yield from _containers(value, f"{path}.{key}" if path else str(key), depth - 1)


def _fits(container: str, tensors: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[_Fit]:
    for change, keys in _renamings(list(tensors), list(expected)):
        named = [ours for ours in keys if ours in expected]
        matched = sum(_same_shape(expected, ours, tensors[keys[ours]]) for ours in named)
        yield _Fit(container, keys, change, matched, len(named))


def _renamings(theirs: list[str], ours: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Ways to turn the checkpoint's keys into the module's: as they are, without a prefix, with one added."""
    bare = {_unwrapped(key): key for key in theirs}
    yield "", {key: key for key in theirs}
    if len(bare) == len(theirs) and any(wrapped != key for wrapped, key in bare.items()):
        found = [wrapper for wrapper in _WRAPPERS if any(wrapper in key for key in theirs)]
        yield f"prefix {listing(found)} removed", bare
    for prefix in _prefixes(bare, ours):
        kept = {key.removeprefix(prefix): bare[key] for key in bare if key.startswith(prefix)}
        rest = {key: bare[key] for key in bare if not key.startswith(prefix) and key not in kept}
        yield f"prefix {prefix} removed", kept | {f"{key}": value for key, value in rest.items()}
    for prefix in _prefixes(ours, list(bare)):
        yield f"prefix {prefix} added", {prefix + key: value for key, value in bare.items()}


def _prefixes(long: Any, short: list[str]) -> list[str]:
    """The three most frequent beginnings that ``long`` keys have before a ``short`` key."""
    wanted = set(short)
    counts: Counter[str] = Counter()
    for key in long:
        parts = key.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in wanted:
                counts[".".join(parts[:cut]) + "."] += 1
    return [prefix for prefix, _ in counts.most_common(3)]


def _unwrapped(key: str) -> str:
    parts = key.split(".")
    return ".".join(part for part in parts if f"{part}." not in _WRAPPERS) or key


def _merit(fit: _Fit) -> tuple[int, int, int, int]:
    name = fit.container.rsplit(".", 1)[-1]
    rank = _CONTAINERS.index(name) if name in _CONTAINERS else len(_CONTAINERS)
    return fit.matched, fit.named, -rank, -len(fit.change)


def _same_shape(expected: Mapping[str, Any], key: str, tensor: Any) -> bool:
    import torch

    ours = expected.get(key)
    if ours is None:
        return False
    lazy = isinstance(ours, torch.nn.parameter.UninitializedTensorMixin)
    return lazy or not hasattr(ours, "shape") or tuple(ours.shape) == tuple(tensor.shape)


def _report(
    path: Path, fit: _Fit, containers: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Any]
) -> tuple[str, ...]:
    tensors = containers[fit.container]
    how = [f"container {fit.container}"] if fit.container else []
    how += [fit.change] if fit.change else []
    notes = [
        f"weights: {fit.matched} of the model's {len(expected)} tensors loaded from {path.name}"
        + (f" ({', '.join(how)})" if how else "")
    ]
    others = [name for name in containers if name != fit.container and name and _alike(containers[name], tensors)]
    if others:
        notes.append(f"weights: {path.name} also holds {listing(others)}; {fit.container or 'its top level'} was used")
    absent = [key for key in expected if key not in fit.keys and not key.endswith("_extra_state")]
    counters = [key for key in absent if key.endswith(_COUNTER)]
    missing = [key for key in absent if key not in counters]
    if missing:
        notes.append(f"weights: missing in the checkpoint, left as the model made them: {listing(missing)}")
    if counters:
        notes.append(f"weights: {len(counters)} {_COUNTER} counters are missing; inference does not use them")
    unexpected = [theirs for ours, theirs in fit.keys.items() if ours not in expected]
    if unexpected:
        notes.append(f"weights: in the checkpoint but not in the model: {listing(unexpected)}")
    misfits = [
        f"{ours} {list(tensors[theirs].shape)}, the model's is {list(expected[ours].shape)}"
        for ours, theirs in fit.keys.items()
        if ours in expected and not _same_shape(expected, ours, tensors[theirs])
    ]
    if misfits:
        notes.append(f"weights: not loaded because the shape differs: {listing(misfits)}")
    return tuple(notes)


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two containers hold weights of the same model."""
    return len(one.keys() & other.keys()) * 2 > len(other)
