from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from graph_factory import GraphBuilder, conv_net, shuffled
from hypothesis import given, settings
from hypothesis import strategies as st

from aligner.alignment.engine import _matched, align
from aligner.alignment.layout import axes_between, to_first, to_last
from aligner.alignment.mapping import read_mapping, resolve
from aligner.alignment.matching import Matching
from aligner.alignment.second_look import SecondLook
from aligner.alignment.sequence import heaviest_common_subsequence
from aligner.alignment.skeleton import read
from aligner.errors import MappingError
from aligner.records.alignment import Answered, Sketch
from aligner.records.graph import Graph, Node, Value


def pairing(reference, candidate, **options):
    inputs = list(zip(reference.inputs, candidate.inputs, strict=True))
    return {p.candidate: p for p in align(reference, candidate, inputs=inputs, **options).pairs}


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_node_order_and_names_change_nothing(seed):
    graph = conv_net(blocks=4)
    other, names = shuffled(graph, seed)
    pairs = pairing(graph, other)
    assert {pair.reference: name for name, pair in pairs.items()} == {value: names[value] for value in graph.values}


def test_inserted_identities_change_no_pair():
    plain = pairing(conv_net("r"), conv_net("c"))
    padded = pairing(conv_net("r"), conv_net("c", identities=True))
    kinds = lambda pairs: sorted(  # noqa: E731
        (p.reference, p.candidate.split("_")[0]) for p in pairs.values() if "identity" not in p.candidate
    )
    assert kinds(plain) == kinds(padded)


def test_a_folded_convolution_answers_the_norm():
    reference, candidate = conv_net("r"), conv_net("c", folded=True)
    pairs = pairing(reference, candidate)
    for value, pair in pairs.items():
        if value.startswith("cconv"):
            assert pair.reference.startswith("rnorm"), (value, pair.reference)
    alignment = align(reference, candidate, inputs=[("rx", "cx")])
    fused = {v for v, reason in alignment.unpaired_reference.items() if reason == "fused away"}
    assert fused == {v for v in reference.values if v.startswith("rconv")}


def test_channels_last_is_derived_not_guessed():
    pairs = pairing(conv_net("r"), conv_net("c", folded=True, channels="last"))
    assert len(pairs) == 1 + 3 + 3 + 2
    assert {pair.axes for pair in pairs.values()} == {(0, 2, 3, 1)}


def test_structure_carries_when_every_weight_differs():
    reference, candidate = conv_net("r", seed=1), conv_net("c", seed=2)
    pairs = pairing(reference, candidate)
    assert {p.reference.removeprefix("r"): c.removeprefix("c") for c, p in pairs.items()} == {
        value.removeprefix("r"): value.removeprefix("r") for value in reference.values
    }


def test_swapped_branches_of_one_shape_are_told_apart_by_weights():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(4, 4)) for _ in range(3)]

    def attention(prefix, order):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 5, 4))
        built = {i: builder.node("matmul", [x, builder.weight(kernels[i])], (1, 5, 4)) for i in order}
        scores = builder.node("matmul", [built[0], built[1]], (1, 5, 5))
        return builder.graph(builder.node("matmul", [scores, built[2]], (1, 5, 4))), built

    (reference, left), (candidate, right) = attention("r", [0, 1, 2]), attention("c", [2, 0, 1])
    pairs = pairing(reference, candidate)
    assert {i: pairs[right[i]].reference for i in range(3)} == left


def test_a_decomposed_activation_is_a_region():
    def network(prefix, decomposed):
        rng = np.random.default_rng(3)
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 5, 4))
        h = builder.node("matmul", [x, builder.weight(rng.normal(size=(4, 8)))], (1, 5, 8))
        if decomposed:
            scaled = builder.node("div", [h, builder.weight(np.sqrt(2))], (1, 5, 8))
            erf = builder.node("erf", [scaled], (1, 5, 8))
            plus = builder.node("add", [erf, builder.weight(1.0)], (1, 5, 8))
            product = builder.node("mul", [h, plus], (1, 5, 8))
            h2 = builder.node("mul", [product, builder.weight(0.5)], (1, 5, 8))
        else:
            h2 = builder.node("gelu", [h], (1, 5, 8))
        out = builder.node("matmul", [h2, builder.weight(rng.normal(size=(8, 4)))], (1, 5, 4))
        return builder.graph(out), h, h2

    (reference, h, gelu), (candidate, ch, last) = network("r", False), network("c", True)
    pairs = pairing(reference, candidate)
    assert pairs[last].reference == gelu
    assert pairs[ch].reference == h
    assert not [value for value in pairs if value.startswith(("cerf", "cdiv", "cadd"))]


