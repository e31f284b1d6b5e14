"""Which adapter reads what, and whether its framework is installed."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.adapters.target import Target, check_target, parse_target, unreadable
from aligner.errors import AlignerError, MissingFrameworkError, ModelError
from aligner.operations.call import Call, Translation
from aligner.operations.operation import Operation

_GROUP = "aligner.adapters"

_BUILT_IN = {
    "pytorch": "aligner.adapters.pytorch_adapter.adapter:PyTorchAdapter",
    "torchscript": "aligner.adapters.torchscript_adapter.adapter:TorchScriptAdapter",
    "torch-export": "aligner.adapters.export_adapter.adapter:ExportAdapter",
    "onnx": "aligner.adapters.onnx_adapter.adapter:OnnxAdapter",
    "tflite": "aligner.adapters.tflite_adapter.adapter:TFLiteAdapter",
    "tensorflow": "aligner.adapters.tensorflow_adapter.adapter:TensorFlowAdapter",
    "openvino": "aligner.adapters.openvino_adapter.adapter:OpenVINOAdapter",
    "ncnn": "aligner.adapters.ncnn_adapter.adapter:NcnnAdapter",
    "recording": "aligner.adapters.recording_adapter.adapter:RecordingAdapter",
}
"""The entry points of pyproject.toml, for a source tree that was never installed."""


@dataclass(frozen=True, slots=True)
class BrokenAdapter:
    """A plugin that cannot be used, and why; it is a warning, never the end of the run."""

    name: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"adapter {self.name!r} ({self.value}) is ignored: {self.reason}"


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """One line of ``align adapters``; ``version`` names each package found, ``how`` says how to get the framework."""

    name: str
    reads: str
    installed: bool
    version: str | None
    how: str


@dataclass(frozen=True, slots=True)
class _Found:
    adapter: Adapter
    distribution: str


@functools.cache
def _load() -> tuple[tuple[_Found, ...], tuple[BrokenAdapter, ...]]:
    """Load every plugin once: the built-in ones first, then outsiders' by name."""
    found: list[_Found] = []
    faults: list[BrokenAdapter] = []
    for name, value, distribution in _entries():
        try:
            found.append(_Found(_instance(value), distribution))
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; it becomes a warning
            faults.append(BrokenAdapter(name, value, f"{type(error).__name__}: {error}"))
    return tuple(found), tuple(faults)


def _entries() -> list[tuple[str, str, str]]:
    """(name, value, distribution) of each entry point; built-ins are added where the metadata lacks them."""
    installed: dict[tuple[str, str], str] = {}
    for point in importlib.metadata.entry_points(group=_GROUP):
        distribution = point.dist.name if point.dist is not None else "aligner"
        installed.setdefault((point.name, point.value), distribution)
    own = [(name, value, "aligner") for name, value in _BUILT_IN.items()]
    others = sorted((name, value, dist) for (name, value), dist in installed.items() if _BUILT_IN.get(name) != value)
    return own + others


def _instance(value: str) -> Adapter:
    module, _, attribute = value.partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    if not (isinstance(kind, type) and issubclass(kind, Adapter)):
        raise TypeError(f"{value} is not a subclass of aligner.adapters.base.Adapter")
    return kind()


def adapters() -> tuple[Adapter, ...]:
    """Return an instance of each usable adapter, the built-in ones first."""
    return tuple(entry.adapter for entry in _load()[0])


def broken() -> tuple[BrokenAdapter, ...]:
    """Return the plugins that could not be loaded."""
    return _load()[1]


def find_adapter(target: object) -> Adapter:
    """Return the adapter that would open the target: a path, "file.py:factory", "package.module:factory" or an object.

    Raises ModelNotFoundError, ModelFormatError, UnsupportedModelError or ModelError.
    """
    return _find(parse_target(target))


def _find(target: Target) -> Adapter:
    check_target(target)
    for adapter in adapters():
        if _claims(adapter, target.value):
            return adapter
    raise unreadable(target, [(adapter.name, adapter.reads) for adapter in adapters()])


def _reader_of_dumps(target: Target) -> Adapter:
    """The adapter of recordings, whatever else the content could be taken for."""
    check_target(target)
    return next(adapter for adapter in adapters() if adapter.name == "recording")


def _claims(adapter: Adapter, value: object) -> bool:
    try:
        return adapter.claims(value)
    except AlignerError:
        raise
    except Exception:  # noqa: BLE001 - an adapter that cannot even look at the target does not read it
        return False


