"""align weights on files that hold weights alone: tensor by tensor, nothing is run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.base import OpenOptions
from aligner.adapters.checkpoints.checkpoint import Checkpoint, StoredTensor
from aligner.adapters.checkpoints.opening import is_checkpoint, open_checkpoint
from aligner.adapters.registry import loads_checkpoints
from aligner.api.given_inputs import read_items
from aligner.api.matching import feed, read_static
from aligner.api.options import CompareOptions
from aligner.errors import ComparisonError, listing
from aligner.execution.opening import open_side, target_name
from aligner.parameters.fingerprint import EXACT, ROUNDED, Fingerprint, fingerprint
from aligner.parameters.relation import Numbers
from aligner.parameters.stored import Kinship, found_in, kinship, stands_for
from aligner.records import progress
from aligner.records.comparison import ModelSummary
from aligner.records.graph import Weight
from aligner.records.weight import WEIGHTS_ALONE, StoredWeight, WeightAudit, WeightMatch

_PERMUTED = frozenset("llama internlm2 granite granitemoe minicpm arctic deci xverse baichuan".split())
"""Architectures whose query and key rows llama.cpp wants in pairs (convert_hf_to_gguf.py: permute)."""
_SHIFTED = ("gemma", "nemotron")
"""… and whose norms it stores with the one that the model adds (norm_shift)."""
_DERIVED = ("inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", "position_ids", "rope_freqs.weight")
"""Tables that follow from the configuration: left out where only one side stores them."""
Pairs = list[tuple[StoredTensor, StoredTensor, str]]


def concerns(*targets: object) -> bool:
    """Whether one of them is a file or folder of weights alone."""
    return any(map(is_checkpoint, targets))


def weigh_checkpoints(reference: object, candidate: object, inputs: Any, options: CompareOptions) -> WeightAudit:
    """What became of each tensor. Raises AlignerError where a side cannot be read."""
    left = _opened(reference, options.reference_options, inputs, options)
    right = _opened(candidate, options.candidate_options, inputs, options)
    pairs, lost, extra = _paired(left, right)
    matches = [_judged(ours, theirs, rule, left, right) for ours, theirs, rule in _told(pairs)]
    joined, lost, extra = _joined(lost, extra)
    matches += joined
    lost = [one for one in lost if not one.name.endswith(_DERIVED)]
    extra = [one for one in extra if not one.name.endswith(_DERIVED)]
    shared, lost = _shared(lost, [ours for ours, _, _ in pairs])
    ordered, lost, extra = _in_order(lost, extra)
    matches += shared + [_judged(ours, theirs, "order", left, right) for ours, theirs in ordered]
    matches = [_exchanged(match, matches, left, right) for match in matches]
    notes = _unturned(matches)
    if left.by_rows and right.by_rows:
        matches = _in_one_layout(matches)
    matches += [WeightMatch("missing", _stored(one), None) for one in lost]
    matches += [WeightMatch("extra", None, _stored(one)) for one in extra]
    return WeightAudit(_summary(left), _summary(right), tuple(matches), notes)


def _told(pairs: Pairs) -> Iterable[tuple[StoredTensor, StoredTensor, str]]:
    for place, pair in enumerate(pairs):
        progress.enter("", "comparing weights", f"{place + 1} of {len(pairs)}: {pair[0].name}")
        yield pair


def _opened(target: object, opening: OpenOptions, inputs: Any, options: CompareOptions) -> Checkpoint:
    if is_checkpoint(target):
        return open_checkpoint(Path(str(target)))
    side = open_side("model", target, opening, options.seed)
    if not read_static(side):
        feed((side, replace(side)), read_items(inputs), options)
    graph = side.graph
    if not graph.weights:
        raise ComparisonError(
            f"{target_name(target)} holds no weights", found=side.session.runtime, hint="give a model that stores them"
        )
    tensors = {
        weight.name: StoredTensor(
            weight.name,
            weight.shape,
            weight.dtype,
            partial(_rows, weight),
            partial(_steps, weight) if weight.coded else None,
        )
        for weight in graph.weights.values()
        if weight.dtype.startswith(("float", "bfloat", "int8", "uint8", "int4", "uint4"))
    }
    framework = side.session.framework
    # what a checkpoint is loaded into holds matrices as checkpoints do
    return Checkpoint(target_name(target), framework, tensors, by_rows=loads_checkpoints(framework))


def _rows(weight: Weight, first: int, last: int) -> Any:
    values = weight.values()
    return np.asarray(values[first:last] if values.ndim else values, np.float32)


def _steps(weight: Weight, first: int, last: int) -> Any:
    steps = Numbers(weight.values(), weight.dtype, weight.quantization, weight.spacing).steps()
    return 0.0 if steps is None else steps[first:last] if steps.ndim else steps


def _paired(left: Checkpoint, right: Checkpoint) -> tuple[Pairs, list[StoredTensor], list[StoredTensor]]:
    """By name, by the name that the other format has for it, by how a name ends, by the numbers."""
    ours, theirs = dict(left.tensors), dict(right.tensors)
    pairs: Pairs = []

    def take(one: str | None, other: str | None, rule: str) -> None:
        if one in ours and other in theirs:
            pairs.append((ours.pop(one), theirs.pop(other), rule))

    for name in list(ours):
        take(name, name if name in theirs else right.names(name), "name")
    for name in list(theirs):
        take(left.names(name), name, "name")
    for one in list(ours):
        ends = [other for other in theirs if one.endswith(f".{other}") or other.endswith(f".{one}")]
        if len(ends) == 1:
            take(one, ends[0], "name")
    for one, other in _by_values(ours.values(), theirs.values()):
        take(one, other, "values")
    order = {name: place for place, name in enumerate(left.tensors)}
    return sorted(pairs, key=lambda pair: order[pair[0].name]), list(ours.values()), list(theirs.values())


def _by_values(ours: Iterable[StoredTensor], theirs: Iterable[StoredTensor]) -> list[tuple[str, str]]:
    """Tensors whose numbers agree whatever their order, each side's only one."""
    prints: list[dict[str, Fingerprint]] = []
    for side in (ours, theirs):
        made = ((one.name, fingerprint(one.whole())) for one in side)
        prints.append({name: found for name, found in made if found is not None and found.telling})
    pairs = []
    for name, found in prints[0].items():
        for limit in (EXACT, ROUNDED):
            near = [other for other, one in prints[1].items() if found.distance(one) <= limit]
            if len(near) == 1:
                pairs.append((name, near[0]))
            if near:
                break
    return pairs