def test_the_users_mapping_overrides_everything():
    reference, candidate = conv_net("r"), conv_net("c")
    pairs = pairing(reference, candidate, mapping=[("rrelu_2", "crelu_5")])
    assert pairs["crelu_5"].reference == "rrelu_2"
    assert pairs["crelu_5"].rule == "map"


def test_a_stale_mapping_entry_is_named(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("reference,candidate\nrrelu_2,gone\n")
    with pytest.raises(MappingError, match="neither model") as caught:
        resolve(read_mapping(path), conv_net("r"), conv_net("c"))
    assert "gone" in caught.value.found


def test_a_malformed_mapping_says_which_line(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("only-one\n")
    with pytest.raises(MappingError, match="line 1"):
        read_mapping(path)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_labels_decide_on_square_shapes(rank):
    cube = (4,) * rank
    assert axes_between(cube, cube, ("first", "last")) == (True, to_last(rank))
    assert axes_between(cube, cube, ("last", "first")) == (True, to_first(rank))
    assert axes_between(cube, cube, ("first", "first")) == (True, None)
    assert axes_between(cube, cube, (None, None)) == (True, None)


def test_two_possible_orders_are_no_order():
    assert axes_between((2, 3, 3, 5), (3, 5, 2, 3), (None, None)) == (False, None)


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
@settings(deadline=None)
def test_sequence_alignment_is_a_longest_common_subsequence(left, right):
    score = np.array([[1.0 if a == b else 0.0 for b in right] for a in left], dtype=np.float32)
    pairs = heaviest_common_subsequence(score.reshape(len(left), len(right)))
    assert all(left[i] == right[j] for i, j in pairs)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(pairs))
    table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    assert len(pairs) == table[-1, -1]


def test_two_thousand_nodes_take_seconds():
    reference, candidate = conv_net("r", blocks=500), conv_net("c", blocks=500)
    start = time.process_time()
    pairs = pairing(reference, candidate)
    assert len(pairs) == len(reference.values)
    assert time.process_time() - start < 10


def test_a_pair_that_heals_downstream_is_dropped():
    reference, candidate = conv_net("r"), conv_net("c")
    sketches = [
        {v: Sketch((1, 4, 8, 6), "float32", 0.1 * i, 1.0 + i, -2.0 - i, 2.0 + i) for i, v in enumerate(graph.values)}
        for graph in (reference, candidate)
    ]
    wrong = list(candidate.values)[4]
    sketches[1][wrong] = Sketch((1, 4, 8, 6), "float32", 0.7, 9.0, -20.0, 20.0)
    alignment = align(
        reference,
        candidate,
        reference_sketches=sketches[0],
        candidate_sketches=sketches[1],
        inputs=[("rx", "cx")],
    )
    assert alignment.unpaired_candidate[wrong] == "pairing suspect"
    assert len(alignment.pairs) == len(candidate.values) - 1


def test_the_sum_with_a_bias_is_not_the_sum_with_a_residual():
    weight, bias = np.eye(6), np.arange(6)
    reference, candidate = GraphBuilder(prefix="r"), GraphBuilder(prefix="c")
    x, other = (builder.input("x", (1, 4, 6)) for builder in (reference, candidate))
    layer = reference.node("matmul", (x, reference.weight(weight), reference.weight(bias)), (1, 4, 6))
    total = reference.node("add", (x, layer), (1, 4, 6))
    product = candidate.node("matmul", (other, candidate.weight(weight)), (1, 4, 6))
    biased = candidate.node("add", (product, candidate.weight(bias)), (1, 4, 6))
    ends = [b.node("softmax", (value,), (1, 4, 6)) for b, value in ((reference, total), (candidate, biased))]
    pairs = pairing(reference.graph(ends[0]), candidate.graph(ends[1]))
    assert pairs[biased].reference == total and product not in pairs


def test_a_root_divided_by_one_stands_for_a_reciprocal_root():
    reference, candidate = GraphBuilder(prefix="r"), GraphBuilder(prefix="c")
    x, other = (builder.input(f"{builder.prefix}x", (1, 6, 1)) for builder in (reference, candidate))
    right = reference.node("unary", (x,), (1, 6, 1))
    root = candidate.node("sqrt", (other,), (1, 6, 1))
    wrong = candidate.node("div", (root, candidate.weight([1.0])), (1, 6, 1))
    ends = [
        b.node("mul", (value, x0), (1, 6, 1)) for b, value, x0 in ((reference, right, x), (candidate, wrong, other))
    ]
    graphs = reference.graph(ends[0]), candidate.graph(ends[1])
    size = {x: 4.0, other: 4.0, right: 0.5, root: 2.0, wrong: 2.0, ends[0]: 2.0, ends[1]: 8.0}
    sketches = [{v: Sketch((1, 6, 1), "float32", size[v], size[v], 0.0, 2 * size[v]) for v in g.values} for g in graphs]
    pairs = pairing(*graphs, reference_sketches=sketches[0], candidate_sketches=sketches[1])
    assert pairs[wrong].reference == right and root not in pairs


@pytest.mark.parametrize("spelled", ["gate", "ways", "copies"])
def test_what_an_activation_reads_is_paired_however_it_is_spelled(spelled):
    """A layer whose kernel differs has no numbers, and a folded norm no node, to be paired by."""

    def network(prefix, spelled):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (4, 8))
        layer = builder.node("matmul", [x, builder.weight(np.eye(8) if spelled else 2 * np.eye(8))], (4, 8))
        if not spelled:
            vectors = [builder.weight(np.arange(1, 9) * n) for n in range(1, 5)]
            layer = builder.node("norm", [layer, *vectors], (4, 8), epsilon=1e-5)
            value = builder.node("silu", [layer], (4, 8))
        elif spelled == "gate":
            value = builder.node("mul", [layer, builder.node("sigmoid", [layer], (4, 8))], (4, 8))
        elif spelled == "copies":  # an offset before the activation went into a copy of the layer
            stored = builder.weight(np.eye(8)), builder.weight(np.full(8, 3.0))
            copy = builder.node("matmul", [x, *stored], (4, 8), fused_activation="relu6")
            value = builder.node("mul", [layer, copy], (4, 8))
        else:
            size = builder.node("abs", [layer], (4, 8))
            part = builder.node("div", [layer, builder.node("add", [size, builder.weight(1.0)], (4, 8))], (4, 8))
            value = builder.node("mul", [part, builder.node("exp", [size], (4, 8))], (4, 8))
        weight = builder.weight(np.random.default_rng(1).normal(size=(8, 3)))
        return builder.graph(builder.node("matmul", [value, weight], (4, 3))), layer

    (left, norm), (right, layer) = network("r", None), network("c", spelled)
    assert {pair.candidate: pair.reference for pair in align(left, right).pairs}[layer] == norm


