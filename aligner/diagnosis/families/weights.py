"""Causes that lie in the numbers a layer was given: never loaded, another checkpoint's, moved, stored coarser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.diagnosis import likeness
from aligner.diagnosis.cause import Cause, Claim
from aligner.diagnosis.layers import LayerPair, layer_pairs, output_axis, scaled, with_sorted_gates
from aligner.diagnosis.replay.operation import Operation
from aligner.diagnosis.scene import Scene
from aligner.diagnosis.survey import Survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_RELATED = 0.9
_STRANGERS = 0.5
_COARSER = 4e-3
_ALL = 0.8
"""Share of the weighted layers from which a fault of weights concerns the whole model."""


class WeightCause(Cause):
    """Weights that differ; the proof puts the reference's into the candidate's layer."""

    advice: ClassVar[str] = "export from the checkpoint the reference uses"

    @abstractmethod
    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """What is wrong with this parameter, None when it is not this cause."""

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """The first parameter of the region that this cause fits."""
        for pair in layer_pairs(scene):
            fitting = {role: self.describe(pair, role, scene, survey) for role in differing(pair)}
            words = [text for text in fitting.values() if text]
            if words:
                yield self._claim(scene, pair, words)

    def _claim(self, scene: Scene, pair: LayerPair, words: list[str]) -> Claim:
        right = {role: pair.reference.parameters[role] for role in differing(pair) if role in pair.reference.parameters}
        if "bias" in right and pair.candidate.added is not None:
            right["bias"] = right["bias"] - pair.candidate.added
        names = (
            ", ".join(scene.candidate.graph.weights[n].name for n in pair.candidate.node.weights[:2]) or "its weight"
        )
        node = pair.candidate.node
        return Claim(
            f"{node.name} ({names}): {'; '.join(words)}",
            self.advice,
            "with the reference's weights in its place",
            scene.prediction(scene.candidate, node, lambda operation: _given(operation, right)),
            side=1,
            node=node.name,
        )


def _given(operation: Operation, right: dict[str, Array]) -> Operation:
    """The operation with other parameters; those of cells come with their gates sorted."""
    if operation.kind == "recurrent":
        operation = with_sorted_gates(operation)
    return operation.with_parameters(**right)


def differing(pair: LayerPair) -> list[str]:
    """Roles in which the two layers hold other numbers, a bias that one side lacks among them."""
    found = [role for role in pair.roles if not _same(pair, role)]
    mine, theirs = pair.reference.parameters, pair.candidate.parameters
    if "bias" in mine and "bias" not in theirs and mine["bias"].any():
        found.append("bias")
    return found


def _same(pair: LayerPair, role: str) -> bool:
    left, right = pair.reference.parameters[role], pair.candidate.parameters[role]
    return likeness.gap(left.reshape(-1), right.reshape(-1)) <= likeness.SAME


def _arrays(pair: LayerPair, role: str) -> tuple[Array, Array] | None:
    left, right = pair.reference.parameters.get(role), pair.candidate.parameters.get(role)
    if left is None or right is None or left.size != right.size:
        return None
    return left, right if right.shape == left.shape else right.reshape(left.shape) if left.ndim == 1 else right


def _stranger(pair: LayerPair, role: str, *, sure: bool = True) -> str | None:
    """Words for a parameter that looks drawn by an initialiser and has nothing to do with the reference's.

    Not ``sure``: large ones need not look like it, where every other layer of the model is wrong as well.
    """
    arrays = _arrays(pair, role)
    if arrays is None or likeness.same_numbers(*arrays):
        return None
    left, right = arrays
    alike = likeness.correlation(left, right)
    fresh = likeness.looks_initialised(right)
    if alike > _STRANGERS or not (fresh or (not sure and right.ndim > 1 and right.size >= 64 and abs(alike) < 0.2)):
        return None
    if role in {"bias", "shift", "mean"} and not right.any() and _zeroed(pair, role):
        return None
    return f"{role} correlates {alike:.2f} with the reference's" + (" and looks freshly initialised" if fresh else "")


def _zeroed(pair: LayerPair, role: str) -> bool:
    """A bias of zeros beside a kernel that is right was dropped, not left unloaded."""
    return "kernel" in pair.roles and _same(pair, "kernel") and role == "bias"


def _weighted(survey: Survey) -> tuple[list[str], list[str]]:
    """Scopes or names of the weighted layers that are guilty of strange weights, and of those that are right."""
    bad: list[str] = []
    good: list[str] = []
    guilty = {id(item) for item in survey.guilty}
    for item in survey.measured:
        if not item.pair.candidate_region.weights or not item.pair.reference_region.weights:
            continue
        indices = item.pair.reference_region.nodes
        nodes = [survey.graphs[0].nodes[i] for i in indices if survey.graphs[0].nodes[i].weights]
        names = [node.scope or node.name for node in nodes]
        kinds = {node.kind for node in nodes}
        if not kinds & {"conv", "conv_transpose", "matmul", "recurrent", "embedding"}:
            continue
        (bad if id(item) in guilty else good).extend(names[:1])
    return list(dict.fromkeys(bad)), [name for name in dict.fromkeys(good) if name not in bad]


class _Unloaded(WeightCause):
    prior: ClassVar[float] = 0.95
    whole: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "load the checkpoint before exporting, and check what load_state_dict(strict=False) returns: a nested "
        "checkpoint (params_ema, state_dict …) must be unwrapped and a prefix like 'module.' stripped first"
    )

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """Fresh numbers, in the part of the model that this cause is about."""
        many = self.whole and len(_weighted(survey)[0]) > 2
        words = None if _derived(pair, role) else _stranger(pair, role, sure=not many)
        return words if words and self.extent(survey) else None

    @abstractmethod
    def extent(self, survey: Survey) -> bool:
        """Whether as much of the model is unloaded as this cause says."""


class WeightsNotLoaded(_Unloaded):
    """Nothing was loaded: a non-strict load of a nested dict."""

    id: ClassVar[str] = "weights-not-loaded"
    whole: ClassVar[bool] = True

    def extent(self, survey: Survey) -> bool:
        """All of it."""
        bad, good = _weighted(survey)
        return len(bad) >= _ALL * (len(bad) + len(good))


class WeightsPrefixMismatch(_Unloaded):
    """One sub-tree was not loaded: its keys carry another prefix."""

    id: ClassVar[str] = "weights-prefix-mismatch"

    def extent(self, survey: Survey) -> bool:
        """Two layers or more, which make up a sub-tree that holds no loaded one."""
        bad, good = _weighted(survey)
        if len(bad) >= _ALL * (len(bad) + len(good)) or len(bad) < 2:
            return False
        prefix = _common(bad)
        return bool(prefix) and not any(name.startswith(prefix) for name in good)


class WeightsPartlyLoaded(_Unloaded):
    """Single layers were skipped: their shapes did not fit, or their keys were missing."""

    id: ClassVar[str] = "weights-partly-loaded"

    def extent(self, survey: Survey) -> bool:
        """Neither the whole nor a sub-tree."""
        return not WeightsNotLoaded().extent(survey) and not WeightsPrefixMismatch().extent(survey)


def _common(names: list[str]) -> str:
    parts = [name.replace("/", ".").split(".") for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


class WeightsWrongEntry(WeightCause):
    """Another entry of the same checkpoint: params instead of params_ema; every layer is a bit off."""

    id: ClassVar[str] = "weights-wrong-entry"
    prior: ClassVar[float] = 0.9
    advice: ClassVar[str] = (
        "the checkpoint holds several sets of weights (params, params_ema …): load the same on both sides"
    )

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """Related but different, in most layers."""
        arrays = _arrays(pair, role)
        if arrays is None or role not in {"kernel", "w", "r", "table"} or _coarse(*arrays) or _derived(pair, role):
            return None
        bad, good = _weighted(survey)
        alike = likeness.correlation(*arrays)
        if len(bad) < 2 or len(bad) < 0.5 * (len(bad) + len(good)) or alike < _RELATED:
            return None
        apart = likeness.gap(*arrays)
        return (
            f"{role} correlates {alike:.3f} with the reference's but differs by {apart:.1%}, as do "
            f"{len(bad)} of {len(bad) + len(good)} layers: the same model trained to another point"
        )


class WeightsTransposed(WeightCause):
    """Inputs and outputs of a square matrix or kernel exchanged."""

    id: ClassVar[str] = "weights-transposed"
    prior: ClassVar[float] = 0.93
    advice: ClassVar[str] = "store the weight in the axis order the operation expects"

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """The kernel is the reference's, transposed."""
        move = _move(pair, role)
        return f"the {role} is the reference's with {move}" if move and "inputs and outputs" in move else None


