"""Culprits taken apart in the JSON report, under ``regions``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aligner.records.dissection import (
    Dissection,
    RegionNode,
    Setting,
    WeightComparison,
    WeightFacts,
    WeightPictures,
)
from aligner.report.preview_document import picture_document, picture_from

Document = dict[str, Any]


def dissection_document(dissection: Dissection) -> Document:
    """REGION of the JSON report; a number that is not finite is null."""
    return {
        "pair": dissection.pair,
        "reference": [_node_document(node) for node in dissection.reference],
        "candidate": [_node_document(node) for node in dissection.candidate],
        "settings": [_setting_document(setting) for setting in dissection.settings],
        "weights": [_weight_document(weight) for weight in dissection.weights],
    }


def dissection_from(document: Mapping[str, Any]) -> Dissection:
    """The dissection a document was made from; ValueError where its pictures are not whole."""
    return Dissection(
        pair=int(document["pair"]),
        reference=tuple(map(_node, document["reference"])),
        candidate=tuple(map(_node, document["candidate"])),
        settings=tuple(map(_setting, document["settings"])),
        weights=tuple(map(_weight, document["weights"])),
    )


def _node_document(node: RegionNode) -> Document:
    return {
        "name": node.name,
        "op": node.op,
        "kind": node.kind,
        "scope": node.scope,
        "source": node.source,
        "attributes": dict(node.attributes),
        "weights": list(node.weights),
    }


def _node(document: Mapping[str, Any]) -> RegionNode:
    return RegionNode(
        name=document["name"],
        op=document["op"],
        kind=document["kind"],
        scope=document["scope"],
        source=document["source"],
        attributes=tuple((str(name), str(text)) for name, text in document["attributes"].items()),
        weights=tuple(map(str, document["weights"])),
    )


def _setting_document(setting: Setting) -> Document:
    return {
        "nodes": list(setting.nodes),
        "name": setting.name,
        "reference": setting.reference,
        "candidate": setting.candidate,
        "differs": setting.differs,
    }


def _setting(document: Mapping[str, Any]) -> Setting:
    return Setting(
        nodes=_two(document["nodes"]),
        name=document["name"],
        reference=document["reference"],
        candidate=document["candidate"],
        differs=bool(document["differs"]),
    )


def _two(names: Any) -> tuple[str, str]:
    first, second = names
    return str(first), str(second)


def _weight_document(weight: WeightComparison) -> Document:
    pictures = weight.pictures
    return {
        "nodes": list(weight.nodes),
        "role": weight.role,
        "reference": _facts_document(weight.reference),
        "candidate": _facts_document(weight.candidate),
        "max_abs": _finite(weight.max_abs),
        "relative": _finite(weight.relative),
        "correlation": _finite(weight.correlation),
        "differs": weight.differs,
        "pictures": None
        if pictures is None
        else {
            "reference": picture_document(pictures.reference),
            "candidate": picture_document(pictures.candidate),
            "difference": picture_document(pictures.difference),
            "tiles": pictures.tiles,
        },
    }


def _weight(document: Mapping[str, Any]) -> WeightComparison:
    pictures = document["pictures"]
    return WeightComparison(
        nodes=_two(document["nodes"]),
        role=document["role"],
        reference=_facts(document["reference"]),
        candidate=_facts(document["candidate"]),
        max_abs=document["max_abs"],
        relative=document["relative"],
        correlation=document["correlation"],
        differs=bool(document["differs"]),
        pictures=None
        if pictures is None
        else WeightPictures(
            picture_from(pictures["reference"]),
            picture_from(pictures["candidate"]),
            picture_from(pictures["difference"]),
            str(pictures["tiles"]),
        ),
    )


def _facts_document(facts: WeightFacts) -> Document:
    return {
        "name": facts.name,
        "shape": list(facts.shape),
        "mean": _finite(facts.mean),
        "std": _finite(facts.std),
        "min": _finite(facts.min),
        "max": _finite(facts.max),
    }


def _facts(document: Mapping[str, Any]) -> WeightFacts:
    numbers = (document[name] for name in ("mean", "std", "min", "max"))
    return WeightFacts(document["name"], tuple(map(int, document["shape"])), *numbers)


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None
