"""The adapter under test, as the author of a suite describes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from aligner.adapters.base import Adapter, Injection, Session
from aligner.records.array import Array
from aligner.records.tensor import CapturedTensor


class Subject(ABC):
    """What the parts of the conformance suite share; a subclass implements the first two methods."""

    adapter: ClassVar[Adapter | None] = None
    """Set it together with ``wrong_file``."""

    tolerance: ClassVar[float] = 1e-6
    """Largest error, relative to the tensor's largest element, between an observed and an untouched run."""

    @abstractmethod
    def make_session(self) -> Session:
        """Open the model anew."""

    @abstractmethod
    def make_feeds(self) -> dict[str, Array]:
        """Return the same fresh arrays at each call."""

    def wrong_file(self, tmp_path: Path) -> Path | None:  # noqa: ARG002 - for subclasses
        """Write a file that the adapter claims but cannot read; None: the adapter reads no files."""
        return None

    @contextmanager
    def session(self, *, fresh: bool = False) -> Iterator[Session]:
        """A session of the model; ``fresh``: one that nothing was asked of before, closed behind the block.

        Runs do not see each other, so that one is kept from test to test of a class, as long as the instances hold the
        same attributes: opening takes longer than running. A test that fails gives its session up.
        """
        session = (None if fresh else self._take()) or self.make_session()
        try:
            yield session
        except BaseException:
            session.close()
            raise
        if fresh or type(self).__dict__.get("_kept"):  # a test that asks for two has two
            session.close()
        else:
            type(self)._kept = session, vars(self).copy()

    _kept: ClassVar[tuple[Session, Mapping[str, object]] | None] = None

    def _take(self) -> Session | None:
        kept, type(self)._kept = type(self).__dict__.get("_kept"), None
        if kept is None:
            return None
        (session, attributes), own = kept, vars(self)
        if attributes.keys() == own.keys() and all(attributes[name] is own[name] for name in own):
            return cast("Session", session)
        session.close()
        return None

    @classmethod
    def teardown_class(cls) -> None:
        """Close what was kept; pytest calls it after the last test of the class."""
        kept, cls._kept = cls.__dict__.get("_kept"), None
        if kept is not None:
            kept[0].close()

    def capture(
        self, session: Session, *, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> list[CapturedTensor]:
        """Run once with fresh feeds and keep everything."""
        return list(session.run(self.make_feeds(), observe, inject))

    def differs(self, one: Array, other: Array) -> str:
        """Say how two arrays differ beyond the tolerance; "" when they do not. NaN equals NaN."""
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"{one.dtype}{list(one.shape)} against {other.dtype}{list(other.shape)}"
        if identical(one, other):
            return ""
        if one.dtype.kind not in "fc":
            return "elements differ"
        bound = self.tolerance * float(np.max(np.abs(one), initial=0.0, where=np.isfinite(one)))
        first, second = one.astype(np.complex128), other.astype(np.complex128)
        if np.allclose(first, second, rtol=0.0, atol=bound, equal_nan=True):
            return ""
        return f"largest difference {np.nanmax(np.abs(first - second)):.3g}, allowed {bound:.3g}"


def identical(one: Array, other: Array) -> bool:
    """Whether two arrays agree in shape, dtype and every bit (object arrays: every element)."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype == object:
        return bool((one == other).all())
    return one.tobytes() == other.tobytes()


def key(tensor: CapturedTensor) -> tuple[str, int]:
    """What names a captured tensor within a run."""
    return tensor.value, tensor.occurrence
