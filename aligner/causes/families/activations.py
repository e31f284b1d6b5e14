"""Activations: another function of that name, another slope, another limit; rounding and division."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from aligner.adapters.wording import Topic
from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.causes.setting_cause import SettingCause, shown
from aligner.operations.fused import FUSED, as_fused
from aligner.operations.kernels.activation import ACTIVATIONS
from aligner.operations.kinds import AFFINE, ELEMENTWISE
from aligner.operations.operation import Operation
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph

_VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gelu", {"approximate": "none"}),
    ("gelu", {"approximate": "tanh"}),
    ("gelu", {"approximate": "quick"}),
    ("relu", {}),
    ("relu6", {}),
    ("silu", {}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("hardsigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    ("hardsigmoid", {"alpha": 0.2, "beta": 0.5}),
    ("hardswish", {"alpha": 1 / 6, "beta": 0.5}),
    ("softplus", {"beta": 1.0, "threshold": 20.0}),
    ("softplus", {"beta": 1.0, "threshold": None}),
    ("mish", {}),
    ("softsign", {}),
    ("elu", {"alpha": 1.0}),
    ("leaky_relu", {"alpha": 0.01}),
    ("leaky_relu", {"alpha": 0.2}),
    ("leaky_relu", {"alpha": 0.1}),
)


class ActivationVariant(SettingCause):
    """GELU by tanh or erf, ReLU6, the slope of a leaky ReLU, a hard sigmoid's slope, a fused clip."""

    id: ClassVar[str] = "activation-variant"
    fix: ClassVar[str] = (
        "use the reference's function, slope and limits, or replace the module by one that exports exactly"
    )
    example: ClassVar[str] = "GELU exported with the tanh approximation; LeakyReLU of slope 0.01 for 0.2"
    kinds: ClassVar[tuple[str, ...]] = tuple(sorted(ACTIVATIONS))
    names: ClassVar[tuple[str, ...]] = ("alpha", "beta", "approximate", "min", "max", "threshold")

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Settings, then every activation in place of the reference's, then slopes and limits solved for."""
        yield from super().claims(culprit, context)
        if not culprit.gap > 0:
            return
        operations = [[one for n in p.nodes if (one := p.operation(n)) is not None] for p in culprit.subgraphs]
        held = [{(one.kind, _told(one.settings)) for one in side} for side in operations]
        spelled = [{one.kind for one in side} for side in operations]
        whole = [spelled[side] & (ACTIVATIONS - _gates(culprit.subgraphs[side])) for side in (0, 1)]
        in_pieces = [_is_in_pieces(culprit, side) and not whole[side] for side in (0, 1)]
        for subgraph, node, operation in culprit.nodes(*sorted(ACTIVATIONS), "activation"):
            ungated: list[tuple[str, dict[str, Any]]] = [("square", {})] if operation.kind == "silu" else []
            solved = list(_solved(operation, culprit, subgraph.side))
            for number, (kind, settings) in enumerate((*solved, *_VARIANTS, *ungated)):
                other = replace(operation, kind=kind, settings=settings)
                if kind == operation.kind and other.settings == operation.settings:
                    continue
                if not in_pieces[1 - subgraph.side] and kind not in spelled[1 - subgraph.side]:
                    continue  # the other side computes no such thing
                words = _named(kind, settings), _named(operation.kind, operation.settings)
                wrong, right = words if subgraph.side == 0 else words[::-1]
                yield Claim(
                    f"{culprit.where} computes {wrong}, the reference {right}",
                    f"use {right} in both models",
                    f"with {right} instead of {wrong}",
                    culprit.replaced(subgraph, node, other),
                    parameters=len(settings) if number < len(solved) else 0,
                    borrowed=(kind, _told(settings)) in held[1 - subgraph.side],
                )
        for subgraph, node, operation in culprit.nodes("erf"):
            words = ("an approximation by tanh", "the error function")
            wrong, right = words if subgraph.side == 0 else words[::-1]
            yield Claim(
                f"{culprit.where} computes {wrong}, the reference {right}: GELU's two forms",
                f"use {right} in both models",
                f"with {right} instead of {wrong}",
                culprit.replaced(subgraph, node, operation.with_settings(approximate="tanh")),
            )
        yield from _fused(culprit)


def _is_in_pieces(culprit: Culprit, side: int) -> bool:
    """Whether a side holds what an activation could be spelled with: arithmetic that the other side has not as well.

    A factor or a summand that is a constant bends nothing.
    """
    counts = [
        Counter(node.kind for node in subgraph.nodes if not _is_affine(subgraph, node))
        for subgraph in culprit.subgraphs
    ]
    return bool((counts[side] - counts[1 - side]).keys() & ELEMENTWISE)


def _gates(subgraph: Subgraph) -> set[str]:
    """Activations that are a piece of another one: what multiplies two tensors reads what one of them gives.

    x · sigmoid(1.702 x), x · (1 + tanh(…)).
    """
    products = [node for node in subgraph.of_kind("mul") if not _is_affine(subgraph, node)]
    found, read = set[str](), {name for node in products for name in node.inputs}
    for node in reversed(subgraph.nodes):
        if read & set(node.outputs):
            read |= set(node.inputs)
            found |= {node.kind} & ACTIVATIONS
    return found


