"""A live nn.Module as a session: its graph comes from one observed run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from aligner.adapters.base import Capabilities, Feeds, FirstLook, HiddenFault, Injection, Session
from aligner.adapters.digest import digest
from aligner.adapters.kept import Kept
from aligner.adapters.pytorch_adapter.caches import opened
from aligner.adapters.pytorch_adapter.call_trace import Calls, CallTrace, LostWayError
from aligner.adapters.pytorch_adapter.errors import another_way, execution_error
from aligner.adapters.pytorch_adapter.float64 import widened_copy, widening
from aligner.adapters.pytorch_adapter.hollow import StandIns
from aligner.adapters.pytorch_adapter.module_state import ModuleState, plain_tensors
from aligner.adapters.pytorch_adapter.randomness import OwnRandomness
from aligner.adapters.pytorch_adapter.recorded_graph import recorded_graph
from aligner.adapters.pytorch_adapter.recorder import Recorder, Tap
from aligner.adapters.pytorch_adapter.signature import ForwardSignature, read_signature
from aligner.adapters.pytorch_adapter.switches import SWITCHES, on_threads, switched_copy
from aligner.adapters.pytorch_adapter.tensors import captured, floating_dtype, is_of, living_tensors, output_name, walk
from aligner.adapters.pytorch_adapter.uncompiled import uncompiled
from aligner.adapters.stream import Run, RunAbandoned, is_huge, stream
from aligner.adapters.torch_quantization import packed_layers
from aligner.errors import AlignerError, InputError, listing
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor

Emit = Callable[[CapturedTensor], None]


@dataclass(frozen=True, slots=True)
class _Memory:
    """``written`` are values overwritten after they appear; ``still`` those that may be looked at without a copy.

    ``expected`` are the values in order, with their shapes, where they come from a run without numbers.
    """

    written: frozenset[str]
    still: frozenset[str]
    expected: tuple[tuple[str, tuple[int, ...]], ...] | None = None


class EagerSession(Session):
    """Runs an nn.Module and leaves it as it was found.

    ``evaluate`` puts every module into eval mode for the time of each run. A tensor that is several outputs at once is
    listed once, with all its names. ``compiled`` is the module as it answers outside of this session, where that is
    code that cannot be looked into. ``wide``: the module is in float64, and all that it is fed and makes is widened.
    ``caches``: what a decoder hands to its next step counts among its outputs.
    """

    framework = "pytorch"
    _observer = Recorder

    def __init__(
        self,
        module: Any,
        *,
        device: str,
        evaluate: bool = False,
        notes: tuple[str, ...] = (),
        compiled: Any = None,
        forward: ForwardSignature | None = None,
        wide: bool = False,
        threads: int | None = None,
        caches: bool = False,
    ) -> None:
        self._module = module
        self._compiled = compiled
        self._device = device
        self._evaluate, self._wide, self._threads = evaluate, wide, threads
        self._opened = opened if caches else _itself
        self._notes = list(notes)
        self._weights = plain_tensors(module)
        self._packed = packed_layers(module)
        for layer in self._packed.values():
            self._weights.update(layer.weights)
        self._forward = forward or read_signature(module, caches=caches)
        self._floating = floating_dtype(module)
        self._dtypes = {spec.name: spec.dtype for spec in self._forward.inputs}
        self._graphs: dict[bytes, tuple[Graph, _Memory]] = {}
        self._trace: tuple[_Memory, CallTrace] | None = None
        self._traces = False
        self._state: ModuleState | None = None
        self._output_names: tuple[str, ...] = ()
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        """Runs share the module; what is compiled computes otherwise where it is looked into."""
        return Capabilities(runs_concurrently=False, observes_faithfully=self._compiled is None)

    @property
    def runtime(self) -> str:
        """ "PyTorch 2.13.0 (cpu, eager)"; "… torch.compile" where the outputs are compiled code's."""
        import torch

        return f"PyTorch {torch.__version__} ({self._device}, {'eager' if self._compiled is None else 'torch.compile'})"

    @property
    def signature(self) -> Signature:
        """The arguments of ``forward``; outputs have names once the model has run."""
        return Signature(self._forward.inputs, self._output_names)

    @property
    def notes(self) -> tuple[str, ...]:
        """Train mode, checkpoint mismatches, parameters that forward writes to."""
        return tuple(self._notes)

    @property
    def closed(self) -> bool:
        """Whether the session has let go of its module."""
        return self._closed

    def close(self) -> None:
        """Let go of the module; a live one may be opened again without a copy."""
        self._closed = True
        self._graphs, self._trace, self._state = {}, None, None

    def in_float64(self) -> Session:
        """A copy of the module, widened; constants and casts that name a narrower float are widened as they appear."""
        wide, caches = widened_copy(self._module), self._opened is opened
        return EagerSession(wide, device=self._device, evaluate=self._evaluate, wide=True, caches=caches)

    def switches(self) -> Mapping[str, tuple[str, ...]]:
        """Compilers, dtypes, threads."""
        return SWITCHES

    def switched(self, switch: str, setting: str) -> Session:
        """A copy of the module under one of them."""
        module, told = switched_copy(self._module, switch, setting)
        return EagerSession(module, device=self._device, evaluate=self._evaluate, **told)

    def graph(self, feeds: Feeds | None) -> Graph:
        """Run once and return what was seen; runs with the same feeds are not repeated."""
        if feeds is None:
            raise InputError(
                "the graph of a PyTorch module comes from running it",
                found="no inputs",
                hint="give its inputs: " + (listing(spec.name for spec in self._forward.inputs) or "it takes none"),
            )
        return self._observed(feeds)[0]

    def first_look(self, feeds: Feeds, look: FirstLook) -> tuple[Graph, tuple[CapturedTensor, ...] | None]:
        """The graph comes from running the module, of a large one without numbers.

        From here on until it is closed the session is alone with the module, whose state is looked at once.
        """
        self._state = ModuleState(self._module)
        kept: list[Kept] = []

        def tap() -> Tap:
            kept[:] = [Kept(look.kept)]
            return lambda value, tensor: kept[0].take(captured(value, tensor))

        graph, _ = self._observed(feeds, tap if look.kept else None, look)
        found = kept[0].tensors() if kept else None
        computed = self._computed(graph)
        return graph, None if found is None else tuple(tensor for tensor in found if tensor.value in computed)

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """Run the module as anyone would, without any instrumentation, compiled where it is."""
        ids = self.graph(feeds).outputs
        with self._undisturbed():
            positional, keywords = self._forward.call(self._tensors(feeds), self._module)
            try:
                result = (self._module if self._compiled is None else self._compiled)(*positional, **keywords)
            except Exception as error:
                raise execution_error(error, None) from error
            tensors = list({id(tensor): tensor for _, tensor in walk(self._opened(result))}.values())
            return tuple(captured(value, tensor) for value, tensor in zip(ids, tensors, strict=False))

    def hidden_fault(self, feeds: Feeds, floor: float) -> HiddenFault | None:
        """The part of compiled code that is wrong when compiled alone, on what the part before it gives eagerly."""
        if self._compiled is None:
            return None
        from aligner.adapters.pytorch_adapter.compiled_regions import find_wrong_region

        with self._undisturbed():
            try:
                found = find_wrong_region(self._compiled, self._forward.call(self._tensors(feeds), self._module), floor)
            except Exception:  # noqa: BLE001 - a compiler may refuse a part in any way; the whole is wrong all the same
                return None
        if found is None:
            return None
        with closing(self._watched(feeds, None, None)) as run:
            value = next((tensor.value for tensor in run if is_of(tensor, found.output)), None)
        return HiddenFault(value, found.names, found.error, "torch.compile")

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Run once in a thread of its own; constants are yielded only as outputs, or where named in ``observe``."""
        return self._watched(feeds, observe, inject)

    def _watched(self, feeds: Feeds, observe: Collection[str] | None, inject: Injection | None) -> Run[CapturedTensor]:
        self._forward.check(feeds)
        graph, memory = self._observed(feeds)
        watched = self._computed(graph) if observe is None else frozenset(observe)
        return stream(partial(self._push, feeds, watched, inject, memory, OwnRandomness()), is_huge)

    def _push(
        self,
        feeds: Feeds,
        watched: frozenset[str],
        inject: Injection | None,
        memory: _Memory,
        randomness: OwnRandomness,
        emit: Emit,
    ) -> None:
        still = memory.still if inject is None else frozenset()  # an injection may write into a tensor's memory
        way = None if memory.expected is None else iter(memory.expected)
        left = set(watched)
        calls = self._calls(memory, watched, inject)

        def tap(value: str, tensor: Any) -> Array | None:
            if inject is not None and not left:
                raise RunAbandoned  # the rest shows nothing that was asked for
            if way is not None and next(way, None) != (value, tuple(tensor.shape)):
                raise another_way(self._module, value)
            if value in watched:
                emit(captured(value, tensor, share=value in still))
                left.discard(value)
            return None if inject is None else calls.given(inject, value)

        try:
            self._execute(feeds, tap, randomness, describe=False, written=memory.written, calls=calls)
        except LostWayError as error:
            raise another_way(self._module, str(error)) from error
        if way is not None and (missing := next(way, None)) is not None:
            raise another_way(self._module, missing[0])
        if isinstance(calls, CallTrace):
            self._trace = memory, calls

    def _calls(self, memory: _Memory, watched: frozenset[str], inject: Injection | None) -> Calls:
        """What tells a run with injections the calls that it can do without, learnt from the first run without."""
        known = self._trace[1] if self._trace is not None and self._trace[0] is memory else None
        if inject is None:
            return CallTrace() if self._traces and known is None else Calls()
        return Calls() if known is None else known.needed(watched, inject)

    def _observed(
        self, feeds: Feeds, watch: Callable[[], Tap] | None = None, look: FirstLook | None = None
    ) -> tuple[Graph, _Memory]:
        """The graph for these feeds, and what becomes of the values' memory; ``watch`` makes the tap of each run."""
        tap = watch or (lambda: _blind)
        self._forward.check(feeds)
        key = digest(feeds)
        if key not in self._graphs:
            self._traces = look is not None and look.may_rehearse
            rehearsed = self._rehearsed(feeds, look) if look is not None and look.may_rehearse else None
            remembered = CallTrace if self._traces else Calls
            recorder, result = rehearsed or self._execute(
                feeds, tap(), OwnRandomness(), describe=True, calls=remembered()
            )
            if recorder.untracked:
                older = living_tensors()
                existing = frozenset(map(id, older))
                recorder, result = self._execute(
                    feeds, tap(), OwnRandomness(), describe=True, existing=existing, calls=remembered()
                )
            order = tuple((value, seen.shape) for value, seen in recorder.values.items())
            memory = _Memory(frozenset(recorder.written), recorder.still, order if rehearsed else None)
            self._graphs = {key: (self._built(recorder, list(feeds), result), memory)}
            self._trace = (memory, recorder.calls) if isinstance(recorder.calls, CallTrace) else None
        return self._graphs[key]

    def _rehearsed(self, feeds: Feeds, look: FirstLook) -> tuple[Recorder, list[tuple[str, str]]] | None:
        """Observe a run that computes shapes alone; None where numbers decide the way, or where it is not worth it.

        Stand-ins take the place of the inputs and of what is computed; the weights stay real, so nothing may write to
        them.
        """
        held = sum(tensor.nbytes for tensor in self._weights.values())
        learning = not self._evaluate and any(part.training for part in self._module.modules())
        if learning or not look.runs_long(held + sum(array.nbytes for array in feeds.values())):
            return None
        try:
            recorder, result = self._execute(feeds, _blind, OwnRandomness(), describe=True, shapes_alone=True)
        except Exception:  # noqa: BLE001 - whatever keeps a stand-in from taking this way, real numbers may
            return None
        return None if recorder.untracked else (recorder, result)

    @staticmethod
    def _computed(graph: Graph) -> frozenset[str]:
        """Every value but the results of constant nodes, unless the model answers them."""
        constants = {output for node in graph.nodes if node.kind == "constant" for output in node.outputs}
        return frozenset(graph.values) - constants.difference(graph.outputs)

    def _execute(
        self,
        feeds: Feeds,
        tap: Tap,
        randomness: OwnRandomness,
        *,
        describe: bool,
        existing: frozenset[int] = frozenset(),
        written: frozenset[str] = frozenset(),
        shapes_alone: bool = False,
        calls: Calls | None = None,
    ) -> tuple[Recorder, list[tuple[str, str]]]:
        """Run observed; returns the recorder and (output name, value id) for each tensor of the result."""
        stand_ins = StandIns(self._device) if shapes_alone else None
        recorder = self._observer(
            self._module,
            self._weights,
            tap,
            describe=describe,
            randomness=randomness,
            existing=existing,
            write_through=written,
            stand_in=stand_ins,
            packed=self._packed,
            calls=calls,
        )
        with self._undisturbed():
            fed = {name: stand_ins.of(each) if stand_ins else each for name, each in self._tensors(feeds).items()}
            tensors = {name: recorder.add_input(name, tensor) for name, tensor in fed.items()}
            positional, keywords = self._forward.call(tensors, self._module)
            with uncompiled(), stand_ins.computing() if stand_ins else nullcontext(), recorder.watching():
                try:
                    result = self._answer(recorder, positional, keywords)
                except AlignerError:
                    raise
                except Exception as error:
                    raise execution_error(error, recorder.failure) from error
                outputs = []
                for path, tensor in walk(self._opened(result)):
                    name = output_name(path, bare=tensor is result)
                    recorder.add_alias(tensor, name)
                    value = recorder.name_of(tensor)
                    outputs.append((name, value))
                    if value in self._weights:
                        tap(value, tensor)
        return recorder, outputs

    def _answer(self, recorder: Recorder, positional: list[Any], keywords: dict[str, Any]) -> Any:  # noqa: ARG002
        """Run the module so that the recorder sees it."""
        return self._module(*positional, **keywords)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """No gradients, eval mode if asked for, and everything put back afterwards."""
        import torch

        state = self._state or ModuleState(self._module)
        try:
            if self._evaluate:
                self._module.eval()
            threads = on_threads(self._threads) if self._threads else nullcontext()
            with torch.no_grad(), threads, widening() if self._wide else nullcontext():
                yield
        finally:
            state.restore()
            self._warn_of(state.changed_parameters())

    def _warn_of(self, changed: list[str]) -> None:
        note = f"forward writes to parameters, so that runs may see each other: {listing(changed)}"
        if changed and note not in self._notes:
            self._notes.append(note)

    def _tensors(self, feeds: Feeds) -> dict[str, Any]:
        """A copy of every array on the model's device: the model may write into its inputs."""
        import torch

        tensors: dict[str, Any] = {}
        for name, array in feeds.items():
            try:
                tensor = torch.from_numpy(np.array(array, copy=True)).to(self._device)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"input {name} cannot become a tensor",
                    found=f"dtype {getattr(array, 'dtype', type(array).__name__)}",
                    hint="give numbers or booleans",
                ) from error
            wanted = self._floating if self._dtypes.get(name) is None and tensor.is_floating_point() else None
            tensor = tensor if wanted is None else tensor.to(wanted)
            tensors[name] = tensor.double() if self._wide and tensor.is_floating_point() else tensor
        return tensors

    def _built(self, recorder: Recorder, inputs: list[str], outputs: list[tuple[str, str]]) -> Graph:
        self._output_names = tuple(name for name, _ in outputs)
        ids = dict.fromkeys(value for _, value in outputs)
        return recorded_graph(self.framework, recorder, self._weights, tuple(inputs), tuple(ids))


def _itself(result: Any) -> Any:
    return result


def _blind(_value: str, _tensor: Any) -> None:
    """Look at nothing."""
