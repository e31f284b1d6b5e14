"""What a comparison found; every report renders these records and computes nothing itself.

The field names are those of the JSON report, ``aligner.comparison/1``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal, get_args

from aligner.records.certificate import Certificate
from aligner.records.dataclass import dataclass
from aligner.records.dissection import Dissection
from aligner.records.document_field import FLAT, NOT_WRITTEN, WHEN_SET, statistic
from aligner.records.grid import GridPoint
from aligner.records.notebook_table import table
from aligner.records.opinion import Opinion
from aligner.records.preview import Preview
from aligner.records.steps import LayerErrors, Step

PairVerdict = Literal["aligned", "introduced", "inherited", "nonfinite", "nondeterministic", "incomparable"]
Verdict = Literal["aligned", "diverged", "inconclusive"]

Level = Literal["outputs", "layers", "local"]
LEVELS: tuple[str, ...] = get_args(Level)
"""What decides: the contract for outputs, for every pair, or what each node does by itself."""

EvidenceClass = Literal["proven", "fitted", "suspected"]
CONFIDENCE: Mapping[str, float] = {"proven": 1.0, "fitted": 0.8, "suspected": 0.3}
"""Ranks, not frequencies: times the share of the error that is explained, they sort findings as evidence does."""

_ID = 12
"""Hexadecimal digits of a pair's id: among 10⁵ pairs two share one in 10⁵ reports."""
GUILTY = ("introduced", "nonfinite")
"""Verdicts of pairs that err by themselves."""

EXIT_CODES: Mapping[str, int] = {"aligned": 0, "diverged": 1, "inconclusive": 3}
"""Exit code of each verdict; 2 is kept for "could not compare"."""


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """One tensor's own numbers, over its finite elements (dequantised where it is quantised).

    ``unique_head`` and ``unique_tail`` are the three least and the three greatest of the ``unique`` values; where their
    number is estimated, the least and the greatest alone.
    """

    mean: float | None = None
    min: float | None = None
    max: float | None = None
    unique: int | None = None
    unique_head: tuple[float, ...] = ()
    unique_tail: tuple[float, ...] = ()
    nan: int = 0
    inf: int = 0
    unique_estimated: bool = field(default=False, metadata=WHEN_SET)


@dataclass(frozen=True, slots=True)
class Errors:
    """Candidate minus reference, in the reference's axis order, float64.

    ``max_rel`` = max |c − r| / |r| over r ≠ 0; ``cosine`` is None where a side is all zero; ``beyond`` is the share of
    elements with |c − r| > atol + rtol·|r| (numpy's rule); ``worst_index`` points into the reference.
    """

    max_abs: float = field(metadata=statistic("max abs"))
    mean_abs: float = field(metadata=statistic("mean abs", importance=4))
    sum_abs: float = field(metadata=statistic("sum abs", importance=5))
    rmse: float = field(metadata=statistic("RMSE", importance=4))
    max_rel: float = field(metadata=statistic("max rel", importance=3))
    cosine: float | None = field(metadata=statistic("cosine", digits=6, importance=3))
    worst_index: tuple[int, ...]
    beyond: float = field(metadata=statistic("beyond tol", share=True, importance=2))


@dataclass(frozen=True, slots=True, repr=False)
class Side:
    """One side of a pair: where the tensor is found in its model, and what it holds."""

    name: str
    names: tuple[str, ...]
    op: str
    kind: str
    node: str
    index: int | None
    scope: str | None
    source: str | None
    shape: tuple[int, ...] | None
    dtype: str | None
    statistics: TensorStatistics = field(default_factory=TensorStatistics, metadata=FLAT)

    def __repr__(self) -> str:
        """Name, op, shape and dtype; the fields hold the rest."""
        return f"<Side {self.name!r}: {self.op} {self.extent()}>"

    def extent(self) -> str:
        """Shape and dtype as far as they are known: ``1×3×8×8 float32``."""
        shape = "" if self.shape is None else "×".join(map(str, self.shape)) or "scalar"
        return f"{shape} {self.dtype or ''}".strip()


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """How far both sides of a pair are from the reference computed in float64: largest absolute differences.

    ``nearer`` is "neither" where the two distances are within a factor of four of each other.
    """

    reference: float
    candidate: float
    nearer: Literal["reference", "candidate", "neither"]


@dataclass(frozen=True, slots=True)
class Within:
    """Where inside a pair's region the error is made: the candidate's ``node``, and what it should have made.

    ``primitive`` names one of the simpler operations that the reference's fused node is made of ("erf", "variance");
    "extra": without the node the region is right; "constant": it is with the reference's numbers for what the node
    computes of none but stored ones; "missing": what the node reads should have gone through ``reference_node``, which
    nothing of the candidate answers, or, without one, through a node that the candidate has where it computes the same
    rightly; "operand": it reads another tensor than there; "range": its scale or the end of its range, or that of
    the quantised reference's ``reference_node``; "bias", "shift" and other parameters: they are not the other side's,
    and the error is what that changes; "rounding": it is off by more than rounding to its grids leaves; "order": with
    the axes of what it moves in another order everything behind is right; "nonfinite": the node makes what is no number
    of what is, and the reference has numbers alone; the id of a cause: a change of this node alone leaves nothing of
    the error.
    """

    node: str
    primitive: str
    reference_node: str | None = field(default=None, metadata=WHEN_SET)


