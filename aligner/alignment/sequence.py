"""Align two node sequences: the heaviest common subsequence under a score, gaps free.

Needleman and Wunsch's recurrence with a gap cost of zero, one vectorised row at a time: O(n·m) cells, a few
milliseconds for each million.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aligner.records.graph import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray


def heaviest_common_subsequence(score: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Index pairs (i, j), both increasing, with the largest sum of ``score[i, j]``; entries ≤ 0 never pair.

    ``score`` has shape [n, m]. Among equal sums, later rows and columns are paired last-with-last.
    """
    n, m = score.shape
    if not n or not m:
        return []
    best = np.zeros((n + 1, m + 1), dtype=np.float32)
    for i in range(n):
        here = np.where(score[i] > 0, best[i, :-1] + score[i], 0.0)
        best[i + 1, 1:] = np.maximum.accumulate(np.maximum(best[i, 1:], here))
    pairs = []
    i, j = n, m
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            pairs.append((i - 1, j - 1))
            i, j = i - 1, j - 1
    return pairs[::-1]


def between_anchors(
    left: list[Node], right: list[Node], partner: Mapping[int, Node]
) -> Iterator[tuple[list[Node], list[Node]]]:
    """The unpaired stretches of two sequences between nodes that are paired already and in the same order on both."""
    place = {node.index: j for j, node in enumerate(right)}
    anchors = [
        (i, place[partner[node.index].index])
        for i, node in enumerate(left)
        if node.index in partner and partner[node.index].index in place
    ]
    start = (-1, -1)
    for i, j in [*_rising(anchors), (len(left), len(right))]:
        yield left[start[0] + 1 : i], right[start[1] + 1 : j]
        start = i, j


def _rising(anchors: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of anchors in which the second numbers rise as the first ones do."""
    ends: list[int] = []
    last: list[int] = []
    before: dict[int, int | None] = {}
    for number, (_, j) in enumerate(anchors):
        length = bisect_left(ends, j)
        before[number] = last[length - 1] if length else None
        if length == len(ends):
            ends.append(j)
            last.append(number)
        else:
            ends[length], last[length] = j, number
    run: list[tuple[int, int]] = []
    here = last[-1] if last else None
    while here is not None:
        run.append(anchors[here])
        here = before[here]
    return run[::-1]
