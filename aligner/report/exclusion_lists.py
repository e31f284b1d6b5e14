"""Nodes to keep in floating point, as each toolchain spells it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aligner.records.sensitivity import SensitiveNode, Sensitivity

_CORE_ML_READS = frozenset({"torchscript", "pytorch", "torch-export", "tensorflow"})


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
    if found.reference.framework in _CORE_ML_READS and (kept := " or ".join(_of_core_ml(found, chosen))):
        selector = f"op_selector=lambda op: not ({kept})"
        lists["coremltools"] = f"compute_precision=ct.transform.FP16ComputePrecision({selector})"
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
    # in OpenVINO's form of the model a node with a bias becomes two, and the sum alone keeps its name
    patterns = [f"^{re.escape(name)}(/WithoutBiases)?$" for name in nodes]
    yield "NNCF", f"ignored_scope=nncf.IgnoredScope(patterns={patterns!r})"
    named = "op.get_friendly_name().removesuffix('/WithoutBiases')"
    marked = f"if {named} in {_set(nodes)}: op.get_rt_info()['precise_0'] = ''"
    yield "OpenVINO", f"for op in model.get_ops():\n    {marked}"


def op_block_list(found: Sensitivity, count: int) -> list[str]:
    """Operators none of which would be left coarse: where names cannot be given, for float16's ``op_block_list``."""
    return sorted({node.op for node in found.nodes[:count] if node.op})


def _set(names: Iterator[str] | Sequence[str]) -> str:
    return "{" + ", ".join(map(repr, names)) + "}"


def _of_core_ml(found: Sensitivity, nodes: Sequence[SensitiveNode]) -> Iterator[str]:
    """By tensor; by module where the tool would count tensors for itself, or trace the module."""
    live = found.reference.framework == "pytorch"
    counted = [node for node in nodes if node.reference.isdigit() or (live and node.scope)]
    named = [name for node in nodes if node not in counted for name in (node.reference, _identifier(node.reference))]
    if named:
        yield f"{{o.name for o in op.outputs}} & {_set(list(dict.fromkeys(named)))}"
    modules = list(dict.fromkeys(node.scope for node in counted if node.scope))
    if modules:
        yield f"{{'.'.join(map(str, path[:-1])) for path in op.scopes.values()}} & {_set(modules)}"


def _identifier(name: str) -> str:
    """As coremltools makes one of the name of an input or output."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if re.match(r"[A-Za-z_]", plain) else f"var_{plain}"
