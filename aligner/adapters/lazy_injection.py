"""Tensors that a run is given, made when it comes to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from aligner.records.array import Array


class LazyInjection(Mapping[str, "Array"]):
    """``read`` gives the tensor of each of ``values``; asking whether there is one reads none."""

    def __init__(self, values: Collection[str], read: Callable[[str], Array]) -> None:
        self._values, self._read = values, read

    def __getitem__(self, value: str) -> Array:
        if value not in self._values:
            raise KeyError(value)
        return self._read(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, value: object) -> bool:
        return value in self._values
