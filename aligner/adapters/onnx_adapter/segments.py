"""Which nodes must run, and where to cut their sequence so that what is looked at fits into memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from aligner.adapters.onnx_adapter.program import Program
from aligner.records.dataclass import dataclass

DEFAULT_BUDGET = 32 << 20
"""Bytes of observed values of one segment, where the user sets no limit."""
_NODES = 500
"""Nodes of a segment: onnxruntime takes quadratic time to prepare very many …"""
_FED = 125
"""… with very many inputs, which injected values are: of 10,000 nodes that are all fed, pieces of 60 and of 250 take
1.1 times the CPU time of these, pieces of 500 take 1.4, and of 1,000 2.4."""
_GUESS = 1 << 20
"""Bytes of a value of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Node positions in execution order; ``observed`` in the order of computation; ``carried`` for later segments."""

    positions: tuple[int, ...]
    observed: tuple[str, ...]
    carried: tuple[str, ...]
    expired: tuple[str, ...]
    """Values that no later segment reads."""


def plan_segments(
    program: Program, wanted: Collection[str], is_injected: Callable[[str], bool], memory_limit: int | None
) -> list[Segment]:
    """Cut the nodes needed for ``wanted`` into segments of about equal bytes; most models need only one."""
    kept = _needed(program, wanted, is_injected)
    injected = {name for at in kept for name in program.reads[at] if is_injected(name)}
    cuts = _cuts(program, kept, set(wanted), injected, _budget(memory_limit))
    segments = [kept[begin:end] for begin, end in zip((0, *cuts), (*cuts, len(kept)), strict=True)]
    last = {name: number for number, segment in enumerate(segments) for at in segment for name in program.reads[at]}
    plan = []
    for number, segment in enumerate(segments):
        written = [name for at in segment for name in program.writes[at]]
        plan.append(
            Segment(
                positions=tuple(segment),
                observed=tuple(name for name in written if name in wanted),
                carried=tuple(name for name in written if last.get(name, -1) > number and not program.is_fixed(name)),
                expired=tuple(name for name, at in last.items() if at == number),
            )
        )
    return [segment for segment in plan if segment.observed or segment.carried]


def _budget(memory_limit: int | None) -> int:
    return DEFAULT_BUDGET if memory_limit is None else max(1, min(DEFAULT_BUDGET, memory_limit // 2))


def _needed(program: Program, wanted: Collection[str], is_injected: Callable[[str], bool]) -> list[int]:
    """Positions of the nodes that the wanted values depend on; nothing lies behind an injected value."""
    pending = [program.producer[name] for name in wanted if name in program.producer]
    found: set[int] = set()
    while pending:
        position = pending.pop()
        if position in found:
            continue
        found.add(position)
        for name in program.reads[position]:
            at = program.producer.get(name)
            if at is not None and name not in program.constants and not is_injected(name):
                pending.append(at)
    return sorted(found)


def _cuts(program: Program, kept: list[int], wanted: set[str], injected: Collection[str], budget: int) -> list[int]:
    sizes = _sizes(program, kept)
    allowed = _allowed(program, kept)
    cuts: list[int] = []
    used = fed = 0
    seen: set[str] = set()
    for number, position in enumerate(kept):
        given = [name for name in program.reads[position] if name in injected and name not in seen]
        shown = [name for name in program.writes[position] if name in wanted]
        seen.update(program.reads[position])
        cost = sum(sizes.get(name, 0) for name in (*shown, *given))
        crowded = number - (cuts[-1] if cuts else 0) >= _NODES or fed >= _FED
        if ((used and used + cost > budget) or crowded) and allowed[number]:
            cuts.append(number)
            used = fed = 0
        used += cost
        fed += len(given)
    return cuts


def _sizes(program: Program, kept: list[int]) -> Mapping[str, int]:
    """Bytes of each value; where a shape is not known, as much as the largest operand."""
    sizes: dict[str, int] = {}
    for name in program.inputs:
        known = program.types[name].bytes() if name in program.types else None
        sizes[name] = known if known is not None else _GUESS
    for position in kept:
        operands = [sizes[name] for name in program.reads[position] if name in sizes]
        for name in program.writes[position]:
            known = program.types[name].bytes() if name in program.types else None
            sizes[name] = known if known is not None else max(operands, default=_GUESS)
    return sizes


def _allowed(program: Program, kept: list[int]) -> list[bool]:
    """Whether a cut before each node is possible: no sequence, string or value of unknown type may be cut off."""
    number_of = {position: number for number, position in enumerate(kept)}
    allowed = [True] * len(kept)
    for number, position in enumerate(kept):
        for name in program.reads[position]:
            producer = number_of.get(program.producer.get(name, -1))
            if producer is None or program.is_fixed(name):
                continue
            kind = program.types.get(name)
            if kind is None or not kind.carriable:
                for between in range(producer + 1, number + 1):
                    allowed[between] = False
    return allowed
