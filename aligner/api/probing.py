"""--probe: both sides once more, on inputs made from the given one; what only one of them shows was traced in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from aligner.adapters.base import OpenOptions
from aligner.api.feeding import Alter, UnchangedError
from aligner.errors import AlignerError, InputError, ModelExecutionError
from aligner.execution.opening import open_side
from aligner.execution.side import OpenSide
from aligner.inputs import PreparedFeeds, SideInfo
from aligner.judgement.second_input import Variant, told_apart
from aligner.judgement.written_sizes import written_sizes
from aligner.operations.kinds import NESTED
from aligner.records import progress
from aligner.records.comparison import Comparison
from aligner.records.dataclass import dataclass

_VARIANTS = (
    Variant("values", "other values"),
    Variant("sign", "the opposite values"),
    Variant("batch", "one sample more"),
    Variant("size", "another size"),
)


@dataclass(slots=True)
class _Alteration:
    """Changes what both sides are fed, and remembers it for the post-mortem of a side that cannot take it."""

    variant: Variant
    before: PreparedFeeds | None = None
    after: PreparedFeeds | None = None

    def __call__(self, fed: PreparedFeeds, reference: SideInfo, candidate: SideInfo) -> PreparedFeeds:
        from aligner.inputs.variation import varied

        changed = varied(fed, self.variant.change, reference, candidate)  # type: ignore[arg-type]  # a Change
        if changed is None:
            raise UnchangedError
        self.before, self.after = fed, changed
        return changed


def other_values() -> Alter:
    """Changes the numbers that are fed, neither sizes nor kinds; raises UnchangedError where it cannot."""
    return _Alteration(_VARIANTS[0])


@dataclass(frozen=True, slots=True)
class Targets:
    """What was compared: both models, and how each is opened."""

    reference: object
    candidate: object
    options: tuple[OpenOptions, OpenOptions]
    seed: int = 0


def probed(first: Comparison, targets: Targets, again: Callable[[Alter], Comparison]) -> Comparison:
    """The first comparison, or what a second input adds to it; ``again`` compares on the inputs it alters."""
    notes: list[str] = []
    before: PreparedFeeds | None = None
    for variant in _VARIANTS:
        progress.enter("", f"trying a second input: {variant.words}")
        alteration = _Alteration(variant)
        if variant.change == "sign" and not _decides(targets, before):
            continue
        try:
            told = told_apart(first, again(alteration), variant)
            before = alteration.before
        except UnchangedError:
            continue
        except AlignerError as error:
            told = _refused(first, targets, alteration, error)
            if told is None:
                notes.append(f"a second input ({variant.words}) could not be compared: {error.what}")
                continue
        if told is not None:
            return replace(told, notes=tuple(dict.fromkeys((*told.notes, *notes))))
        notes.append(f"a second input ({variant.words}) says the same")
    notes = notes or ["no second input could be made that both sides allow"]
    return replace(first, notes=tuple(dict.fromkeys((*first.notes, *notes))))


def _decides(targets: Targets, fed: PreparedFeeds | None) -> bool:
    """Whether a comparison with the reference's numbers decides what runs: it is in the graph, or nothing reads it."""
    if fed is None:
        return False
    with _opened("reference", targets, fed.reference) as side:
        graph = side.graph
    return any(
        node.kind in NESTED
        or (node.kind == "compare" and not any(graph.readers(v) or v in graph.outputs for v in node.outputs))
        for node in graph.nodes
    )


def _refused(first: Comparison, targets: Targets, alteration: _Alteration, error: AlignerError) -> Comparison | None:
    """A candidate that cannot run on what the reference can: sizes of its first input are written into it."""
    before, after = alteration.before, alteration.after
    if before is None or after is None or not isinstance(error, (ModelExecutionError, InputError)):
        return None
    if not _runs("reference", targets, after.reference) or _runs("candidate", targets, after.candidate or {}):
        return None
    with _opened("candidate", targets, before.candidate or {}) as side:
        graph = side.graph
    return written_sizes(first, graph, changed_sizes(before, after), alteration.variant, f"{error.what} {error.found}")


def changed_sizes(before: PreparedFeeds, after: PreparedFeeds) -> dict[int, int]:
    """Old size → new size of every axis that was changed."""
    pairs = [(array, (after.candidate or {})[name]) for name, array in (before.candidate or {}).items()]
    return {old: new for a, b in pairs for old, new in zip(a.shape, b.shape, strict=True) if old != new}


@contextmanager
def _opened(role: str, targets: Targets, feeds: Mapping[str, Any]) -> Iterator[OpenSide]:
    place = role == "candidate"
    target = (targets.reference, targets.candidate)[place]
    side = open_side(role, target, targets.options[place], targets.seed)
    side.feeds = dict(feeds)
    with closing(side):
        yield side


def _runs(role: str, targets: Targets, feeds: Mapping[str, Any]) -> bool:
    with _opened(role, targets, feeds) as side:
        try:
            side.predict()
        except AlignerError:
            return False
    return True
