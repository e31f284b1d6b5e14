"""fix(): proven causes become edits of the candidate's file; compare again; several rounds, until it is right."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aligner.adapters.registry import find_adapter
from aligner.adapters.rewriting import Changed, Rewrites
from aligner.adapters.target import parse_target
from aligner.api.comparing import run_comparison
from aligner.api.feeding import UnchangedError
from aligner.api.options import CompareOptions
from aligner.api.probing import other_values
from aligner.api.run_file import check_unchanged, read_run
from aligner.causes.context import Context
from aligner.causes.search import Examined
from aligner.errors import AlignerError, ComparisonError, ModelExecutionError, ModelFormatError, OutputError, listing
from aligner.judgement.second_input import counts
from aligner.operations.operation import Unsupported
from aligner.records import progress
from aligner.records.comparison import Comparison, Finding, output_error
from aligner.records.partial import partial_of
from aligner.records.repair import AppliedPatch, Repair, Unrepaired
from aligner.repair.patch import Patch, Plan
from aligner.repair.planning import plans

ROUNDS = 12
"""Rounds after which it is given up, where each has found something to do."""


def fix(
    reference: object,
    candidate: Path | str,
    inputs: Any = None,
    *,
    output: Path | str | None = None,
    options: CompareOptions | None = None,
    run: Path | None = None,
) -> Repair:
    """Write the candidate's file again, put right; ``output`` None tries it and writes nothing.

    Written only where a comparison of what is written says ``aligned``, on the given input and on another one; the
    candidate itself is never touched. ``run`` is a report of the same comparison, which must still hold.

    Raises ComparisonError where nothing is proven that could be put right, OutputError where the file cannot be
    written, InputError where the report is of other files.
    """
    target, options = Path(candidate), options or CompareOptions()
    if output is not None:
        check_output(Path(output), target)
    with tempfile.TemporaryDirectory(prefix="aligner-fix-") as folder:
        work = _Fixing(reference, target, inputs, options, Path(folder), read_run(run))
        found = work.repaired()
        if output is None or found.after != "aligned" or not found.patches:
            return replace(found, dry_run=output is None)
        _place(work.current, Path(output))
        return replace(found, written=str(output))


def check_output(output: Path, candidate: Path) -> None:
    """Refuse, before the work, a place that cannot be written to. Raises OutputError."""
    problem = None
    if parse_target(str(candidate)).factory:
        raise OutputError(
            f"cannot write {output}",
            found=f"the candidate, {candidate}, is code, which is not edited",
            hint="--dry-run says what to change in it, and where",
        )
    suffixes = [path.suffix.lower() for path in (output, candidate)]
    if suffixes[1] and suffixes[0] in {".onnx", ".tflite", ".pt", ".pth", ".pt2"} - {suffixes[1]}:
        raise OutputError(
            f"cannot write {output}",
            found=f"the candidate, {candidate}, is another kind of file, and it is that which is edited",
            hint=f"name a file that ends in {suffixes[1]}; --dry-run says what to change where none can be written",
        )
    if output.resolve() == candidate.resolve():
        problem = "the candidate itself, which is never touched"
    elif output.is_dir():
        problem = "it is a folder"
    elif not output.parent.is_dir():
        problem = f"there is no folder {output.parent}"
    elif not os.access(output if output.exists() else output.parent, os.W_OK):
        problem = "no permission to write there"
    if problem:
        raise OutputError(f"cannot write {output}", found=problem, hint="name another file in a folder of yours")


def _place(made: Path, output: Path) -> None:
    """Put the file in its place whole, or not at all."""
    final = output.resolve()
    partial = partial_of(final)
    try:
        shutil.copyfile(made, partial)
        partial.replace(final)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError.of(f"cannot write {output}", error, "free space, or name another file") from error


@dataclass(slots=True)
class _Fixing:
    """The rounds of one repair; ``current`` is the file as it is edited so far."""

    reference: object
    candidate: Path
    inputs: Any
    options: CompareOptions
    folder: Path
    run: Comparison | None = None
    patches: list[AppliedPatch] = field(default_factory=list)
    tried: set[tuple[str, str]] = field(default_factory=set)
    current: Path = field(init=False)

    def __post_init__(self) -> None:
        self.current = self.candidate

    def repaired(self) -> Repair:
        """Compare, patch, and again, until it is right or nothing is left to try."""
        first, found = self._look()
        if self.run is not None:
            check_unchanged(self.run, first)
        comparison, rounds = first, 0
        while comparison.verdict == "diverged" and rounds < ROUNDS:
            progress.enter("candidate", "putting it right", str(self.candidate))
            if not rounds:
                self._check(found)
            before, kept = self.current, list(self.patches)
            if not self._patch(found):
                break
            rounds += 1
            try:
                comparison, found = self._look()
            except (
                ModelExecutionError,
                ModelFormatError,
            ):  # an edit that the runtime does not take: the next one of each culprit, then
                self.current, self.patches = before, kept
        if comparison.verdict == "aligned" and self.patches:
            comparison, found = self._elsewhere(comparison, found)
        return Repair(
            reference=first.reference.path,
            candidate=str(self.candidate),
            written=None,
            before=first.verdict,
            after=comparison.verdict,
            errors=(output_error(first), output_error(comparison)),
            patches=tuple(self.patches),
            left=tuple(self._left(comparison, found)) if comparison.verdict == "diverged" else (),
            rounds=rounds,
        )

    def _look(self, options: CompareOptions | None = None) -> tuple[Comparison, list[Plan]]:
        found: list[Plan] = []

        def told(context: Context, examined: list[Examined], findings: list[Finding]) -> None:
            found.extend(plans(context, examined, findings))

        comparison = run_comparison(
            self.reference, self.current, self.inputs, replace(options or self.options, told=told)
        )
        return comparison, found

    def _elsewhere(self, comparison: Comparison, found: list[Plan]) -> tuple[Comparison, list[Plan]]:
        """What another input says of what is right on the given one: nothing where it leaves a calibrated range."""
        try:
            again, plans = self._look(replace(self.options, alter=other_values()))
        except (UnchangedError, AlignerError):
            return comparison, found
        says = again.verdict == "diverged" and all(map(counts, again.introduced[:1]))
        return (again, plans) if says else (comparison, found)

    def _check(self, found: Sequence[Plan]) -> None:
        if any(plan.proven for plan in found):
            return
        nodes = listing(plan.node for plan in found) or "no node at fault"
        raise ComparisonError(
            f"{self.candidate} cannot be put right: no cause was proven",
            found=nodes,
            hint="align compare says what is known; --map pairs tensors that were not paired",
        )

    def _patch(self, found: Sequence[Plan]) -> bool:
        """Apply the next patch of each culprit; whether there was any.

        Culprits of which nothing is proven wait until those of which something is are right: two faults at one place
        hide each other.
        """
        return self._each([plan for plan in found if plan.proven]) or self._each(found)

    def _each(self, found: Sequence[Plan]) -> bool:
        """Apply the next patch of each of these that can be written."""
        waiting, applied = [list(plan.patches) for plan in found], False
        while chosen := {place: one for place, left in enumerate(waiting) if (one := self._next(left)) is not None}:
            lines = self._rewritten(list(chosen.values()))
            for (place, patch), changed in zip(chosen.items(), lines, strict=True):
                if changed is not None:
                    self.patches.append(AppliedPatch(patch.node, patch.words, changed))
                    applied, waiting[place] = True, []
        return applied

    def _next(self, left: list[Patch]) -> Patch | None:
        while left:
            patch = left.pop(0)
            if (patch.value, patch.words) not in self.tried:
                self.tried.add((patch.value, patch.words))
                return patch
        return None

    def _rewritten(self, patches: Sequence[Patch]) -> Sequence[Changed | None]:
        """The file with these patches; what each has changed, None where it cannot be written."""
        adapter = find_adapter(str(self.current))
        if not isinstance(adapter, Rewrites):
            return [None] * len(patches)
        made = self.folder / f"{len(self.tried)}{self.candidate.suffix}"
        try:
            lines = adapter.rewrite(self.current, [patch.edits for patch in patches], made)
        except Unsupported:
            return [None] * len(patches)
        self.current = made if any(one is not None for one in lines) else self.current
        return lines

    def _left(self, comparison: Comparison, found: Sequence[Plan]) -> list[Unrepaired]:
        plans = {plan.node: plan for plan in found}
        left = []
        for cause in comparison.causes:
            plan = plans.get(cause.node)
            proven = plan is not None and plan.proven
            why = "what was tried did not put it right" if proven and plan and plan.patches else ""
            why = why or ("no edit of the file does this" if proven else "no cause was proven here")
            left.append(Unrepaired(cause.node, why, cause.suggestion, plan.source if plan else None))
        return left
