"""What a run shows, kept as long as it fits."""

from __future__ import annotations

from aligner.records.tensor import CapturedTensor


class Kept:
    """Takes tensors until they are more than ``budget`` bytes; then lets go of all."""

    def __init__(self, budget: int) -> None:
        self._budget, self._size = budget, 0
        self._tensors: list[CapturedTensor] | None = []

    def take(self, tensor: CapturedTensor) -> None:
        """Keep the tensor if there is room."""
        self._size += tensor.array.nbytes
        if self._size > self._budget:
            self._tensors = None
        elif self._tensors is not None:
            self._tensors.append(tensor)

    def tensors(self) -> tuple[CapturedTensor, ...] | None:
        """All that came; None where nothing came, or too much."""
        return tuple(self._tensors) if self._tensors else None