def test_a_product_with_a_number_answers_none_of_two_tensors():
    """A half moved into the next layer: the product before it is read there, not the tensor that it is taken of."""

    def network(prefix, halved):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (4, 8))
        gate = builder.node("sigmoid", [x], (4, 8))
        turned = builder.node("mul", [x, builder.node("tanh", [gate], (4, 8))], (4, 8))
        inner = builder.node("mul", [turned, gate], (4, 8))
        value = builder.node("mul", [inner, builder.weight(np.array(0.5))], (4, 8)) if halved else inner
        end = builder.node("matmul", [value, builder.weight(np.random.default_rng(1).normal(size=(8, 3)))], (4, 3))
        return builder.graph(end), turned

    (left, turned), (right, other) = network("r", True), network("c", False)
    assert {pair.candidate: pair.reference for pair in align(left, right).pairs}[other] == turned


def test_a_product_that_ends_a_spelled_out_activation_is_no_other_product():
    def network(prefix, spelled):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 4, 6))
        gate = builder.node("tanh", (x,), (1, 4, 6))
        inner = builder.node("sigmoid", (x,), (1, 4, 6)) if spelled else None
        silu = builder.node("mul", (x, inner), (1, 4, 6)) if inner else builder.node("silu", (x,), (1, 4, 6))
        return builder.graph(builder.node("softmax", (builder.node("mul", (gate, silu), (1, 4, 6)),), (1, 4, 6))), silu

    (reference, silu), (candidate, product) = network("r", spelled=False), network("c", spelled=True)
    answers = {pair.candidate: pair.reference for pair in pairing(reference, candidate).values()}
    assert answers[product] == silu
    assert answers["cmul_3"] == "rmul_2" and "csigmoid_1" not in answers


