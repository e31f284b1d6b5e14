"""A run yields what was observed, in order, in buffers of its own, and leaves no trace."""

from __future__ import annotations

import numpy as np

from aligner.adapters.base import FirstLook, LooksFirst, widened
from aligner.errors import UnsupportedModelError, listing
from aligner.records.array import Array
from aligner.testing.subject import Subject, identical, key


class CaptureConformance(Subject):
    """Order, ownership and repeatability of captured tensors."""

    def test_captures_follow_execution_order(self) -> None:
        """The graph's inputs come first, then values in the order of the nodes that compute them."""
        with self.session() as session:
            graph = session.graph(self.make_feeds())
            captured = self.capture(session)
        position = dict.fromkeys(graph.inputs, -1)
        position |= {name: node.index for node in graph.nodes for name in node.outputs}
        reached = -1
        for tensor in captured:
            if tensor.occurrence:
                continue
            assert tensor.value in position, f"{tensor.value} is neither a graph input nor any node's output"
            assert position[tensor.value] >= reached, f"{tensor.value} came after a value of a later node"
            reached = position[tensor.value]

    def test_occurrences_count_up(self) -> None:
        """A value that is computed several times is numbered from 0."""
        with self.session() as session:
            captured = self.capture(session)
        seen: dict[str, int] = {}
        for tensor in captured:
            assert tensor.occurrence == seen.get(tensor.value, 0), f"occurrences of {tensor.value} do not count up"
            seen[tensor.value] = tensor.occurrence + 1

    def test_buffers_are_owned_and_read_only(self) -> None:
        """No tensor shares memory with the feeds, and a later run changes none; a view may share its base's."""
        feeds = self.make_feeds()
        with self.session() as session:
            captured = list(session.run(feeds))
            before = [tensor.array.copy() for tensor in captured]
            list(session.run({name: _shuffled(array) for name, array in feeds.items()}))
        for tensor, copy in zip(captured, before, strict=True):
            assert not tensor.array.flags.writeable, f"{tensor.value} is writeable"
            assert identical(tensor.array, copy), f"{tensor.value} was changed by a later run"
        for name, array in feeds.items():
            shared = [tensor.value for tensor in captured if np.may_share_memory(array, tensor.array)]
            assert not shared, f"feed {name} shares memory with {listing(shared)}"

    def test_repeated_runs_agree(self) -> None:
        """Runs do not see each other: the second, and one of a fresh session, agree bitwise with the first."""
        with self.session() as session, self.session(fresh=True) as other:
            first, second, fresh = self.capture(session), self.capture(session), self.capture(other)
        for run in (second, fresh):
            assert [key(tensor) for tensor in first] == [key(tensor) for tensor in run], "other values were captured"
            changed = [a.value for a, b in zip(first, run, strict=True) if not identical(a.array, b.array)]
            assert not changed, f"not the same at each run: {listing(changed)}"

    def test_the_first_run_shows_what_every_run_shows(self) -> None:
        """Where reading the graph takes a run, that one may stand for an observed run; without a budget none does."""
        with self.session() as known:
            if not isinstance(known, LooksFirst):
                return
        with self.session(fresh=True) as session, self.session(fresh=True) as other, self.session(fresh=True) as third:
            assert isinstance(session, LooksFirst) and isinstance(third, LooksFirst)
            graph, shown = session.first_look(self.make_feeds(), FirstLook(budget=1 << 30))
            captured, plain = self.capture(other), third.graph(self.make_feeds())
            small, nothing = third.first_look(self.make_feeds(), FirstLook(budget=1))
        assert graph == plain == small, "the first run reads another graph"
        assert nothing is None, "more was kept than there was room for"
        if shown is None:
            return
        assert [key(tensor) for tensor in shown] == [key(tensor) for tensor in captured], "it shows other values"
        changed = [a.value for a, b in zip(shown, captured, strict=True) if not identical(a.array, b.array)]
        assert not changed, f"it shows other numbers: {listing(changed)}"
        assert not any(tensor.array.flags.writeable for tensor in shown), "what it shows is writeable"

    def test_observing_changes_no_output(self) -> None:
        """``predict`` returns the graph's outputs, in order, equal to the observed ones."""
        with self.session() as session:
            graph = session.graph(self.make_feeds())
            predicted = session.predict(self.make_feeds())
            observed = {tensor.value: tensor for tensor in self.capture(session, observe=set(graph.outputs))}
            everything = {tensor.value: tensor for tensor in self.capture(session)}
            again = session.predict(self.make_feeds())
        assert tuple(tensor.value for tensor in predicted) == graph.outputs, "predict's ids are not graph.outputs"
        for tensor, repeated in zip(predicted, again, strict=True):
            assert not tensor.array.flags.writeable, f"predict's {tensor.value} is writeable"
            assert identical(tensor.array, repeated.array), f"{tensor.value} changed after observed runs"
            for run in (observed, everything):
                if tensor.value in run:
                    fault = self.differs(tensor.array, run[tensor.value].array)
                    assert not fault, f"{tensor.value} predicted and observed: {fault}"

    def test_observing_a_subset_yields_just_that(self) -> None:
        """In the same order, with the same contents; observing nothing yields nothing."""
        with self.session() as session:
            captured = self.capture(session)
            chosen = {tensor.value for tensor in captured[1::3]} or {captured[0].value}
            expected = [tensor for tensor in captured if tensor.value in chosen]
            subset = self.capture(session, observe=chosen)
            nothing = self.capture(session, observe=())
        assert [key(tensor) for tensor in subset] == [key(tensor) for tensor in expected], "another selection came"
        for tensor, one in zip(subset, expected, strict=True):
            fault = self.differs(one.array, tensor.array)
            assert not fault, f"{tensor.value} observed alone: {fault}"
        assert nothing == [], f"observing nothing yielded {listing(tensor.value for tensor in nothing)}"

    def test_float64_is_the_same_model(self) -> None:
        """Where there is a float64 twin, it yields the same values under the same ids; the model stays as it was."""
        import pytest

        with self.session() as session:
            before = self.capture(session)
            try:
                wide = widened(session)
            except UnsupportedModelError:
                pytest.skip("the framework has no float64")
            found = {key(tensor): tensor for tensor in self.capture(wide)}
            wide.close()
            after = self.capture(session)
        for tensor, repeated in zip(before, after, strict=True):
            assert identical(tensor.array, repeated.array), f"{tensor.value} changed after a run in float64"
            twin = found.get(key(tensor))
            if twin is None or tensor.array.dtype.kind != "f":
                continue
            assert twin.array.dtype == np.float64, f"{tensor.value} is {twin.array.dtype} in float64"
            bound = 1e-3 * float(np.max(np.abs(tensor.array), initial=0.0)) + 1e-6
            assert np.allclose(twin.array, tensor.array, rtol=0.0, atol=bound), f"{tensor.value} is another value"
        assert len(found) >= len(before) / 2, "most values are missing in float64"

    def test_a_run_may_be_left_early(self) -> None:
        """Closing the iterator after the first tensor ends the run; the next one works."""
        with self.session() as session:
            expected = self.capture(session)
            iterator = iter(session.run(self.make_feeds()))
            next(iterator)
            close = getattr(iterator, "close", None)
            assert close is not None, "run() returns an iterator that cannot be closed: write it as a generator"
            close()
            captured = self.capture(session)
        assert [key(tensor) for tensor in captured] == [key(tensor) for tensor in expected], "the next run differs"
        changed = [a.value for a, b in zip(expected, captured, strict=True) if not identical(a.array, b.array)]
        assert not changed, f"changed by an abandoned run: {listing(changed)}"

    def test_closing_twice_is_harmless(self) -> None:
        """A session may be closed by whoever holds it."""
        session = self.make_session()
        session.close()
        session.close()


def _shuffled(array: Array) -> Array:
    """Other contents with the same values, so that indices stay valid."""
    mirrored: Array = array.ravel()[::-1].reshape(array.shape).copy()
    return mirrored
