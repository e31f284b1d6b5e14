"""One node in words that every framework shares: settings with all defaults filled in, parameters in one layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from importlib import import_module
from typing import Any, TypeVar

from aligner.operations.fused import fused_kind, fused_settings
from aligner.operations.settings import Settings, family_of, settings_of
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

S = TypeVar("S", bound=Settings)


class Unsupported(Exception):  # noqa: N818 - a control flow of this package, never shown to users
    """The node cannot be recomputed here; hypotheses about it stay unproven."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What is computed: ``data`` operands in the model's own layout, ``parameters`` in one shared layout.

    Settings may be given as any mapping; they are kept as the record of the kind's family. Raises Unsupported for a
    setting that the family does not know, and for one that it needs and does not get.
    """

    kind: str
    settings: Mapping[str, Any]
    data: tuple[Array, ...]
    parameters: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make a record of the settings."""
        try:
            object.__setattr__(self, "settings", settings_of(self.kind, self.settings))
        except TypeError as exc:
            raise Unsupported(f"{self.kind}: {exc}") from exc

    def read(self, family: type[S]) -> S:
        """The settings, typed; raises Unsupported where the kind is of another family."""
        if not isinstance(self.settings, family):
            raise Unsupported(f"{self.kind} has no settings of {family.__name__}")
        return self.settings

    @property
    def fused_activation(self) -> str:
        """The activation that the node applies to its result, "none" where there is none."""
        return self.read(Settings).fused_activation

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
Configured = Callable[[Operation, S], "Array | tuple[Array, ...]"]
"""The same, told by settings of one family."""

_COMPUTERS: dict[str, Computer] = {}


def computes(*kinds: str) -> Callable[[Computer], Computer]:
    """Register what computes operations of these kinds, which are told nothing."""

    def register(computer: Computer) -> Computer:
        _COMPUTERS.update(dict.fromkeys(kinds, computer))
        return computer

    return register


def computes_by(family: type[S], *kinds: str) -> Callable[[Configured[S]], Configured[S]]:
    """Register what computes operations of these kinds by their settings, which are of one family."""
    strange = [kind for kind in kinds if not issubclass(family_of(kind), family)]
    if strange:
        raise TypeError(f"settings of {', '.join(strange)} are no {family.__name__}")

    def register(computer: Configured[S]) -> Configured[S]:
        _COMPUTERS.update(dict.fromkeys(kinds, lambda operation: computer(operation, operation.read(family))))
        return computer

    return register


def compute(operation: Operation) -> Array:
    """The first result, in the wider of float32 and the operands' own dtype; raises as ``results`` does."""
    return results(operation)[0]


def results(operation: Operation) -> tuple[Array, ...]:
    """Every result that is known here, in order; raises Unsupported where settings make no sense."""
    import numpy as np

    import_module("aligner.operations.kernels")  # registers what computes: many a comparison computes nothing anew
    computer = _COMPUTERS.get(operation.kind)
    if computer is None:
        raise Unsupported(operation.kind)
    settings = operation.read(Settings)
    try:
        with np.errstate(all="ignore"):
            found = computer(operation)
            first, *others = found if isinstance(found, tuple) else (found,)
            if settings.fused_activation != "none":
                first = compute(activation(settings.fused_activation, first))
            return (first if settings.range is None else np.clip(first, *settings.range), *others)
    except (ValueError, IndexError, TypeError, ZeroDivisionError, KeyError, OverflowError, MemoryError) as exc:
        raise Unsupported(f"{operation.kind}: {exc}") from exc


def activation(fused: str, before: Array) -> Operation:
    """What a layer applies to its own result, as an operation of its own."""
    try:
        return Operation(fused_kind(fused), fused_settings(fused), (before,))
    except (KeyError, ValueError) as exc:
        raise Unsupported(fused) from exc


def wide(array: Array) -> Array:
    """Float64 for small arrays, float32 for large ones; integers and booleans as they are."""
    import numpy as np

    if array.dtype.kind != "f":
        return array
    return array.astype(np.float64 if array.size <= _SMALL else np.float32, copy=False)


_SMALL = 1 << 21
"""Elements: 16 MB in float64, beyond which the wider type costs more than it tells."""


def channels_first(array: Array, channels: str) -> Array:
    """A view with the channel axis second."""
    import numpy as np

    return np.moveaxis(array, -1, 1) if channels == "last" else array


def channels_back(array: Array, channels: str) -> Array:
    """The reverse of ``channels_first``."""
    import numpy as np

    return np.moveaxis(array, 1, -1) if channels == "last" else array
