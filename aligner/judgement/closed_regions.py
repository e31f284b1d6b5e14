"""Pairs that err alone, judged together with what reads them: another way to compute the same, or a fault.

From a pair that errs, grow forward until everything that leaves the region is right when it is entered with the
reference's tensors: then nothing in it is wrong, whatever its inner tensors are. Faults elsewhere do not matter, as all
other tensors are the reference's. All closed regions are settled first, and only then is anything blamed.

A recording computes nothing: the reference does on what was recorded, and what leaves the region is to be as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from aligner.errors import AlignerError, listing
from aligner.execution.joint_runs import JointRuns, SpentError
from aligner.judgement.borderline import MOST
from aligner.judgement.gain import unit_of
from aligner.judgement.judgement import Judgement
from aligner.judgement.pair_facts import Rules
from aligner.judgement.region_walk import LARGEST, STEPS, RegionWalk, is_blind
from aligner.judgement.same_grid import are_twins
from aligner.judgement.suspects import excess
from aligner.judgement.tolerance import masked_otherwise, region_numbers
from aligner.records.comparison import GUILTY
from aligner.records.difference import Difference
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

if TYPE_CHECKING:
    from aligner.judgement.hidden_errors import HiddenErrors
    from aligner.judgement.joint_test import JointTest, Shown

_PATIENCE = 4
"""Starts in a row that come to nothing, after which those further down are left to what they are by themselves: the
comparison has diverged before them, whatever they are."""
_SINGLE = np.dtype(np.float32).itemsize
"""Bytes of an element below which bounds are wider than what other numbers would show."""
_ERRING = frozenset({"beyond-bound", "scaled-as-a-whole", "nonfinite", "shapes-differ"})
"""Rules that blame a pair for its numbers alone: a setting that differs is a written fact, however little it does."""
_WRITTEN = _ERRING | {"weights-off-grid", "settings-differ", "inner-node-errs"}
"""Likewise in half precision, where a regression decides of what is written in weights, and no bounds do."""


@dataclass(slots=True)
class ClosedRegions:
    """The joint test and what it settles; ``free`` are the values that from now on are left to the candidate.

    ``apart``: outputs in an order of their own; ``residual``: what is left of the errors of what a region flows into.
    """

    graphs: tuple[Graph, Graph]
    runs: JointRuns
    rules: Rules
    apart: frozenset[str] = frozenset()
    free: set[str] = field(default_factory=set)
    residual: dict[str, Difference] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _walk: RegionWalk = field(default_factory=RegionWalk)
    _test: JointTest | None = None
    _verdicts: dict[str, Judgement] = field(default_factory=dict)
    _never: frozenset[str] = frozenset()
    _blamed: set[str] = field(default_factory=set)
    """Values that a region left guilty in which others were excused."""

    def judge(
        self, measured: Sequence[Measured], verdicts: Mapping[str, Judgement], never: frozenset[str]
    ) -> dict[str, Judgement]:
        """New judgements of pairs that err alone and not together; ``never``: those that nothing may excuse."""
        self._walk = RegionWalk(measured, self.graphs[self.runs.host], self.runs.host, self.apart)
        self.free, self.residual, self._test = self._walk.free, {}, None
        # what is never put in is the candidate's in every run: what reads it is judged with it, each by itself
        own = [value for value, item in self._walk.items.items() if is_blind(item)]
        self.free |= set(own) - self.runs.injectable.keys()
        self._verdicts, self._never, self._blamed = dict(verdicts), never, set()
        found: dict[str, Judgement] = {}
        try:
            while self._settle(self._closed, found) or (
                self.runs.host and self._settle(self._adrift, found, once=True)
            ):
                pass  # what did not close may do so beside what did
            while self.runs.host and self._settle(self._moved, found, rules=_WRITTEN):
                pass
            self._settle(self._right_as_read, found, blind=True)
            # readers of a recording are the reference's: what they expect says nothing of the recorded ones
            for way in (self._between, self._half) if self.runs.host else ():
                self._settle(way, found)
        except SpentError:
            self.notes.append(
                f"regions were judged jointly in {self.runs.runs} runs, and no further: what is left over "
                "is judged node by node"
            )
        except AlignerError as error:
            self.notes.append(f"regions could not be judged jointly: {error.what} ({error.found})")
        return found

    def _settle(
        self,
        way: Callable[[str], dict[str, Judgement]],
        found: dict[str, Judgement],
        *,
        blind: bool = False,
        rules: frozenset[str] = _ERRING,
        once: bool = False,
    ) -> bool:
        """Add what one way says of all that it may start from, if anything; ``blind``: of what cannot be compared;
        ``rules``: by which that is blamed; ``once``: no further than to the first of which it says something."""
        known, vain = len(found), 0
        for item in self._walk.items.values():
            if vain < _PATIENCE and is_blind(item) == blind and self._eligible(item.pair.candidate, rules):
                new = way(item.pair.candidate)
                found |= new
                self._verdicts |= new
                vain = 0 if new else vain + 1
                if new and once:
                    break
        return len(found) > known

    def _joint_test(self) -> JointTest:
        if self._test is None:
            from aligner.judgement.joint_test import JointTest

            self._test = JointTest(self.graphs, self.runs, self.rules, self._walk)
        return self._test

    def _hidden(self) -> HiddenErrors:
        from aligner.judgement.hidden_errors import HiddenErrors

        return HiddenErrors(self._walk, self._joint_test(), self._guilty)

    def _guilty(self, value: str) -> bool:
        return value in self._verdicts and self._verdicts[value].verdict in GUILTY

    def _eligible(self, value: str, rules: frozenset[str]) -> bool:
        item, judgement = self._walk.items[value], self._verdicts[value]
        if judgement.verdict not in GUILTY or value in self._never | self._blamed or judgement.rule not in rules:
            return False
        if item.local is None:  # shapes that do not fit: never injected, so what reads it was fed with it as it is
            return item.accumulated is None
        # on equal grids nothing is computed in another way
        return not (region_numbers(self.graphs, item).stepped and are_twins(self.graphs, item))

    def _run(self, inside: set[str], watched: Sequence[str], kept: Sequence[str] = ()) -> Shown:
        """The test of a region; ``kept``: values of its inside that are shown as well."""
        return self._joint_test().test(self._hidden().computed(inside), watched, kept)

    def _closed(self, start: str) -> dict[str, Judgement]:
        """Excuse a region that closes and hides nothing; where the numbers at hand do not tell whether it does, others
        do, unless limits are so wide that any number passes them."""
        inside = self._grown(self._walk.with_copies([start]))
        return self._settled(start, inside) if inside is not None else {}

    def _adrift(self, start: str) -> dict[str, Judgement]:
        """What differs from a pair on as far as to what errs, which it may put right; else through that, too."""
        walk = self._walk
        near = walk.adrift(start, lambda value: self._differs(value) and not self._guilty(value), self._guilty)
        return self._along(start, near) or self._along(start, walk.adrift(start, self._differs, self._guilty))

    def _along(self, start: str, inside: set[str]) -> dict[str, Judgement]:
        """Likewise of all that hangs together with a pair and differs where nothing is put in: a sum that goes through
        every block in another basis is longer than regions grow.

        If something that leaves it is wrong, a fault is in it, or behind it. What leads to readers that are right with
        it, though they err on the reference's tensors, is right all the same.
        """
        ends = [*self._walk.exits(inside), *self._walk.outputs(inside)]
        if self._never & inside or not self._walk.ahead(inside, self._guilty):
            return {}
        shown = self._run(inside, ends, sorted(inside))
        wrong = {*shown.wrong(ends), *(value for value in ends if value not in shown.exits)}
        if not wrong:
            return self._settled(start, inside)
        right = sorted(set(filter(self._guilty, ends)) - wrong - self._never, key=self._walk.place.__getitem__)
        kept = {value for value in inside if not self._walk.behind([value], inside).keys().isdisjoint(right)}
        hidden = self._hidden()
        if start not in kept or self._is_wide(kept) or hidden.refused(shown, kept, right) != set():
            return {}
        return {} if hidden.leaks(kept, shown, right) else self._same(kept, shown)

    def _differs(self, value: str) -> bool:
        """Whether a tensor is off by more than rounding, and by what matters, with nothing put in."""
        item = self._walk.items[value]
        apart = item.accumulated
        if apart is None or apart.mismatched:
            return True
        return apart.errors.max_abs > self._joint_test().matters(apart) and excess(self.graphs, item, apart) > MOST

    def _settled(self, start: str, inside: set[str]) -> dict[str, Judgement]:
        """Excuse a region if it closes and hides nothing."""
        shown = self._closing(inside)
        if shown is None:
            return {}
        refused, further = self._hidden().refused(shown, inside), inside
        if refused is None:
            others = None if self._is_wide(inside) else self._grown_on_others(start, inside)
            shown = self._closing(others) if others is not None else None
            further = others or inside
        if shown is None:
            return {}
        self._blamed |= refused or set()
        return {} if start in self._blamed else self._same(further, shown)

    def _is_wide(self, inside: Collection[str]) -> bool:
        """Whether limits are so wide that any number may pass them."""
        coarse = self._hidden().is_coarse
        return any(coarse(value) or self.runs.dtype(value).itemsize < _SINGLE for value in inside)

    def _right_as_read(self, start: str) -> dict[str, Judgement]:
        """Excuse what cannot be compared where a reader that depends on it is right with it, and the others are right
        too or blamed themselves: no fault of its own would leave the former right."""
        exits, last = self._walk.exits({start}), self._walk.outputs({start})
        shown = self._run({start}, exits + last)
        wrong = shown.wrong(exits + last)
        right = [value for value in exits + last if value in shown.exits and value not in wrong]
        if start in self._never or not right or {*last} - {*right} or not all(map(self._guilty, wrong)):
            return {}
        if wrong:
            other = self.runs.disturbed(start)
            if other is None or not self._joint_test().changed({start} | self.free, right, {start: other}).wrong(right):
                return {}
        note = "another way to compute the same" + (", right where others read it" if wrong else "")
        return {start: self._verdicts[start].overruled("aligned", "closed-region", note)}

    def _grown_on_others(self, start: str, inside: set[str]) -> set[str] | None:
        """The region that closes on other numbers, which show what is inside: a dead activation hides it on these."""
        known = self._test
        with self.runs.stirring(self._walk.inputs(start)) as stirred:
            self._test = None  # what is known of a region holds for the numbers at hand
            further = self._grown(inside) if stirred else None
            shown = self._closing(further) if further is not None else None
            seen = shown is not None and further is not None and self._hidden().errs(shown, further)
            told = seen and shown is not None and self._hidden().refused(shown, further or inside) is not None
        self._test = known
        return further if told else None

    def _moved(self, start: str) -> dict[str, Judgement]:
        """Excuse a region that undoes a factor which stands in the weights of one of its layers."""
        from aligner.judgement.moved_factors import MovedFactors

        if not unit_of(region_numbers(self.graphs, self._walk.items[start])):
            return self._undone(start)
        found = MovedFactors(self._walk, self._joint_test(), self._guilty).region(start)
        if found is None or self._never & {*found[0], *self._walk.exits(found[0])}:
            return {}
        return self._same(*found)

    def _undone(self, start: str) -> dict[str, Judgement]:
        """Excuse weights in few bits that hold a factor which another layer undoes, or that undo one."""
        from aligner.judgement.undone import Undone

        if self._verdicts[start].rule != "weights-off-grid" or not Undone(self._walk, self.runs).explains(
            start, shown=True
        ):
            return {}
        return {start: self._excused(start, "closed-region", {start})}

    def _grown(self, inside: set[str]) -> set[str] | None:
        """Grow forward until everything that leaves the region is right; None where that never comes."""
        return self._walk.grown(inside, self._guilty, self._wrong)

    def _wrong(self, inside: set[str], ends: Sequence[str]) -> Sequence[str] | None:
        """Ends that are wrong, or cannot be told of; None where that is an output."""
        shown = self._run(inside, ends)
        blind = [value for value in ends if value not in shown.exits]
        return None if set(blind) & set(self._walk.outputs(inside)) else [*shown.wrong(ends), *blind]

    def _closing(self, inside: set[str]) -> Shown | None:
        """What a region shows that leaves right, and no better for the reference's tensors."""
        ends = [*self._walk.exits(inside), *self._walk.outputs(inside)]
        if self._never & {*inside, *self._walk.exits(inside)}:
            return None
        shown = self._run(inside, ends, sorted(inside))
        if shown.wrong(ends):
            return None  # a runtime that is not asked for what is inside may leave out a cast that overflows
        return None if self._hidden().leaks(inside, shown) else shown

    def _same(self, inside: set[str], shown: Shown) -> dict[str, Judgement]:
        exits = self._walk.exits(inside)
        wrong = shown.wrong(exits)  # none, where a region closes
        done = [value for value in exits if self._guilty(value) and value in shown.exits and value not in wrong]
        same = inside - self._walk.with_copies(inside & self._blamed)
        self.free |= same
        found = {value: self._excused(value, "closed-region", same | set(done)) for value in [*same, *done]}
        for value in (*done, *self._walk.outputs(inside)):
            self.residual[value] = shown.exits[value].error
        return {value: new for value, new in found.items() if self._guilty(value)}

    def _excused(self, value: str, rule: str, together: set[str]) -> Judgement:
        names = self._listed(together - {value})
        masked = masked_otherwise(self.graphs, self._walk.items[value])
        words = "masked by another number, to the same effect" if masked else "another way to compute the same"
        words += f", together with {names}" if names else ""
        return self._verdicts[value].overruled("aligned", rule, words)

    def _listed(self, values: Collection[str]) -> str:
        return listing(self._name(value) for value in sorted(values, key=self._walk.place.__getitem__))

    def _name(self, value: str) -> str:
        values = self.graphs[1].values
        return values[value].name if value in values else value

    def _between(self, start: str) -> dict[str, Judgement]:
        """A fault is between two halves: the first holds another form of its tensor, as the second reads it."""
        from aligner.judgement.between_halves import between_halves

        halves = between_halves(self._walk, self._joint_test(), start, self._guilty)
        if halves is None or self._never & {*halves.formed, *halves.ends}:
            return {}
        self.free |= halves.formed
        self._blamed |= {*halves.wrong, *halves.ends}
        note = f"another form of the tensor, as {self._listed(halves.ends)} reads it"
        guilty = [value for value in halves.formed if self._guilty(value)]
        return {value: self._verdicts[value].overruled("aligned", "other-form", note) for value in guilty}

    def _half(self, start: str) -> dict[str, Judgement]:
        """A fault is in the region. Readers that err less on the candidate's form expect it, and are to blame."""
        from aligner.judgement.form_readers import expects_form, reads_another

        if reads_another(self.graphs, self._walk, start):
            return {}
        inside = self._walk.with_copies([start])
        ends: dict[str, Difference] = {}
        for _ in range(STEPS):
            exits, last = self._walk.exits(inside), self._walk.outputs(inside)
            if len(inside) > LARGEST or not self._walk.ahead(inside, self._guilty):
                return {}
            shown = self._joint_test().known(self._hidden().computed(inside), exits + last)
            if shown is None or any(map(self._guilty, shown.wrong(exits + last))):  # how wrong is looked at, too
                shown = self._run(inside, exits + last, [start])
            wrong = shown.wrong(exits + last)
            further = [value for value in exits if value not in shown.exits]
            if set(wrong) & set(last):
                return {}
            for value in wrong:
                if not self._guilty(value):
                    further.append(value)
                elif expects_form(self._joint_test(), value, start, shown, self._hidden().computed(inside)):
                    ends[value] = shown.exits[value].error
                else:
                    beside = self._walk.beside([value], inside, self._guilty)
                    if not beside:
                        return {}
                    further += beside
            if not further:
                return self._as_form(start, inside, ends)
            inside |= self._walk.with_copies(further)
            ends = {value: left for value, left in ends.items() if value not in inside}
        return {}

    def _as_form(self, start: str, inside: set[str], ends: Mapping[str, Difference]) -> dict[str, Judgement]:
        if not ends or self._never & inside:
            return {}
        if all(self._verdicts[value].bound == 0.0 for value in ends):  # what moves data alone is not wrong by a part
            note = f"undoes what {self._name(start)} differs by"
            return {value: self._verdicts[value].overruled("aligned", "closed-region", note) for value in ends}
        self.free |= inside
        self.residual |= ends
        note = f"another form of the tensor, as {self._listed(ends)} reads it"
        found = {v: self._verdicts[v].overruled("aligned", "other-form", note) for v in inside if self._guilty(v)}
        for value in ends:  # which half of a rewrite is wrong cannot be told: the region names both
            found[value] = self._verdicts[value].together_with(inside)
        return found
