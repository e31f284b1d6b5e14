"""Run a TorchScript model, as it is or with taps behind its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np

from aligner.adapters.base import Feeds
from aligner.adapters.fed import check_names
from aligner.adapters.stream import RunAbandoned
from aligner.adapters.torch_compiler import compiler_apart
from aligner.adapters.torchscript_adapter.arrays import as_tensor, captured, owned_array, replacement
from aligner.adapters.torchscript_adapter.errors import execution_error
from aligner.adapters.torchscript_adapter.float64 import widen, widened_module
from aligner.adapters.torchscript_adapter.graph import ScriptGraph, read_graph
from aligner.adapters.torchscript_adapter.inputs import argument_value, read_arguments
from aligner.adapters.torchscript_adapter.outputs import named_outputs
from aligner.adapters.torchscript_adapter.random import RandomStream
from aligner.adapters.torchscript_adapter.scalars import as_scalars
from aligner.adapters.torchscript_adapter.state import ModuleState, named_parameters, set_training
from aligner.adapters.torchscript_adapter.taps import instrument, watching
from aligner.adapters.torchscript_adapter.unfused import unfused
from aligner.errors import AlignerError
from aligner.records.array import Array
from aligner.records.tensor import CapturedTensor

Emit = Callable[[CapturedTensor], None]
Outputs = list[tuple[str, Any]]
"""(id, tensor) of what forward returned."""


_BRANCHING = frozenset({"prim::If", "prim::Loop"})


class Observer(Protocol):
    """Sees every value of a run and answers what its consumers get."""

    def fed(self, name: str, array: Array) -> Array:
        """An input."""

    def computed(self, name: str, tensor: Any, occurrence: int) -> Any:
        """A tensor, at the moment it was computed."""


class Program:
    """A script module or function, opened: its graph, its tapped twin, and the state every run starts from."""

    def __init__(
        self, script: Any, name: str, *, device: str, evaluation: bool, wide: bool = False, unrolled: bool = False
    ) -> None:
        import torch

        self.name, self.wide, self._unrolled = name, wide, unrolled
        self._function = script if isinstance(script, torch.jit.ScriptFunction) else None
        module = None if self._function is not None else script._c
        jit_graph = self._inlined(script)
        self._state = None
        if module is not None:
            self._state = ModuleState(module, jit_graph)
            self._state.keep()
            module = self._state.original
            if evaluation:
                set_training(module, False)
        self.graph: ScriptGraph = read_graph(jit_graph, module)
        computed = self._inlined(script)
        as_scalars(computed)
        if wide:
            widen(computed)
        self._tapped = instrument(computed, self.graph.taps)
        schema = script.schema if self._function is not None else script.forward.schema
        self.arguments = read_arguments(schema, skip_self=module is not None)
        self.training = module is not None and module.hasattr("training") and module.getattr("training") is True
        held = [tensor for _, tensor in named_parameters(module)] if module is not None else []
        self.device = held[0].device if held else torch.device(device)
        self._floating = torch.float64 if wide else self._dtype_of(held)
        self._owner = script  # the compilation unit behind graph and module lives as long as it

    def _inlined(self, script: Any) -> Any:
        """A graph of its own, of all that is called."""
        import torch

        graph = script.inlined_graph
        if self._unrolled:
            torch._C._jit_pass_constant_loop_unrolling(graph)
        return unfused(graph)

    def _dtype_of(self, parameters: Sequence[Any]) -> Any | None:
        """The one dtype of what is learnt; of a frozen module constants are left, among numbers of a trace's own."""
        import torch

        weights = self.graph.graph.weights.values()
        kinds = {tensor.dtype for tensor in parameters} or {
            getattr(torch, weight.dtype) for weight in weights if weight.shape and hasattr(torch, weight.dtype)
        }
        floating = [dtype for dtype in kinds if dtype.is_floating_point]
        return floating[0] if len(floating) == 1 else None

    def in_float64(self) -> Program:
        """The same program over widened parameters, its constants and the dtypes that it names widened too."""
        script = self._owner if self._state is None else widened_module(self._state.original)
        return self._again(script, wide=True, unrolled=self._unrolled)

    def unrolled(self) -> Program:
        """The same program with its loops of a constant count written out."""
        return self._again(self._owner, wide=self.wide, unrolled=True)

    def _again(self, script: Any, *, wide: bool, unrolled: bool) -> Program:
        return Program(script, self.name, device=str(self.device), evaluation=False, wide=wide, unrolled=unrolled)

    def random(self) -> RandomStream | None:
        """The random numbers of a run that starts now; None where none are drawn."""
        return RandomStream() if self.graph.random else None

    def predict(self, feeds: Feeds) -> Outputs:
        """Call forward itself; nothing of the instrumentation takes part."""
        import torch

        arguments = self._bound(feeds, None)
        random = self.random()
        with torch.no_grad(), random.active() if random else nullcontext(), self._translated():
            if self._state is None:
                result = self._owner(*arguments)
            else:
                result = self._state.fresh()._get_method("forward")(*arguments)
        return named_outputs(self.graph, result)

    def rehearse(self, feeds: Feeds, observer: Observer) -> Outputs | None:
        """Observe a run that computes shapes alone; None where numbers decide the way."""
        import torch

        module = self._state.hollow() if self._state is not None else None
        if module is None or any(node.op in _BRANCHING for node in self.graph.graph.nodes):
            return None

        def tap(tensor: Any, index: int) -> Any:
            return tensor if tensor is None else observer.computed(self.graph.taps[index], tensor, 0)

        arguments = [_hollow(value) for value in self._bound(feeds, observer)]
        try:
            with torch.no_grad(), torch.jit.optimized_execution(False), compiler_apart(), watching(tap) as number:
                result = self._tapped(module, *arguments, number)
        except (RuntimeError, torch.jit.Error, ValueError, TypeError, AttributeError, AlignerError):
            return None
        return named_outputs(self.graph, result)

    def held(self, feeds: Feeds) -> int:
        """Bytes of parameters and inputs."""
        parameters = named_parameters(self._state.original) if self._state is not None else ()
        weights: int = sum(tensor.nbytes for _, tensor in parameters)
        return weights + sum(array.nbytes for array in feeds.values())

    def observe(self, feeds: Feeds, observer: Observer, random: RandomStream | None) -> Outputs:
        """Run the tapped twin in the calling thread: gradient mode and the executor's optimisation are the thread's."""
        import torch

        counts: dict[str, int] = {}
        failures: list[BaseException] = []

        def tap(tensor: Any, index: int) -> Any:
            name = self.graph.taps[index]
            occurrence = counts.get(name, 0)
            counts[name] = occurrence + 1
            if self.wide and tensor is not None and tensor.is_floating_point():
                tensor = tensor.double()  # what names no dtype is made in float32
            try:
                return tensor if tensor is None else observer.computed(name, tensor, occurrence)
            except BaseException as error:
                failures.append(error)
                raise

        with (
            torch.no_grad(),
            torch.jit.optimized_execution(False),
            random.active() if random else nullcontext(),
            self._translated(failures),
        ):
            arguments = self._bound(feeds, observer)
            own = [] if self._state is None else [self._state.fresh()]
            with watching(tap) as number:
                result = self._tapped(*own, *arguments, number)
        return named_outputs(self.graph, result)

    @contextmanager
    def _translated(self, failures: list[BaseException] | None = None) -> Iterator[None]:
        """What a tap raised comes out as it was, though TorchScript turns it into an error of its own."""
        import torch

        try:
            yield
        except AlignerError:
            raise
        except (RuntimeError, torch.jit.Error, ValueError, TypeError, RunAbandoned) as error:
            if failures:
                raise failures[0] from None
            raise execution_error(error, self.name) from error

    def _bound(self, feeds: Feeds, observer: Observer | None) -> list[Any]:
        check_names((spec for argument in self.arguments for spec in argument.specs), feeds)
        ids = iter(self.graph.graph.inputs)
        values = []
        for argument in self.arguments:
            arrays = []
            for spec in argument.specs:
                name, array = next(ids), feeds.get(spec.name)
                if array is not None and array.dtype.kind == "f":
                    array = self._as_parameters(array)
                arrays.append(array if array is None or observer is None else observer.fed(name, array))
            values.append(argument_value(argument, arrays, self.device, self._floating))
        return values

    def _as_parameters(self, array: Array) -> Array:
        """Floats in the dtype of the parameters, where these have one: a file does not say what it takes."""
        return array if self._floating is None else owned_array(as_tensor(array).to(self._floating))


