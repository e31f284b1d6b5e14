"""PyTorch eager: live modules, factories, pickled modules."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.adapters.factory import is_factory
from aligner.adapters.pytorch_adapter.model_factory import build_module
from aligner.adapters.torch_file import TorchFile, classify
from aligner.errors import (
    ModelError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
    UntrustedFileError,
    listing,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aligner.adapters.pytorch_adapter.session import EagerSession

_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".pt2", ".ckpt", ".pkl"})
_OURS = frozenset({"module", "state_dict", "package", "damaged"})
_IN_CHECKPOINTS = ("ema", "model_ema", "model", "net", "generator", "module")
"""Where a pickled checkpoint keeps its module; the first that holds one is taken."""

_sessions: WeakValueDictionary[int, EagerSession] = WeakValueDictionary()
"""Live modules in use, by ``id()``: one that stands on both sides of a comparison must not share its state."""


class PyTorchAdapter(Adapter):
    """Opens nn.Module objects, "file.py:factory", "package.module:factory" and pickled modules."""

    name: ClassVar[str] = "pytorch"
    extra: ClassVar[str] = "torch"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"device"})
    modules: ClassVar[tuple[str, ...]] = ("torch",)
    reads: ClassVar[str] = "file.py:factory, package.module:factory, nn.Module objects, pickled modules (*.pt, *.pth)"
    translation: ClassVar[str] = "aligner.adapters.aten_translation"
    wording: ClassVar[str] = "aligner.adapters.torch_wording"
    unoptimised: ClassVar[str] = "without torch.compile, on another device, or with torch.backends.mkldnn off"
    loads_weights: ClassVar[bool] = True

    def claims(self, target: object) -> bool:
        """Also claims state dicts and packages: it knows what to say of them."""
        if is_factory(target) and not Path(str(target)).exists():
            return True
        if isinstance(target, str | Path):
            return _claims_file(Path(target))
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(target, torch.nn.Module):
            return False
        return not isinstance(target, torch.jit.ScriptModule)

    def open(self, target: object, options: OpenOptions) -> Session:
        """Build or load the module; a live one stays where it is."""
        notes: tuple[str, ...] = ()
        if is_factory(target) and not Path(str(target)).exists():
            module = build_module(str(target))
        elif isinstance(target, str | Path):
            module, notes = _unpickle(Path(target), options)
        else:
            return _open_live(target, options)
        return _open_owned(module, options, notes)


def _claims_file(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        kind = classify(path).kind
    except OSError:
        return False
    return kind in _OURS and (kind in ("module", "state_dict") or path.suffix.lower() in _SUFFIXES)


def _unpickle(path: Path, options: OpenOptions) -> tuple[Any, tuple[str, ...]]:
    import torch

    try:
        file = classify(path)
    except FileNotFoundError as error:
        raise ModelNotFoundError(
            f"{path} does not exist", found=f"nothing at {path.absolute()}", hint="check the path"
        ) from error
    except OSError as error:
        raise ModelError.of(f"{path} cannot be read", error, "check the path and its permissions") from error
    if file.kind != "module" and not (options.trust and file.kind == "state_dict" and file.classes):
        raise _refusal(path, file)
    if not options.trust:
        raise UntrustedFileError(
            f"{path} is a pickled module; loading it would execute code stored in it",
            found=f"{file.detail} of {listing(file.classes) or 'unnamed classes'}",
            hint="if you trust its author, add --trust; or build the model yourself: my_model.py:build "
            f"--reference-weights {path.name} (or --candidate-weights) with its state_dict",
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"{path} needs Python code that is not here",
            found=f"{type(error).__name__}: {error}",
            hint="run from the folder that holds the model's code, or install it",
        ) from error
    except Exception as error:
        raise ModelFormatError(
            f"{path} cannot be unpickled",
            found=f"{type(error).__name__}: {error}",
            hint="the file may be truncated, or written by an incompatible version",
        ) from error
    return _module_in(loaded, path, file)


def _module_in(loaded: Any, path: Path, file: TorchFile) -> tuple[Any, tuple[str, ...]]:
    from torch import nn

    if isinstance(loaded, nn.Module):
        return loaded, ()
    content: Mapping[Any, Any] = loaded if isinstance(loaded, dict) else {}
    for key in (*_IN_CHECKPOINTS, *content):
        if isinstance(content.get(key), nn.Module):
            return content[key], (f"{path.name} is a checkpoint; its entry {key} was taken as the model",)
    raise _refusal(path, file)


def _refusal(path: Path, file: TorchFile) -> ModelError:
    if file.kind == "state_dict":
        return ModelFormatError(
            f"{path} holds weights without a model",
            found=file.detail,
            hint=f"name the code that builds the model: my_model.py:build --reference-weights {path} "
            "(or --candidate-weights); if it holds tensors of a run, say of which model: --dump-of MODEL",
        )
    if file.kind == "package":
        return UnsupportedModelError(
            f"{path} is an archive of torch.package, which is not supported yet",
            found=file.detail,
            hint="give the module itself (my_model.py:build), a TorchScript file or an ONNX export of it",
        )
    return ModelFormatError(
        f"{path} is no PyTorch file that can be read",
        found=file.detail,
        hint="download or save it again; the copy may have been cut off",
    )


def _open_live(module: Any, options: OpenOptions) -> Session:
    """A module that the user holds: never moved, never switched for longer than a run."""
    from aligner.adapters.pytorch_adapter.session import EagerSession

    given = module
    other = _sessions.get(id(module))
    if options.weights is not None or (other is not None and not other.closed):
        module = _copied(module, options)
    compiled, module, notes = _uncompiled(module)
    _check_weights(module)
    notes += _load_weights(module, options) + _mode_notes(module, options)
    first = next((tensor for tensor in (*module.parameters(), *module.buffers())), None)
    device = str(first.device) if first is not None else options.device
    evaluate = options.evaluation_mode is True
    session = EagerSession(
        module, device=device, evaluate=evaluate, notes=notes, compiled=compiled, caches=options.caches
    )
    _sessions[id(given)] = session
    return session


def _copied(module: Any, options: OpenOptions) -> Any:
    """A copy with its own state; parameters are shared unless a checkpoint will be loaded into them."""
    shared = {} if options.weights is not None else {id(tensor): tensor for tensor in module.parameters()}
    try:
        return copy.deepcopy(module, shared)
    except Exception as error:
        if options.weights is None:
            return module
        raise ModelError(
            "the checkpoint cannot be loaded without changing the module given",
            found=f"the module cannot be copied: {type(error).__name__}: {error}",
            hint="load the checkpoint into it before comparing",
        ) from error


def _open_owned(module: Any, options: OpenOptions, notes: tuple[str, ...]) -> Session:
    """A module made for this session: moved to the device, and put into eval mode if asked for."""
    import torch

    from aligner.adapters.pytorch_adapter.session import EagerSession

    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedModelError(
            "the factory returns a TorchScript module",
            found=type(module).__name__,
            hint="save it with torch.jit.save and give the file",
        )
    compiled, module, unwrapped = _uncompiled(module)
    _check_weights(module)
    notes += unwrapped + _load_weights(module, options)
    try:
        module = module.to(options.device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"the model cannot be moved to {options.device}",
            found=str(error).strip().splitlines()[0],
            hint="use --device cpu",
        ) from error
    if options.evaluation_mode is True:
        module.eval()
    notes += _mode_notes(module, options)
    return EagerSession(module, device=options.device, notes=notes, compiled=compiled, caches=options.caches)


def _check_weights(module: Any) -> None:
    """Refuse modules whose parameters have no content yet."""
    from torch import nn

    lazy = [name for name, tensor in module.named_parameters() if nn.parameter.is_lazy(tensor)]
    if lazy:
        raise ModelError(
            "the module has lazy parameters, which get their shapes from a first call",
            found=listing(lazy),
            hint="call the module once on an example before handing it over",
        )
    absent = [name for name, tensor in module.named_parameters() if tensor.is_meta]
    if absent:
        raise ModelError(
            "the module's weights were never loaded",
            found=f"on the meta device: {listing(absent)}",
            hint="load them first",
        )


def _uncompiled(module: Any) -> tuple[Any, Any, tuple[str, ...]]:
    """What compiled code is in a module (None without any), the module whose calls can be seen, and what to say of it.

    torch.compile hides the calls inside. The original module shows them; what compiled code answers is another matter.
    """
    inner = getattr(module, "_orig_mod", None)
    if inner is not None:
        said = "the module is compiled: its tensors are those of the original module, run eagerly, its outputs its own"
        return module, inner, (said,)
    hidden = [name for name, part in module.named_modules() if _compiles(part)]
    if not hidden:
        return None, module, ()
    words = listing(name or type(module).__name__ for name in hidden)
    return module, module, (f"compiled parts are run eagerly to be seen, and compiled for the outputs: {words}",)


def _compiles(part: Any) -> bool:
    return hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None


def _load_weights(module: Any, options: OpenOptions) -> tuple[str, ...]:
    from aligner.adapters.pytorch_adapter.checkpoint import load_into

    return load_into(module, options.weights, trust=options.trust) if options.weights is not None else ()


def _mode_notes(module: Any, options: OpenOptions) -> tuple[str, ...]:
    """Warn where train mode changes what the model computes."""
    if options.evaluation_mode is True:
        return ()
    from torch import nn

    def differs(part: Any) -> bool:
        rate = getattr(part, "p" if isinstance(part, nn.modules.dropout._DropoutNd) else "dropout", None)
        normalises = isinstance(part, nn.modules.batchnorm._NormBase) and part.track_running_stats
        return normalises or isinstance(part, nn.RReLU) or (isinstance(rate, float) and rate > 0)

    touched = {type(part).__name__ for part in module.modules() if part.training and differs(part)}
    if not touched:
        return ()
    return (f"the module is in train mode, which changes {listing(sorted(touched))}; --eval runs it in eval mode",)
