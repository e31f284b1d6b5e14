"""One run of a model: segment by segment, observed values handed out, injected ones put in their consumers' way."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from aligner.adapters.fed import check_injected, fits_shape, not_given
from aligner.adapters.onnx_adapter.blocked import blocked_values, in_blocks, plain
from aligner.adapters.onnx_adapter.dtypes import dtype_word, from_ort_value, numpy_dtype, to_ort_value
from aligner.adapters.onnx_adapter.engine import Engine
from aligner.adapters.onnx_adapter.names import fresh
from aligner.adapters.onnx_adapter.piece_sessions import PieceSessions
from aligner.adapters.onnx_adapter.program import Piece, Program, make_piece
from aligner.adapters.onnx_adapter.segments import Segment, plan_segments
from aligner.errors import ModelFormatError
from aligner.records.array import Array
from aligner.records.graph import Quantization
from aligner.records.tensor import CapturedTensor

_ELEMENT_TYPES = {"bool": 9, "float16": 10, "float32": 1, "float64": 11, "int8": 3, "int16": 5, "int32": 6, "int64": 7,
                  "uint8": 2, "uint16": 4, "uint32": 12, "uint64": 13, "object": 8}  # fmt: skip


class Execution:
    """The state of one run: values that later segments read, as OrtValues."""

    def __init__(
        self,
        engine: Engine,
        program: Program,
        feeds: Mapping[str, Any],
        wanted: Collection[str],
        inject: Mapping[str, Array] | None,
        memory_limit: int | None,
        sessions: PieceSessions | None = None,
    ) -> None:
        self._engine, self._program, self._wanted = engine, program, wanted
        self._sessions = sessions or PieceSessions()
        self._inject: Mapping[str, Array] = inject if inject is not None else {}
        self._computed = dict(feeds)
        self._injected: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._blocked = blocked_values(program.nodes)
        self._plan = plan_segments(program, wanted, lambda name: name in self._inject, memory_limit)

    def results(self, quantization: Mapping[str, Quantization | None]) -> Iterator[CapturedTensor]:
        """Yield what was asked for, in execution order; each tensor is dropped as soon as it was taken."""
        while self._plan:
            segment = self._plan.pop(0)
            outputs = list(dict.fromkeys((*segment.observed, *segment.carried)))
            computed = dict(zip(outputs, self._run(segment, outputs), strict=True))
            self._computed |= {name: computed[name] for name in segment.carried if self._injection(name) is None}
            for name in segment.expired:
                self._computed.pop(name, None)
                self._injected.pop(name, None)
            for name in segment.observed:
                found = captured(name, computed.pop(name), quantization.get(name), share=True)
                yield from (map(_plain, found) if name in self._blocked else found)

    def _run(self, segment: Segment, outputs: list[str]) -> list[Any]:
        feeds, renamed = self._feeds(segment)
        declared = [_declared(name, value) for name, value in feeds.items()]
        known = (segment.positions, tuple(outputs), tuple(renamed.items()), tuple(declared))
        session = self._sessions.session(
            None if None in declared else known,
            lambda: make_piece(self._program, segment.positions, outputs, feeds, renamed),
            self._session,
        )
        return self._engine.run(session, outputs, feeds)

    def _session(self, piece: Piece) -> Any:
        """A session of a piece; the optimiser may refuse what the runtime takes, above all an If that it folded."""
        try:
            return self._engine.session(piece.model, piece.stubs, level=self._engine.watched)
        except ModelFormatError:
            return self._engine.session(piece.model, piece.stubs, level="none")

    def _feeds(self, segment: Segment) -> tuple[dict[str, Any], dict[str, str]]:
        """What the segment reads from outside, and under which names it reads injected values made inside."""
        program = self._program
        feeds: dict[str, Any] = {}
        renamed: dict[str, str] = {}
        inside = {name for at in segment.positions for name in program.writes[at]}
        taken = ChainMap(feeds, dict(program.producer), dict(program.inputs))
        for name in dict.fromkeys(name for at in segment.positions for name in program.reads[at]):
            value = self._injection(name)
            if value is not None and (name in inside or program.is_fixed(name)):
                renamed[name] = fresh(f"{name}/injected", taken)
                feeds[renamed[name]] = value
            elif value is not None:
                feeds[name] = value
                self._computed.pop(name, None)
            elif name not in inside and not program.is_fixed(name):
                feeds[name] = self._before(name)
        return feeds, renamed

    def _before(self, name: str) -> Any:
        if name in self._computed:
            return self._computed[name]
        raise not_given(name)

    def _injection(self, name: str) -> Any:
        """The injected value, read once and kept for later consumers; None where the computed one is to be used."""
        if name in self._injected:
            return self._injected[name]
        if name in self._refused or name not in self._inject:
            return None
        try:
            array = self._inject[name]
        except KeyError:
            self._refused.add(name)
            return None
        self._injected[name] = self._converted(name, array)
        return self._injected[name]

    def _converted(self, name: str, array: Array) -> Any:
        import numpy as np

        kind = self._program.types.get(name)
        element = kind.element if kind is not None and kind.element else _ELEMENT_TYPES.get(array.dtype.name, 0)
        dtype = numpy_dtype(element)
        same = dtype is not None and (array.dtype == dtype or np.can_cast(array.dtype, dtype, "same_kind"))
        known = kind.shape if kind is not None else None
        wanted = f"{dtype_word(element) or 'unknown'}{'' if known is None else f' {list(known)}'}"
        check_injected(name, array, fits=same and (known is None or fits_shape(array.shape, known)), wanted=wanted)
        if name in self._blocked:
            array = in_blocks(array)
        return to_ort_value(array.astype(dtype, copy=False), element)


def _plain(tensor: CapturedTensor) -> CapturedTensor:
    array = plain(tensor.array)
    array.flags.writeable = False
    return replace(tensor, array=array)


def _declared(name: str, value: Any) -> tuple[str, int, tuple[int, ...]] | None:
    """What a piece says of a feed; None for what is no tensor of numbers."""
    if not hasattr(value, "element_type") or not value.is_tensor():
        return None
    return name, value.element_type(), tuple(value.shape())


def captured(
    name: str, value: Any, quantization: Quantization | None, *, share: bool = False
) -> Iterator[CapturedTensor]:
    """The tensor, read-only; nothing for sequences and absent optionals. ``share``: a result, which needs no copy."""
    if value is None or isinstance(value, (list, dict)):
        return
    if hasattr(value, "is_tensor") and not (value.has_value() and value.is_tensor()):
        return
    array, element = from_ort_value(value, share=share)
    array.flags.writeable = False
    made = [CapturedTensor(name, array, dtype_word(element) or "unknown", quantization)]
    del array, value  # whoever takes the tensor alone decides how long it lives
    yield made.pop()
