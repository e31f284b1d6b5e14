"""The reference's tensors on demand: the run advances as far as it is asked, a tensor leaves after its last use."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping

from aligner.execution.spill import put_aside
from aligner.records.tensor import CapturedTensor


class TensorPool:
    """Hold what lies between two fronts: tensors that one run has made and the other has not yet used.

    Only values named in ``uses`` are kept, each for that many calls of ``release``. Where a value occurs several times
    in one run, the key is (value id, occurrence). What exceeds ``budget`` bytes waits on disk.
    """

    def __init__(self, tensors: Iterator[CapturedTensor], uses: Mapping[str, int], budget: int | None = None) -> None:
        self._tensors = tensors
        self._uses = dict(uses)
        self._left: Counter[tuple[str, int]] = Counter()
        self._held: dict[tuple[str, int], CapturedTensor] = {}
        self._lock = threading.RLock()
        self.largest = 0
        """Most bytes held in memory at once."""
        self.spilled = 0
        """Bytes that had to wait on disk."""
        self._budget = budget
        self._bytes = 0
        self._aside: set[tuple[str, int]] = set()

    def get(self, value: str, occurrence: int = 0) -> CapturedTensor | None:
        """The tensor, running the reference up to it; None when the run ends without it."""
        key = (value, occurrence)
        with self._lock:
            while key not in self._held:
                tensor = next(self._tensors, None)
                if tensor is None:
                    return None
                self._hold(tensor)
            return self._held[key]

    def lead(self, count: int) -> None:
        """Let the reference run until that many of its tensors wait, so that it is not computed beside the other's."""
        with self._lock:
            while len(self._held) < count and (tensor := next(self._tensors, None)) is not None:
                self._hold(tensor)
                del tensor

    def _hold(self, tensor: CapturedTensor) -> None:
        uses = self._uses.get(tensor.value, 0)
        if uses:
            key = (tensor.value, tensor.occurrence)
            if self._budget is not None and self._bytes + tensor.array.nbytes > self._budget:
                tensor = put_aside(tensor)
                self._aside.add(key)
                self.spilled += tensor.array.nbytes
            else:
                self._bytes += tensor.array.nbytes
            self._held[key], self._left[key] = tensor, uses
            self.largest = max(self.largest, self._bytes)

    def release(self, value: str, occurrence: int = 0) -> None:
        """One use less; the last one drops the tensor."""
        key = (value, occurrence)
        with self._lock:
            if key in self._held:
                self._left[key] -= 1
                if self._left[key] <= 0:
                    size = self._held.pop(key).array.nbytes
                    self._bytes -= 0 if key in self._aside else size

    def exhaust(self) -> None:
        """Let the run go on to its end, for those who watch it pass."""
        with self._lock:
            for tensor in self._tensors:
                self._hold(tensor)

    def close(self) -> None:
        """End the run and drop everything."""
        close = getattr(self._tensors, "close", None)
        if close is not None:
            close()
        self._held.clear()
