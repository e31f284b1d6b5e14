"""Align two node sequences: the heaviest common subsequence under a score, gaps free.

Needleman and Wunsch's recurrence with a gap cost of zero, one vectorised row at a time: O(n·m) cells, a few
milliseconds for each million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def heaviest_common_subsequence(score: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Index pairs (i, j), both increasing, with the largest sum of ``score[i, j]``; entries ≤ 0 never pair.

    ``score`` has shape [n, m]. Among equal sums, later rows and columns are paired last-with-last.
    """
    import numpy as np

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
