"""Runs that go on in threads of their own: how far they run ahead, where they wait, what they keep alive."""

from __future__ import annotations

import threading
import weakref

import pytest

from aligner.adapters.stream import ahead, stream


class Item:
    def __init__(self, number):
        self.number = number


class Made:
    """Makes items; ``begun`` says how many, and can be waited for."""

    def __init__(self, count):
        self.count, self.begun, self.closed = count, 0, False
        self.condition = threading.Condition()

    def __iter__(self):
        return self.items()

    def items(self):
        try:
            for number in range(self.count):
                with self.condition:
                    self.begun += 1
                    self.condition.notify_all()
                made = [Item(number)]
                yield made.pop()
        finally:
            self.closed = True

    def reaches(self, count, timeout=5.0):
        with self.condition:
            return self.condition.wait_for(lambda: self.begun >= count, timeout)


def test_a_run_goes_ahead_by_what_the_room_holds():
    made = Made(9)
    items = ahead(made.items(), 3, lambda _: 1)
    assert next(items).number == 0
    assert made.reaches(5)  # one was taken, three wait, one is too much
    assert not made.reaches(6, timeout=0.05)
    assert [item.number for item in items] == list(range(1, 9))
    assert made.closed


def test_a_run_waits_where_it_shall_until_it_is_asked_for_more():
    made = Made(6)
    items = ahead(made.items(), 100, lambda _: 1, lambda item: item.number == 1, waits=True)
    assert not made.reaches(1, timeout=0.05)
    assert [next(items).number, next(items).number] == [0, 1]
    assert not made.reaches(3, timeout=0.05)
    assert next(items).number == 2
    assert made.reaches(6)
    assert [item.number for item in items] == [3, 4, 5]


def test_nothing_but_the_receiver_holds_what_was_handed_over():
    made = Made(3)
    items = ahead(made.items(), 0, lambda _: 1, lambda _: True, waits=True)
    for item in items:
        gone = threading.Event()
        weakref.finalize(item, gone.set)
        del item
        assert gone.wait(5)  # before anybody asks for the next


def test_errors_surface_at_the_receiver_and_an_abandoned_run_ends():
    def broken():
        yield 1
        raise ValueError("broken")

    items = ahead(broken(), 10, lambda _: 1)
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
    made = Made(100)
    items = ahead(made.items(), 2, lambda _: 1, lambda _: True)
    next(items)
    items.close()
    assert made.closed and made.begun < 10


def test_a_pushing_run_waits_after_what_it_shall_rest_at():
    begun = []

    def push(emit):
        for number in range(4):
            begun.append(number)
            emit(number)

    items = stream(push, lambda number: number == 1)
    assert [next(items), next(items)] == [0, 1]
    threading.Event().wait(0.05)
    assert begun == [0, 1]
    assert list(items) == [2, 3]


def test_a_run_may_begin_before_it_is_asked_for_anything():
    made = Made(3)
    items = ahead(made.items(), 100, lambda _: 1)
    assert not made.reaches(1, timeout=0.05)
    items.begin()
    assert made.reaches(3)
    assert [item.number for item in items] == [0, 1, 2]
    assert next(items, None) is None


def test_a_run_that_nobody_wants_any_more_ends():
    for begun in (True, False):
        made = Made(5)
        items = ahead(made.items(), 0, lambda _: 1)
        if begun:
            items.begin()
            assert made.reaches(1)
        items.close()
        assert next(items, None) is None
        assert made.closed is begun
    made = Made(5)
    items = ahead(made.items(), 0, lambda _: 1)
    items.begin()
    assert made.reaches(1)
    del items
    assert made.closed
