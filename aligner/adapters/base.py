"""What every framework is reduced to: a graph, and one verb that runs it, observed and injected."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from aligner.errors import InputError, UnsupportedModelError, listing
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.operations.call import Call
    from aligner.operations.operation import Operation

Feeds = Mapping[str, Array]
"""Input name → array, in the model's own layout and dtype."""
Injection = Mapping[str, Array]
"""Value id → array in that value's layout; may be lazy: entries are read when the run reaches the value."""

_LONG_RUN = 1 << 30
"""Bytes of tensors from which on computing shapes alone is quicker than a run; it has modules of its own to import."""
_LARGE = 64 << 20
"""The same as bytes of weights and inputs, where no more is known."""


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """What the user asked for when a model is opened; an adapter ignores what does not concern it."""

    weights: Path | None = None
    trust: bool = False
    evaluation_mode: bool | None = None
    """True: switch modules to eval; False: leave as is (``--as-is``); None: leave, and warn when in train mode."""
    provider: str | None = None
    ort_optimization: str | None = None
    signature: str | None = None
    """Which function of a file that holds several."""
    device: str = "cpu"
    settings: Mapping[str, str] = field(default_factory=dict)
    """Switch → setting of its runtime, as ``Varies`` has them."""
    dump_of: object | None = None
    """The model that the target is a dump of: it gives graph, shapes and true names."""
    dump_layout: str | None = None
    """How a dump lays out what has channels: "nchw" or "nhwc"; None: as its shapes or its model say."""
    caches: bool = False
    """Whether the state that a decoder hands to its next step counts among its outputs, where it is an object."""
    memory_limit: int | None = None
    """Bytes that captured intermediates may occupy at once inside a session; None: no limit set."""