def pair_id(reference: Side, candidate: Side) -> str:
    """The id of a pair of two tensors."""
    names = f"{reference.name}\0{candidate.name}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(names).hexdigest()[:_ID]


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """Two tensors that answer each other, and how far apart they are.

    ``axes`` carries the reference into the candidate's axis order (``numpy.transpose(reference, axes)``); None when the
    orders agree. ``local`` is the error of the candidate's node fed with the reference's own tensors, None where it was
    not measured. ``bound`` is the error that rounding alone explains here; ``noise`` a measured rounding floor: the
    reference's distance from float64 (``floor``) where it was measured, else what a rounding unit at every input does
    here. The nodes are those of the region on each side: all that compute this tensor out of the paired ones before it.
    ``verdict_rule`` names the rule of docs/verdicts.md that decided, ``opinions`` hold what every rule says.
    """

    reference: Side
    candidate: Side
    rule: str
    confidence: float
    axes: tuple[int, ...] | None
    verdict: PairVerdict
    accumulated: Errors | None
    local: Errors | None = None
    noise: float | None = None
    bound: float | None = None
    note: str | None = None
    reference_nodes: tuple[str, ...] = ()
    candidate_nodes: tuple[str, ...] = ()
    floor: NoiseFloor | None = field(default=None, metadata=WHEN_SET)
    within: Within | None = field(default=None, metadata=WHEN_SET)
    verdict_rule: str | None = field(default=None, metadata=WHEN_SET)
    opinions: tuple[Opinion, ...] = field(default=(), metadata=WHEN_SET)
    id: str = field(default="", metadata=WHEN_SET)
    """Told by the two tensors' names alone, so that it outlives whatever changes around them; "" in old reports."""

    def identified(self) -> Pair:
        """The pair with its id."""
        return replace(self, id=pair_id(self.reference, self.candidate))

    def __repr__(self) -> str:
        """Names, verdict and largest errors; the fields hold the rest."""
        errors = (("local", self.local), ("accumulated", self.accumulated))
        numbers = ", ".join(f"{name} {each.max_abs:.3g}" for name, each in errors if each is not None)
        return f"<Pair {self.reference.name!r} → {self.candidate.name!r}: {self.verdict}{numbers and '; ' + numbers}>"

    def cells(self) -> dict[str, str]:
        """What a notebook's table of pairs shows."""
        numbers = (self.accumulated and self.accumulated.max_abs, self.local and self.local.max_abs, self.bound)
        names = {"verdict": self.verdict, "reference": self.reference.name, "candidate": self.candidate.name}
        shown = ("–" if each is None else f"{each:.3g}" for each in numbers)
        kind = {"op": self.candidate.op, "tensor": self.candidate.extent()}
        return names | kind | dict(zip(("accumulated", "local", "bound"), shown, strict=True))

    def _repr_html_(self) -> str:
        return table([self])