@pytest.mark.parametrize(("number", "moves"), [(0.0, True), (1e-12, False)])
def test_an_epsilon_too_small_to_show_is_an_operation_all_the_same(number, moves):
    builder = GraphBuilder()
    x = builder.input("x", (1, 4, 6))
    total = builder.node("add", (x, builder.weight([number])), (1, 4, 6))
    graph = builder.graph(total)
    same = Sketch((1, 4, 6), "float32", 1.0, 1.5, 0.5, 3.0)
    assert read(graph, {x: same, total: same}).moves(graph.nodes[0]) is moves


def test_of_what_computes_the_inside_of_a_region_is_not_answered():
    """A convolution with its normalisation folded in is one node: the unfolded one's own output is virtual there."""
    found = align(conv_net("r"), conv_net("c", folded=True), inputs=[("rx", "cx")])
    assert found.answered == (Answered(3 * 3 + 2, 2 * 3 + 2, 3), Answered(2 * 3 + 2, 2 * 3 + 2, 0))


def test_an_inside_that_the_other_side_spells_otherwise_is_not_virtual():
    """Three nodes for two others: what lies between them could have been paired."""

    def graph(prefix, *kinds):
        builder = GraphBuilder(prefix)
        x = value = builder.input("x", (2, 3))
        for kind in kinds:
            value = builder.node(kind, (value,), (2, 3))
        return builder.graph(value), x, value

    one, other = graph("r", "exp", "tanh", "erf"), graph("c", "sqrt", "abs")
    found = align(one[0], other[0], inputs=[(one[1], other[1])], mapping=[(one[2], other[2])])
    assert found.answered == (Answered(3, 1, 0), Answered(2, 1, 0))


def test_an_inside_of_two_regions_is_virtual_where_the_other_side_of_one_is_one_node():
    """A factor that one reader takes in leaves the tensor before it inside of that reader's region as well."""

    def graph(prefix, *steps):
        builder = GraphBuilder(prefix)
        values = [builder.input("x", (2, 3))]
        for kind, place in steps:
            values.append(builder.node(kind, (values[place],), (2, 3)))
        return builder.graph(*values[-2:]), values

    one, left = graph("r", ("gelu", 0), ("sqrt", 1), ("cos", 1), ("sin", 3))
    other, right = graph("c", ("erf", 0), ("abs", 1), ("exp", 1), ("tan", 2))
    mapping = [(left[1], right[2]), (left[4], right[3]), (left[2], right[4])]
    found = align(one, other, inputs=[(left[0], right[0])], mapping=mapping)
    assert found.answered[1] == Answered(4, 3, 1)


def test_the_same_numbers_outweigh_two_like_sums_across_them():
    """One side has the first of two sums inside the layer before, the other spells an activation that ends in one."""

    def graph(prefix, kinds, sums):
        builder = GraphBuilder(prefix)
        x = builder.input("x", (2, 30))
        first, second = (builder.node(kind, (x,), (2, 30)) for kind in kinds)
        total = builder.node("add", (first, second), (2, 30))
        values = [total, builder.node("add", (total, second), (2, 30))]
        sketches = {
            value: Sketch((2, 30), "float32", mean, 2.0, -3.0, 4.0) for value, mean in zip(values, sums, strict=True)
        }
        return builder.graph(), x, values, sketches

    one, x, left, first = graph("r", ("exp", "sqrt"), (0.1, 0.2))
    other, y, right, second = graph("c", ("erf", "tan"), (0.2, 0.3))
    matching = Matching(read(one, first), read(other, second), SecondLook())
    _matched(matching, [(x, y)], [], "structure")
    makers = one.index.producers[left[1]], other.index.producers[right[0]]
    assert matching.node_partner[makers[0].index] is makers[1]


def test_counters_that_fall_into_step_for_a_stretch_are_no_names():
    """One network, counted from 0 and from 2: either file has an exp that goes by t4 and reads t3."""

    def counted(first):
        names = [f"t{first + place}" for place in range(9)]
        kinds = "relu tanh exp sqrt exp erf abs neg".split()
        nodes = [
            Node(place, f"n{first + place}", kind, kind, (names[place],), (names[place + 1],), (), {})
            for place, kind in enumerate(kinds)
        ]
        values = {name: Value(name, name, (4,), "float32") for name in names}
        return Graph("toy", tuple(nodes), values, {}, (names[0],), (names[-1],), "first")

    found = align(counted(0), counted(2), inputs=[("t0", "t2")])
    assert [(pair.reference, pair.candidate) for pair in found.pairs] == [(f"t{k}", f"t{k + 2}") for k in range(9)]