INTERMEDIATES = 256 << 20
"""Bytes of intermediates that one run shows at once where the user sets no limit."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What may be asked of a session.

    ``computes``: its runs do, where a recording shows what it holds. ``can_inject``: a run takes arrays for values.
    ``computes_for_others``: a session that cannot compute has the model at hand that it was recorded from, and injected
    runs are that model's. ``runs_concurrently``: a run may begin before
    another of the same session has ended. ``reads_statically``: ``graph`` reads a file, where others run the model.
    ``predicts_aside``: ``predict`` may run beside any other work, as it draws from no generator that others share.
    ``observes_faithfully``: observed runs compute with the kernels of ``predict``; elsewhere looking may end fusions.
    ``channels``: where inputs have theirs, "first" or "last", unless the signature says otherwise. ``optimisations``:
    levels of graph optimisation under which it may be opened, the least first.
    """

    computes: bool = True
    can_inject: bool = True
    computes_for_others: bool = False
    runs_concurrently: bool = True
    reads_statically: bool = False
    predicts_aside: bool = False
    observes_faithfully: bool = False
    channels: Literal["first", "last"] = "first"
    optimisations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What is known when a graph is read that takes a run, and what that run may be.

    ``budget``: bytes of tensors that may be kept. ``expected_bytes``: what a run will show, told by whoever knows
    another form of the model. ``may_rehearse``: the graph may come from a run without numbers though one with numbers
    may take another way; that one then raises RehearsalError.
    """

    budget: int = 0
    expected_bytes: int | None = None
    may_rehearse: bool = False

    @property
    def kept(self) -> int:
        """Bytes of tensors that the run keeps: none where it is known that they would not be all."""
        return self.budget if (self.expected_bytes or 0) <= self.budget else 0

    def runs_long(self, held: int) -> bool:
        """Whether a run is so long that one without numbers, for the shapes, pays; ``held``: weights and inputs."""
        return held >= _LARGE if self.expected_bytes is None else self.expected_bytes >= _LONG_RUN


class Session(ABC):
    """A loaded model: what it declares, its graph, and two ways to run it.

    Runs never see each other: each starts from the state the model was opened with. What only some can do besides are
    protocols that are looked for: ``LooksFirst``, ``Unrolls``, ``Widens``, ``ChoosesPrecision``, ``Varies``,
    ``TakesSteps``, ``LocatesHidden``, ``Prepares``.
    """

    framework: ClassVar[str]

    @property
    def capabilities(self) -> Capabilities:
        """What may be asked of it; a class attribute or a property of this name says otherwise.

        Sessions written for aligner 0.1 say so by attributes of their own: ``can_inject = False``.
        """
        own = {one.name: getattr(self, one.name) for one in fields(Capabilities) if hasattr(self, one.name)}
        return Capabilities(**own)

    @property
    @abstractmethod
    def runtime(self) -> str:
        """The runtime and its version, for the report: "onnxruntime 1.31.1 (CPUExecutionProvider)"."""

    @property
    @abstractmethod
    def signature(self) -> Signature:
        """Inputs and outputs as the model declares them."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences the user should read: key mismatches of a checkpoint, train mode, extra subgraphs."""
        return ()

    @abstractmethod
    def graph(self, feeds: Feeds | None) -> Graph:
        """The dataflow. Static formats ignore ``feeds``; eager modules run once and need them.

        Raises InputError when feeds are needed and absent.
        """

    @abstractmethod
    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """Run the untouched model, without any instrumentation, and return its outputs in order.

        The ids equal ``graph(feeds).outputs``.
        """

    @abstractmethod
    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Run once; yield each observed value in execution order (``None``: every value of the graph).

        Where ``inject`` holds an array for a value, the value computed is still yielded, but every consumer
        sees the injected one. Closing the iterator early ends the run. The arrays are read-only and nobody writes to
        their memory any more, though views of one tensor may share it.
        """

    def close(self) -> None:  # noqa: B027 - most runtimes have nothing to release
        """Release the runtime; the session is not used afterwards."""


@runtime_checkable
class LooksFirst(Protocol):
    """A session whose graph comes from a run, which may show its tensors as well."""

    def first_look(self, feeds: Feeds, look: FirstLook) -> tuple[Graph, tuple[CapturedTensor, ...] | None]:
        """The dataflow, and what ``run(feeds)`` yields.

        None where it took no run with numbers, and where that would be more than ``look.budget`` bytes.
        """


@runtime_checkable
class Unrolls(Protocol):
    """A session whose model can be read with loops written out, for whoever has it step by step."""

    def unrolled(self) -> Session | None:
        """The same model with every loop of a fixed count written out: same feeds, same outputs' numbers.

        None where a loop would stay.
        """


@runtime_checkable
class Widens(Protocol):
    """A session whose model can compute in float64."""

    def in_float64(self) -> Session:
        """The same model in float64: same value ids, same feeds; this session is left as it is. The caller closes it.

        Its runs raise ModelExecutionError where something in the model insists on another dtype. Raises
        UnsupportedModelError where this model has no such form.
        """


@dataclass(frozen=True, slots=True)
class ChosenPrecision:
    """Fewer bits than a model asks for: the dtype that the runtime computes in, and what keeps it from doing so."""

    word: str
    advice: str


@runtime_checkable
class ChoosesPrecision(Protocol):
    """A session whose runtime may compute in fewer bits than the model declares, as the device has them."""

    @property
    def chosen_precision(self) -> ChosenPrecision | None:
        """What it chose here; None where it keeps to the model."""

    def in_declared_precision(self) -> Session:
        """The same model kept to its precision: same value ids, same feeds. The caller closes it."""


@runtime_checkable
class Varies(Protocol):
    """A session whose runtime has switches: how it computes, not what."""

    def switches(self) -> Mapping[str, tuple[str, ...]]:
        """Switch ("optimization", "provider", "precision", "threads") → its settings, the plainest first."""

    def switched(self, switch: str, setting: str) -> Session:
        """The same model under one of its settings, with the same feeds. The caller closes it."""


@runtime_checkable
class TakesSteps(Protocol):
    """A session that is made ready in steps of its runtime ("ConstantFolding"), each of which can be left out."""

    def steps(self) -> tuple[str, ...]:
        """Those that change this model."""

    def without(self, steps: Collection[str]) -> Session:
        """The same model made ready without these. The caller closes it."""


@dataclass(frozen=True, slots=True)
class HiddenFault:
    """A part of a model that is wrong only where nobody looks into it: on inputs that are right.

    ``value`` is what it computes, None where no run shows that; ``names`` are its operations in their runtime's words,
    ``error`` how far it is off, relative to the largest number; ``by`` what put it into other code.
    """

    value: str | None
    names: tuple[str, ...]
    error: float
    by: str


@runtime_checkable
class LocatesHidden(Protocol):
    """A session whose untouched runs use code that observed ones do not, and which can look for the fault in it."""

    def hidden_fault(self, feeds: Feeds, floor: float) -> HiddenFault | None:
        """The first part whose results are off by more than ``floor`` of their peak; None where none is found."""


@runtime_checkable
class Prepares(Protocol):
    """A session that can get ready before its inputs are known."""

    def get_ready(self) -> None:
        """Do what ``predict`` will need and no input changes; called at most once, beside other work."""


def widened(session: Session) -> Session:
    """The session's model in float64. Raises UnsupportedModelError where there is none."""
    if isinstance(session, Widens):
        return session.in_float64()
    raise not_in_float64(session.runtime, f"a {session.framework} model")