class Capture:
    """Yields what is wanted, and injects."""

    def __init__(
        self,
        graph: ScriptGraph,
        emit: Emit,
        *,
        wanted: frozenset[str] | None,
        inject: Mapping[str, Array],
        random: RandomStream | None,
    ) -> None:
        self._graph = graph
        self._wanted = wanted
        self._inject = inject
        self._emit = emit
        self._random = random
        self._ends = wanted is not None and bool(inject)
        self._left = set(wanted or ())
        """What is still to come of what was asked for; of what loops repeat nobody knows which is the last."""

    def fed(self, name: str, array: Array) -> Array:
        """Yield an input as it was given."""
        if self._wants(name):
            owned = np.array(array, copy=True)
            owned.flags.writeable = False
            self._give(CapturedTensor(name, owned, str(owned.dtype)))
        injected = self._inject.get(name)
        return array if injected is None else injected

    def computed(self, name: str, tensor: Any, occurrence: int) -> Any:
        """Yield the tensor, then look for an injection: only now, for it may come from a run in lockstep.

        A run with injections ends behind the last tensor that was asked for.
        """
        if self._ends and not self._left:
            raise RunAbandoned
        if self._wants(name):
            self._give(captured(name, tensor, occurrence, share=name in self._graph.still))
        array = self._inject.get(f"{name}#{occurrence}" if name in self._graph.repeated else name)
        if array is None:
            return tensor
        injected = replacement(tensor, array, name)
        overlapping = any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
        if name in self._graph.overwritten and not overlapping:
            return tensor.copy_(injected)
        return injected

    def stored(self) -> None:
        """Yield the weights that were asked for by name."""
        weights = self._graph.graph.weights
        for name in sorted((self._wanted or frozenset()) - set(self._graph.taps)):
            if name in weights:
                self._give(CapturedTensor(name, weights[name].load(), weights[name].dtype, weights[name].quantization))

    def returned(self, outputs: Outputs) -> None:
        """Yield the outputs that no node stands for."""
        for name, tensor in outputs:
            if name not in self._graph.graph.values and self._wants(name):
                self._give(captured(name, tensor))

    def _wants(self, name: str) -> bool:
        return name not in self._graph.unasked if self._wanted is None else name in self._wanted

    def _give(self, tensor: CapturedTensor) -> None:
        with self._random.paused() if self._random else nullcontext():
            self._emit(tensor)
        if tensor.value not in self._graph.repeated:
            self._left.discard(tensor.value)


