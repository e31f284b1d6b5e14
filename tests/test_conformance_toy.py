"""The suite on the toy adapter, and faults that it must find."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from toy_adapter import MODEL, ToyAdapter, ToySession

from aligner.adapters.base import OpenOptions
from aligner.errors import InputError
from aligner.records.tensor import CapturedTensor
from aligner.testing import AdapterConformance


class TestToyAdapter(AdapterConformance):
    adapter = ToyAdapter()

    def make_session(self):
        return ToySession(MODEL)

    def make_feeds(self):
        return {"x": np.array([[1, -2, 3], [0.5, 4, -1]], np.float32)}

    def wrong_file(self, tmp_path):
        path = tmp_path / "broken.toy"
        path.write_bytes(b"\xff not json")
        return path


def test_adapter_opens_a_file(tmp_path):
    path = tmp_path / "model.toy"
    path.write_text(json.dumps(MODEL))
    session = ToyAdapter().open(path, OpenOptions())
    assert [t.value for t in session.predict({"x": np.ones((2, 3), np.float32)})] == ["flipped", "best"]


class Writeable(ToySession):
    def run(self, feeds, observe=None, inject=None):
        for tensor in super().run(feeds, observe, inject):
            yield replace(tensor, array=tensor.array.copy())


class Reusing(ToySession):
    """Hands out the runtime's own buffers, which the next run overwrites."""

    def run(self, feeds, observe=None, inject=None):
        buffers = self.__dict__.setdefault("_buffers", {})
        for tensor in super().run(feeds, observe, inject):
            buffer = buffers.setdefault(tensor.value, tensor.array.copy())
            buffer[...] = tensor.array
            view = buffer.view()
            view.flags.writeable = False
            yield replace(tensor, array=view)


class Stateful(ToySession):
    calls = 0

    def run(self, feeds, observe=None, inject=None):
        type(self).calls += 1
        for tensor in super().run(feeds, observe, inject):
            array = tensor.array + (type(self).calls if tensor.value == "biased" else 0)
            array.flags.writeable = False
            yield replace(tensor, array=array)


class Backwards(ToySession):
    def run(self, feeds, observe=None, inject=None):
        yield from reversed(list(super().run(feeds, observe, inject)))


class Deaf(ToySession):
    def run(self, feeds, observe=None, inject=None):
        return super().run(feeds, observe, None)


class Echoing(ToySession):
    """Yields the injected array instead of the computed one."""

    def run(self, feeds, observe=None, inject=None) -> Iterator[CapturedTensor]:
        for tensor in super().run(feeds, observe, inject):
            given = (inject or {}).get(tensor.value, tensor.array).copy()
            given.flags.writeable = False
            yield replace(tensor, array=given)


class HalfDeaf(ToySession):
    """The second consumer of a value gets what was computed."""

    def run(self, feeds, observe=None, inject=None):
        if not inject or "biased" not in inject:
            yield from super().run(feeds, observe, inject)
            return
        rest = {name: array for name, array in inject.items() if name != "biased"}
        original = {t.value: t for t in super().run(feeds, None, rest)}
        for tensor in super().run(feeds, observe, inject):
            yield original["ramp"] if tensor.value == "ramp" else tensor


class Everything(ToySession):
    def run(self, feeds, observe=None, inject=None):
        return super().run(feeds, None, inject)


class Unordered(ToySession):
    def graph(self, feeds):
        graph = super().graph(feeds)
        return replace(graph, nodes=graph.nodes[1:2] + graph.nodes[0:1] + graph.nodes[2:])


class Undeclared(ToySession):
    def graph(self, feeds):
        graph = super().graph(feeds)
        return replace(graph, values={name: value for name, value in graph.values.items() if name != "ramp"})


class Careless(ToySession):
    def _check(self, feeds):
        pass


class Terse(ToySession):
    def _check(self, feeds):
        if set(feeds) != {"x"}:
            raise InputError("no")


class Greedy(ToySession):
    def run(self, feeds, observe=None, inject=None):
        for array in feeds.values():
            if array.flags.writeable:
                array *= 2
        return super().run(feeds, observe, inject)


@pytest.mark.parametrize(
    ("kind", "test", "message"),
    [
        (Writeable, "buffers_are_owned_and_read_only", "x is writeable"),
        (Reusing, "buffers_are_owned_and_read_only", "was changed by a later run"),
        (Stateful, "repeated_runs_agree", "not the same at each run: biased"),
        (Backwards, "captures_follow_execution_order", "came after a value of a later node"),
        (Deaf, "injection_reaches_every_consumer", "these consumers did not see it: dense"),
        (Echoing, "injection_reaches_every_consumer", "should be yielded as computed"),
        (HalfDeaf, "injection_reaches_every_consumer", r"biased was injected, .* ramp \(Ramp\)"),
        (Everything, "observing_a_subset_yields_just_that", "another selection came"),
        (Unordered, "nodes_stand_in_topological_order", "do not ascend"),
        (Undeclared, "declared_values_are_captured", "captured, but not in graph.values: ramp"),
        (Undeclared, "ids_are_keys", "neither values nor weights: ramp"),
        (Careless, "an_unknown_input_is_an_error", "ran with the feeds"),
        (Terse, "a_missing_input_is_an_error", "says nothing under 'found'"),
        (Greedy, "feeds_are_not_changed", "wrote into its feeds"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_suite_finds(kind, test, message):
    class Suite(TestToyAdapter):
        def make_session(self):
            return kind(MODEL)

    with pytest.raises(AssertionError, match=message):
        getattr(Suite(), f"test_{test}")()


def test_one_session_serves_the_tests_of_a_class_and_is_closed_behind_them():
    made = []

    class Counted(ToySession):
        closed = 0

        def close(self):
            self.closed += 1

    class Suite(TestToyAdapter):
        def make_session(self):
            made.append(Counted(MODEL))
            return made[-1]

    with Suite().session() as one, Suite().session(fresh=True) as new, Suite().session() as second:
        assert len({id(one), id(new), id(second)}) == 3
    with Suite().session() as again:
        assert again is second
    assert [each.closed for each in made] == [1, 1, 0]
    other = Suite()
    other.model = "another"
    with other.session() as unlike:
        assert unlike is not second
    assert second.closed == 1
    with pytest.raises(ValueError, match="wrong"), other.session() as failed:
        raise ValueError("wrong")
    assert failed is unlike and failed.closed == 1
    with other.session() as last:
        assert last is not failed
    Suite.teardown_class()
    assert last.closed == 1


def test_sessions_that_cannot_inject_are_skipped():
    class Replay(ToySession):
        can_inject = False

    class Suite(TestToyAdapter):
        def make_session(self):
            return Replay(MODEL)

    with pytest.raises(pytest.skip.Exception, match="cannot inject"):
        Suite().test_injection_reaches_every_consumer()
