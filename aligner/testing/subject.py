"""The adapter under test, as the author of a suite describes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from aligner.adapters.base import Adapter, Session
from aligner.records.array import Array
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.adapters.base import Injection


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
    def session(self) -> Iterator[Session]:
        """Open the model, and close it behind the block."""
        session = self.make_session()
        try:
            yield session
        finally:
            session.close()

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
