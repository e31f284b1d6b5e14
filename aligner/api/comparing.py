"""compare(): its arguments, made into options, and the comparison with its probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aligner.adapters.base import OpenOptions
from aligner.alignment.mapping import Mapping as UserMapping
from aligner.api.dumped import dump_options
from aligner.api.given_inputs import read_items
from aligner.api.notebook_progress import NotebookProgress
from aligner.api.open_models import OpenModels
from aligner.api.options import CompareOptions, Local, check, settings_of
from aligner.api.result import Result
from aligner.errors import RehearsalError
from aligner.execution import memory
from aligner.execution.determinism import undisturbed
from aligner.execution.needs import needed
from aligner.execution.opening import target_name
from aligner.inputs import Preprocessing
from aligner.inputs.items import ROLES
from aligner.records import progress
from aligner.records.comparison import Comparison, Level


def compare(
    reference: object,
    candidate: object,
    inputs: Any = None,
    *,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    tolerance: float | None = None,
    mapping: UserMapping | Path | str | None = None,
    align_by: str = "auto",
    local: Local = "auto",
    level: Level = "local",
    reference_weights: Path | str | None = None,
    candidate_weights: Path | str | None = None,
    trust: bool = False,
    evaluation_mode: bool | None = None,
    provider: str | None = None,
    ort_optimization: str | None = None,
    signature: str | None = None,
    device: str = "cpu",
    settings: Mapping[str, str] | None = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    memory_limit: int | None = None,
    probe: bool = False,
    noise_floor: bool | None = None,
    dump_of: object = None,
    dump_layout: str | None = None,
    isolated: bool = False,
    steps: int | None = None,
    prefill: object = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Result:
    """Compare two forms of one model, tensor by tensor.

    ``reference`` and ``candidate`` are paths, "file.py:factory" strings or live modules. ``inputs`` is a dict from
    input name to array or path, a single array or path, or a list of them in order; None feeds seeded random numbers.
    ``atol`` and ``rtol`` are the contract for outputs, |c − r| ≤ atol + rtol·|r|; ``tolerance`` replaces the rounding
    bounds of the nodes by one fixed number. ``level`` says what decides: that contract, for "outputs" or all "layers",
    or what each node does by itself ("local"). ``mapping`` (a file, or pairs of names) overrides the pairing. ``probe``
    compares on further inputs made from the given one (other values, one sample more, another size) as well.
    ``noise_floor`` also runs the reference in float64 and both sides from another seed; None: where the verdict is in
    doubt.

    ``settings`` are of the runtimes, as ``vary`` knows them, for one side or both: {"candidate.precision": "f32"}.

    A side may be what another program dumped of a run (a file or folder): ``dump_of`` is the model that was dumped, or
    {"reference": …, "candidate": …}, and ``dump_layout``, "nchw" or "nhwc", says how it lies where shapes do not.

    ``isolated`` compares in a process of its own: where a runtime dies of a model, that process does, and CrashError
    says at which node. Models and inputs must be such that they can be handed over: files, or what pickle takes. Where
    both models are files, and not trusted, that process has no other files and no network, as a command's has.

    ``steps`` takes both as decoders: ``inputs`` are token ids, which go in at once, and that many further tokens one
    by one, the likeliest for the reference, caches fed back. The result is of the first step that diverges. ``prefill``
    is the candidate's file for the prompt where it is another one, or {"reference": …, "candidate": …}.

    ``shapes`` ({"batch": (1, 4), "seq": (16, 128)}) compares at every combination of sizes: by a model's own words for
    them, batch, seq, height, width, or "x:2".

    Raises AlignerError where the two cannot be compared.
    """
    opening = OpenOptions(
        trust=trust,
        evaluation_mode=evaluation_mode,
        provider=provider,
        ort_optimization=ort_optimization,
        signature=signature,
        device=device,
        memory_limit=memory_limit,
    )
    sides = _of_sides(opening, (reference_weights, candidate_weights), settings or {})
    sides = dump_options((reference, candidate), sides, dump_of, dump_layout)
    options = CompareOptions(
        atol=atol,
        rtol=rtol,
        tolerance=tolerance,
        mapping=mapping,
        align_by=align_by,
        local=local,
        level=level,
        noise_floor=noise_floor,
        steps=steps,
        prefill=prefill if isinstance(prefill, Mapping) else {} if prefill is None else {"candidate": prefill},
        shapes=shapes,
        reference_options=sides[0],
        candidate_options=sides[1],
        preprocessing=preprocessing or Preprocessing(),
        seed=seed,
        memory_limit=memory_limit,
        probe=probe,
    )
    with NotebookProgress():
        if isolated:
            return Result(_isolated(reference, candidate, inputs, options, dump_of))
        return Result(run_comparison(reference, candidate, inputs, options))


def _isolated(
    reference: object, candidate: object, inputs: Any, options: CompareOptions, dump_of: object
) -> Comparison:
    from aligner.execution.own_process import in_own_process

    dumped = list(dump_of.values()) if isinstance(dump_of, Mapping) else [dump_of] if dump_of else []
    how = options.reference_options
    bounds = needed(
        (reference, candidate, *dumped, *options.prefill.values()),
        (inputs, options),
        trust=how.trust,
        device=how.device,
        provider=how.provider,
    )
    return in_own_process(run_comparison, reference, candidate, inputs, options, bounds=bounds)


def _of_sides(
    opening: OpenOptions, weights: Sequence[Path | str | None], settings: Mapping[str, str]
) -> tuple[OpenOptions, OpenOptions]:
    one, other = (
        replace(opening, weights=None if path is None else Path(path), settings=settings_of(settings, role))
        for path, role in zip(weights, ROLES, strict=True)
    )
    return one, other


@undisturbed()
def run_comparison(reference: object, candidate: object, inputs: Any, options: CompareOptions) -> Comparison:
    """The comparison itself; both sessions are closed when it returns."""
    check(options)
    inputs = read_items(inputs)
    if options.steps is not None:
        from aligner.api.stepping import stepped

        return stepped(reference, candidate, inputs, options)
    if options.shapes:
        from aligner.api.gridding import gridded

        return gridded(reference, candidate, inputs, options)
    try:
        return _compared(reference, candidate, inputs, options)
    except RehearsalError:
        return _compared(reference, candidate, inputs, replace(options, rehearse=False))


def _compared(reference: object, candidate: object, inputs: Any, options: CompareOptions) -> Comparison:
    with memory.settled(), OpenModels(reference, candidate, options) as models:
        result = models.compare(inputs)
        computing = all(side.session.capabilities.computes for side in models.sides)
    if options.probe and not computing:
        result = replace(result, notes=(*result.notes, "no second input was tried: a recording cannot run again"))
    elif options.probe:
        from aligner.api.probing import Targets, probed

        targets = Targets(reference, candidate, (options.reference_options, options.candidate_options), options.seed)
        plain = replace(options, probe=False)
        result = probed(
            result, targets, lambda alter: run_comparison(reference, candidate, inputs, replace(plain, alter=alter))
        )
    progress.enter("", "reporting")
    return result


__all__ = ["CompareOptions", "compare", "run_comparison", "target_name"]
