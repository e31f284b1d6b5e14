"""Both models at once, each tensor dropped as soon as its pair has been compared.

The reference runs only as far as the candidate asks. Beside the candidate on its own tensors runs the candidate on the
reference's, so that one sweep yields the accumulated and the local errors, and a sketch of every tensor. What lies in
memory is what lies between the fronts. Pairs have to be known before: they come from the graphs alone, and are revised
when the sketches are there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TypeVar

from aligner.adapters.stream import HUGE, Run, ahead, leeway
from aligner.execution.injected_run import InjectedRun, Local
from aligner.execution.passes import Passes
from aligner.execution.pool import TensorPool
from aligner.execution.profile import Profile, RunningProfile
from aligner.execution.side import OpenSide
from aligner.operations.kinds import DRAWS
from aligner.records import progress
from aligner.records.alignment import PairedValues, Sketch
from aligner.records.graph import Graph
from aligner.records.tensor import CapturedTensor

T = TypeVar("T")


def expected_profile(graph: Graph) -> Profile | None:
    """What a run of the graph will show, by its shapes; None where a shape is open or a value may occur repeatedly."""
    if any(node.kind == "loop" for node in graph.nodes):
        return None
    constants = {value for node in graph.nodes if node.kind == "constant" for value in node.outputs}
    sketches: dict[str, Sketch] = {}
    size = 0
    for name, value in graph.values.items():
        if name in constants or value.shape is None or value.dtype is None:
            continue
        if any(dim is None for dim in value.shape):
            return None
        shape = tuple(dim for dim in value.shape if dim is not None)
        sketches[name] = Sketch(shape, value.dtype, 0.0, 0.0, 0.0, 0.0)
        size += _bytes(sketches[name])
    return Profile(sketches, None, size)


def _bytes(one: Sketch) -> int:
    from aligner.execution.injection import numpy_dtype

    dtype = numpy_dtype(one.dtype)
    return one.size * (dtype.itemsize if dtype is not None else 4)


def _itself(tensor: CapturedTensor) -> CapturedTensor:
    return tensor


class Pauses:
    """Where a run waits until it is asked for more, because its next step makes a huge tensor, or has one to read.

    ``shown``: the values that the run yields; None for all.
    """

    def __init__(self, side: OpenSide, shown: Container[str] | None = None) -> None:
        sketches = side.profile.sketches if side.profile is not None else {}
        computed = [value for node in side.graph.nodes for value in node.outputs]
        self._after: set[str] = set()
        last, huge = None, False
        for value in dict.fromkeys([*side.graph.inputs, *computed]):
            huge = huge or (value in sketches and _bytes(sketches[value]) >= HUGE)
            if value in sketches and (shown is None or value in shown):
                if huge:
                    self._after |= {last or "", value}
                last, huge = value, False
        self.at_first = "" in self._after

    def after(self, value: str) -> bool:
        """Whether to wait after this value."""
        return value in self._after


class Lockstep:
    """One sweep over both models.

    ``local``: the candidate also runs on the reference's tensors, if it can beside itself. ``budget``: bytes of the
    reference's tensors that may wait in memory for the candidate; the rest waits on disk. Unless it is ``strict``, a
    single tensor always may wait.
    """

    def __init__(
        self, passes: Passes, reference: OpenSide, candidate: OpenSide, *, local: bool, budget: int, strict: bool
    ) -> None:
        self.passes, self._reference, self._candidate = passes, reference, candidate
        expected = (side.profile.sketches.values() for side in (reference, candidate) if side.profile is not None)
        largest = max((_bytes(one) for sketches in expected for one in sketches), default=0)
        self._in_turns = any(node.kind in DRAWS for side in (reference, candidate) for node in side.graph.nodes)
        self._budget = budget if strict else max(budget, largest * 3 // 2)
        able = candidate.session.capabilities
        self.local = local and able.can_inject and able.runs_concurrently
        """Whether local errors are measured, too."""
        self.as_expected = True
        """Whether each tensor was what the graph had said; what was measured counts for nothing otherwise."""
        self._injected: InjectedRun | None = passes.injected_run() if self.local else None
        self.profiles = RunningProfile(reference.graph.outputs), RunningProfile()

    def run(self, pairs: Sequence[PairedValues]) -> None:
        """Measure the pairs and take both sides' profiles."""
        by_value = {pair.candidate: pair for pair in pairs}
        uses = Counter(pair.reference for pair in pairs)
        if self._injected is not None:
            uses.update(self._injected.uses())
        shown = self._injected.shown if self._injected is not None else {}
        with ExitStack() as stack:  # the runs that read from the pool end first
            pool = TensorPool(self._begun(self._watched(0), Pauses(self._reference), _itself), uses, self._budget)
            stack.callback(pool.close)
            own = stack.enter_context(closing(self._begun(self._watched(1), Pauses(self._candidate), _itself)))
            on_reference = self._begun(self._locals(pool), Pauses(self._candidate, shown), lambda item: item[1])
            other = stack.enter_context(closing(on_reference))
            progress.enter("", "running both models side by side")
            due = False
            done = itertools.count()
            for tensor in own:  # not enumerate, which holds on to what it gave last
                if due:
                    self._advance(other)
                progress.advance(next(done), len(by_value))
                self._take(pool, by_value.get(tensor.value), tensor)
                due = tensor.value in shown
                del tensor  # else it would live until the next one is there
                # The injected run is one behind: what a huge tensor was computed from is gone by then.
                pool.lead(2)  # the one that the injected run still needs, and the next
            while self._advance(other):
                pass
            pool.exhaust()
        for side, running in zip((self._reference, self._candidate), self.profiles, strict=True):
            side.profile = running.profile()
        self.as_expected = all(running.as_expected for running in self.profiles)

    def _take(self, pool: TensorPool, pair: PairedValues | None, tensor: CapturedTensor) -> None:
        expected = pool.get(pair.reference, tensor.occurrence) if pair is not None else None
        if pair is not None and expected is not None:
            self.passes.take_accumulated(expected, tensor)
            pool.release(pair.reference, tensor.occurrence)

    def _begun(self, run: Generator[T], pauses: Pauses, tensor: Callable[[T], CapturedTensor]) -> Generator[T] | Run[T]:
        """A run, ahead in a thread of its own unless the order of random draws counts."""
        if self._in_turns:
            return run
        return ahead(
            run,
            leeway(self._budget),
            lambda item: tensor(item).array.nbytes,
            lambda item: pauses.after(tensor(item).value),
            waits=pauses.at_first,
        )

    def _locals(self, pool: TensorPool) -> Generator[Local]:
        """The candidate on the reference's tensors; nothing where it does not run."""
        if self._injected is not None:
            yield from self._injected.over(pool)

    def _advance(self, injected: Iterator[Local]) -> bool:
        following = next(injected, None)
        if following is None:
            return False
        value, found, expected = following
        self.passes.take_local(value, expected, found)
        return True

    def _watched(self, number: int) -> Generator[CapturedTensor]:
        side = (self._reference, self._candidate)[number]
        assert side.profile is not None
        return self.profiles[number].watch(side.run(None), side.profile.sketches)
