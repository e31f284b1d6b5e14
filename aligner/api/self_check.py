"""decode(): one decoder against itself: n tokens at once, against all but the last and then that one by its cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from aligner.adapters.base import OpenOptions, widened
from aligner.api.given_inputs import read_items
from aligner.api.stepping import Decoder, context, layer_name, prompt
from aligner.errors import AlignerError, ComparisonError
from aligner.execution.determinism import undisturbed
from aligner.execution.opening import open_side
from aligner.execution.side import OpenSide
from aligner.inputs.decoding import Context
from aligner.records import progress
from aligner.records.array import Array
from aligner.records.self_check import SelfCheck
from aligner.records.steps import Step


@undisturbed()
def decode(
    model: object, inputs: Any = None, *, steps: int = 1, options: OpenOptions | None = None, seed: int = 0
) -> SelfCheck:
    """Whether a decoder says the same of n tokens at once as of n − 1 and one more, ``steps`` times.

    Every tensor of the last position is held against its namesake, in the model's own precision and, where it can be
    widened, in float64, which leaves nothing to rounding. Half of the digits of every output must agree: a difference
    above √ε of the largest magnitude is no rounding. Raises AlignerError for what is no decoder.
    """
    if steps < 1:
        raise ComparisonError("steps must be at least 1", found=str(steps), hint="steps=3 decodes three tokens")
    items = read_items(inputs)
    tokens, given = prompt(items, seed), context(items, seed)
    side = open_side("model", model, replace(options or OpenOptions(), caches=True), seed)
    try:
        found = _Check(side, tokens, given).through(steps)
        summary, precise = side.summary(), ""
        if found[-1].verdict == "aligned":
            wide = _widened(side)
            if wide is not None:
                with closing(wide):
                    found, precise = _Check(wide, tokens, given, double=True).through(steps), "float64"
        return SelfCheck(summary, found[-1].verdict, found, precise)
    finally:
        side.close()


def _widened(side: OpenSide) -> OpenSide | None:
    try:
        return OpenSide("model", side.path, widened(side.session), side.seed)
    except AlignerError:
        return None


class _Check:
    """One model in one precision."""

    def __init__(self, side: OpenSide, tokens: Array, given: Context, *, double: bool = False) -> None:
        self._side, self._tokens, self._double = side, tokens, double
        self._decoder, self._whole = Decoder.of(side, given), Decoder.of(side, given)

    def through(self, many: int) -> tuple[Step, ...]:
        """The steps up to the first that differs."""
        for one in (self._decoder, self._whole):
            one.first(self._tokens, (), ())
        scores = self._decoder.answers()
        self._decoder.take({}, scores, 0, self._tokens.shape[-1])
        found: list[Step] = []
        for index in range(1, many + 1):
            best = next(iter(scores.values()))
            token = best.reshape(len(self._tokens), -1, best.shape[-1])[:, -1].argmax(-1)[:, None].astype(np.int64)
            past, self._tokens = self._tokens.shape[-1], np.concatenate([self._tokens, token], 1)
            step, scores = self._step(index, token, past)
            found.append(step)
            if step.verdict != "aligned":
                break
        return tuple(found)

    def _step(self, index: int, token: Array, past: int) -> tuple[Step, dict[str, Array]]:
        progress.enter("model", "decoding", f"step {index}")
        fed = self._decoder.feeds(token, past, ())
        outputs = list(self._side.read(fed).outputs)
        kept = {tensor.value: _numbers(tensor) for tensor in self._side.run(None, feeds=fed)}
        scores = self._decoder.answers()
        self._decoder.take(fed, scores, past, 1)
        whole = self._whole.feeds(self._tokens, 0, ())
        graph = self._side.read(whole)
        places = dict(zip(graph.outputs, outputs, strict=False))
        first, broken, last = None, False, 0.0
        for value, error, limit in self._apart(kept, places, whole):
            if value == graph.outputs[0]:
                last = error
            if error > limit:
                first = first or value
                broken = broken or value in places  # what differs inside alone is healed, or of another branch
        if first is None or not broken:
            return Step(index, "decode", past, 1, "aligned", int(token[0, 0]), error=last), scores
        node = graph.producer(first)
        name, layer = (first, None) if node is None else (node.name, layer_name(node.scope, node.name) or None)
        return Step(index, "decode", past, 1, "diverged", int(token[0, 0]), None, layer, name, last), scores

    def _apart(
        self, kept: dict[str, Any], places: dict[str, str], whole: dict[str, Array]
    ) -> Iterator[tuple[str, float, float]]:
        """Value, largest difference by the largest magnitude, √ε; in the order of the run on all tokens at once.

        Outputs answer each other by their places, all else by name.
        """
        eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}
        for tensor in self._side.run(None, feeds=whole):
            found, expected = kept.get(places.get(tensor.value, tensor.value)), _numbers(tensor)
            if found is None or found.dtype.kind != "f" or found.ndim != expected.ndim:
                continue
            part = _last(expected, found.shape)
            if part is None:
                continue
            scale = float(np.abs(part[np.isfinite(part)]).max(initial=0.0))
            with np.errstate(invalid="ignore"):
                gap = np.where((part == found) | (np.isnan(part) & np.isnan(found)), 0, np.abs(part - found))
            error = float(gap.max(initial=0.0))
            word = "float64" if self._double and tensor.dtype == "float64" else tensor.dtype
            yield tensor.value, error / scale if scale else error, float(np.sqrt(eps.get(word, 2.0**-23)))


def _numbers(tensor: Any) -> Any:
    """The real values."""
    return np.asarray(tensor.real())


def _last(whole: Any, shape: tuple[int, ...]) -> Any:
    """What the last position has of a tensor of all; None where the shapes say no such thing."""
    place: list[Any] = []
    for size, wanted in zip(whole.shape, shape, strict=True):
        if size != wanted and wanted != 1:
            return None
        place.append(slice(None) if size == wanted else slice(-1, None))
    return np.asarray(whole[tuple(place)])
