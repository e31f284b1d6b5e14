"""One node in words that every framework shares: settings with all defaults filled in, parameters in one layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Unsupported(Exception):  # noqa: N818 - a control flow of this package, never shown to users
    """The node cannot be recomputed here; hypotheses about it stay unproven."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What is computed: ``data`` operands in the model's own layout, ``parameters`` in one shared layout."""

    kind: str
    settings: Mapping[str, Any]
    data: tuple[Array, ...]
    parameters: Mapping[str, Array] = field(default_factory=dict)

    def with_settings(self, **changed: Any) -> Operation:
        """The same operation under other settings."""
        return replace(self, settings={**self.settings, **changed})

    def with_parameters(self, **changed: Array) -> Operation:
        """The same operation with other parameters."""
        return replace(self, parameters={**self.parameters, **changed})

    def with_data(self, *data: Array) -> Operation:
        """The same operation on other operands."""
        return replace(self, data=data)


Computer = Callable[[Operation], "Array | tuple[Array, ...]"]
"""Several results where the operation has several."""

_COMPUTERS: dict[str, Computer] = {}


def computes(*kinds: str) -> Callable[[Computer], Computer]:
    """Register what computes operations of these kinds."""

    def register(computer: Computer) -> Computer:
        _COMPUTERS.update(dict.fromkeys(kinds, computer))
        return computer

    return register


def compute(operation: Operation) -> Array:
    """The first result, in the wider of float32 and the operands' own dtype; raises as ``results`` does."""
    return results(operation)[0]


def results(operation: Operation) -> tuple[Array, ...]:
    """Every result that is known here, in order; raises Unsupported where settings make no sense."""
    import numpy as np

    from aligner.operations.kernels.activation import FUSED

    computer = _COMPUTERS.get(operation.kind)
    if computer is None:
        raise Unsupported(operation.kind)
    fused = operation.settings.get("fused_activation") or "none"
    if fused not in FUSED:
        raise Unsupported(fused)
    try:
        with np.errstate(all="ignore"):
            found = computer(operation)
            first, *others = found if isinstance(found, tuple) else (found,)
            first, limits = FUSED[fused](first), operation.settings.get("range")
            return (first if limits is None else np.clip(first, *limits), *others)
    except (ValueError, IndexError, TypeError, ZeroDivisionError, KeyError, OverflowError, MemoryError) as exc:
        raise Unsupported(f"{operation.kind}: {exc}") from exc


def wide(array: Array) -> Array:
    """Float64 for small arrays, float32 for large ones; integers and booleans as they are."""
    import numpy as np

    if array.dtype.kind != "f":
        return array
    return array.astype(np.float64 if array.size <= _SMALL else np.float32, copy=False)


_SMALL = 1 << 21


def channels_first(array: Array, channels: str) -> Array:
    """A view with the channel axis second."""
    import numpy as np

    return np.moveaxis(array, -1, 1) if channels == "last" else array


def channels_back(array: Array, channels: str) -> Array:
    """The reverse of ``channels_first``."""
    import numpy as np

    return np.moveaxis(array, 1, -1) if channels == "last" else array
