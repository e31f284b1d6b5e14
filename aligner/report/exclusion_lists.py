"""Nodes to keep in floating point, as each toolchain spells it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aligner.records.sensitivity import SensitiveNode, Sensitivity


def exclusion_lists(found: Sensitivity, count: int) -> dict[str, str]:
    """Tool → what to pass to it so that the first ``count`` nodes are left as they were.

    Tools that take an ONNX file are told of its nodes, on whichever side it stands; without one they are left out.
    """
    chosen = found.nodes[:count]
    nodes = _onnx_nodes(found, chosen)
    lists: dict[str, str] = {}
    if nodes:
        lists |= dict(_of_onnx(nodes))
    modules = list(dict.fromkeys(node.scope for node in chosen if node.scope))
    if modules:
        lists["PyTorch modules"] = repr(modules)
    tensors = [node.reference for node in chosen]
    if tensors:
        lists["coremltools"] = (
            "compute_precision=ct.transform.FP16ComputePrecision("
            f"op_selector=lambda op: not {{o.name for o in op.outputs}} & {_set(map(_core_ml_name, tensors))})"
        )
    return lists


def _onnx_nodes(found: Sensitivity, chosen: Sequence[SensitiveNode]) -> list[str]:
    sides = (found.reference.framework, "reference_nodes"), (found.candidate.framework, "candidate_nodes")
    field = next((field for framework, field in sides if framework == "onnx"), None)
    return [] if field is None else list(dict.fromkeys(name for node in chosen for name in getattr(node, field)))


def _of_onnx(nodes: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "onnxruntime quantize_static", f"nodes_to_exclude={list(nodes)!r}"
    yield "onnxconverter-common float16", f"node_block_list={list(nodes)!r}"
    spelled = [name for name in nodes if not re.search(r"[,:*\"\s]", name)]  # what separates in trtexec's own syntax
    if spelled:
        pairs = ",".join(f"{name}:fp32" for name in spelled)
        yield "trtexec", f"--precisionConstraints=obey --layerPrecisions={pairs}"
    yield "NNCF", f"ignored_scope=nncf.IgnoredScope(names={list(nodes)!r})"
    # a node with a bias becomes two, and the sum alone keeps its name
    named = "op.get_friendly_name().removesuffix('/WithoutBiases')"
    marked = f"if {named} in {_set(nodes)}: op.get_rt_info()['precise_0'] = ''"
    yield "OpenVINO", f"for op in model.get_ops():\n    {marked}"


def op_block_list(found: Sensitivity, count: int) -> list[str]:
    """Operators none of which would be left coarse: where names cannot be given, for float16's ``op_block_list``."""
    return sorted({node.op for node in found.nodes[:count] if node.op})


def _set(names: Iterator[str] | Sequence[str]) -> str:
    return "{" + ", ".join(map(repr, names)) + "}"


def _core_ml_name(name: str) -> str:
    """As coremltools makes identifiers of tensors' names."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if re.match(r"[A-Za-z_]", plain) else f"var_{plain}"
