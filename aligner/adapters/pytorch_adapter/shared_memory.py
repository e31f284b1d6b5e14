"""Which tensors share memory, and which writes reach which of them."""

from __future__ import annotations

from typing import Any

from aligner.records.dataclass import dataclass


def version_of(tensor: Any) -> int:
    """How often the tensor's memory was written; 0 for inference tensors, which do not count."""
    return 0 if tensor.is_inference() else int(tensor._version)


def storage_of(tensor: Any) -> int:
    """The address of the memory that a tensor and its views share; its ``id`` where there is none to ask."""
    try:
        storage = tensor.untyped_storage()
        return int(storage._cdata if tensor.is_meta or storage.device.type == "meta" else storage.data_ptr()) or id(
            tensor
        )
    except (RuntimeError, NotImplementedError):
        return id(tensor)


@dataclass(frozen=True, slots=True)
class _Region:
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.offset + sum((size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True)) + 1


@dataclass(frozen=True, slots=True)
class Write:
    """A value that was written in place: its id, its number of elements, and where it lies."""

    value: str
    numel: int
    version: int
    region: _Region


class Writes:
    """The in-place writes of a run, by storage."""

    def __init__(self) -> None:
        self._writes: dict[int, list[Write]] = {}

    def add(self, value: str, tensor: Any) -> None:
        """Remember that ``tensor`` was just written and now is ``value``."""
        write = Write(value, tensor.numel(), version_of(tensor), _region(tensor))
        self._writes.setdefault(storage_of(tensor), []).append(write)

    def forget(self, tensor: Any) -> None:
        """The tensor has fresh memory: what was written at that address before does not concern it."""
        self._writes.pop(storage_of(tensor), None)

    def since(self, tensor: Any, version: int) -> Write | None:
        """The last write after ``version`` that reaches the tensor's elements."""
        region = _region(tensor)
        for write in reversed(self._writes.get(storage_of(tensor), [])):
            if write.version <= version:
                return None
            if _overlap(write.region, region):
                return write
        return None


class Tenants:
    """Which values live in memory that this run allocated itself, and which of them nobody wrote over."""

    def __init__(self) -> None:
        self.still: set[str] = set()
        self._by_storage: dict[int, list[str]] = {}

    def move_in(self, value: str, storage: int, *, fresh: bool = False, writing: bool = False) -> None:
        """A value appeared at that address: in new memory (``fresh``), as a view of what is there, or ``writing``."""
        if writing:
            self.disturb(storage)
        if fresh:
            self._by_storage[storage] = []
        if storage in self._by_storage:
            self._by_storage[storage].append(value)
            self.still.add(value)

    def disturb(self, storage: int) -> None:
        """Whoever lives there may be overwritten."""
        self.still.difference_update(self._by_storage.get(storage, ()))


def _region(tensor: Any) -> _Region:
    try:
        return _Region(tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
    except (RuntimeError, NotImplementedError):
        return _Region(0, (1,), (1,))


def _overlap(one: _Region, other: _Region) -> bool:
    """Whether two views of a storage may share an element; exact for slices of one contiguous tensor."""
    if 0 in one.sizes or 0 in other.sizes or one.end <= other.offset or other.end <= one.offset:
        return False
    if one.strides != other.strides:
        return True
    order = sorted(range(len(one.strides)), key=lambda axis: -one.strides[axis])
    left, right = one.offset, other.offset
    for axis in order:
        stride = one.strides[axis]
        if stride == 0:
            return True
        first, left = divmod(left, stride)
        second, right = divmod(right, stride)
        if first + one.sizes[axis] <= second or second + other.sizes[axis] <= first:
            return False
    return True
