"""The weights of one side, as an audit looks at them: stored ones, and what folding would make of some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import prod

from aligner.alignment.folded_layer import Step, composed, linear_at, norm_affine, normalisation, steps_behind
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import AFFINE, CONFIGURED, LINEAR, PARAMETRIC
from aligner.parameters.fingerprint import Fingerprint, fingerprint, fingerprint_of
from aligner.parameters.folding import scaled
from aligner.parameters.relation import Numbers
from aligner.records.array import Array, Wide
from aligner.records.dataclass import dataclass
from aligner.records.dtypes import is_floating
from aligner.records.graph import Node, Weight
from aligner.records.weight import StoredWeight


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One weight, or what a converter would store for ``sources`` after folding."""

    sources: tuple[StoredWeight, ...]
    shape: tuple[int, ...]
    print: Fingerprint | None
    load: Callable[[], Numbers] | None
    """Reads it; None where only the fingerprint is known."""
    users: tuple[int, ...]
    """Indices of the nodes that use it."""
    place: int
    """Of its first user, in the dataflow's order."""
    made: str = ""
    """What made it out of its sources: "BN-folded", "scale-folded", "constant-folded"; "" for one as it is stored."""
    role: tuple[int, int] | None = None
    """Place and number of the operands of a normalisation that holds nothing but vectors: scale, shift, mean …"""
    coded: bool = False
    """Whether codes are stored, so that its numbers are near those of what it was made of, no more."""
    literal: bool = False
    """Whether it is a number written into the model rather than a parameter: nobody misses it."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def neutral(self) -> bool:
        """Whether it adds nothing as a summand, or changes nothing as a factor."""
        return self.print is not None and self.print.low == self.print.high and self.print.low in (0.0, 1.0)

    @property
    def ids(self) -> frozenset[str]:
        """The stored weights it is made of."""
        return frozenset(weight.id for weight in self.sources)


def entries(skeleton: Skeleton, constants: Mapping[str, Fingerprint]) -> list[Entry]:
    """Every weight that computing nodes use, read one at a time; folded ones follow.

    ``constants`` are fingerprints of ``computed_constants``, as far as a run has shown them.
    """
    users: dict[str, list[Node]] = defaultdict(list)
    for node in skeleton.compute:
        for root in dict.fromkeys(skeleton.weight_roots(node)):
            if root in skeleton.graph.weights and node.kind not in CONFIGURED:
                users[root].append(node)
    scales = _scales(skeleton)
    found = [
        _stored(skeleton, name, nodes)
        for name, nodes in users.items()
        if _counts(skeleton.graph.weights[name], nodes, scales)
    ]
    stored = {entry.sources[0].id: entry for entry in found}
    folded = [entry for node in skeleton.compute for entry in _folded(skeleton, node, stored)]
    folded += [entry for node in skeleton.compute for entry in _scaled(skeleton, node, stored)]
    return found + folded + list(_computed(skeleton, constants, stored))


def computed_constants(skeleton: Skeleton) -> dict[str, list[Node]]:
    """Values that nodes compute from weights alone, and the nodes that mix them with data.

    A converter that folds constants stores the value in place of the weights.
    """
    found: dict[str, list[Node]] = defaultdict(list)
    for node in skeleton.compute:
        for name in dict.fromkeys(node.inputs):
            if name in skeleton.constants and name not in skeleton.graph.weights and node.kind not in CONFIGURED:
                found[name].append(node)
    return found


def _computed(skeleton: Skeleton, constants: Mapping[str, Fingerprint], stored: dict[str, Entry]) -> Iterator[Entry]:
    for name, nodes in computed_constants(skeleton).items():
        sources = [stored[root].sources[0] for root in sorted(skeleton.constants[name]) if root in stored]
        if name in constants and sources:
            yield Entry(
                sources=tuple(sources),
                shape=(constants[name].size,),
                print=constants[name],
                load=None,
                users=tuple(node.index for node in nodes),
                place=min(skeleton.order[node.index] for node in nodes),
                made="constant-folded",
            )


def _scales(skeleton: Skeleton) -> frozenset[tuple[int, float]]:
    """Size and first number of everything that says how integers are meant: beside the weights, not among them."""
    meanings = [weight.quantization for weight in skeleton.graph.weights.values()]
    meanings += [value.quantization for value in skeleton.graph.values.values()]
    return frozenset((len(m.scale), m.scale[0]) for m in meanings if m is not None and m.scale)


def _counts(weight: Weight, nodes: list[Node], scales: frozenset[tuple[int, float]]) -> bool:
    if not prod(weight.shape):
        return False
    if weight.quantization is not None or weight.spacing is not None:
        return True
    if weight.dtype.startswith(("int", "uint")):  # integers beside a float computation are indices, unless multiplied
        return weight.dtype.endswith("8") and len(weight.shape) > 1 and any(n.kind in LINEAR for n in nodes)
    if not is_floating(weight.dtype):
        return False
    if len(weight.shape) < 2 and any(size == prod(weight.shape) for size, _ in scales):
        return (prod(weight.shape), float(weight.values().reshape(-1)[0])) not in scales
    return True


def _stored(skeleton: Skeleton, name: str, nodes: list[Node]) -> Entry:
    weight = skeleton.graph.weights[name]
    print_ = fingerprint_of(weight)
    return Entry(
        sources=(
            StoredWeight(name, weight.name, weight.shape, weight.dtype, tuple(n.name for n in nodes), weight.index),
        ),
        shape=weight.shape,
        print=print_,
        load=lambda: Numbers(weight.values(), weight.dtype, weight.quantization, weight.spacing),
        users=tuple(node.index for node in nodes),
        place=min(skeleton.order[node.index] for node in nodes),
        role=_role(skeleton, name, nodes),
        coded=weight.spacing is not None or weight.dtype.startswith(("int", "uint")),
        literal=_literal(skeleton, name, weight, nodes, print_),
    )


def _role(skeleton: Skeleton, name: str, nodes: list[Node]) -> tuple[int, int] | None:
    if len(nodes) != 1 or nodes[0].kind != "norm" or len(skeleton.data_inputs(nodes[0])) != 1:
        return None
    roots = skeleton.weight_roots(nodes[0])
    return roots.index(name), len(roots)


def _literal(skeleton: Skeleton, name: str, weight: Weight, nodes: list[Node], print_: Fingerprint | None) -> bool:
    """Whether it is a single number, or a mask, that nothing but layers without parameters use."""
    if any(node.kind in PARAMETRIC for node in nodes):
        producer = skeleton.producer.get(name)
        constant = producer is not None and producer.kind == "constant"
        return constant and (print_ is None or print_.low == print_.high)  # the zero states of a recurrent layer
    return prod(weight.shape) == 1 or _two_valued(weight)


def _two_valued(weight: Weight) -> bool:
    """Whether an array holds two different numbers at most: a mask, a constant that broadcasting has spread."""
    array = weight.values().reshape(-1)
    low, high = array.min(), array.max()
    return bool(((array == low) | (array == high)).all())


def _folded(skeleton: Skeleton, node: Node, stored: dict[str, Entry]) -> Iterator[Entry]:
    """What is left of a batch normalisation once it is folded to a scale and a shift."""
    if node.kind != "norm" or norm_affine(skeleton, node) is None:
        return
    roles = _roles(skeleton, node, stored)

    def affine(place: int) -> Wide:
        found = norm_affine(skeleton, node)
        assert found is not None
        return found[place]

    factors = tuple(roles[name] for name in ("scale", "variance") if name in roles)
    summands = tuple(roles[name] for name in ("shift", "mean") if name in roles)
    if not factors or not summands:
        return
    yield _derived(lambda: affine(0), factors, (node,), skeleton)
    yield _derived(lambda: affine(1), summands, (node,), skeleton)


def _roles(skeleton: Skeleton, node: Node, stored: dict[str, Entry]) -> dict[str, Entry]:
    """The stored vectors of a normalisation by what they are to it."""
    operation = normalisation(skeleton, node)
    free = [stored[root] for root in skeleton.weight_roots(node) if root in stored]
    found: dict[str, Entry] = {}
    for name, array in operation.parameters.items() if operation is not None else ():
        same = next((e for e in free if e.size == array.size and (_vector(e) == array.reshape(-1)).all()), None)
        if same is not None:
            found[name] = same
            free.remove(same)
    return found


def _scaled(skeleton: Skeleton, node: Node, stored: dict[str, Entry]) -> Iterator[Entry]:
    """A kernel and a bias with the factors and summands behind them worked in, up to this node.

    They stand in a normalisation, or in products and sums with vectors, which nodes may compute from stored ones.
    """
    if node.kind != "norm" and node.kind not in AFFINE:
        return
    behind = steps_behind(skeleton, node)
    if behind is None or all(step.scale.size == 1 for step in behind[1]):
        return
    linear, steps = behind
    outputs = max(step.scale.size for step in steps)
    own = [stored[root] for root in skeleton.weight_roots(linear) if root in stored]
    kernel = next((entry for entry in own if len(entry.shape) > 1), None)
    layer = linear_at(skeleton, linear, outputs)
    axis = layer.axis_of(_array(kernel)) if kernel is not None and layer is not None else None
    if kernel is None or axis is None or any(size not in (1, outputs) for step in steps for size in step.sizes):
        return
    bias = next((entry for entry in own if entry is not kernel and entry.size == outputs), None)
    factors, summands = _sources(skeleton, steps, stored)
    summands = (*([bias] if bias is not None else []), *summands)
    word = "BN-folded" if len(factors) != 1 or any(step.node.kind == "norm" for step in steps) else "scale-folded"
    nodes = linear, *(step.node for step in steps)
    scale, shift = composed(steps, outputs)
    if steps[-1].scales:
        make = partial(_scaled_kernel, kernel, scale, axis)
        yield _derived(make, (kernel, *factors), nodes, skeleton, word)
    if summands:
        yield _derived(partial(_scaled_bias, bias, scale, shift), summands, nodes, skeleton, word)


def _scaled_kernel(kernel: Entry, scale: Wide, axis: int) -> Wide:
    return scaled(_array(kernel).astype("float64"), scale, axis)


def _scaled_bias(bias: Entry | None, scale: Wide, shift: Wide) -> Wide:
    return shift if bias is None else _vector(bias) * scale + shift


def _sources(
    skeleton: Skeleton, steps: Sequence[Step], stored: dict[str, Entry]
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """The stored weights that factors are made of, and those that summands are made of besides."""
    factors: dict[str, Entry] = {}
    summands: dict[str, Entry] = {}
    for step in steps:
        if step.node.kind == "norm":
            roles = _roles(skeleton, step.node, stored)
            named = {name: (entry.sources[0].id, entry) for name, entry in roles.items()}
            factors |= dict(named[name] for name in ("scale", "variance") if name in named)
            summands |= dict(named[name] for name in ("shift", "mean") if name in named)
            continue
        roots = [root for root in skeleton.weight_roots(step.node) if root in stored and not stored[root].literal]
        (factors if step.scales else summands).update({root: stored[root] for root in roots})
    return tuple(factors.values()), tuple(entry for root, entry in summands.items() if root not in factors)


def _vector(entry: Entry) -> Wide:
    vector: Wide = _array(entry).astype("float64").reshape(-1)
    return vector


def _array(entry: Entry) -> Array:
    assert entry.load is not None
    return entry.load().array


def _derived(
    make: Callable[[], Wide],
    parts: tuple[Entry, ...],
    nodes: tuple[Node, ...],
    skeleton: Skeleton,
    word: str = "BN-folded",
) -> Entry:
    array = make()
    return Entry(
        sources=tuple(entry.sources[0] for entry in parts),
        shape=tuple(array.shape),
        print=fingerprint(array),
        load=lambda: Numbers(make(), "float32"),
        users=tuple(node.index for node in nodes),
        place=min(skeleton.order[node.index] for node in nodes),
        made=word,
    )
