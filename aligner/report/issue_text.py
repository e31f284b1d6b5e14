"""The script that shows a fault without this program, and the text of an issue about it."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.records.comparison import Comparison

_SCRIPT = '''"""{title}: exits with 1 where the fault shows, with 0 where it is mended."""
import sys

import numpy as np

given = np.load("inputs.npz")
inputs = [given[f"input_{{place}}"] for place in range({count})]
expected = np.load("expected.npy").astype(np.float64)

{run}
with np.errstate(all="ignore"):
    off = np.abs(got.astype(np.float64) - expected)
alike = (got == expected) | (np.isnan(got) & np.isnan(expected))
off = np.where(alike, 0, np.nan_to_num(off, nan=np.inf, posinf=np.inf))
print(f"{{runtime}}: largest error {{off.max():.6g}}, allowed {allowed:.3g}")
sys.exit(int(off.max() > {allowed!r}))
'''


def script(node: str, run: str, count: int, allowed: float) -> str:
    """A script of the runtime and numpy alone."""
    title = " ".join(node.split()).replace("\\", "/").replace('"', "'")
    return _SCRIPT.format(title=title, run=run, count=count, allowed=float(allowed))


def issue(node: str, operations: Sequence[str], said: str, suspicion: str, comparison: Comparison) -> str:
    """Markdown for the issue tracker of the runtime or converter."""
    words = ", ".join(operations)
    lines = [
        f"# {words}: wrong numbers at `{_plain(node)}`",
        "",
        "## What happens",
        "",
        f"A part of a converted model, cut out of it ({words}), does not give what the model that it was made from "
        "gives for the same input.",
        "",
        f"    {said}",
        "",
        *([f"Suspected: {_plain(suspicion)}", ""] if suspicion else []),
        "## To reproduce",
        "",
        "    python repro.py",
        "",
        "in the attached folder: the part (`part.*`), the tensors it reads (`inputs.npz`), what it should give "
        "(`expected.npy`). The script needs the runtime and numpy.",
        "",
        "## Expected and got",
        "",
        f"- expected: `expected.npy`, computed by {comparison.reference.framework} ({comparison.reference.runtime})",
        f"- got: {comparison.candidate.framework} ({comparison.candidate.runtime})",
        "- converter: (name and version)",
        "",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "'").split())
