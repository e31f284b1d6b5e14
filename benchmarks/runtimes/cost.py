"""What a comparison of two forms costs beside loading both and running each once: half of MobileNetV2, 96×96 pixels."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.runtimes.forms import FIRST, FORMS, KEPT, picture

SIZE = 96
_LAST = "block_6_expand_relu"
"""Where the network is cut: 61 layers of every kind that the whole has, so that all forms take minutes."""


@dataclass(frozen=True)
class Cost:
    """CPU seconds of all threads, each the median of its repeats."""

    reference: str
    candidate: str
    plain: float
    compare: float
    verdict: str


@cache
def network() -> Any:
    """The network with weights drawn anew, the same at each call."""
    import keras

    keras.utils.set_random_seed(0)
    whole = keras.applications.MobileNetV2((SIZE, SIZE, 3), weights=None, include_top=False)
    pooled = keras.layers.GlobalAveragePooling2D(name="mean")(whole.get_layer(_LAST).output)
    return keras.Model(whole.input, keras.layers.Dense(10, name="head")(pooled), name="net")


def all_measured(reference: str, candidates: Sequence[str], folder: Path, out: Path | None) -> list[Cost]:
    """A cost for each candidate; those that are in ``out`` stay, and each is written there as it comes."""
    costs = [Cost(**one) for one in json.loads(out.read_text())] if out is not None and out.exists() else []
    for form in candidates:
        if not any((one.reference, one.candidate) == (reference, form) for one in costs):
            costs.append(measured(reference, form, folder))
            if out is not None:
                out.write_text(json.dumps([asdict(one) for one in costs], indent=1) + "\n")
    return costs


def measured(reference: str, candidate: str, folder: Path, *, repeat: int = 2) -> Cost:
    """Both ways of running the pair take turns; the first of each is not counted."""
    import aligner
    from aligner.inputs import Preprocessing

    models = [_made(form, folder) for form in (reference, candidate)]
    given = Preprocessing(layout="nhwc") if {reference, candidate} & FIRST else None
    kept = {f"{s}.precision": KEPT[f] for s, f in (("reference", reference), ("candidate", candidate)) if f in KEPT}
    verdicts: list[str] = []

    def compare() -> None:
        verdicts.append(aligner.compare(*models, [picture(network(), 0)], preprocessing=given, settings=kept).verdict)

    def plain() -> None:
        for form, model in zip((reference, candidate), models, strict=True):
            _plain(form, model)

    spent: dict[str, list[float]] = {"plain": [], "compare": []}
    for _ in range(repeat + 1):
        spent["plain"].append(_timed(plain))
        spent["compare"].append(_timed(compare))
    alone, compared = (round(median(found[1:]), 3) for found in spent.values())
    return Cost(reference, candidate, alone, compared, verdicts[-1])


def _timed(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _plain(form: str, model: object) -> None:
    """Load the model and run it once, without a look at anything."""
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model

    opening = OpenOptions()
    session = open_model(model, replace(opening, settings={"precision": KEPT[form]}) if form in KEPT else opening)
    first = form in FIRST
    x = picture(network(), 0).transpose(0, 3, 1, 2).copy() if first else picture(network(), 0)
    session.predict({session.signature.inputs[0].name: x})
    session.close()


@cache
def _made(form: str, folder: Path) -> Any:
    place = folder / f"cost-{form}"
    place.mkdir()
    return FORMS[form](network(), place)


def cost_table(costs: list[Cost]) -> str:
    """One line for each pair."""
    lines = ["| pair | plain | compare | CPU ratio | answer |", "|---|--:|--:|--:|---|"]
    for one in costs:
        ratio = f"{one.compare / one.plain:.2f}"
        pair = f"{one.reference} → {one.candidate}"
        lines.append(f"| {pair} | {one.plain:.2f} s | {one.compare:.2f} s | {ratio} | {one.verdict} |")
    return "\n".join(lines)
