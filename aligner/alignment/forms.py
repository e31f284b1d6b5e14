"""Which form of a tensor answers which form of its partner, and by what axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from aligner.alignment.axis_flow import AxisFlow, known_orders
from aligner.alignment.element_order import axes_into, flat
from aligner.alignment.layout import squeezed
from aligner.alignment.matching import Matching
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import COPIES
from aligner.records.axis_order import groups_alike
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class PairedForms:
    """Two forms; ``axes`` are exact where ``known``: worked out from how both were moved, not from their shapes."""

    reference: str
    candidate: str
    known: bool = False
    axes: tuple[int, ...] | None = None


def paired_forms(matching: Matching, reference: str, candidate: str, flow: AxisFlow) -> Iterator[PairedForms]:
    """For each form of a paired candidate the reference's: as read, in the same element order, else as shaped."""
    members = matching.reference.members(reference), matching.candidate.members(candidate)
    if len(members[0]) == len(members[1]) == 1:
        axes = flow.axes.get(candidate)
        yield PairedForms(reference, candidate, known=axes is not None, axes=axes)
        return
    forms = _Forms(matching, members, flow, (reference, candidate))
    for value in members[1]:
        found = forms.partner(value)
        if found is not None:
            yield found


class _Forms:
    """The forms of one pair of tensors."""

    def __init__(
        self,
        matching: Matching,
        members: tuple[list[str], list[str]],
        flow: AxisFlow,
        roots: tuple[str, str],
    ) -> None:
        self._matching, self._members, self._flow, self._roots = matching, members, flow, roots
        self._known = flow.known.get(roots[1]) or known_orders(matching, roots, flow.labels)
        self._read = self._as_read()
        self._flat = [{value: flat(order) for value, order in side.items()} for side in self._known]

    def partner(self, value: str) -> PairedForms | None:
        """What answers one form of the candidate."""
        read = self._read.get(value)
        if read is not None and self._shaped_alike(read, value):
            meant = self._flow.meant(read, value)
            return PairedForms(read, value, known=meant is not None, axes=meant)
        if value == self._roots[1] and value in self._flow.axes:
            return PairedForms(self._roots[0], value, known=True, axes=self._flow.axes[value])
        if value == self._roots[1] and self._shaped_alike(self._roots[0], value):
            return PairedForms(self._roots[0], value)
        exact = self._exact(value)
        if exact is not None:
            return exact
        same = self._open_forms(value)
        if same:  # of several none is told apart
            return PairedForms(same[0], value) if len(same) == 1 else None
        return self._turned(value)

    def _as_read(self) -> dict[str, str]:
        """The forms that paired nodes read of each other's tensors; a copy of a form stands for the form."""
        forms = {value: self._matching.forms[value] for value in self._members[1] if value in self._matching.forms}
        forms = {value: form for value, form in forms.items() if form in self._members[0]}
        originals: dict[str, str] = {}
        for value, form in forms.items():
            original = _renamed_from(self._matching.candidate, value)
            if original != self._roots[1]:
                originals.setdefault(original, _renamed_from(self._matching.reference, form))
        return originals | forms

    def _shaped_alike(self, reference: str, candidate: str) -> bool:
        shapes = self._matching.reference.shape(reference), self._matching.candidate.shape(candidate)
        return shapes[0] is None or shapes[1] is None or sorted(squeezed(shapes[0])) == sorted(squeezed(shapes[1]))

    def _exact(self, value: str) -> PairedForms | None:
        """A form that holds the same elements in the same order: of the same shape, else grouped otherwise."""
        order = self._flat[1].get(value)
        if order is None:
            return None
        same = [member for member in self._members[0] if self._flat[0].get(member) == order]
        shaped = self._of_shape(same, value)
        if len(shaped) > 1:
            return PairedForms(self._along(shaped, value, order), value, known=True)
        fitting = shaped or [member for member in same if self._grouped_alike(member, value)]
        return PairedForms(fitting[0], value, known=True) if fitting else None

    def _grouped_alike(self, reference: str, candidate: str) -> bool:
        """Whether one shape only splits or merges the other's axes: without, no order of axes says how they answer."""
        shapes = self._matching.reference.shape(reference), self._matching.candidate.shape(candidate)
        return shapes[0] is not None and shapes[1] is not None and groups_alike(shapes[0], shapes[1])

    def _of_shape(self, members: Sequence[str], value: str) -> list[str]:
        """Forms of this shape; else those that differ in axes of length one."""
        shape, left = self._matching.candidate.shape(value), self._matching.reference
        same = [member for member in members if left.shape(member) == shape]
        if not same and shape is not None:
            same = [m for m in members if squeezed(left.shape(m) or ()) == squeezed(shape)]
        return same

    def _along(self, same: list[str], value: str, order: object) -> str:
        """Of several equal forms the one as many steps along."""
        equal = [form for form in self._members[1] if self._flat[1].get(form) == order]
        recoded = self._as_recoded(same, self._of_candidates(equal, value)).get(value)
        if recoded is not None:
            return recoded
        forms = _steps(self._matching.candidate, self._of_candidates(equal, value))
        along = _steps(self._matching.reference, same)
        original = _renamed_from(self._matching.candidate, value)
        return along[min(forms.index(original), len(along) - 1)] if original in forms else along[0]

    def _as_recoded(self, references: Sequence[str], candidates: Sequence[str]) -> dict[str, str]:
        """Form → form where both sides recode alike, step by step: a rounding to fewer bits is no mere copy."""
        sides = self._matching.candidate, self._matching.reference
        steps = [_in_order(side, forms) for side, forms in zip(sides, (candidates, references), strict=True)]
        kept = [_dtypes(side, forms) for side, forms in zip(sides, steps, strict=True)]
        return dict(zip(*steps, strict=True)) if kept[0] == kept[1] and len(set(kept[0])) > 1 else {}

    def _of_candidates(self, forms: Sequence[str], value: str) -> list[str]:
        shape = self._matching.candidate.shape(value)
        return [form for form in forms if self._matching.candidate.shape(form) == shape]

    def _open_forms(self, value: str) -> list[str]:
        """Forms of this shape that nothing else on the other side answers exactly."""
        same = self._of_shape(self._members[0], value)
        if value not in self._flat[1]:
            return same
        answered = set(self._flat[1].values())
        return [member for member in same if self._flat[0].get(member) not in answered]

    def _turned(self, value: str) -> PairedForms | None:
        """A form that a transposition turns into this one: the one that is known, else the only one sizes allow."""
        same = self._of_shape(self._members[0], value) if value in self._flow.refuted else []
        if same:  # the move is not meant: it is an error of the node that moves
            return PairedForms(same[0], value)
        order = self._known[1].get(value)
        if order is not None:
            for member in self._members[0]:
                axes = axes_into(self._known[0][member], order) if member in self._known[0] else None
                if axes:
                    return PairedForms(member, value, known=True, axes=axes)
            return None
        shape = self._matching.candidate.shape(value)
        for member in self._members[0]:
            other = self._matching.reference.shape(member)
            if shape is None or other is None or len(set(squeezed(shape))) != len(squeezed(shape)):
                continue
            if sorted(squeezed(other)) == sorted(squeezed(shape)):
                return PairedForms(member, value)
        return PairedForms(self._roots[0], value)


def _in_order(skeleton: Skeleton, forms: Iterable[str]) -> list[str]:
    return sorted(forms, key=lambda form: len(skeleton.chain(form)))


def _dtypes(skeleton: Skeleton, forms: Sequence[str]) -> list[str]:
    return [skeleton.sketches[form].dtype if form in skeleton.sketches else "" for form in forms]


def _steps(skeleton: Skeleton, forms: Sequence[str]) -> list[str]:
    """Forms in the order of the flow, mere copies under another name left out."""
    return _in_order(skeleton, dict.fromkeys(_renamed_from(skeleton, form) for form in forms))


def _renamed_from(skeleton: Skeleton, value: str) -> str:
    while value in skeleton.producer and skeleton.producer[value].kind in COPIES:
        source = skeleton.moved(skeleton.producer[value])
        if source is None:
            break
        value = source
    return value