def _judged(ours: StoredTensor, theirs: StoredTensor, rule: str, left: Checkpoint, right: Checkpoint) -> WeightMatch:
    """A change that the format asks for is right, and its absence is not; between alike formats each is a fault."""
    found = kinship(ours, theirs)
    wanted = _wanted(ours, left) | _wanted(theirs, right)
    alike = not (left.architecture or right.architecture) and (rule == "name" and ours.name == theirs.name)
    wrong = [word for word in found.transforms if word.startswith(("permuted", "+1", "−1"))]
    foreign = [word for word in wrong if not any(word.startswith(one) for one in wanted)]
    if found.matched and (foreign if left.architecture or right.architecture else wrong and alike):
        found = replace(found, matched=False)
    missing = sorted(one for one in wanted if not any(word.startswith(one) for word in found.transforms))
    if found.matched and missing:
        words = {"permuted": "not permuted for RoPE", "+1": "without +1", "−1": "without −1"}
        found = Kinship(False, tuple(words[one] for one in missing), found.relative)
    return WeightMatch(
        "matched" if found.matched else "changed",
        _stored(ours),
        _stored(theirs),
        found.transforms,
        None,
        found.relative,
        rule=rule,
    )


def _wanted(tensor: StoredTensor, checkpoint: Checkpoint) -> set[str]:
    """What a GGUF file of that architecture does to the tensor."""
    kind = checkpoint.architecture
    if kind in _PERMUTED and (".attn_q." in tensor.name or ".attn_k." in tensor.name):
        return {"permuted"}
    return {"+1"} if kind.startswith(_SHIFTED) and "norm.weight" in tensor.name else set()


def _joined(
    lost: list[StoredTensor], extra: list[StoredTensor]
) -> tuple[list[WeightMatch], list[StoredTensor], list[StoredTensor]]:
    """Tensors that stand within a larger one of the other side: q, k and v in qkv, gate and up in one."""
    found: list[WeightMatch] = []
    used: set[tuple[bool, str]] = set()
    for fused, (parts, wholes) in ((True, (lost, extra)), (False, (extra, lost))):
        for whole in wholes:
            places = {part.name: place for part in parts if (place := found_in(part, whole)) is not None}
            inside = sorted((one for one in parts if one.name in places), key=lambda one: places[one.name])
            if not inside or sum(one.shape[0] for one in inside) != whole.shape[0]:
                continue
            used |= {(fused, one.name) for one in inside} | {(not fused, whole.name)}
            word = "concatenated" if fused else "split"
            for one in inside:
                ours, theirs = (one, whole) if fused else (whole, one)
                found.append(WeightMatch("matched", _stored(ours), _stored(theirs), (word,), rule="values"))
    return (
        found,
        [one for one in lost if (True, one.name) not in used],
        [one for one in extra if (False, one.name) not in used],
    )