@dataclass(frozen=True, slots=True, repr=False)
class Unpaired:
    """A tensor without an answer on the other side, and why: constant, layout-only, fused away, no counterpart."""

    side: Side = field(metadata=FLAT)
    reason: str

    def __repr__(self) -> str:
        """The tensor and the reason."""
        return f"<Unpaired {self.side.name!r} ({self.side.op}): {self.reason}>"

    def cells(self) -> dict[str, str]:
        """What a notebook's table shows of it."""
        return {"name": self.side.name, "op": self.side.op, "tensor": self.side.extent(), "reason": self.reason}

    def _repr_html_(self) -> str:
        return table([self])


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """A cause and its evidence: ``explained`` is the share of the local error that goes with it, None where not tried.

    ``evidence_class``: proven, where two values that stand in the two models were exchanged, or a change without a free
    number was made, and nothing is left of the error; fitted, where numbers were solved for, or something is left;
    suspected, where nothing was recomputed; None in reports of earlier versions. ``confidence`` follows from these two.
    """

    id: str
    node: str
    confidence: float
    evidence: str
    explained: float | None
    suggestion: str
    evidence_class: EvidenceClass | None = field(default=None, metadata=WHEN_SET)
    pair: str | None = field(default=None, metadata=WHEN_SET)
    """The id of the pair that it speaks of."""

    def speaks_of(self, pair: Pair) -> bool:
        """Whether the cause lies in one of the nodes that compute this pair."""
        nodes = (pair.candidate.node, pair.reference.node, *pair.candidate_nodes, *pair.reference_nodes)
        return self.node in nodes

    @classmethod
    def of(
        cls,
        identifier: str,
        node: str,
        evidence_class: EvidenceClass,
        evidence: str,
        suggestion: str,
        explained: float | None = None,
    ) -> Finding:
        """A finding whose confidence follows from its class and from what it explains."""
        share = 1.0 if explained is None else min(max(explained, 0.0), 1.0)
        confidence = 0.0 if identifier == "unknown" else CONFIDENCE[evidence_class] * share
        return cls(identifier, node, round(confidence, 3), evidence, explained, suggestion, evidence_class)

    @property
    def sure(self) -> EvidenceClass:
        """The class, in reports without one what they say of it."""
        return self.evidence_class or ("suspected" if self.explained is None else "proven")

    def __repr__(self) -> str:
        """The cause, its node and how much the proof explains."""
        proof = "unproven" if self.explained is None else f"explains {self.explained:.4g} of the error"
        return f"<Finding {self.id} at {self.node!r}: {proof}>"

    def cells(self) -> dict[str, str]:
        """What a notebook's table of causes shows."""
        said = {"cause": f"{self.id} ({self.sure})", "node": self.node}
        return said | {"evidence": self.evidence, "what to do": self.suggestion}

    def _repr_html_(self) -> str:
        return table([self])


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """Which model stood on a side."""

    path: str
    framework: str
    runtime: str
    nodes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares and counts of pairable tensors that found their answer.

    ``computing_reference`` and ``computing_candidate`` are the shares of all tensors that nodes compute and do not only
    move, those inside a region counted as not answered. ``virtual_reference`` and ``virtual_candidate`` are the shares
    of them that lie inside what the other side computes in one node: nothing there could be paired with them. None in
    reports that do not say.
    """

    reference: float
    candidate: float
    paired: int
    unpaired: int
    computing_reference: float | None = field(default=None, metadata=WHEN_SET)
    computing_candidate: float | None = field(default=None, metadata=WHEN_SET)
    virtual_reference: float | None = field(default=None, metadata=WHEN_SET)
    virtual_candidate: float | None = field(default=None, metadata=WHEN_SET)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The user's contract for outputs, |c − r| ≤ atol + rtol·|r|, and the rule that judged the nodes."""

    atol: float
    rtol: float
    rule: str


@dataclass(frozen=True, slots=True)
class FedInput:
    """What was fed to one input of each side: "face.png → 1×3×128×128 float32, 0..1, RGB, NCHW"."""

    name: str
    reference: str | None
    candidate: str | None
    source: str


@dataclass(frozen=True, slots=True)
class WeightTally:
    """What became of the reference's stored weights: how many are matched, and the names of the others.

    ``extra`` counts those that the candidate alone holds.
    """

    matched: int
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole answer."""

    verdict: Verdict
    reason: str
    reference: ModelSummary
    candidate: ModelSummary
    tolerance: Tolerance
    coverage: Coverage
    first_divergence: Pair | None
    introduced: tuple[Pair, ...]
    causes: tuple[Finding, ...]
    outputs: tuple[Pair, ...]
    pairs: tuple[Pair, ...]
    unpaired_reference: tuple[Unpaired, ...]
    unpaired_candidate: tuple[Unpaired, ...]
    inputs: tuple[FedInput, ...] = ()
    notes: tuple[str, ...] = ()
    timing: Mapping[str, float] = field(default_factory=dict)
    command: str | None = None
    previews: tuple[Preview, ...] = ()
    dissections: tuple[Dissection, ...] = ()
    weights: WeightTally | None = field(default=None, metadata=WHEN_SET)
    """None where nobody asked, or where reading them all would take too long."""
    rule: str | None = field(default=None, metadata=WHEN_SET)
    """The rule of docs/verdicts.md that decided."""
    certificate: Certificate | None = field(default=None, metadata=WHEN_SET)
    """What the verdict rests on."""
    opinions: tuple[Opinion, ...] = field(default=(), metadata=WHEN_SET)
    steps: tuple[Step, ...] = field(default=(), metadata=WHEN_SET)
    """A decoder's steps; the rest is of the first one that diverged, else of the last."""
    layers: tuple[LayerErrors, ...] = field(default=(), metadata=WHEN_SET)
    grid: tuple[GridPoint, ...] = field(default=(), metadata=WHEN_SET)
    """Sizes that were tried; the rest is of the first that diverged, else of the first."""
    shape_dependent: str | None = field(default=None, metadata=WHEN_SET)
    """The first node that errs at some sizes and not at others."""
    next_step: str | None = field(default=None, metadata=WHEN_SET)
    """The one command to run now; None where nothing is left to do, or where the comparison was no command."""
    mapping: tuple[tuple[str, str], ...] = field(default=(), metadata=NOT_WRITTEN)
    """The pairing as a mapping file spells it (reference, candidate); not part of the JSON report."""

    @property
    def exit_code(self) -> int:
        """0 aligned, 1 diverged, 3 inconclusive."""
        return EXIT_CODES[self.verdict]


def output_error(comparison: Comparison) -> float | None:
    """The largest absolute error of any output."""
    errors = [pair.accumulated.max_abs for pair in comparison.outputs if pair.accumulated is not None]
    return max(errors, default=None)