class Trace:
    """Notes what was computed, without copying anything: ``seen`` by shape and dtype, ``passed`` from what it came.

    A branch hands on a tensor that one of its blocks computed; which one it was shows in the tensor's memory.
    ``other`` sees the same.
    """

    def __init__(self, graph: ScriptGraph, other: Observer | None = None) -> None:
        import torch

        self._other = other
        self._strided = torch.strided
        self.seen: dict[str, tuple[tuple[int | None, ...], str]] = {}
        self.passed: dict[str, str] = {}
        self._stored = {*graph.graph.inputs, *graph.graph.weights}
        self._places: dict[str, tuple[Any, ...]] = {}
        self._sources = {
            name: node.inputs for node in graph.graph.nodes if node.op == "prim::If" for name in node.outputs
        }

    def fed(self, name: str, array: Array) -> Array:
        """Note an input."""
        self._note(name, tuple(array.shape), str(array.dtype))
        return array if self._other is None else self._other.fed(name, array)

    def computed(self, name: str, tensor: Any, occurrence: int) -> Any:
        """Note a tensor; where a loop changes a size, that size stays open."""
        self._note(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        if tensor.layout is self._strided and not tensor.is_quantized:
            place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            self._trace_back(name, place)
            self._places.pop(name, None)
            self._places[name] = place
        return tensor if self._other is None else self._other.computed(name, tensor, occurrence)

    def _trace_back(self, name: str, place: tuple[Any, ...]) -> None:
        sources = self._sources.get(name, ())
        candidates = [source for source in sources if self._places.get(source) == place and place[0]]
        stored = [source for source in sources if source in self._stored]  # no tap shows where these lie
        if candidates:
            self.passed[name] = max(candidates, key=list(self._places).index)
        elif len(stored) == 1:
            self.passed[name] = stored[0]

    def _note(self, name: str, shape: tuple[int | None, ...], dtype: str) -> None:
        earlier = self.seen.get(name)
        if earlier is not None and len(earlier[0]) == len(shape):
            shape = tuple(a if a == b else None for a, b in zip(earlier[0], shape, strict=True))
        self.seen[name] = (shape, dtype)


def _hollow(value: Any) -> Any:
    import torch

    if isinstance(value, tuple):
        return tuple(map(_hollow, value))
    return value.to("meta") if isinstance(value, torch.Tensor) else value