def test_a_layer_is_no_partner_of_one_that_a_norm_follows_behind_its_bias():
    """A kernel with the norm folded in, its bias in a node of its own: only the sum answers the norm."""
    rng = np.random.default_rng(0)

    def graph(prefix, normed):
        builder = GraphBuilder(prefix=prefix)
        shape = (1, 4, 8, 6)
        value = builder.input(f"{prefix}x", (1, 3, 8, 6))
        value = builder.node("conv", [value, builder.weight(rng.normal(size=(4, 3, 3, 3)))], shape)
        value = builder.node("add", [value, builder.weight(rng.normal(size=(4, 1, 1)))], shape)
        vectors = [builder.weight(rng.uniform(0.5, 2, 4)) for _ in range(4)]
        value = builder.node("norm", [value, *vectors], shape, epsilon=1e-5) if normed else value
        return builder.graph(builder.node("relu", [value], shape))

    found = pairing(graph("r", False), graph("c", True))
    assert [(pair.reference, pair.candidate) for pair in found.values()] == [
        ("rx", "cx"),
        ("radd_1", "cnorm_2"),
        ("rrelu_2", "crelu_3"),
    ]


def test_a_scale_behind_the_same_kernel_has_not_been_folded_into_it():
    """Attention in one node, and spelled out with its scale at the query: the projections answer each other."""
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(8, 8)) for _ in range(3)]

    def graph(prefix, spelled_out):
        builder = GraphBuilder(prefix=prefix)
        tokens = (1, 6, 8)
        x = builder.input(f"{prefix}x", tokens)
        q, k, v = (builder.node("matmul", [x, builder.weight(kernel)], tokens) for kernel in kernels)
        if not spelled_out:
            return builder.graph(builder.node("attention", [q, k, v], tokens))
        q = builder.node("mul", [q, builder.weight(np.array([8**-0.5]))], tokens)
        scores = builder.node("matmul", [q, builder.node("transpose", [k], (1, 8, 6), perm=(0, 2, 1))], (1, 6, 6))
        return builder.graph(builder.node("matmul", [builder.node("softmax", [scores], (1, 6, 6)), v], tokens))

    found = pairing(graph("r", False), graph("c", True))
    projections = [(f"rmatmul_{n}", f"cmatmul_{n}") for n in range(3)]
    assert set(projections) <= {(pair.reference, pair.candidate) for pair in found.values()}


def test_what_a_module_gives_is_paired_however_it_is_spelled():
    def graph(prefix, kinds):
        builder = GraphBuilder(prefix=prefix)
        value = builder.node("relu", [builder.input(f"{prefix}x", (1, 4, 8, 6))], (1, 4, 8, 6), scope="act")
        for kind in kinds:
            value = builder.node(kind, [value], (1, 4, 16, 12), scope="up")
        return builder.graph(builder.node("slice", [value], (1, 4, 15, 11), scope="crop"))

    found = pairing(graph("r", ["resize"]), graph("c", ["tile", "expand"]))
    assert found["cexpand_2"].reference == "rresize_1"


@pytest.mark.parametrize("width", [1, 8])
def test_one_number_that_scales_a_layer_is_no_norm(width):
    """Attention scales its queries by itself on one side; a factor for each channel may be folded into the other."""
    rng = np.random.default_rng(0)

    def graph(prefix, fused):
        builder = GraphBuilder(prefix=prefix)
        value = builder.input(f"{prefix}x", (6, 8))
        kernels = [builder.weight(rng.normal(size=(8, 8))) for _ in range(3)]
        queries, keys, values = (builder.node("matmul", [value, kernel], (6, 8)) for kernel in kernels)
        if fused:
            return builder.graph(builder.node("attention", [queries, keys, values], (6, 8)))
        queries = builder.node("mul", [queries, builder.weight(rng.normal(size=width))], (6, 8))
        scores = builder.node("matmul", [queries, builder.node("transpose", [keys], (8, 6))], (6, 6))
        return builder.graph(builder.node("matmul", [builder.node("softmax", [scores], (6, 6)), values], (6, 8)))

    found = pairing(graph("r", True), graph("c", False))
    assert ("cmatmul_0" in found) == (width == 1)
    assert found["cmatmul_1"].reference == "rmatmul_1"
