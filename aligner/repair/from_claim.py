"""The counterfactual that proved a cause, as edits of the candidate's file."""

from __future__ import annotations

import numpy as np

from aligner.adapters.rewriting import Edit, Recompute, Restore
from aligner.causes.cause import Claim
from aligner.operations.operation import Unsupported
from aligner.regions.culprit import Counterfactual, Culprit
from aligner.regions.subgraph import Subgraph
from aligner.repair.naming import Naming
from aligner.repair.patch import Patch


def patch_of(culprit: Culprit, claim: Claim) -> Patch | None:
    """What the claim changed in the candidate, as a patch; None where it changed the reference, or cannot be named."""
    words = claim.change or claim.suggestion
    if claim.becomes is not None:
        value, other = claim.becomes
        instead = Recompute({value: other}, ())
        return Patch(culprit.measured.pair.candidate, claim.node or culprit.where, words, (instead,))
    changed = claim.predict
    if not isinstance(changed, Counterfactual) or changed.side != 1:
        return None
    subgraph, edits = culprit.candidate, list[Edit]()
    if any(node.attributes.get("blocked") for node in subgraph.nodes):
        return None  # what the file stores in blocks is shown plain
    try:
        for index, edit in changed.change.operations.items():
            node = subgraph.graph.nodes[index]
            operation = subgraph.operation(node)
            if operation is None:
                return None
            made = [f"{name}/result" if name else "" for name in node.outputs]
            steps = Naming(subgraph, str).steps(node, edit(operation), made)
            values = {name: result for name, result in zip(node.outputs, made, strict=True) if name}
            edits.append(Recompute(values, tuple(steps)))
        edits += [_held(subgraph, name, changed) for name in changed.change.arrays]
    except Unsupported:
        return None
    return Patch(culprit.measured.pair.candidate, claim.node or culprit.where, words, tuple(edits)) if edits else None


def _held(subgraph: Subgraph, name: str, changed: Counterfactual) -> Edit:
    """Another value or weight in the place of one."""
    array = changed.change.arrays[name]
    weight = subgraph.graph.weights.get(name)
    if weight is not None:
        if weight.spacing is not None:
            raise Unsupported("numbers in codes of their own spacing")
        if weight.quantization is not None and weight.quantization.scale and array.dtype.kind == "f":
            array = weight.quantization.quantize(array, np.dtype(weight.dtype))
        return Restore(name, array)
    other = next((value for value, held in subgraph.values.items() if held is array and value != name), None)
    if other is None:
        raise Unsupported("numbers that nothing computes")
    return Recompute({name: other}, ())