def _shared(lost: list[StoredTensor], known: list[StoredTensor]) -> tuple[list[WeightMatch], list[StoredTensor]]:
    """Tensors that the candidate leaves out because another one holds the same (tied embeddings), and the rest."""
    found, rest = [], []
    for one in lost:
        same = next((two for two in known if two.shape == one.shape and _equal(one, two)), None)
        if same is None:
            rest.append(one)
        else:
            found.append(WeightMatch("matched", _stored(one), _stored(same), ("shared",)))
    return found, rest


def _in_order(
    lost: list[StoredTensor], extra: list[StoredTensor]
) -> tuple[list[tuple[StoredTensor, StoredTensor]], list[StoredTensor], list[StoredTensor]]:
    """What is left on both sides, where equally many have one shape up to the order of its axes."""
    groups: dict[tuple[int, ...], tuple[list[StoredTensor], list[StoredTensor]]] = defaultdict(lambda: ([], []))
    for side, tensors in enumerate((lost, extra)):
        for one in tensors:
            groups[tuple(sorted(size for size in one.shape if size != 1))][side].append(one)
    found = [
        pair
        for shape, (ours, theirs) in groups.items()
        if shape and len(ours) == len(theirs)
        for pair in zip(ours, theirs, strict=True)
    ]
    mine, theirs = {ours.name for ours, _ in found}, {other.name for _, other in found}
    return found, [one for one in lost if one.name not in mine], [one for one in extra if one.name not in theirs]


def _exchanged(match: WeightMatch, matches: list[WeightMatch], left: Checkpoint, right: Checkpoint) -> WeightMatch:
    """A changed match, which says so where the candidate's tensor holds another one's numbers."""
    if match.status != "changed" or match.candidate is None or match.reference is None:
        return match
    found = right.tensors[match.candidate.id]
    for other in matches:
        if other.reference is None or other.reference.id == match.reference.id:
            continue
        if stands_for(left.tensors[other.reference.id], found):
            return replace(match, transforms=(f"holds {other.reference.name}'s numbers",))
    return match


def _rectangular(matches: list[WeightMatch]) -> tuple[int, int]:
    """How many matched matrices show by their shape how they lie, and how many of them are transposed."""
    shapes = [(one.reference.shape, one.transforms) for one in matches if one.status == "matched" and one.reference]
    told = [words for shape, words in shapes if len(shape) == 2 and shape[0] != shape[1]]
    return len(told), sum("transposed" in words for words in told)


def _unturned(matches: list[WeightMatch]) -> tuple[str, ...]:
    """A square matrix in place where all others are transposed may be wrong; what reads it is not in these files."""
    told, turned = _rectangular(matches)
    square = [
        one.reference.name
        for one in matches
        if one.status == "matched" and one.reference and "transposed" not in one.transforms
        if len(one.reference.shape) == 2 and one.reference.shape[0] == one.reference.shape[1]
    ]
    if not square or told == 0 or turned != told:
        return ()
    return (f"not transposed, although all matrices that are not square are: {listing(square)}",)


def _in_one_layout(matches: list[WeightMatch]) -> list[WeightMatch]:
    """Matrices that are transposed although nothing says that it is meant, as changed.

    Two programs may lay them differently in files of one kind: it is meant where most of the matrices whose shape shows
    how they lie are transposed.
    """
    told, turned = _rectangular(matches)
    if turned and 2 * turned >= told:
        return matches
    return [
        replace(one, status="changed") if one.status == "matched" and "transposed" in one.transforms else one
        for one in matches
    ]


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    if one.shape and 0 not in one.shape and not np.array_equal(one.rows(0, 1), other.rows(0, 1)):
        return False
    return kinship(one, other).transforms == ("same",)


def _stored(tensor: StoredTensor) -> StoredWeight:
    return StoredWeight(tensor.name, tensor.name, tensor.shape, tensor.dtype)


def _summary(checkpoint: Checkpoint) -> ModelSummary:
    return ModelSummary(checkpoint.path, checkpoint.form, WEIGHTS_ALONE, len(checkpoint.tensors))
