"""What sums up: reductions over axes, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.operation import Operation, computes_by, wide
from aligner.operations.settings import Cumulate, Reduce, RunningSum
from aligner.records.array import Array


@computes_by(RunningSum, "cumsum")
def running_sum(operation: Operation, settings: RunningSum) -> Array:
    """Sums of all up to each element, from either end, with it or without."""
    x, axis = wide(operation.data[0]), settings.axis
    x = np.flip(x, axis) if settings.reverse else x
    total: Array = np.cumsum(x, axis=axis)
    total = total - x if settings.exclusive else total
    return np.flip(total, axis) if settings.reverse else total


@computes_by(Cumulate, "cumulate")
def running(operation: Operation, settings: Cumulate) -> Array:
    """Running products, largest and smallest: ``form`` is numpy's word for the function of two."""
    x, axis = wide(operation.data[0]), settings.axis
    x = np.flip(x, axis) if settings.reverse else x
    found: Array = getattr(np, settings.form).accumulate(x, axis=axis)
    if settings.exclusive:
        found = np.roll(found, 1, axis)
        np.moveaxis(found, axis, 0)[0] = 1
    return np.flip(found, axis) if settings.reverse else found


@computes_by(Reduce, "reduce")
def reduce(operation: Operation, settings: Reduce) -> Array | tuple[Array, ...]:
    """Sums in float64; ``with_mean`` answers the mean beside a variance or deviation."""
    x = operation.data[0]
    if x.dtype.kind == "f":
        x = x.astype(np.float64)
    axes, keep, form = settings.axes, settings.keep, settings.form
    if form in {"var", "std"}:
        count = int(np.prod([x.shape[a] for a in axes]))
        mean = x.mean(axis=axes, keepdims=True)
        variance = np.square(np.abs(x - mean)).sum(axis=axes, keepdims=keep)
        variance = variance / max(count - settings.correction, 1e-30)
        found = np.asarray(variance if form == "var" else np.sqrt(variance))
        return (found, x.mean(axis=axes, keepdims=keep)) if settings.with_mean else found
    return np.asarray(_FORMS[form](x, axes, keep) if form in _FORMS else getattr(x, form)(axis=axes, keepdims=keep))


def _l2(x: Array, axes: Any, keep: bool) -> Array:
    found: Array = np.sqrt(np.square(np.abs(x)).sum(axis=axes, keepdims=keep))
    return found


def _log_sum_exp(x: Array, axes: Any, keep: bool) -> Array:
    largest = x.max(axis=axes, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    total: Array = np.log(np.exp(x - largest).sum(axis=axes, keepdims=True)) + largest
    return total if keep else total.squeeze(axes)


def _log_sum(x: Array, axes: Any, keep: bool) -> Array:
    found: Array = np.log(x.sum(axis=axes, keepdims=keep))
    return found


_FORMS: dict[str, Any] = {
    "l1": lambda x, axes, keep: abs(x).sum(axis=axes, keepdims=keep),
    "l2": _l2,
    "sumsquare": lambda x, axes, keep: (x * x).sum(axis=axes, keepdims=keep),
    "logsum": _log_sum,
    "logsumexp": _log_sum_exp,
    "range": lambda x, axes, keep: x.max(axis=axes, keepdims=keep) - x.min(axis=axes, keepdims=keep),
}
