"""One ``aligner.compare``, set up as ``align`` does it, in a process that imports everything before the clock starts.

python -m benchmarks.speed.compare REFERENCE CANDIDATE INPUT.npy [KEYWORDS as JSON]
"""

from __future__ import annotations

import json
import sys

import numpy as np

from benchmarks.speed.plain import import_frameworks
from benchmarks.speed.stopwatch import timed


def main():
    """The command line of this module."""
    reference, candidate, file, *rest = sys.argv[1:]
    from aligner.execution.memory import keep_pages, wait_asleep

    keep_pages()
    wait_asleep()
    import_frameworks((reference, candidate))
    import aligner

    aligner.compare  # noqa: B018 - a lazy name: the wiring behind it is an import, too

    def work():
        result = aligner.compare(reference, candidate, np.load(file), **json.loads(rest[0] if rest else "{}"))
        comparison = result.comparison
        return {"verdict": result.verdict, "pairs": len(comparison.pairs), "timing": dict(comparison.timing)}

    timed(work)


if __name__ == "__main__":
    main()
