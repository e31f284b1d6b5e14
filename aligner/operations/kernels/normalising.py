"""Batch, layer, instance, group and root-mean-square normalisation, and softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aligner.operations.operation import Operation, channels_back, channels_first, computes_by, wide
from aligner.operations.settings import (
    BatchNorm,
    GroupNorm,
    LayerNorm,
    LengthNorm,
    Norm,
    ResponseNorm,
    RmsNorm,
    Softmax,
)
from aligner.records.array import Array


@computes_by(Norm, "norm")
def normalise(operation: Operation, settings: Norm) -> Array:
    """(x − mean) / √(variance + ε) · scale + shift."""
    parameters, x = operation.parameters, operation.data[0].astype(np.float64)
    if isinstance(settings, LengthNorm):
        return _by_length(x, settings)
    across = [x.shape[a] if a == settings.axis else 1 for a in range(x.ndim)]
    if isinstance(settings, (LayerNorm, RmsNorm)):
        across = [x.shape[a] if a in settings.axes else 1 for a in range(x.ndim)]
        return _affine(_over_axes(x, settings), parameters, across)
    if isinstance(settings, GroupNorm):
        return _affine(_grouped(x, settings), parameters, across)
    batch = isinstance(settings, BatchNorm)
    if isinstance(settings, BatchNorm) and not settings.training and "mean" in parameters:
        mean, variance = parameters["mean"].reshape(across), parameters["variance"].reshape(across)
    else:
        axes = tuple(a for a in range(x.ndim) if a != settings.axis and (batch or a != 0))
        mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    return _affine((x - mean) / np.sqrt(variance + settings.epsilon), parameters, across)


def _over_axes(x: Array, settings: LayerNorm | RmsNorm) -> Array:
    correction = 0.0
    if isinstance(settings, LayerNorm):
        x, correction = x - x.mean(axis=settings.axes, keepdims=True), settings.correction
    count = math.prod(x.shape[axis] for axis in settings.axes) - correction
    found: Array = x / np.sqrt(np.square(x).sum(axis=settings.axes, keepdims=True) / count + settings.epsilon)
    return found


def _grouped(x: Array, settings: GroupNorm) -> Array:
    moved = np.moveaxis(x, settings.axis, 1)
    parts = moved.reshape(moved.shape[0], settings.groups, -1)
    mean, variance = parts.mean(axis=2, keepdims=True), parts.var(axis=2, keepdims=True)
    result = ((parts - mean) / np.sqrt(variance + settings.epsilon)).reshape(moved.shape)
    return np.moveaxis(result, 1, settings.axis)


def _affine(result: Array, parameters: Any, across: list[int]) -> Array:
    if "scale" in parameters:
        result = result * parameters["scale"].reshape(across if parameters["scale"].size > 1 else ())
    if "shift" in parameters:
        result = result + parameters["shift"].reshape(across if parameters["shift"].size > 1 else ())
    return result


@computes_by(Softmax, "softmax", "log_softmax")
def softmax(operation: Operation, settings: Softmax) -> Array:
    """exp(βx) / Σ exp(βx), shifted by the largest."""
    x, axis = wide(operation.data[0]) * settings.beta, settings.axis
    shifted = x - x.max(axis=axis, keepdims=True)
    total = np.exp(shifted).sum(axis=axis, keepdims=True)
    result: Array = np.exp(shifted) / total if operation.kind == "softmax" else shifted - np.log(total)
    return result


def _by_length(x: Array, settings: LengthNorm) -> Array:
    """x over its ``order``-norm along the axes, which is ``epsilon`` at least (its square where ``squared``)."""
    if settings.order == 1:
        length = np.abs(x).sum(axis=settings.axes, keepdims=True)
    else:
        length = np.square(x).sum(axis=settings.axes, keepdims=True)
        length = np.sqrt(np.maximum(length, settings.epsilon) if settings.squared else length)
    smallest = 0.0 if settings.squared else settings.epsilon
    found: Array = np.divide(x, np.maximum(length, smallest), out=np.zeros_like(x), where=length > 0)
    return found


@computes_by(ResponseNorm, "response_norm")
def local_response_norm(operation: Operation, settings: ResponseNorm) -> Array:
    """x / (bias + alpha · Σ x²)^beta, summed over (before, after) neighbours among the channels."""
    x = channels_first(operation.data[0].astype(np.float64), settings.channels)
    before, after = settings.neighbours
    squares = np.pad(np.square(x), [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))
    total = sum(squares[:, k : k + x.shape[1]] for k in range(before + after + 1))
    return channels_back(x / (settings.bias + settings.alpha * total) ** settings.beta, settings.channels)
