"""Which adapter reads what, and whether its framework is installed."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.adapters.settings import under
from aligner.adapters.target import Target, check_target, parse_target, unreadable
from aligner.adapters.wording import Wording
from aligner.errors import AlignerError, ComparisonError, MissingFrameworkError, ModelError
from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
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
    "executorch": "aligner.adapters.executorch_adapter.adapter:ExecuTorchAdapter",
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


class Adapters(Sequence[Adapter]):
    """The built-in adapters, then outsiders' by name; each is imported when those before it have not served."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._found: list[Adapter] = []
        self._open = _entries()
        self.distributions: dict[Adapter, str] = {}
        self.faults: list[BrokenAdapter] = []

    @overload
    def __getitem__(self, place: int) -> Adapter: ...

    @overload
    def __getitem__(self, place: slice) -> list[Adapter]: ...

    def __getitem__(self, place: int | slice) -> Adapter | list[Adapter]:
        """What iterating asks for, too."""
        with self._lock:
            while not (isinstance(place, int) and 0 <= place < len(self._found)):
                if not self._loads_another():
                    break
            return self._found[place]

    def __len__(self) -> int:
        """How many there are; imports all."""
        return len(self[:])

    def _loads_another(self) -> bool:
        entry = next(self._open, None)
        if entry is None:
            return False
        name, value, distribution = entry
        try:
            adapter = _instance(value)
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; it becomes a warning
            self.faults.append(BrokenAdapter(name, value, f"{type(error).__name__}: {error}"))
        else:
            self.distributions[adapter] = distribution
            self._found.append(adapter)
        return True


@functools.cache
def _load() -> Adapters:
    return Adapters()


def _entries() -> Iterator[tuple[str, str, str]]:
    """(name, value, distribution) of each entry point, the built-in ones first, installed or not.

    Metadata of what is installed is read where no built-in one has served.
    """
    for name, value in _BUILT_IN.items():
        yield name, value, "aligner"
    from importlib.metadata import entry_points

    installed: dict[tuple[str, str], str] = {}
    for point in entry_points(group=_GROUP):
        distribution = point.dist.name if point.dist is not None else "aligner"
        installed.setdefault((point.name, point.value), distribution)
    yield from sorted((name, value, dist) for (name, value), dist in installed.items() if _BUILT_IN.get(name) != value)


def _instance(value: str) -> Adapter:
    module, _, attribute = value.partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    if not (isinstance(kind, type) and issubclass(kind, Adapter)):
        raise TypeError(f"{value} is not a subclass of aligner.adapters.base.Adapter")
    return kind()


def adapters() -> Sequence[Adapter]:
    """An instance of each usable adapter, the built-in ones first, imported when it is asked for."""
    return _load()


def broken() -> tuple[BrokenAdapter, ...]:
    """Return the plugins that could not be loaded."""
    found = _load()
    len(found)  # imports all
    return tuple(found.faults)


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


def check_options(models: Sequence[tuple[object, OpenOptions]]) -> None:
    """Refuse, before any model is loaded, one that cannot be, and an option that means nothing to any of them.

    Raises what find_adapter raises, or ComparisonError.
    """
    if any(options.dump_of is not None for _, options in models):
        return
    found = [(target, find_adapter(target), options) for target, options in models]
    plain = OpenOptions()
    for word in ("provider", "ort_optimization", "signature", "device"):
        asked = [getattr(options, word) for _, _, options in found if getattr(options, word) != getattr(plain, word)]
        if asked and not any(adapter.heeds is None or word in adapter.heeds for _, adapter, _ in found):
            who = ", ".join(one.name for one in adapters() if word in (one.heeds or ()))
            raise ComparisonError(
                f"{word.replace('_', '-')} {asked[0]} means nothing to these models",
                found=", ".join(f"{parse_target(target)} ({adapter.name})" for target, adapter, _ in found),
                hint=f"leave it out; it is for {who}",
            )


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

    Raises what find_adapter raises, MissingFrameworkError, a ModelError of the adapter, or ComparisonError for a
    setting that the model does not have.
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
        return under(adapter.open(parsed.value, options), options.settings, str(parsed))
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
    translate = next((adapter.translate for adapter in adapters() if adapter.name == framework), None)

    def known(call: Call) -> Operation:
        if translate is None:
            raise call.unknown()
        try:
            return translate(call)
        except (ValueError, IndexError, TypeError, KeyError, ArithmeticError) as exc:
            raise call.unknown(f"a form that is not known: {exc}") from exc

    return known


def wording(framework: str) -> Wording | None:
    """How that framework's users write what is advised; None where nobody writes it by hand."""
    module = next((adapter.wording for adapter in adapters() if adapter.name == framework), "")
    found: Wording | None = importlib.import_module(module).WORDING if module else None
    return found


def loads_checkpoints(framework: str) -> bool:
    """Whether checkpoints are loaded into that framework's models as they are."""
    return any(adapter.loads_weights for adapter in adapters() if adapter.name == framework)


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
    distribution = _load().distributions.get(adapter, "aligner")
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
    from importlib import metadata

    top = module.split(".")[0]
    for distribution in (top, top.replace("_", "-")):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    for distribution in metadata.packages_distributions().get(top, ()):
        return metadata.version(distribution)
    return "(version unknown)"
