"""TorchScript: archives and live script modules, traced or scripted."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.adapters.base import Adapter, Capabilities, FirstLook, Instrumented, OpenOptions, Session
from aligner.adapters.kept import Kept
from aligner.adapters.stream import is_huge, stream
from aligner.adapters.target import is_unicode
from aligner.adapters.torch_file import classify
from aligner.adapters.torchscript_adapter.code import check_archive
from aligner.adapters.torchscript_adapter.errors import load_error, unknown_namespace
from aligner.adapters.torchscript_adapter.instrument import MARK, as_it_was, instrument
from aligner.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from aligner.operations.call import Call
from aligner.operations.operation import Operation
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aligner.adapters.base import Feeds, Injection
    from aligner.adapters.rewriting import Extracted
    from aligner.adapters.torchscript_adapter.run import Program

    Array = NDArray[Any]

_SUFFIXES = frozenset({".pt", ".pth", ".ts", ".torchscript", ".jit", ".zip"})
_OWN_SUFFIXES = frozenset({".ts", ".torchscript", ".jit"})
_OP_LIBRARIES = frozenset({"torchvision", "torchaudio"})
"""Packages that register ops when imported; an archive may name no others."""


class TorchScriptAdapter(Adapter):
    """Reads what ``torch.jit.save`` wrote, and live ``torch.jit`` objects."""

    name: ClassVar[str] = "torchscript"
    extra: ClassVar[str] = "torch"
    modules: ClassVar[tuple[str, ...]] = ("torch",)
    reads: ClassVar[str] = "*.pt, *.pth, *.ts, *.jit (TorchScript archives), torch.jit.ScriptModule"

    def translate(self, call: Call) -> Operation:
        """PyTorch's own operators."""
        from aligner.adapters.aten_translation import translate

        return translate(call)

    def claims(self, target: object) -> bool:
        """Whether it is a TorchScript archive by content, or a live script object."""
        if isinstance(target, str | Path):
            return _is_archive(Path(target))
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(target, (torch.jit.ScriptModule, torch.jit.ScriptFunction))

    def open(self, target: object, options: OpenOptions) -> ScriptSession:
        """Load the archive, or take a copy of the live module's state."""
        if options.weights is not None:
            raise UnsupportedModelError(
                "a TorchScript model carries its own weights",
                found=f"the checkpoint {options.weights}",
                hint="load the checkpoint into the Python module (file.py:factory), or save the archive again",
            )
        from aligner.adapters.torchscript_adapter.run import Program

        script, name = target, f"the live {type(target).__name__}"
        if isinstance(target, str | Path):
            script, name = load_script(Path(target), options.device, trust=options.trust), Path(target).name
        if not _callable(script):
            raise UnsupportedModelError(
                f"{name} has no forward", found=type(script).__name__, hint="save a module that defines forward"
            )
        return ScriptSession(Program(script, name, device=options.device, evaluation=bool(options.evaluation_mode)))

    def instrument(self, target: object, output: Path, observe: Sequence[str]) -> Instrumented:
        """Write the model with inner tensors among its outputs."""
        return instrument(Path(str(target)), output, observe)

    def extract(self, target: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
        """Write what computes one value from others as a model of its own."""
        from aligner.adapters.torchscript_adapter.extraction import extract

        return extract(target, inputs, output, folder)


def _is_archive(path: Path) -> bool:
    suffix = path.suffix.lower()
    if not path.is_file():
        return suffix in _OWN_SUFFIXES
    if suffix in _OWN_SUFFIXES:
        return True
    return suffix in _SUFFIXES and classify(path).kind == "torchscript"


def _callable(script: Any) -> bool:
    import torch

    return isinstance(script, torch.jit.ScriptFunction) or script._c._has_method("forward")


def load_script(path: Path, device: str = "cpu", *, trust: bool = False) -> Any:
    """The script module or function of an archive.

    Raises ModelNotFoundError, ModelFormatError, UntrustedFileError or UnsupportedModelError.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"{path} does not exist", found="no such file", hint="check the path")
    file = classify(path)
    if file.kind != "torchscript":
        raise ModelFormatError(
            f"{path.name} is not a TorchScript archive",
            found=file.detail,
            hint="save the model with torch.jit.save, or download the file again",
        )
    check_archive(path, trust=trust)
    try:
        return _loaded(path, device)
    except (RuntimeError, ValueError, OSError) as error:
        library = unknown_namespace(error)
        if library not in _OP_LIBRARIES:
            raise load_error(error, path.name) from error
    try:
        importlib.import_module(library)
        return _loaded(path, device)
    except ImportError as error:
        raise UnsupportedModelError(
            f"{path.name} uses ops of {library}, which is not installed",
            found=str(error),
            hint=f"pip install {library}",
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise load_error(error, path.name) from error


def _loaded(path: Path, device: str) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather we exported anew
        marks = {MARK: ""}
        with path.open("rb") as file:  # by its name where native code can spell that: it maps the file then
            script = torch.jit.load(path if is_unicode(path) else file, map_location=device, _extra_files=marks)
    return as_it_was(script) if marks[MARK] else script


class ScriptSession(Session):
    """A TorchScript module or function; each run works on a copy of its state."""

    framework: ClassVar[str] = "torchscript"
    capabilities = Capabilities(observes_faithfully=True)

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def runtime(self) -> str:
        """ "torch 2.13.0 (TorchScript, cpu)"."""
        import torch

        return f"torch {torch.__version__} (TorchScript, {self._program.device})"

    @property
    def signature(self) -> Signature:
        """Inputs go by the names of forward's arguments, in the order of ``graph().inputs``."""
        specs = tuple(spec for argument in self._program.arguments for spec in argument.specs)
        return Signature(specs, self._program.graph.graph.outputs)

    @property
    def notes(self) -> tuple[str, ...]:
        """Training mode."""
        if not self._program.training:
            return ()
        return ("the model is in training mode: dropout and batch norm behave differently; save it after .eval()",)

    def in_float64(self) -> ScriptSession:
        """The program over a widened copy of its module; only observed runs are widened throughout."""
        return ScriptSession(self._program.in_float64())

    def graph(self, feeds: Feeds | None) -> Graph:
        """The whole program; with ``feeds`` that of their run: shapes known, untaken branches left out.

        Outputs in lists that grow as the model runs are known only where feeds are given.
        """
        return self._program.graph.graph if feeds is None else self.first_look(feeds, FirstLook())[0]

    def first_look(self, feeds: Feeds, look: FirstLook) -> tuple[Graph, tuple[CapturedTensor, ...] | None]:
        """Shapes come from a run, of a large model from one without numbers."""
        from aligner.adapters.torchscript_adapter.graph import as_it_ran
        from aligner.adapters.torchscript_adapter.outputs import with_outputs
        from aligner.adapters.torchscript_adapter.run import Capture, Trace

        script, program = self._program.graph, self._program
        trace, kept = Trace(script), Kept(look.room)
        outputs = program.rehearse(feeds, trace) if look.runs_long(program.held(feeds)) else None
        if outputs is None:
            random = program.random()
            capture = Capture(script, kept.take, wanted=None, inject={}, random=random) if look.room else None
            trace = Trace(script, capture)
            outputs = program.observe(feeds, trace, random)
            if capture is not None:
                capture.returned(outputs)
        graph = with_outputs(as_it_ran(script.graph, trace.seen, trace.passed), script.result, outputs)
        return graph, kept.tensors()

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """Run forward itself, from the state the model was opened with."""
        from aligner.adapters.torchscript_adapter.arrays import captured

        return tuple(captured(name, tensor) for name, tensor in self._program.predict(feeds))

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Run the tapped graph without the executor's optimisations, so that every value exists.

        A value inside a loop is injected only under ``"id#occurrence"``, any other under its id.
        """
        from aligner.adapters.torchscript_adapter.run import Capture

        program, random = self._program, self._program.random()
        wanted = None if observe is None else frozenset(observe)

        def push(emit: Callable[[CapturedTensor], None]) -> None:
            capture = Capture(program.graph, emit, wanted=wanted, inject=inject or {}, random=random)
            capture.stored()
            capture.returned(program.observe(feeds, capture, random))

        # Runs that draw random numbers share one generator: they take turns.
        return stream(push, is_huge if random is None else lambda _: True)