def _is_affine(subgraph: Subgraph, node: Node) -> bool:
    return node.kind in AFFINE and sum(subgraph.varies(name) for name in node.inputs if name) < 2


def _told(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Settings that are set, as words, to look them up by."""
    return tuple(sorted((name, shown(value)) for name, value in settings.items() if value is not None))


def _named(kind: str, settings: Mapping[str, Any]) -> str:
    numbers = ", ".join(f"{name} {shown(value)}" for name, value in settings.items() if value is not None)
    word = {"identity": "no activation", "square": "x · x, a gate without its sigmoid,"}.get(kind, kind)
    return f"{word}{f' ({numbers})' if numbers else ''}"


def _solved(operation: Operation, culprit: Culprit, side: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The slope below zero and the limits that the other side's numbers show.

    Not those of the identity: an activation that leaves everything as it is is no other one, it is missing.
    """
    target, x = culprit.target(side), operation.data[0]
    if target is None or target.shape != x.shape:
        return
    below = x < 0
    energy = float(np.square(x[below], dtype=np.float64).sum())
    if 0 < energy < math.inf:
        alpha = float((target[below].astype(np.float64) * x[below]).sum() / energy)
        if math.isfinite(alpha) and _round(alpha) != 1:
            yield "leaky_relu", {"alpha": _round(alpha)}
    low, high = float(target.min()), float(target.max())
    inside = (x > low) & (x < high)
    if inside.any() and np.allclose(target[inside], x[inside], rtol=1e-4, atol=1e-6):
        cut = [float(x.min()) < low, float(x.max()) > high]
        if any(cut):
            yield "clip", {"min": _round(low) if cut[0] else -math.inf, "max": _round(high) if cut[1] else math.inf}


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _fused(culprit: Culprit) -> Iterator[Claim]:
    """An activation that a layer applies itself, or does not; where none can, activations are nodes."""
    if not any("fused_activation" in subgraph.nodes[-1].attributes for subgraph in culprit.subgraphs if subgraph.nodes):
        return
    for subgraph in culprit.subgraphs:
        node = subgraph.nodes[-1] if subgraph.nodes else None
        operation = subgraph.operation(node) if node is not None else None
        if node is None or operation is None or operation.kind in ACTIVATIONS:
            continue
        present = operation.fused_activation
        spelled = _SPELLED if _is_in_pieces(culprit, 1 - subgraph.side) else ()
        for name in dict.fromkeys((*_applied(culprit.subgraphs[1 - subgraph.side]), *spelled, *FUSED)):
            if name == present:
                continue
            wrong, right = (name, present) if subgraph.side == 0 else (present, name)
            yield Claim(
                f"{culprit.where} ends in activation {wrong}, the reference's in {right}",
                f"let {culprit.where} end in activation {right}",
                f"with activation {right} instead of {wrong}",
                culprit.replaced(subgraph, node, operation.with_settings(fused_activation=name)),
            )


_SPELLED = tuple(word for kind, settings in _VARIANTS if (word := as_fused(kind, settings)) and word not in FUSED)
"""What a side may spell with arithmetic, as words for one in a layer."""


def _applied(subgraph: Subgraph) -> Iterator[str]:
    """The activations of a side, in nodes of their own or in layers, as words for one in a layer."""
    for node in subgraph.nodes:
        if (operation := subgraph.operation(node)) is not None:
            word = as_fused(operation.kind, operation.settings) if operation.kind in ACTIVATIONS else None
            yield word or operation.fused_activation


class DivisionRounding(Cause):
    """Quotients and remainders of negative numbers: floor or truncation, sign of the divisor or of the dividend."""

    id: ClassVar[str] = "division-rounding"
    fix: ClassVar[str] = "write the rounding out before exporting"
    topic: ClassVar[Topic | None] = "rounded-division"
    example: ClassVar[str] = "−7 // 2 as −3 instead of −4"

    _GROUPS = (
        ("floor_divide", "trunc_divide", "div"),
        ("remainder", "fmod"),
        ("floor", "round", "ceil", "trunc"),
    )

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every other rounding of the same division."""
        for subgraph, node, operation in culprit.nodes("div", "binary", "unary", "cast"):
            group = next((g for g in self._GROUPS if operation.kind in g), ())
            for kind in group:
                if kind == operation.kind or kind == "trunc":
                    continue
                wrong, right = (kind, operation.kind) if subgraph.side == 0 else (operation.kind, kind)
                yield Claim(
                    f"{culprit.where} rounds as {wrong}, the reference as {right}; they differ for negative numbers",
                    f"write {right} out explicitly before exporting",
                    f"with {right} instead of {wrong}",
                    culprit.replaced(subgraph, node, replace(operation, kind=kind)),
                )
