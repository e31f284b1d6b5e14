"""The state of an alignment under construction, and the rule that carries it along the dataflow.

Values are paired through the operands of paired nodes, walking against the flow: what a paired node reads on one side
answers what it reads on the other, whatever computed it. That is what makes fused groups regions: a convolution with
its normalisation folded in answers the normalisation's output, because both feed the same next layer; and the inside of
a region finds no partner. One tensor has at most one partner; a pairing once made is never overwritten.
"""

from __future__ import annotations

from collections import deque

from aligner.alignment.batches import whole_input, whole_output
from aligner.alignment.compatibility import (
    nearest,
    same_word,
    taken_operands,
    weight_sizes,
)
from aligner.alignment.layer_ends import (
    activated,
    adds_bias,
    biased,
    both_with_affine,
    both_with_norm,
    gates_itself,
    layer_of,
    normed,
    normed_layer,
    one_with_constant,
    tail,
    with_bias,
)
from aligner.alignment.likeness import Likeness
from aligner.alignment.provenance import modules_called
from aligner.alignment.second_look import SecondLook
from aligner.alignment.skeleton import Skeleton, reads_turned
from aligner.alignment.twins import GIVEN, twins
from aligner.alignment.windows import before_padding, windows_beyond_padding
from aligner.operations.kinds import AFFINE, COMMUTATIVE, SOURCES, SUNDRY, same_family
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node

_OWN = frozenset({"name", "weights"})
_FAR = 0.5
"""The confidence that a walk of any length keeps."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which rule made a pair, and how sure it is (0…1)."""

    rule: str
    confidence: float


def _opposed(reference: Node, candidate: Node) -> bool:
    """Whether two comparisons ask different things: "unequal" may be spelled as the negation of "equal"."""
    return reference.kind == candidate.kind == "compare" and not same_word(reference.op, candidate.op)


def _one_step_on(confidence: float) -> float:
    """A step along the dataflow where kinds and parameters fit: each costs a little, a thousand do not cost it all."""
    return confidence if confidence <= _FAR else _FAR + 0.95 * (confidence - _FAR)


def _readers(skeleton: Skeleton, root: str) -> list[Node]:
    """The nodes that read a tensor, also those that it reaches through a padding of their own; each once."""
    found = [node for node, _ in skeleton.readers(root)]
    return list({node.index: node for node in (*found, *windows_beyond_padding(skeleton, root))}.values())


