"""A run of one side in which every paired tensor is replaced by the other's."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Generator, Iterator, Mapping

from aligner.execution.injection import Perturbation, ReferenceInjection
from aligner.execution.pool import TensorPool
from aligner.execution.side import OpenSide
from aligner.records import progress
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate, to_reference
from aligner.records.tensor import CapturedTensor

Local = tuple[str, CapturedTensor, CapturedTensor]
"""A candidate value, its tensor, the reference's."""


def computing_side(reference: OpenSide, candidate: OpenSide) -> int | None:
    """Which side's nodes can be run on the other's tensors: the candidate's (1), the reference's (0), neither's.

    A recording computes nothing; the reference's nodes then say what the recorded ones should have given.
    """
    if candidate.session.capabilities.can_inject:
        return 1
    able = reference.session.capabilities
    return 0 if able.can_inject or able.computes_for_others else None


class InjectedRun:
    """Yields those of the pairs that are shown.

    ``injectable`` and ``shown`` are pairs by candidate value; ``override`` holds what stands in the place of further
    values of the side that computes, ``given`` what stands in the place of those of the side that gives. Iterating runs
    both sides: the one that gives tensors, as far as it is asked, and the one that computes with them.
    """

    def __init__(
        self,
        reference: OpenSide,
        candidate: OpenSide,
        injectable: Mapping[str, PairedValues],
        shown: Mapping[str, PairedValues],
        perturbation: Perturbation | None = None,
        override: Mapping[str, Array] | None = None,
        given: Mapping[str, Array] | None = None,
    ) -> None:
        assert candidate.profile is not None
        self._given = given
        self._override = dict(override or {})
        seen = candidate.profile.sketches  # a graph also lists what no run shows, such as the body of a loop
        self._sides, self._perturbation = (reference, candidate), perturbation
        self.computing = computing_side(reference, candidate)
        pairs = list(injectable.values())  # of several tensors that answer one: what is read behind them all
        self._injectable = {_of(pair, self._host): pair for pair in (reversed(pairs) if self._host else pairs)}
        self.shown = {value: pair for value, pair in shown.items() if value in seen and pair.note is None}

    @property
    def _host(self) -> int:
        return 1 if self.computing is None else self.computing

    def uses(self) -> Counter[str]:
        """How often the run asks for each tensor of the side that gives."""
        giver = 1 - self._host
        return Counter(_of(pair, giver) for pairs in (self._injectable, self.shown) for pair in pairs.values())

    def __iter__(self) -> Iterator[Local]:
        uses = self.uses()
        giver = self._sides[1 - self._host]
        tensors = giver.run(list(uses), self._given) if self._given else giver.replay(list(uses))
        pool = TensorPool(tensors, uses)
        try:
            yield from self.over(pool)
        finally:
            pool.close()

    def injection(self, pool: TensorPool) -> ReferenceInjection:
        """What the computing side sees in place of its own tensors."""
        host = self._sides[self._host]
        assert host.profile is not None
        values = host.graph.values
        return ReferenceInjection(
            pool,
            self._injectable,
            host.profile.sketches,
            {value: values[value].quantization for value in self._injectable if value in values},
            to_candidate if self._host else to_reference,
            self._perturbation,
            giver=1 - self._host,
            override=self._override,
        )

    def over(self, pool: TensorPool) -> Generator[Local]:
        """The same with the given tensors from a pool that others use as well."""
        host, giver = self._host, 1 - self._host
        wanted: dict[str, list[str]] = {}
        for value, pair in self.shown.items():
            wanted.setdefault(_of(pair, host), []).append(value)
        stream = self._sides[host].run(list(wanted), self.injection(pool), phase="measuring local errors")
        done = itertools.count()
        for tensor in stream:  # not enumerate, which holds on to what it gave last
            progress.advance(next(done), len(wanted))
            shown, occurrence, other = [], tensor.occurrence, None
            for value in wanted.get(tensor.value, ()):
                other = pool.get(_of(self.shown[value], giver), occurrence)
                if other is not None:
                    shown.append((value, tensor, other) if host else (value, other, tensor))
            del tensor, other  # else they would live until the next ones are there
            while shown:
                source = _of(self.shown[shown[0][0]], giver)
                yield shown.pop(0)
                pool.release(source, occurrence)


def _of(pair: PairedValues, side: int) -> str:
    return pair.values[side]
