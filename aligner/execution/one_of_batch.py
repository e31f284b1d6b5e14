"""A model that is fed further samples, and shows what it computes for the first ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from aligner.adapters.base import Capabilities, Feeds, Injection, Session
from aligner.adapters.lazy_injection import LazyInjection
from aligner.records.array import Array
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor


class OneOfBatch(Session):
    """``more`` are the samples that follow those of ``feeds``; the axis along which a tensor grows is its batch.

    What is injected for the first samples is completed by what the model computes of the others alone. Takes the
    session over: it is closed with this one.
    """

    def __init__(self, session: Session, feeds: Feeds, more: Feeds) -> None:
        self.framework = session.framework  # type: ignore[misc]  # a class attribute elsewhere
        self._session, self._alone = session, {**feeds, **more}
        self._all = {k: np.concatenate([feeds[k], more[k]]) if k in more else feeds[k] for k in feeds}
        whole = {name: value.shape for name, value in session.graph(self._all).values.items()}
        self._graph = session.graph(feeds)
        self._sizes = {
            name: (axis, value.shape[axis])
            for name, value in self._graph.values.items()
            if value.shape is not None and (axis := _grown(value.shape, whole.get(name))) is not None
        }
        self._others: dict[str, Array] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Those of the model; its runs come in twos."""
        return replace(self._session.capabilities, predicts_aside=False, runs_concurrently=False)

    @property
    def runtime(self) -> str:
        return self._session.runtime

    @property
    def signature(self) -> Signature:
        return self._session.signature

    def graph(self, feeds: Feeds | None) -> Graph:  # noqa: ARG002
        """As it is for the first samples alone."""
        return self._graph

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:  # noqa: ARG002
        return tuple(self._first(tensor) for tensor in self._session.predict(self._all))

    def run(
        self,
        feeds: Feeds,  # noqa: ARG002
        observe: Collection[str] | None = None,
        inject: Injection | None = None,
    ) -> Iterator[CapturedTensor]:
        """Of all samples at once."""
        if inject is not None and self._others is None:
            run = self._session.run(self._alone)
            self._others = {tensor.value: tensor.array for tensor in run if tensor.occurrence == 0}
        given = None if inject is None else LazyInjection(inject, lambda name: self._completed(name, inject[name]))
        for tensor in self._session.run(self._all, observe, given):
            yield self._first(tensor)

    def _completed(self, name: str, first: Array) -> Array:
        """A tensor of the first samples, that of the others behind it."""
        if name not in self._sizes or self._others is None or name not in self._others:
            return first
        others = self._others[name].astype(first.dtype, copy=False)
        return np.concatenate([first, others], self._sizes[name][0])

    def _first(self, tensor: CapturedTensor) -> CapturedTensor:
        axis, size = self._sizes.get(tensor.value, (0, None))
        if size is None or tensor.array.ndim <= axis:
            return tensor
        part = np.ascontiguousarray(np.take(tensor.array, range(size), axis))
        part.flags.writeable = False
        return replace(tensor, array=part)

    def close(self) -> None:
        self._others = None
        self._session.close()


def _grown(one: tuple[int | None, ...], whole: tuple[int | None, ...] | None) -> int | None:
    """The one axis along which sizes differ."""
    if whole is None or len(one) != len(whole):
        return None
    axes = [axis for axis, (size, other) in enumerate(zip(one, whole, strict=True)) if size != other]
    return axes[0] if len(axes) == 1 and one[axes[0]] is not None else None
