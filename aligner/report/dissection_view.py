"""A culprit's region as a page shows it: nodes, settings and weights of both sides."""

from __future__ import annotations

from typing import Any

from aligner.records.dissection import Dissection, RegionNode, Setting, WeightComparison
from aligner.report.numbers import ABSENT, number, shape
from aligner.report.preview_view import strip

Line = tuple[str, str, str, bool]
"""What, the reference's, the candidate's, whether they differ."""


def dissection_view(dissection: Dissection) -> dict[str, Any]:
    """JSON's own types: ``nodes`` of both sides, ``settings`` and ``weights`` as lines, ``strips`` of pictures."""
    several = len({setting.nodes for setting in dissection.settings}) > 1
    return {
        "nodes": [[_node(node) for node in side] for side in (dissection.reference, dissection.candidate)],
        "settings": [_setting(setting, several) for setting in dissection.settings],
        "weights": [_weight(weight) for weight in dissection.weights],
    }


def _node(node: RegionNode) -> dict[str, Any]:
    return {
        "op": node.op,
        "name": node.name,
        "facts": [f"{name} = {text}" for name, text in node.attributes.items()],
        "weights": list(node.weights),
        "source": node.source or "",
    }


def _setting(setting: Setting, several: bool) -> Line:
    name = f"{setting.name} ({setting.nodes[1]})" if several else setting.name
    return name, setting.reference or ABSENT, setting.candidate or ABSENT, setting.differs


def _weight(weight: WeightComparison) -> dict[str, Any]:
    sides, drawn = (weight.reference, weight.candidate), weight.pictures
    correlation = "" if weight.correlation is None else f", correlation {number(weight.correlation, 4)}"
    apart = f"off by {number(weight.max_abs)} at most, ‖Δ‖ / ‖reference‖ = {number(weight.relative)}{correlation}"
    return {
        "title": f"{weight.role} {shape(weight.reference.shape)}",
        "differs": weight.differs,
        "apart": apart if weight.differs else "the same numbers",
        "lines": [
            ("name", *(side.name for side in sides)),
            ("mean", *(number(side.mean, 4) for side in sides)),
            ("std", *(number(side.std, 4) for side in sides)),
            ("range", *(f"{number(side.min, 4)} … {number(side.max, 4)}" for side in sides)),
        ]
        if weight.differs
        else [],
        "strip": [] if drawn is None else strip(drawn.reference, drawn.candidate, drawn.difference),
        "tiles": "" if drawn is None else drawn.tiles,
    }