def open_model(target: object, options: OpenOptions) -> Session:
    """Find the adapter and open the model with it.

    Raises what find_adapter raises, MissingFrameworkError, or a ModelError of the adapter.
    """
    parsed = parse_target(target)
    adapter = _find(parsed) if options.dump_of is None else _reader_of_dumps(parsed)
    missing = _missing(adapter.modules)
    if missing:
        raise MissingFrameworkError(
            f"{parsed} cannot be opened: its framework is not installed",
            found=f"the {adapter.name!r} adapter reads {adapter.reads} and needs {' and '.join(missing)}",
            hint=_how(adapter),
        )
    if options.weights is not None and not adapter.loads_weights:
        raise ModelError(
            f"{parsed} carries its own weights: no checkpoint can be loaded into it",
            found=f"the checkpoint {options.weights} for a model of the {adapter.name!r} adapter",
            hint="give the checkpoint to a factory (file.py:factory), or leave it out",
        )
    try:
        return adapter.open(parsed.value, options)
    except ModelError as error:
        if _names(parsed, error):
            raise
        raise type(error)(f"{parsed}: {error.what}", found=error.found, hint=error.hint) from error
    except (AlignerError, MemoryError):
        raise
    except ImportError as error:
        raise MissingFrameworkError(
            f"{parsed} cannot be opened: a module it needs cannot be imported",
            found=f"{type(error).__name__}: {error} (in the {adapter.name!r} adapter)",
            hint=f"repair that installation; the framework itself: {_how(adapter)}",
        ) from error
    except Exception as error:  # the border where foreign exceptions end
        raise ModelError(
            f"{parsed} cannot be opened by the {adapter.name!r} adapter",
            found=f"{type(error).__name__}: {error}",
            hint="check that the file is whole and was written for this framework",
        ) from error


def translator(framework: str) -> Translation:
    """What translates the nodes of a graph into operations: the adapter of its framework, live or recorded.

    Where there is none, no node is known.
    """
    importlib.import_module("aligner.operations.kernels")  # what computes the operations, and numpy with it
    translate = next((adapter.translate for adapter in adapters() if adapter.name == framework), None)

    def known(call: Call) -> Operation:
        if translate is None:
            raise call.unknown()
        try:
            return translate(call)
        except (ValueError, IndexError, TypeError, KeyError, ArithmeticError) as exc:
            raise call.unknown(f"a form that is not known: {exc}") from exc

    return known


def import_framework(target: object) -> None:
    """Import what opening the target is going to import; whatever stands in the way is told when it is opened."""
    try:
        adapter = _find(parse_target(target))
        for requirement in adapter.modules:
            module = next((name for name in map(str.strip, requirement.split("|")) if _importable(name)), None)
            if module is not None:
                adapter.import_module(module)
    except Exception:  # noqa: BLE001 - a broken installation may raise anything
        return


def opens_aside(target: object) -> bool:
    """Whether the target may be opened in a thread of its own."""
    try:
        return _find(parse_target(target)).opens_aside
    except AlignerError:
        return False


def _names(target: Target, error: ModelError) -> bool:
    """Whether the message says which file it speaks of: with two models the user must know."""
    return target.path is None or target.path.name in str(error)


def adapter_status() -> list[AdapterStatus]:
    """Say for each adapter whether its framework is there, in which version, and how to get it."""
    return [
        AdapterStatus(
            name=adapter.name,
            reads=adapter.reads,
            installed=not _missing(adapter.modules),
            version=_versions(adapter.modules),
            how=_how(adapter),
        )
        for adapter in adapters()
    ]


def _how(adapter: Adapter) -> str:
    """The exact command; a plugin's extra belongs to the plugin's own distribution."""
    if not adapter.extra:
        return f"pip install {' '.join(_alternatives(adapter.modules))}" if adapter.modules else "nothing to install"
    distribution = next((entry.distribution for entry in _load()[0] if entry.adapter is adapter), "aligner")
    return f'pip install "{distribution}[{adapter.extra}]"'


def _alternatives(modules: Iterable[str]) -> list[str]:
    """The first choice of each requirement: "ai_edge_litert|tensorflow" needs either."""
    return [requirement.split("|")[0].split(".")[0] for requirement in modules]


def _missing(modules: Iterable[str]) -> list[str]:
    """The requirements that nothing installed satisfies, in words."""
    return [
        requirement.replace("|", " or ")
        for requirement in modules
        if not any(_importable(module.strip()) for module in requirement.split("|"))
    ]


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # imported, but without a spec
        return True
    except ImportError:  # its package is missing or broken
        return False


def _versions(modules: Iterable[str]) -> str | None:
    """ "onnx 1.23.0, onnxruntime 1.31.0" of what is there; None when nothing is."""
    names = [module.strip() for requirement in modules for module in requirement.split("|")]
    found = [f"{name} {_version(name)}" for name in names if _importable(name)]
    return ", ".join(found) or None


def _version(module: str) -> str:
    top = module.split(".")[0]
    for distribution in (top, top.replace("_", "-")):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    for distribution in importlib.metadata.packages_distributions().get(top, ()):
        return importlib.metadata.version(distribution)
    return "(version unknown)"
