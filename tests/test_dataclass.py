"""Frozen records are what the standard library would make of them."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field

import pytest

from aligner.records import dataclass as ours

FORMS = {"standard": dataclasses.dataclass, "ours": ours.dataclass}


def record(form):
    @FORMS[form](frozen=True, slots=True)
    class Record:
        """Every kind of field."""

        name: str
        size: int = 1
        parts: list[int] = field(default_factory=list, compare=False)
        hidden: int = field(default=3, repr=False)
        total: int = field(init=False)
        kept: dict[str, int] = field(init=False, default_factory=dict, hash=False)
        strict: bool = field(default=False, kw_only=True)

        def __post_init__(self):
            object.__setattr__(self, "total", self.size + len(self.parts))

    return Record


@pytest.mark.parametrize("form", FORMS)
def test_fields_are_filled_shown_and_compared(form):
    made = record(form)
    one = made("a", 2, [1], strict=True)
    assert repr(one).endswith("Record(name='a', size=2, parts=[1], total=3, kept={}, strict=True)")
    assert one == made("a", 2, [7], strict=True) != made("a", 2, [1])
    assert hash(one) == hash(made("a", 2, [7], strict=True))
    assert one != ("a", 2)
    assert dataclasses.replace(one, name="b", parts=[]).total == 2
    assert made("a").parts is not made("a").parts
    assert list(inspect.signature(made).parameters) == ["name", "size", "parts", "hidden", "strict"]
    assert made.__match_args__ == ("name", "size", "parts", "hidden")
    for wrong in ({}, {"name": "a", "other": 1}):
        with pytest.raises(TypeError):
            made(**wrong)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_written_to_them(form):
    one = record(form)("a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.size = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.size
    assert not hasattr(one, "__dict__")


@pytest.mark.parametrize("form", FORMS)
def test_what_a_class_writes_itself_stays(form):
    @FORMS[form](frozen=True)
    class Base:
        name: str

        def __repr__(self):
            return "own"

        def __eq__(self, other):
            return True

    @FORMS[form](frozen=True)
    class Derived(Base):
        size: int = 0

    assert repr(Base("a")) == "own"
    assert Base("a") == Base("b")
    assert {Base("a"): 1}
    assert repr(Derived("a")).endswith("Derived(name='a', size=0)")
    assert Derived("a") != Derived("b")


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    name: str
    size: int = 0


@ours.dataclass(frozen=True, slots=True)
class Ours:
    name: str
    size: int = 0


@pytest.mark.parametrize("form", [Standard, Ours])
def test_they_are_copied_and_handed_to_other_processes(form):
    one = form("a", 2)
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == copy.deepcopy(one) == one
