"""``aligner.records.dataclass`` beside the standard decorator, on the same fields."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field, fields, replace

import pytest

from aligner.records import dataclass as ours


def _built(decorator, **options):
    @decorator(**options)
    class Point:
        """Two numbers."""

        x: int
        y: float = 0.5
        names: list = field(default_factory=list)
        hidden: int = field(default=3, init=False, repr=False, compare=False)
        last: str = field(default="z", kw_only=True)

        def __post_init__(self):
            object.__setattr__(self, "hidden", self.x + 1)

    return Point


_OPTIONS = [
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "eq": False},
    {"frozen": True},
    {"slots": True},
    {},
    {"frozen": True, "slots": True, "kw_only": True, "repr": False},
]


@pytest.mark.parametrize("options", _OPTIONS, ids=str)
def test_it_is_the_standard_decorator(options):
    mine, standard = _built(ours.dataclass, **options), _built(dataclasses.dataclass, **options)
    assert str(inspect.signature(mine)) == str(inspect.signature(standard))
    assert mine.__hash__ is None if standard.__hash__ is None else mine.__hash__ is not None
    assert ("__dict__" in vars(mine)) == ("__dict__" in vars(standard))
    assert getattr(mine, "__match_args__", None) == standard.__match_args__
    for made in (mine, standard):
        one, same, other = made(x=1), made(x=1), replace(made(x=1), x=2, last="y")
        assert [(each.name, each.kw_only) for each in fields(mine)] == [(e.name, e.kw_only) for e in fields(standard)]
        assert (one == same) is options.get("eq", True)
        assert one != other
        assert one.names is not same.names
        assert (other.x, other.hidden, other.last) == (2, 3, "y")
        assert repr(one).endswith("Point(x=1, y=0.5, names=[], last='z')") is options.get("repr", True)
        assert copy.copy(other).hidden == 3
        with pytest.raises(TypeError, match=r"Point\.__init__\(\) missing"):
            made()
        if options.get("frozen"):
            with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
                one.x = 3
            with pytest.raises(dataclasses.FrozenInstanceError):
                del one.x


@ours.dataclass(frozen=True, slots=True)
class Kept:
    """A record that can be pickled, since it has a name in a module."""

    x: int
    y: tuple[int, ...] = ()


def test_records_are_keys_and_can_be_pickled():
    assert {Kept(1): "one"}[Kept(1, ())] == "one"
    assert pickle.loads(pickle.dumps(Kept(1, (2,)))) == Kept(1, (2,))


def test_own_methods_and_derived_records_stand():
    @ours.dataclass(frozen=True, slots=True)
    class Base:
        x: int

        def __repr__(self):
            return "own"

    @ours.dataclass(frozen=True, slots=True, repr=False)
    class Derived(Base):
        y: int = 2

    assert repr(Base(1)) == repr(Derived(1)) == "own"
    assert (Derived(1).x, Derived(1, 4).y) == (1, 4)
    assert Base(1) != Derived(1)
