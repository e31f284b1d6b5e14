"""How far a user of an output would see a difference: labels, regions of a label, boxes, angle, noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aligner.diff import boxes
from aligner.errors import ComparisonError
from aligner.inputs.layouts import Layout, channel_axis
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.sweep import Agreement

FITTING = ("argmax", "top-5", "iou", "boxes", "cosine", "psnr")
"""What is told of each output that it fits, where nothing is chosen; top-5, as classifiers are usually scored."""
_NAMES = "argmax, top-5 (or any other number), iou, boxes (=xyxy, =xywh or =cxcywh), cosine, psnr"
_MAP_RANK = 4
"""Axes of a map: batch, channels, and two or three of space. Fewer have their classes last."""
_EVIDENT = 8
"""Rows from which four numbers are corners where in every row the second two are the larger: by chance 1 in 4⁸."""
_WITH_SCORES = 6
"""Numbers of a row that holds a score and a class behind its box; where a row is longer, rows are more than those."""


def chosen(words: str | Sequence[str]) -> tuple[str, ...]:
    """The measures that are named, each once, in one order; "argmax,top-5" or a sequence of such names.

    Raises ComparisonError for one that there is not.
    """
    listed = [words] if isinstance(words, str) else list(words)
    names = [name.strip() for word in listed for name in str(word).split(",")]
    found = dict.fromkeys(name.removesuffix("=xyxy") if name.startswith("boxes") else name for name in names)
    wrong = [name for name in found if not _is_measure(name)]
    if wrong or not found:
        told = ", ".join(repr(name) for name in wrong) or "no name"
        raise ComparisonError("there is no such measure of agreement", found=told, hint=f"choose among {_NAMES}")
    if sum(name.startswith("boxes") for name in found) > 1:
        raise ComparisonError("boxes have one format", found=", ".join(found), hint="name one of them")
    return tuple(sorted(found))


def _is_measure(name: str) -> bool:
    kind, _, detail = name.partition("=" if "=" in name else "-")
    if kind == "top" and name.startswith("top-"):
        return detail.isdecimal() and detail == str(int(detail)) != "0"
    return name in FITTING or (kind == "boxes" and detail in boxes.FORMATS)


def agreement(name: str, reference: Array, candidate: Array, layout: Layout, measures: Sequence[str] = ()) -> Agreement:
    """Of one output, both sides' in the reference's order of axes; ``layout``: where a map has its channels.

    ``measures`` as ``chosen`` gives them, none: what fits. Where the shapes differ only boxes can be told of.
    """
    left, right = np.asarray(reference), np.asarray(candidate)
    if not all(np.isfinite(np.asarray(side, np.float64)).all() for side in (left, right)):
        return Agreement(name, without="not finite")
    found: dict[str, float] = {}
    reading = _read(left, right, layout) if left.shape == right.shape and left.size else None
    for measure in measures or FITTING:
        told = _boxes(left, right, measure, evident=not measures) if measure.startswith("boxes") else None
        if reading is not None and told is None:
            told = _measured(reading, measure)
        if told is not None:
            found[measure.partition("=")[0]] = told
    alike = left.shape == right.shape or (measures and len(found) == len(measures))
    return Agreement(name, found, "" if alike else "of another shape")


@dataclass(frozen=True, slots=True)
class _Reading:
    """Both sides of an output: its numbers, rows of scores [rows, classes], labels, labels of a map."""

    numbers: tuple[Array, Array]
    rows: tuple[Array, Array] | None = None
    labels: tuple[Array, Array] | None = None
    regions: tuple[Array, Array] | None = None


def _read(left: Array, right: Array, layout: Layout) -> _Reading:
    numbers = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if _holds_labels(left):
        return _Reading(numbers, None, (left, right), (left, right) if left.ndim >= _MAP_RANK - 1 else None)
    one, other = numbers
    if left.ndim >= _MAP_RANK:
        axis = channel_axis(left.ndim, layout)
        one, other = np.moveaxis(one, axis, -1), np.moveaxis(other, axis, -1)
        if one.shape[-1] == 1:  # one mask: probabilities, else scores
            limit = 0.5 if one.min() >= 0 and one.max() <= 1 else 0.0
            return _Reading(numbers, None, None, (one > limit, other > limit))
    if left.ndim < 2 or one.shape[-1] < 2:
        return _Reading(numbers)
    rows = one.reshape(-1, one.shape[-1]), other.reshape(-1, one.shape[-1])
    labels = rows[0].argmax(-1), rows[1].argmax(-1)
    return _Reading(numbers, rows, labels, labels if left.ndim >= _MAP_RANK else None)


def _holds_labels(array: Array) -> bool:
    """Indices of classes or tokens come in wide integers; narrow ones of few axes are scores in few bits."""
    if array.dtype.kind not in "bi":
        return False
    return array.ndim >= _MAP_RANK - 1 or (array.ndim > 0 and (array.dtype.kind == "b" or array.itemsize >= 4))


def _measured(reading: _Reading, measure: str) -> float | None:
    left, right = reading.numbers
    if measure == "cosine":
        lengths = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
        return float(np.vdot(left, right)) / lengths if lengths else None
    if measure == "psnr":
        spread, error = float(np.ptp(left)), float(np.sqrt(np.mean((left - right) ** 2)))
        return 20 * float(np.log10(spread / error)) if spread and error else None
    if measure == "argmax" and reading.labels is not None:
        return float(np.mean(reading.labels[0] == reading.labels[1]))
    if measure == "iou" and reading.regions is not None:
        return _mean_iou(*reading.regions)
    if measure.startswith("top-") and reading.rows is not None:
        return _shared_top(*reading.rows, int(measure.removeprefix("top-")))
    return None


def _shared_top(rows: Array, others: Array, many: int) -> float | None:
    if rows.shape[-1] <= many:
        return None
    best, second = (np.argpartition(one, -many, axis=-1)[:, -many:] for one in (rows, others))
    shared = [len(np.intersect1d(a, b)) / many for a, b in zip(best, second, strict=True)]
    return float(np.mean(shared))


def _mean_iou(left: Array, right: Array) -> float | None:
    """Intersection over union of each label's region, their mean; None where all is one label."""
    labels, codes = np.unique(np.stack([left.ravel(), right.ravel()]), return_inverse=True)
    one, other = codes.reshape(2, -1)
    if len(labels) < 2:
        return None
    both, *each = (np.bincount(part, minlength=len(labels)) for part in (one[one == other], one, other))
    return float(np.mean(both / (each[0] + each[1] - both)))


def _boxes(left: Array, right: Array, measure: str, *, evident: bool) -> float | None:
    """Of rows of four numbers; ``evident``: only of those that are corners on their face, else also of rows that go on
    behind the box (a score, classes, points), along whichever of the last two axes is the shorter."""
    if left.ndim < 2 or right.ndim != left.ndim or (evident and _holds_labels(left)):
        return None
    if left.ndim > 2 and not evident and left.shape[-1] > _WITH_SCORES and left.shape[-2] < left.shape[-1]:
        left, right = left.swapaxes(-1, -2), right.swapaxes(-1, -2)
    width = left.shape[-1]
    if width < 4 or right.shape[-1] != width or (width > _WITH_SCORES and (left.ndim < 3 or left.shape[-2] <= width)):
        return None
    form = measure.partition("=")[2] or "xyxy"
    one, other = (boxes.corners(np.asarray(side, np.float64), form) for side in (left, right))
    sure = bool((one[..., :2] <= one[..., 2:]).all())
    if evident and not (sure and width == 4 and np.prod(one.shape[:2]) >= _EVIDENT):
        return None
    return boxes.overlap(one, other) if sure or width == 4 else None
