"""How far a user of an output would see a difference: labels, regions of a label, angle, noise."""

from __future__ import annotations

import numpy as np

from aligner.inputs.layouts import Layout, channel_axis
from aligner.records.array import Array
from aligner.records.sweep import Agreement

_TOP = 5
"""Classes whose places are compared: top-5, as classifiers are usually scored."""
_MAP_RANK = 4
"""Axes of a map: batch, channels, and two or three of space. Fewer have their classes last."""


def agreement(name: str, reference: Array, candidate: Array, layout: Layout) -> Agreement:
    """Of one output, both sides' in the reference's order of axes; ``layout``: where a map has its channels."""
    left, right = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    if not left.size or not (np.isfinite(left).all() and np.isfinite(right).all()):
        return Agreement(name)
    lengths = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    cosine = float(np.vdot(left, right)) / lengths if lengths else None
    spread, error = float(np.ptp(left)), float(np.sqrt(np.mean((left - right) ** 2)))
    psnr = 20 * float(np.log10(spread / error)) if spread and error else None
    if np.asarray(reference).dtype.kind in "bi" and left.ndim >= _MAP_RANK - 1:  # labels already
        return Agreement(name, float(np.mean(left == right)), None, cosine, psnr, _mean_iou(left, right))
    if left.ndim >= _MAP_RANK:
        axis = channel_axis(left.ndim, layout)
        left, right = np.moveaxis(left, axis, -1), np.moveaxis(right, axis, -1)
        if left.shape[-1] == 1:  # one mask: probabilities, else scores
            limit = 0.5 if left.min() >= 0 and left.max() <= 1 else 0.0
            return Agreement(name, cosine=cosine, psnr=psnr, iou=_mean_iou(left > limit, right > limit))
    if left.ndim < 2 or left.shape[-1] < 2:
        return Agreement(name, cosine=cosine, psnr=psnr)
    rows, others = left.reshape(-1, left.shape[-1]), right.reshape(-1, left.shape[-1])
    labels = rows.argmax(-1), others.argmax(-1)
    iou = _mean_iou(*labels) if left.ndim >= _MAP_RANK else None
    return Agreement(name, float(np.mean(labels[0] == labels[1])), _same_top(rows, others), cosine, psnr, iou)


def _same_top(rows: Array, others: Array) -> float | None:
    if rows.shape[-1] <= _TOP:
        return None
    best, second = (np.argpartition(one, -_TOP, axis=-1)[:, -_TOP:] for one in (rows, others))
    shared = [len(np.intersect1d(a, b)) / _TOP for a, b in zip(best, second, strict=True)]
    return float(np.mean(shared))


def _mean_iou(left: Array, right: Array) -> float | None:
    """Intersection over union of each label's region, their mean; None where all is one label."""
    labels, codes = np.unique(np.stack([left.ravel(), right.ravel()]), return_inverse=True)
    one, other = codes.reshape(2, -1)
    if len(labels) < 2:
        return None
    both, *each = (np.bincount(part, minlength=len(labels)) for part in (one[one == other], one, other))
    return float(np.mean(both / (each[0] + each[1] - both)))
