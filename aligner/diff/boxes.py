"""How far boxes of two detectors overlap: matched one to one, whatever order either lists them in."""

from __future__ import annotations

from math import prod

import numpy as np

from aligner.records.array import Array

FORMATS = ("xyxy", "xywh", "cxcywh")
"""Two corners; one corner and the size; the middle and the size. Heights may as well stand before widths."""
_MATCHED = 1024
"""Boxes of one picture that are matched, 17 MB a step; more are a head's raw rows, each of a place of its own."""


def corners(rows: Array, form: str) -> Array:
    """[…, boxes, 4 and more] in one of the formats → [pictures, boxes, 4], low and high corners."""
    first, second = rows[..., :2], rows[..., 2:4]
    if form == "xywh":
        second = first + second
    if form == "cxcywh":
        first, second = first - second / 2, first + second / 2
    found = np.concatenate([first, second], axis=-1)
    return found.reshape(prod(found.shape[:-2]), *found.shape[-2:])


def overlap(reference: Array, candidate: Array) -> float | None:
    """Mean intersection over union of both sides' boxes, [pictures, boxes, 4] corners.

    In each picture the two boxes that overlap most answer each other, then of those left, and so on; a box without an
    answer counts as 0. What has no area is padding and left out. None where nothing is left, where the numbers of
    pictures differ, or those of too many boxes.
    """
    if len(reference) != len(candidate):
        return None
    total, many = 0.0, 0
    for left, right in zip(reference, candidate, strict=True):
        if max(len(left), len(right)) > _MATCHED:
            if len(left) != len(right):
                return None
            real = (_areas(left) > 0) | (_areas(right) > 0)
            total, many = total + float(_iou(left[real], right[real]).sum()), many + int(real.sum())
            continue
        left, right = left[_areas(left) > 0], right[_areas(right) > 0]
        total, many = total + _matched(_iou(left[:, None], right[None])), many + max(len(left), len(right))
    return total / many if many else None


def _matched(found: Array) -> float:
    """The sum over pairs, the largest first. [left, right] → a number."""
    total, taken = 0.0, (set[int](), set[int]())
    rows, columns = np.nonzero(found)
    values = found[rows, columns]
    for place in np.argsort(-values, kind="stable"):
        row, column = int(rows[place]), int(columns[place])
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            total += float(values[place])
        if len(taken[0]) == min(found.shape):
            break
    return total


def _areas(boxes: Array) -> Array:
    return np.asarray(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(-1))


def _iou(left: Array, right: Array) -> Array:
    low, high = np.maximum(left[..., :2], right[..., :2]), np.minimum(left[..., 2:], right[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = _areas(left) + _areas(right) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))