class Matching:
    """Node pairs, tensor pairs (roots of layout-only chains) and the forms that paired nodes read."""

    def __init__(self, reference: Skeleton, candidate: Skeleton, second: SecondLook | None = None) -> None:
        self.reference = reference
        self.candidate = candidate
        self.second = second or SecondLook()
        self.like = Likeness(reference, candidate, self.second.sketches)
        self.twins = twins(reference, candidate, self.second.found)
        self.modules = modules_called(reference, candidate)
        self.node_partner: dict[int, Node] = {}
        self.node_source: dict[int, Node] = {}
        self.node_evidence: dict[int, Evidence] = {}
        self.unfolded: set[int] = set()
        """Nodes of the candidate that hold the very parameters of their partners: neither has scales folded in."""
        self.roots: dict[str, tuple[str, Evidence]] = {}
        self.root_source: dict[str, str] = {}
        self.forms: dict[str, str] = {}
        """Candidate value → reference value, as read by a pair of nodes (forms of paired roots)."""
        self._nodes: deque[tuple[Node, Node]] = deque()
        self._values: deque[tuple[str, str]] = deque()

    def pair_nodes(self, reference: Node, candidate: Node, evidence: Evidence) -> bool:
        """Pair two nodes unless either has a partner; their operands follow in ``propagate``."""
        if reference.index in self.node_partner or candidate.index in self.node_source:
            return False
        if self._one_adds_a_bias(reference, candidate) or _opposed(reference, candidate):
            return False
        if self._of_other_operands(reference, candidate):
            return False
        if gates_itself(self.reference, reference) != gates_itself(self.candidate, candidate):
            return False
        self.node_partner[reference.index] = candidate
        self.node_source[candidate.index] = reference
        self.node_evidence[candidate.index] = evidence
        self._nodes.append((reference, candidate))
        return True

    def _one_adds_a_bias(self, reference: Node, candidate: Node) -> bool:
        """Whether one sum joins two tensors and the other is the end of a layer: not the same, whatever reads them."""
        if reference.kind != "add" or candidate.kind != "add":
            return False
        counts = len(self.reference.data_inputs(reference)), len(self.candidate.data_inputs(candidate))
        if min(counts) != 1 or max(counts) == 1:
            return False
        return adds_bias(self.reference, reference) or adds_bias(self.candidate, candidate)

    def _of_other_operands(self, reference: Node, candidate: Node) -> bool:
        """Whether one product or sum takes a number, as a factor of a formula is, where the other takes a tensor."""
        if reference.kind != candidate.kind or reference.kind not in AFFINE:
            return False
        left, right = (taken_operands(*side) for side in self._sides(reference, candidate))
        return any((one == "0") != (other == "0") for one, other in zip(left, right, strict=False))

    def pair_roots(self, reference: str, candidate: str, evidence: Evidence, *, resized: bool = False) -> bool:
        """Pair two tensors of equal size unless either has a partner; ``resized`` lets sizes differ."""
        if reference in self.roots or candidate in self.root_source or (reference, candidate) in self.second.dropped:
            return False
        if evidence.rule not in GIVEN and not self.twins.allow(reference, candidate):
            return False  # one of them holds the very numbers of a third
        if evidence.rule not in GIVEN and self._one_is_normed(reference, candidate):
            return False  # the other has that norm folded in, which scales its outputs before a bias of its own node
        sizes = self.reference.size(reference), self.candidate.size(candidate)
        if not resized and None not in sizes and sizes[0] != sizes[1]:
            return False
        if evidence.rule != "map" and self.reference.is_complex(reference) != self.candidate.is_complex(candidate):
            return False  # of as many numbers one side holds only the real parts, or the imaginary ones
        self.roots[reference] = (candidate, evidence)
        self.root_source[candidate] = reference
        self._values.append((reference, candidate))
        return True

    def _one_is_normed(self, reference: str, candidate: str) -> bool:
        """Whether a norm that a converter may fold follows one of two layers alone, and their tensors differ."""
        layers = layer_of(self.reference, reference), layer_of(self.candidate, candidate)
        if None in layers or self._unfolded(reference, candidate):
            return False
        ends = tail(self.reference, reference), tail(self.candidate, candidate)
        return ends[0][-1] != ends[1][-1] and not self.like.surely_same(reference, candidate)

    def _unfolded(self, reference: str, candidate: str) -> bool:
        """Whether two nodes with the same parameters compute them: no norm or scale behind one alone was folded in."""
        a, b = layer_of(self.reference, reference), layer_of(self.candidate, candidate)
        return a is not None and b is not None and b.index in self.unfolded and self.node_source.get(b.index) is a

    def propagate(self) -> None:
        """Follow the dataflow from every new pair until nothing more follows."""
        while self._nodes or self._values:
            if self._nodes:
                self._operands(*self._nodes.popleft())
            else:
                reference, candidate = self._values.popleft()
                self._producers(reference, candidate)
                self._readers(reference, candidate)

    def _operands(self, reference: Node, candidate: Node) -> None:
        if reference.kind in SUNDRY and not same_word(reference.op, candidate.op):
            return  # a square root and a reciprocal have the same kind, not the same operand
        confidence = _one_step_on(self.node_evidence[candidate.index].confidence)
        for left, right in self._matched_operands(reference, candidate):
            alike = reads_turned(reference, left) == reads_turned(candidate, right)
            left, right = self._unpadded(reference, left, candidate, right)
            left, right = (
                whole_input(self.reference, reference, left, self.candidate, right),
                whole_input(self.candidate, candidate, right, self.reference, left),
            )
            roots = self.reference.root(left), self.candidate.root(right)
            if not self._paired(left, right):
                roots = self.like.without_extra(*roots)
            if not self._settled_otherwise(*roots):
                self.pair_roots(*roots, Evidence("structure", confidence))
            if alike and self.roots.get(roots[0], ("",))[0] == roots[1]:
                self.forms.setdefault(right, left)

    def _unpadded(self, reference: Node, left: str, candidate: Node, right: str) -> tuple[str, str]:
        """Operands of two windows; where sizes say so, one that is padded before its window is read through that."""
        sizes = self.reference.size(left), self.candidate.size(right)
        if None in sizes or sizes[0] == sizes[1]:
            return left, right
        inner = before_padding(self.reference, reference, left), before_padding(self.candidate, candidate, right)
        for option in ((left, inner[1]), (inner[0], right), inner):
            if option != (left, right) and self.reference.size(option[0]) == self.candidate.size(option[1]):
                return option
        return left, right

    def _settled_otherwise(self, left: str, right: str) -> bool:
        """Whether one of two tensors that differ is computed by a node whose partner computes the like of it."""
        if self.like.surely_same(left, right):
            return False
        a, b = self.reference.producer.get(left), self.candidate.producer.get(right)
        partner = self.node_partner.get(a.index) if a is not None else None
        source = self.node_source.get(b.index) if b is not None else None
        return bool(
            (
                partner is not None
                and partner is not b
                and any(self.like.surely_same(left, name) for name in partner.outputs)
            )
            or (
                source is not None
                and source is not a
                and any(self.like.surely_same(name, right) for name in source.outputs)
            )
        )

    def _matched_operands(self, reference: Node, candidate: Node) -> list[tuple[str, str]]:
        left, right = self.reference.data_inputs(reference), self.candidate.data_inputs(candidate)
        if len(left) == 1 and len(right) == 1:
            return [(left[0], right[0])]
        ordered = len(left) == len(right) and reference.kind not in COMMUTATIVE
        pairs, free_left, free_right = [], list(left), list(right)
        for certain in (
            self._paired,
            self._made_by_partners,
            self.like.surely_same,
            *((self.like.alike,) if not ordered else ()),
        ):
            if certain == self.like.alike:
                pairs += self._nearest(free_left, free_right)
            for a in list(free_left):
                options = [b for b in free_right if certain(a, b)]
                rivals = [other for other in free_left if other != a and options and certain(other, options[0])]
                if options and (certain == self._paired or (len(options) == 1 and not rivals)):
                    pairs.append((a, options[0]))
                    free_left.remove(a)
                    free_right.remove(options[0])
        if ordered and reference.kind == "matmul":  # (B'A')' for A·B, where few bits or a fault leave nothing the same
            pairs += self._nearest(free_left, free_right)
        if len(free_left) == len(free_right):
            pairs += [(a, b) for a, b in zip(free_left, free_right, strict=True) if self._may_pair(a, b)]
        return pairs

    def _nearest(self, left: list[str], right: list[str]) -> list[tuple[str, str]]:
        """Operands in any order where sketches tell them apart, as few bits leave them; those paired are taken out."""
        roots = [self.reference.root(name) for name in left], [self.candidate.root(name) for name in right]
        pairs = nearest([[self.like.distance(one, other) for other in roots[1]] for one in roots[0]])
        found = [(left[place], right[other]) for place, other in pairs]
        for one, other in found:
            left.remove(one)
            right.remove(other)
        return found

    def _paired(self, left: str, right: str) -> bool:
        return self.roots.get(self.reference.root(left), ("",))[0] == self.candidate.root(right)

    def _made_by_partners(self, left: str, right: str) -> bool:
        """Whether two nodes that are paired already compute them, each as the same of its outputs, or as a layer with
        its bias and its norm."""
        roots = self.reference.root(left), self.candidate.root(right)
        a, b = self.reference.producer.get(roots[0]), self.candidate.producer.get(roots[1])
        if a is not None and b is not None and self.node_partner.get(a.index) is b:
            return self._position(a, roots[0]) == self._position(b, roots[1])
        layers = normed_layer(self.reference, roots[0]), normed_layer(self.candidate, roots[1])
        return layers[0] is not None and self.node_partner.get(layers[0].index) is layers[1] is not None

    def _may_pair(self, left: str, right: str) -> bool:
        roots = self.reference.root(left), self.candidate.root(right)
        return (roots[0] not in self.roots and roots[1] not in self.root_source) or self._paired(left, right)

    def _producers(self, reference: str, candidate: str) -> None:
        a, b = self.reference.producer.get(reference), self.candidate.producer.get(candidate)
        if a is None or b is None or self.reference.moves(a) or self.candidate.moves(b):
            return
        confidence = _one_step_on(self.roots[reference][1].confidence)
        functions = (activated, normed) if (a.kind == "norm") != (b.kind == "norm") else (activated,)
        if a.kind != b.kind:  # a layer, of which one side has the bias in a node of its own
            a, b = layer_of(self.reference, reference), layer_of(self.candidate, candidate)
            if a is not None and b is not None and a.kind == b.kind and self._parameters_fit(a, b):
                self.pair_nodes(a, b, Evidence("structure", confidence))
        elif (
            (a.kind not in SUNDRY or same_word(a.op, b.op))
            and self._parameters_fit(a, b)
            and self._position(a, reference) == self._position(b, candidate)
        ):
            self.pair_nodes(a, b, Evidence("structure", confidence))
        for function in functions:
            ends = function(self.reference, reference), function(self.candidate, candidate)
            if ends[0] is not None and ends[1] is not None and ends[0][1] != ends[1][1]:
                self.pair_roots(ends[0][0], ends[1][0], Evidence("structure", confidence))

    @staticmethod
    def _position(node: Node, value: str) -> int:
        return node.outputs.index(value)

    def _parameters_fit(self, reference: Node, candidate: Node) -> bool:
        return weight_sizes(self.reference, reference) == weight_sizes(self.candidate, candidate)

    def _readers(self, reference: str, candidate: str) -> None:
        left = [node for node in _readers(self.reference, reference) if node.index not in self.node_partner]
        right = [node for node in _readers(self.candidate, candidate) if node.index not in self.node_source]
        confidence = self.roots[reference][1].confidence
        after = _one_step_on(confidence)
        for kind in dict.fromkeys(node.kind for node in left):
            a = [node for node in left if node.kind == kind]
            b = [node for node in right if node.kind == kind]
            if len(a) != len(b) or kind in SOURCES | {"other"}:
                continue
            for one, other in zip(a, b, strict=True):
                if self._parameters_fit(one, other) and self.outputs_fit(one, other):
                    self.pair_nodes(one, other, Evidence("structure", after if len(a) == 1 else 0.8 * confidence))

    def outputs_fit(self, reference: Node, candidate: Node) -> bool:
        if not reference.outputs or not candidate.outputs:
            return False
        return self.reference.size(reference.outputs[0]) == self.candidate.size(candidate.outputs[0])

    def outputs_of_paired_nodes(self, *, sure: bool = False) -> None:
        """Pair what paired nodes compute, where no reader has settled it: ends of branches, unmatched readers.

        ``sure``: of nodes with names or weights of their own alone, behind which neither side could fuse anything that
        the other does not.
        """
        for candidate_index, reference in list(self.node_source.items()):
            candidate = self.node_partner[reference.index]
            assert candidate.index == candidate_index
            evidence = self.node_evidence[candidate_index]
            if len(reference.outputs) == len(candidate.outputs) == 1 and self._answered(reference, candidate):
                continue
            if sure and not (evidence.rule in _OWN and self._end_alike(reference, candidate)):
                continue
            own = [biased(side, node) for side, node in self._sides(reference, candidate)]
            own_size = self._fed_alike(reference, candidate) or (
                # a write is as large as what it writes into: a part of a tensor (a view), or all of it
                reference.kind != "scatter" and (evidence.rule in _OWN or evidence.confidence >= 0.85)
            )
            for place, (left, right) in enumerate(zip(reference.outputs, candidate.outputs, strict=False)):
                if left and right and same_family(reference.kind, candidate.kind):
                    left, right = (
                        whole_output(self.reference, reference, left, self.candidate, right),
                        whole_output(self.candidate, candidate, right, self.reference, left),
                    )
                    left = left if not own[1] or own[0] else with_bias(self.reference, left)
                    right = right if not own[0] or own[1] else with_bias(self.candidate, right)
                    # a last state of all layers is none of one layer
                    self._pair_outputs(left, right, evidence, resized=own_size and not place)

    def _answered(self, reference: Node, candidate: Node) -> bool:
        return self.roots.get(reference.outputs[0], ("",))[0] == candidate.outputs[0]

    def _end_alike(self, reference: Node, candidate: Node) -> bool:
        """Whether two nodes of one kind have one output each, and what follows says nothing of a fusion."""
        if reference.kind != candidate.kind or len(reference.outputs) != 1 or len(candidate.outputs) != 1:
            return False
        return self.ends_agree(reference.outputs[0], candidate.outputs[0])

    def _pair_outputs(self, left: str, right: str, evidence: Evidence, *, resized: bool) -> None:
        sides, same = (self.reference, self.candidate), self.like.same(left, right)
        if same is not True:
            left, right = both_with_affine(sides, left, right)
        else:
            left, right = both_with_norm(sides, left, right, self.like.surely_same)
        folded = one_with_constant(sides, left, right, self.like.surely_same) if same is False else None
        if folded is not None:
            left, right, same = *folded, True
        elif same is False and not self.ends_agree(left, right):
            return
        factor = 0.98 if same else 0.9
        self.pair_roots(left, right, Evidence(evidence.rule, factor * evidence.confidence), resized=resized)

    def _fed_alike(self, reference: Node, candidate: Node) -> bool:
        """Whether two nodes of one kind read nothing but each other's tensors: then another size is their own doing."""
        left, right = self.reference.data_inputs(reference), self.candidate.data_inputs(candidate)
        if reference.kind != candidate.kind or len(left) != len(right) or not left:
            return False
        both = [self._unpadded(reference, a, candidate, b) for a, b in zip(left, right, strict=True)]
        return all(self._paired(a, b) for a, b in both)

    def _sides(self, reference: Node, candidate: Node) -> tuple[tuple[Skeleton, Node], tuple[Skeleton, Node]]:
        return (self.reference, reference), (self.candidate, candidate)

    def ends_agree(self, left: str, right: str) -> bool:
        """Whether nothing was fused into one node alone: what a converter could fuse follows both, or neither."""
        ends = tail(self.reference, left), tail(self.candidate, right)
        return ends[0][:2] == ends[1][:2] and (ends[0][2] == ends[1][2] or self._unfolded(left, right))