class WeightsPermuted(WeightCause):
    """The same numbers in another order: flipped kernels, shuffled channels or groups, swapped height and width."""

    id: ClassVar[str] = "weights-permuted"
    prior: ClassVar[float] = 0.9
    advice: ClassVar[str] = "store the weight in the order the operation expects"

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """The kernel is the reference's, moved in any other way."""
        arrays = _arrays(pair, role)
        if arrays is None or not likeness.same_numbers(*arrays):
            return None
        move = _move(pair, role)
        if move and "inputs and outputs" in move:
            return None
        if pair.candidate.operation.kind == "recurrent" and _by_gates(pair, role):
            return None
        return f"the {role} is the reference's with {move}" if move else f"the {role} holds the same numbers elsewhere"


def _move(pair: LayerPair, role: str) -> str | None:
    arrays = _arrays(pair, role)
    if arrays is None or not likeness.same_numbers(*arrays):
        return None
    left, right = arrays
    if role == "kernel":
        for words, moved in likeness.kernel_moves(left):
            if likeness.gap(moved, right) <= likeness.SAME:
                return words
    for axis in range(left.ndim):
        order = likeness.permutation(left, right, axis)
        if order is not None:
            name = ("outputs", "inputs")[axis] if role == "kernel" and axis < 2 else f"axis {axis}"
            short = f"{order[:6]}{' …' if len(order) > 6 else ''}"
            return f"{name} in the order {short}"
    return None


