"""What was said of a case, held against what was planted."""

from __future__ import annotations

from dataclasses import dataclass

import aligner
from aligner.records.comparison import Comparison, Finding, Pair
from benchmarks.causes.case import Case

_ONNX_WORDS = ("--ort-optimization", "onnxruntime", "ONNX Runtime")


@dataclass(frozen=True, slots=True)
class Outcome:
    """``missed`` says what is wrong, in the order in which it is looked at; empty where all is right."""

    fault: str
    seed: int
    form: str
    place: str
    verdict: str
    first: str
    cause: str
    evidence_class: str
    node: str
    missed: tuple[str, ...]
    evidence: str
    suggestion: str


def judge(case: Case) -> Outcome:
    """Compare, and look at the verdict, the node, the cause, its class and its words."""
    result = aligner.compare(case.reference, case.candidate, {"x": case.x.numpy()})
    comparison, first = result.comparison, result.first_divergence
    finding = comparison.causes[0] if comparison.causes else None
    missed = []
    if comparison.verdict != "diverged":
        missed.append(f"verdict {comparison.verdict}")
    elif first is None or not (_within(first) or _deeper(case, first)):
        missed.append("located elsewhere")
    if finding is None or finding.id not in case.fault.causes:
        missed.append(f"cause {finding.id if finding else 'none'}")
    elif finding.evidence_class not in case.fault.classes:
        missed.append(f"evidence {finding.evidence_class}")
    if finding is not None and not missed:
        missed += _beside(case, comparison, finding)
    return Outcome(
        case.fault.name,
        case.seed,
        case.form,
        case.place,
        comparison.verdict,
        first.candidate.name if first else "",
        finding.id if finding else "",
        (finding.evidence_class or "") if finding else "",
        finding.node if finding else "",
        tuple(missed),
        finding.evidence if finding else "",
        finding.suggestion if finding else "",
    )


def _within(pair: Pair) -> bool:
    """Whether a pair lies in the step, by the module that either side names, also of a node that is missing."""
    names = [pair.reference.scope, pair.candidate.scope, pair.reference.node, pair.candidate.node]
    if pair.within is not None:
        names += [pair.within.node, pair.within.reference_node]
    return any(name is not None and "step" in name.replace("/", ".").split(".") for name in names)


def _deeper(case: Case, first: Pair) -> bool:
    """Whether the node named inside the pair's region is of the step, or its one node does what the step does as well.

    What the exporter put into a layer behind the step (pads into a convolution) has no node of its own to be named.
    """
    if first.within is not None:
        graph = aligner.inspect(case.candidate, {"x": case.x.numpy()}).graph
        modules = [node.scope or "" for node in graph.nodes if node.name == first.within.node]
        return any("step" in module.split(".") for module in modules)
    return len(first.candidate_nodes) == 1 and any(name.startswith("step/") for name in first.reference_nodes)


def _beside(case: Case, comparison: Comparison, finding: Finding) -> list[str]:
    """A finding beside the step, other findings that are as sure, advice for a runtime that is not there."""
    said = f"{finding.evidence} {finding.suggestion}"
    missed = []
    nodes = [{n for p in comparison.pairs if _within(p) is here for n in p.candidate_nodes} for here in (True, False)]
    first = comparison.first_divergence
    inside = nodes[0].union(first.candidate_nodes) if first is not None else nodes[0]  # it is located, or not asked
    if finding.node in nodes[1] - inside:
        missed.append(f"names {finding.node}")
    if case.form in {"script", "eager"} and any(word in said for word in _ONNX_WORDS):
        missed.append("advice for a runtime that is not there")
    # what a first node does wrong may as well have been done to what it is fed
    also = [one.id for one in comparison.causes[1:] if not (case.place == "start" and one.id.startswith("input-"))]
    if also and also[0] != "unknown":
        missed.append(f"also {also[0]}")
    return missed
