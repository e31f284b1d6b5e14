"""match(): which tensor answers which, without comparing them; static graphs are not even run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aligner.adapters.target import check_there
from aligner.alignment.engine import align
from aligner.alignment.mapping import mapping_pairs, resolve
from aligner.alignment.saved_mapping import spelled
from aligner.alignment.second_look import SecondLook
from aligner.api import summary
from aligner.api.dumped import lend_models
from aligner.api.feeding import Feeding
from aligner.api.given_inputs import input_items, read_items
from aligner.api.options import CompareOptions, check
from aligner.errors import InputError
from aligner.execution import memory
from aligner.execution.determinism import undisturbed
from aligner.execution.fed_values import fed_pairs, unfed_pairs
from aligner.execution.opening import open_side
from aligner.execution.profile import profile
from aligner.execution.side import OpenSide, Sides
from aligner.inputs import PreparedFeeds
from aligner.records import progress
from aligner.records.alignment import Alignment, PairedValues
from aligner.records.graph import Shape
from aligner.records.match import Match, MatchedPair


def match(reference: object, candidate: object, inputs: Any = None, *, options: CompareOptions | None = None) -> Match:
    """Pair the tensors of two models.

    Graphs that are known without running are paired as they stand; with ``inputs``, or where a side is a live module,
    both run once and what they compute confirms the pairs. Raises AlignerError where a model cannot be read.
    """
    options = options or CompareOptions()
    check(options)
    inputs, pairs = read_items(inputs), mapping_pairs(options.mapping)
    with opened(reference, candidate, options) as sides:
        lend_models(sides, pairs)
        alignment, fed = paired(sides, inputs, options)
        progress.enter("", "reporting")
        return _record(sides, alignment, fed)


@contextmanager
def opened(reference: object, candidate: object, options: CompareOptions) -> Iterator[Sides]:
    """Both models, closed again when the block ends."""
    for target, how in ((reference, options.reference_options), (candidate, options.candidate_options)):
        check_there(target, how.weights)
    sides: list[OpenSide] = []
    with undisturbed():
        try:
            sides.append(open_side("reference", reference, options.reference_options, options.seed))
            sides.append(open_side("candidate", candidate, options.candidate_options, options.seed))
            yield sides[0], sides[1]
        finally:
            for side in sides:
                progress.enter(side.role, "releasing", side.path)
                side.profile = None
                side.session.close()


def paired(
    sides: Sides, inputs: Any, options: CompareOptions, *, run: bool = False
) -> tuple[Alignment, PreparedFeeds | None]:
    """The alignment of two open models, and what they were fed; None where neither had to ``run``."""
    fed = None
    if input_items(inputs) or run or not all(read_static(side) for side in sides):
        fed = feed(sides, inputs, options)
        for side in sides:
            side.profile = profile(side.run(None), memory.keep_budget(options.memory_limit))
    return aligned(sides, fed, options), fed


def aligned(
    sides: Sides,
    fed: PreparedFeeds | None,
    options: CompareOptions,
    *,
    sketched: bool = True,
    second: SecondLook | None = None,
) -> Alignment:
    """The pairs, by the graphs and by what the sides' profiles hold; ``sketched`` False: by the graphs alone."""
    progress.enter("", "pairing tensors")
    left, right = sides
    sketches = [side.profile.sketches if sketched and side.profile is not None else None for side in sides]
    return align(
        left.graph,
        right.graph,
        reference_sketches=sketches[0],
        candidate_sketches=sketches[1],
        inputs=unfed_pairs(left.graph, right.graph) if fed is None else fed_pairs(fed, left, right),
        mapping=resolve(mapping_pairs(options.mapping), left.graph, right.graph),
        method=options.align_by,
        second=second,
    )


def read_static(side: OpenSide) -> bool:
    """Read the graph without running; False where the format needs a run."""
    try:
        side.read(None)
    except InputError:
        return False
    return True


def feed(sides: Sides, inputs: Any, options: CompareOptions) -> PreparedFeeds:
    """Prepare the feeds of both sides, random numbers where none are given, and read the graphs for them."""
    feeding = Feeding(sides, input_items(inputs), options.preprocessing, options.seed)
    return feeding.settled(feeding.prepared())


def _record(sides: Sides, alignment: Alignment, fed: PreparedFeeds | None) -> Match:
    writers = summary.SideWriter(sides[0]), summary.SideWriter(sides[1])
    notes = [*alignment.notes, *(fed.notes if fed else ()), *(fed.warnings if fed else ())]
    return Match(
        reference=sides[0].summary(),
        candidate=sides[1].summary(),
        coverage=summary.coverage(alignment),
        pairs=tuple(_pair(sides, writers, pair) for pair in alignment.pairs),
        unpaired_reference=summary.unpaired(writers[0], dict(alignment.unpaired_reference)),
        unpaired_candidate=summary.unpaired(writers[1], dict(alignment.unpaired_candidate)),
        observed=fed is not None,
        inputs=fed.fed if fed else (),
        notes=tuple(dict.fromkeys(notes)),
        mapping=tuple(spelled(alignment.pairs, sides[0].graph, sides[1].graph)),
    )


def _pair(sides: Sides, writers: tuple[summary.SideWriter, summary.SideWriter], pair: PairedValues) -> MatchedPair:
    return MatchedPair(
        reference=writers[0].side(pair.reference, aliases=pair.reference_aliases),
        candidate=writers[1].side(pair.candidate, aliases=pair.candidate_aliases),
        rule=pair.rule,
        confidence=pair.confidence,
        axes=pair.axes,
        note=pair.note,
        reference_nodes=writers[0].region_nodes(pair.reference_region),
        candidate_nodes=writers[1].region_nodes(pair.candidate_region),
        reference_shape=_shape(sides[0], pair.reference),
        candidate_shape=_shape(sides[1], pair.candidate),
    )


def _shape(side: OpenSide, value_id: str) -> Shape | None:
    """The shape in the run, else the declared one, None standing for sizes that are not known."""
    sketch = side.profile.sketches.get(value_id) if side.profile else None
    value = side.graph.values.get(value_id)
    return sketch.shape if sketch else value.shape if value else None