def _by_gates(pair: LayerPair, role: str) -> bool:
    """Whether the rows are only moved a whole gate at a time."""
    left, right = pair.reference.parameters[role], pair.candidate.parameters[role]
    gates = len(pair.candidate.operation.settings["gates"])
    order = likeness.permutation(left, right, 1)
    if order is None:
        return False
    hidden = len(order) // gates
    blocks = [order[k * hidden : (k + 1) * hidden] for k in range(gates)]
    return all(list(block) == list(range(block[0], block[0] + hidden)) for block in blocks)


def _coarse(left: Array, right: Array) -> str | None:
    """Words for a lower-precision copy."""
    import numpy as np

    from aligner.diagnosis.replay.activation import to_bfloat16

    if likeness.gap(left, right) > _COARSER:
        return None
    plain = right.astype(np.float32)
    for word, rounded in (("float16", likeness.to_half(plain)), ("bfloat16", to_bfloat16(plain))):
        if np.array_equal(rounded, plain) and likeness.gap(left, right) > likeness.SAME / 4:
            return f"a {word} copy of"
    return None


class WeightsReducedPrecision(WeightCause):
    """Stored in float16 or bfloat16 and read back."""

    id: ClassVar[str] = "weights-reduced-precision"
    prior: ClassVar[float] = 0.9
    advice: ClassVar[str] = "keep this weight in float32, or accept the loss with a looser tolerance"

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """All of it lies on the coarser grid."""
        arrays = _arrays(pair, role)
        words = _coarse(*arrays) if arrays is not None else None
        return f"the {role} is {words} the reference's" if words else None


class WeightsQuantized(WeightCause):
    """Stored in eight bits or fewer."""

    id: ClassVar[str] = "weights-quantized"
    prior: ClassVar[float] = 0.85
    advice: ClassVar[str] = (
        "quantise per channel, leave this layer in float, or accept the loss with a looser tolerance"
    )

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """Few levels, close to the reference's numbers."""
        arrays = _arrays(pair, role)
        if arrays is None or role not in {"kernel", "w", "r", "table"}:
            return None
        left, right = arrays
        declared = any(
            scene.candidate.graph.weights[n].quantization is not None for n in scene.candidate.region.weights
        )
        axis = output_axis(pair.candidate.operation, right) or 0
        if not (declared or likeness.on_grid(right) or likeness.grid_by_channel(right, axis)):
            return None
        if likeness.on_grid(left) or likeness.correlation(left, right) < _RELATED:
            return None
        return f"the {role} is an eight-bit copy, {likeness.gap(left, right):.1%} off"


class WeightsBatchNormFold(WeightCause):
    """A batch normalisation folded along the wrong axis, twice, or not at all."""

    id: ClassVar[str] = "weights-bn-fold"
    prior: ClassVar[float] = 0.94
    advice: ClassVar[str] = (
        "fold once, along the output channels: scale = γ / √(variance + ε), kernel · scale, (bias − mean) · scale + β"
    )

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """The candidate's numbers follow from the reference's by another folding."""
        return _derived(pair, role)