def not_in_float64(found: str, model: str = "the model") -> UnsupportedModelError:
    """What says that a model has no form in float64, and why."""
    hint = "take the model that it was made from as the reference"
    return UnsupportedModelError(f"{model} cannot be run in float64", found=found, hint=hint)


@dataclass(frozen=True, slots=True)
class Instrumented:
    """A model that shows its inside wherever it runs: the names it shows, and sentences on how to run it."""

    shown: tuple[str, ...]
    notes: tuple[str, ...] = ()


def chosen(names: Sequence[str], patterns: Sequence[str], path: object) -> list[str]:
    """The names that a pattern ("*conv*") or another name asks for, all of them without any; each pattern finds one.

    Raises InputError for a pattern that finds none.
    """
    lost = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]
    if lost:
        raise InputError(
            f"{path} has no tensor of that name", found=listing(lost), hint="align inspect MODEL lists the names"
        )
    return [name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]


class Adapter(ABC):
    """The door to one framework; constructing it imports nothing."""

    name: ClassVar[str]
    """The framework's word in reports and messages: "onnx", "tflite", "torchscript", "pytorch"."""
    extra: ClassVar[str]
    """The optional extra that installs the framework: ``pip install "aligner[onnx]"``."""
    modules: ClassVar[tuple[str, ...]]
    """Importable modules it needs; any missing one means the framework is not installed."""
    reads: ClassVar[str]
    """What it reads, for ``align adapters``: "*.onnx"."""
    translation: ClassVar[str] = ""
    """The module whose ``translate`` says what a node computes, imported when it is first asked."""
    wording: ClassVar[str] = ""
    """The module whose ``WORDING`` says how its users write what is advised; none where nobody writes it by hand."""
    loads_weights: ClassVar[bool] = False
    """Whether ``OpenOptions.weights`` means something to it; elsewhere a checkpoint is refused, not ignored."""
    heeds: ClassVar[frozenset[str] | None] = None
    """Which of ``provider``, ``ort_optimization``, ``signature``, ``device`` mean something to it; None: not told."""
    unoptimised: ClassVar[str] = "on another device or with another build of its runtime"
    """How the user runs a model without the optimisations of its runtime, behind "run the candidate"."""

    opens_aside: ClassVar[bool] = False
    """Whether a model may be opened in a thread of its own: no code of the user's runs, no setting is changed."""

    @abstractmethod
    def claims(self, target: object) -> bool:
        """Whether this adapter would open the target: by magic bytes, suffix or type; imports no framework."""

    def import_module(self, name: str) -> object:
        """Import one of ``modules``; a framework that does more than compute when it is imported is kept from that."""
        return importlib.import_module(name)

    def translate(self, call: Call) -> Operation:
        """What a node of this framework computes, in words that all frameworks share.

        Operand order, attribute names, weight layouts and defaults of the framework end here. Raises Unsupported for
        every node or form that is not known: it is then compared, but not recomputed.
        """
        if not self.translation:
            raise call.unknown()
        operation: Operation = importlib.import_module(self.translation).translate(call)
        return operation

    @abstractmethod
    def open(self, target: object, options: OpenOptions) -> Session:
        """Load the model.

        Raises ModelError or one of its kinds; foreign exceptions are translated here.
        """

    def instrument(self, target: object, output: Path, observe: Sequence[str], *, trust: bool = False) -> Instrumented:
        """Write the model to ``output`` with inner tensors among its outputs; ``observe`` are patterns of names.

        Raises UnsupportedModelError where the format has no such form.
        """
        del output, observe, trust
        raise UnsupportedModelError(
            f"{target} cannot be written with its intermediates visible",
            found=f"a model of the {self.name} adapter",
            hint="instrument the ONNX, TFLite or TorchScript file that runs on the device",
        )
