"""Sensitivity as a terminal shows it, and as JSON, ``aligner.sensitivity/1``."""

from __future__ import annotations

from collections.abc import Iterator

from aligner.records.sensitivity import Sensitivity
from aligner.report.codec import Document, encode
from aligner.report.exclusion_lists import exclusion_lists, op_block_list
from aligner.report.numbers import number, percent, plural

FORMAT = "aligner.sensitivity/1"
_SHOWN = 12
_CLIPS = 0.5
"""Share of a node's noise from which on clipping is what it does."""


def to_document(found: Sensitivity, keep: int | None = None) -> Document:
    """The analysis as JSON's own types."""
    count = found.halving if keep is None else keep
    return {
        "format": FORMAT,
        **encode(found),
        "spread": found.spread,
        "curve": list(found.curve),
        "halving": found.halving,
        "exclude": {**exclusion_lists(found, count), "op_block_list": op_block_list(found, count)},
    }


def headline(found: Sensitivity) -> str:
    """What costs the error: single nodes, or the depth."""
    error = f"outputs are off by {percent(found.error)} (RMS)"
    if found.spread == "none":
        return f"NO NOISE: {error}, and no node errs by itself"
    count = plural(found.halving, "node")
    if found.spread == "depth":
        return f"DEPTH: {error}; no single node stands out, half of it goes with {count} of {len(found.nodes)}"
    first = found.nodes[0]
    return (
        f"NODES: {error}; {first.candidate} ({first.op}) alone makes {percent(first.share)} of its energy, "
        f"half of the error goes with {count} of {len(found.nodes)}"
    )


def lines(found: Sensitivity, *, full: bool = False, keep: int | None = None) -> Iterator[str]:
    """The headline, the nodes, how far the sum is from the whole, the lists."""
    yield headline(found)
    yield ""
    yield f"{'share':>7} {'effect':>9} {'noise':>9} {'restored':>9}  node"
    for node in found.nodes if full else found.nodes[:_SHOWN]:
        restored = "" if node.restored is None else percent(node.restored)
        kind = f", {percent(node.clipped)} of it clipped" if node.clipped >= _CLIPS else ""
        yield (
            f"{percent(node.share):>7} {percent(node.effect):>9} {percent(node.noise):>9} {restored:>9}  "
            f"{node.candidate} ({node.op}{kind})"
        )
    if not full and len(found.nodes) > _SHOWN:
        yield f"{len(found.nodes) - _SHOWN:,} more: --full"
    yield ""
    yield f"all of them by themselves would make {percent(found.sum)}, together they make {percent(found.error)}"
    if found.unmeasured:
        yield f"{plural(found.unmeasured, 'quieter pair')} not measured"
    count = found.halving if keep is None else keep
    lists = exclusion_lists(found, count)
    if lists:
        yield ""
        yield f"to keep the first {plural(min(count, len(found.nodes)), 'node')} in floating point:"
    for tool, words in lists.items():
        yield f"  {tool}:"
        yield from (f"    {line}" for line in words.splitlines())
    yield from (f"note: {note}" for note in found.notes)


def rows(found: Sensitivity) -> Iterator[dict[str, str]]:
    """The nodes as a page's table shows them."""
    for place, node in enumerate(found.nodes):
        yield {
            "name": node.candidate,
            "reference": node.reference,
            "op": node.op,
            "share": percent(node.share),
            "effect": percent(node.effect),
            "noise": percent(node.noise),
            "kind": "clipping" if node.clipped >= _CLIPS else "rounding",
            "restored": "" if node.restored is None else percent(node.restored),
            "left": number(found.curve[place + 1]),
        }
