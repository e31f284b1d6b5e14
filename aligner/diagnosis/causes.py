"""Why: every culprit is put before every family of causes; one cause over many nodes is one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aligner.diagnosis.attribute_causes import attribute_findings
from aligner.diagnosis.scene import set_scene
from aligner.diagnosis.weight_causes import weight_findings
from aligner.records.comparison import Finding
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

_EXAMINED = 64
"""Culprits looked at: their weights are read, so a model with thousands stays a matter of seconds."""
_FAMILIES = (attribute_findings, weight_findings)


def find_causes(graphs: tuple[Graph, Graph], guilty: Sequence[Measured]) -> list[Finding]:
    """Findings about the guilty pairs (upstream first), best first: those at the first culprit lead."""
    found: dict[str, tuple[int, Finding, list[str]]] = {}
    for place, measured in enumerate(guilty[:_EXAMINED]):
        scene = set_scene(graphs, measured)
        for family in _FAMILIES:
            for finding in family(scene):
                first = found.setdefault(finding.id, (place, finding, []))
                first[2].append(finding.node)
    ranked = sorted(found.values(), key=lambda entry: (entry[0] > 0, -entry[1].confidence, entry[0]))
    return [_over_nodes(finding, nodes) for _, finding, nodes in ranked]


def _over_nodes(finding: Finding, nodes: list[str]) -> Finding:
    others = len(dict.fromkeys(nodes)) - 1
    if not others:
        return finding
    return replace(finding, evidence=f"{finding.evidence}; likewise at {others} other node{'s' if others > 1 else ''}")
