"""The culprits' regions run again by a runtime that is kept to the precision that the model declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from aligner.adapters.base import ChoosesPrecision, ChosenPrecision
from aligner.errors import AlignerError
from aligner.execution.side import OpenSide
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.regions.culprit import in_order
from aligner.regions.subgraph import Evidence, KeptPrecision


def with_kept_precision(
    sides: Sequence[OpenSide], pairs: Sequence[PairedValues], found: Mapping[str, Evidence]
) -> dict[str, Evidence]:
    """The evidence, completed where a runtime chose fewer bits; a run that fails leaves it as it is."""
    known = dict(found)
    for number, side in enumerate(sides):
        session = side.session
        chosen = session.chosen_precision if isinstance(session, ChoosesPrecision) else None
        if chosen is None:
            continue
        told = [pair for pair in pairs if pair.candidate in known]
        outputs = _outputs(side, number, told, known)
        for pair in told:
            _complete(known, pair, number, chosen, outputs.get(_side(pair, number)))
    return known


def _outputs(
    side: OpenSide, number: int, pairs: Sequence[PairedValues], known: Mapping[str, Evidence]
) -> Mapping[str, Array]:
    """What the regions give of what they have read, all in one run."""
    inject = {
        name: array
        for pair in pairs
        for name in pair.regions[number].inputs
        if (array := known[pair.candidate].values[number].get(name)) is not None and array.dtype.kind == "f"
    }
    session = side.session
    assert isinstance(session, ChoosesPrecision)
    try:
        with closing(session.in_declared_precision()) as kept:
            run = kept.run(side.feeds, {_side(pair, number) for pair in pairs}, inject)
            return {tensor.value: tensor.real() for tensor in run if tensor.occurrence == 0}
    except AlignerError:
        return {}


def _complete(
    known: dict[str, Evidence], pair: PairedValues, number: int, chosen: ChosenPrecision, output: Array | None
) -> None:
    evidence = known[pair.candidate]
    turned = in_order(output, pair.axes if number else None, evidence.expected.shape) if output is not None else None
    if turned is not None:
        kept = KeptPrecision(chosen, turned)
        known[pair.candidate] = replace(evidence, kept=(evidence.kept[0], kept) if number else (kept, evidence.kept[1]))


def _side(pair: PairedValues, number: int) -> str:
    return pair.values[number]