def _derived(pair: LayerPair, role: str) -> str | None:
    raw, scale = pair.reference.raw, pair.reference.scale
    arrays = _arrays(pair, role)
    if raw is None or scale is None or arrays is None:
        return None
    right = arrays[1]
    if role == "bias":
        kernel = pair.candidate.parameters.get("kernel")
        same = kernel is not None and _same(pair, "kernel")
        return "the bias was not folded as the kernel was" if same else None
    if role != "kernel" or right.shape != raw.shape:
        return None
    axis = output_axis(pair.reference.operation, raw) or 0
    options = [
        ("left out", raw),
        ("applied twice", scaled(raw, scale * scale, axis)),
        ("inverted", scaled(raw, 1 / scale, axis)),
    ]
    options += [
        (f"applied along axis {other}", scaled(raw, scale, other))
        for other in range(raw.ndim)
        if other != axis and raw.shape[other] == scale.size
    ]
    for words, kernel in options:
        if likeness.gap(kernel, right) <= 1e-5:
            return f"the normalisation's scale was {words} when it was folded into the kernel"
    return _per_channel(raw, right, axis)


def _per_channel(raw: Array, right: Array, axis: int) -> str | None:
    """A fold with other statistics: each output's kernel is the unfolded one times a number."""
    import numpy as np

    a, b = (np.moveaxis(side, axis, 0).reshape(side.shape[axis], -1).astype(np.float64) for side in (raw, right))
    if a.shape[1] < 2:
        return None
    factor = (a * b).sum(axis=1) / np.maximum((a * a).sum(axis=1), 1e-30)
    if likeness.gap(b, a * factor[:, None]) > 1e-5:
        return None
    return "each output's kernel is the unfolded one times a number that is not the normalisation's scale"


class WeightsBiasMissing(WeightCause):
    """The bias dropped, doubled or negated; the kernel is right."""

    id: ClassVar[str] = "weights-bias-missing"
    prior: ClassVar[float] = 0.94
    advice: ClassVar[str] = "carry the bias over, once"

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """Zeros, nothing, or a multiple of the reference's."""
        if role not in {"bias", "shift", "b", "rb"} or {"kernel", "w", "r", "scale"} & set(differing(pair)):
            return None
        left, right = pair.reference.parameters[role], pair.candidate.parameters.get(role)
        if right is None or not right.any():
            return f"the {role} is {'missing' if right is None else 'all zeros'}; the reference's is not"
        for words, factor in (("twice", 2.0), ("the negative of", -1.0)):
            if likeness.gap(left.reshape(-1) * factor, right.reshape(-1)) <= 1e-5:
                return f"the {role} is {words} the reference's"
        return None


class WeightsSharedEdited(WeightCause):
    """A weight that two layers share was changed for one of its uses, or once for each."""

    id: ClassVar[str] = "weights-shared-edited"
    prior: ClassVar[float] = 0.92
    advice: ClassVar[str] = "copy a shared weight before editing it for one of its uses (folding, transposing)"

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """The reference uses this weight elsewhere, where the candidate's is right or was edited as well."""
        shared = [name for name in pair.reference.node.weights if len(_users(scene, 0, name)) > 1]
        if role not in {"kernel", "w", "table"} or not shared:
            return None
        others = [index for name in shared for index in _users(scene, 0, name) if index != pair.reference.node.index]
        fine = [m for m in survey.measured if set(m.pair.reference_region.nodes) & set(others)]
        right = [m for m in fine if survey.verdicts.get(m.pair.candidate) in {"aligned", "inherited"}]
        edited = [m for m in fine if survey.verdicts.get(m.pair.candidate) == "introduced"]
        if not right and not edited:
            return None
        return (
            f"{shared[0]} is used {len(others) + 1} times in the reference, and the candidate is "
            f"{'right at the other use' if right else 'wrong at every use'}"
        )


def _users(scene: Scene, side: int, name: str) -> list[int]:
    return [node.index for node in scene.graphs[side].nodes if name in node.weights]


class WeightsChanged(WeightCause):
    """Other numbers, with no simpler word for how."""

    id: ClassVar[str] = "weights-changed"
    prior: ClassVar[float] = 0.6
    general: ClassVar[bool] = True

    def describe(self, pair: LayerPair, role: str, scene: Scene, survey: Survey) -> str | None:
        """Whatever differs."""
        arrays = _arrays(pair, role)
        if arrays is None or arrays[0].shape != arrays[1].shape:
            return None
        left, right = arrays
        share = float((left != right).mean())
        return f"the {role} differs by {likeness.gap(left, right):.2g} in {share:.0%} of its elements"
