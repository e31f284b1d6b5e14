"""What every framework is reduced to: a graph, and one verb that runs it, observed and injected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aligner.errors import UnsupportedModelError
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
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
    device: str = "cpu"
    dump_of: object | None = None
    """The model that the target is a dump of: it gives graph, shapes and true names."""
    dump_layout: str | None = None
    """How a dump lays out what has channels: "nchw" or "nhwc"; None: as its shapes or its model say."""
    memory_limit: int | None = None
    """Bytes that captured intermediates may occupy at once inside a session; None: no limit set."""


class Session(ABC):
    """A loaded model. Runs never see each other: each starts from the state the model was opened with."""

    framework: ClassVar[str]
    can_inject: ClassVar[bool] = True
    computes_for_others: bool = False
    """Whether a session that cannot compute has the model at hand that it was recorded from: injected runs are that
    model's, so that another recording can be held against its nodes."""
    runs_concurrently: ClassVar[bool] = True
    """Whether a run may begin before another of the same session has ended."""
    reads_statically: ClassVar[bool] = False
    """Whether ``graph`` reads a file, where others run the model."""
    expected_bytes: int | None = None
    """Bytes of tensors that a run will show, told by whoever knows another form of the model; None: unknown."""
    may_rehearse: bool = False
    """Whether a graph may come from a run without numbers though one with numbers may take another way: its first run
    then raises RehearsalError."""
    predicts_aside: ClassVar[bool] = False
    """Whether ``predict`` may run beside any other work: it draws from no generator that others share."""
    observes_faithfully: bool = False
    """Whether observed runs compute with the same kernels as ``predict``; elsewhere looking may disable fusions."""

    def runs_long(self, held: int) -> bool:
        """Whether a run is so long that one without numbers, for the shapes, pays; ``held``: weights and inputs."""
        return held >= _LARGE if self.expected_bytes is None else self.expected_bytes >= _LONG_RUN

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

    def first_run(self, feeds: Feeds, room: int) -> tuple[Graph, tuple[CapturedTensor, ...] | None]:
        """The dataflow; where it takes a run to read it, also what ``run(feeds)`` yields.

        None where it took no run, and where that would be more than ``room`` bytes.
        """
        del room
        return self.graph(feeds), None

    def get_ready(self) -> None:  # noqa: B027 - most need nothing
        """Do what ``predict`` will need and no input changes; called at most once, beside other work."""

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

    def in_float64(self) -> Session:
        """The same model computing in float64: same value ids, same feeds; this session is left as it is.

        Its runs raise ModelExecutionError where something in the model insists on another dtype. The caller closes it.
        Raises UnsupportedModelError where there is no such model.
        """
        raise UnsupportedModelError(
            f"a {self.framework} model cannot be run in float64",
            found=self.runtime,
            hint="take the model that it was made from as the reference",
        )

    def close(self) -> None:  # noqa: B027 - most runtimes have nothing to release
        """Release the runtime; the session is not used afterwards."""


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
    loads_weights: ClassVar[bool] = False
    """Whether ``OpenOptions.weights`` means something to it; elsewhere a checkpoint is refused, not ignored."""

    opens_aside: ClassVar[bool] = False
    """Whether a model may be opened in a thread of its own: no code of the user's runs, no setting is changed."""

    @abstractmethod
    def claims(self, target: object) -> bool:
        """Whether this adapter would open the target: by magic bytes, suffix or type; imports no framework."""

    @abstractmethod
    def open(self, target: object, options: OpenOptions) -> Session:
        """Load the model.

        Raises ModelError or one of its kinds; foreign exceptions are translated here.
        """
