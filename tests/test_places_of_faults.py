"""The node at fault is told, where several explain the same numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_models as make
import pytest
from marks import requires_onnx

import aligner
from aligner.api.matching import match
from aligner.api.walked_back import WalkedBack
from aligner.records.graph import Graph, Node

pytestmark = requires_onnx
SIZE = 8


def told(reference, candidate, x):
    """The first divergence: the reference's tensor, the candidate's node, what stands within."""
    first = aligner.compare(reference, candidate, {"x": x}).to_json()["first_divergence"]
    return first["reference"]["name"], first["candidate"]["node"], first.get("within")


def net(nodes, rows=5, **more):
    """Nodes that go from x to y, the tensors in between by names of their own."""
    rng = np.random.default_rng(1)
    stored = {name: rng.standard_normal((SIZE, SIZE)).astype(np.float32) for name in ("w", "v", "u", "t")}
    stored |= {name: np.float32(number) for name, number in {"half": 0.5, "one": 1}.items()} | more
    used = {name for node in nodes for name in node.input}
    kept = {name: array for name, array in stored.items() if name in used}
    shape = (rows, SIZE)
    return make.model(nodes, [make.value("x", 1, shape)], [make.value("y", 1, shape)], make.weights(**kept))


def rows(count=5):
    return np.random.default_rng(2).standard_normal((count, SIZE)).astype(np.float32)


def unrolled(folder, fault):
    """An LSTM and the same unrolled, with a fault in it: what stands within, and what should."""
    from benchmarks.converters.graph import to_proto
    from benchmarks.converters.networks.builder import Builder
    from benchmarks.converters.rewrites import apply

    rng = np.random.default_rng(4)
    build = Builder(rng, {"x": rng.standard_normal((8, 2, 3)).astype(np.float32)}, opset=17)
    weights = [build.keep(build.normal(1, *shape)) for shape in ((16, 3), (16, 4), (32,))]
    reference = build.finish(build.op("Tanh", build.op("LSTM", "x", *weights, hidden_size=4)))
    candidate = reference.copy()
    assert apply(candidate, "cell_unrolled", rng)
    guilty = fault(candidate)
    candidate.prune()
    for stem, graph in (("ref", reference), ("cand", candidate)):
        (folder / f"{stem}.onnx").write_bytes(to_proto(graph).SerializeToString())
    _, _, within = told(str(folder / "ref.onnx"), str(folder / "cand.onnx"), reference.feeds["x"])
    return within, guilty


@pytest.mark.parametrize("step", [1, 4])
def test_a_node_put_into_a_step_of_an_unrolled_recurrence_is_named(tmp_path, step):
    def put_in(graph):
        cut = [node for node in graph.ordered() if node.op == "Split" and len(node.outputs) == 4][step]
        cut.inputs[0] = graph.add("Mul", cut.inputs[0], graph.keep(np.float32(1.5)))
        return graph.producer(cut.inputs[0]).name

    within, guilty = unrolled(tmp_path, put_in)
    assert within == {"node": guilty, "primitive": "extra"}


@pytest.mark.parametrize("step", [3, 7])
def test_a_sum_lost_in_a_step_of_an_unrolled_recurrence_is_told_by_the_other_steps(tmp_path, step):
    """The new state alone: what was to be forgotten is computed no more."""

    def lose(graph):
        states = [node for node in graph.ordered() if node.op == "Tanh" and graph.producer(node.inputs[0]).op == "Add"]
        reader = states[step]
        sum_ = graph.producer(reader.inputs[0])
        for node in graph.readers(sum_.outputs[0]):
            node.inputs[:] = [sum_.inputs[1] if name == sum_.outputs[0] else name for name in node.inputs]
        return reader.name

    within, guilty = unrolled(tmp_path, lose)
    assert within == {"node": guilty, "primitive": "missing"}


@pytest.mark.parametrize("lost", ["bias", "kernel"])
def test_a_layer_with_a_sixth_of_the_hard_sigmoid_behind_it_in_its_kernel_is_told_itself(lost):
    """Its tensor is none of the reference's, nor of one node's inside."""
    rng = np.random.default_rng(7)
    kernel = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    bias = rng.standard_normal(SIZE).astype(np.float32)
    plain = [make.node("MatMul", ["r", "k"], ["m"]), make.node("Add", ["m", "b"], ["s"])]
    plain += [make.node("HardSigmoid", ["s"], ["h"], alpha=1 / 6, beta=0.5)]
    moved = [make.node("Gemm", ["r", "k", "b"], ["s"], "layer"), make.node("Clip", ["s", "none", "one"], ["h"], "cut")]
    ends = make.node("Relu", ["x"], ["r"]), make.node("Tanh", ["h"], ["y"])
    wrong, offset = kernel / 6, bias / 6 + np.float32(0.5)
    if lost == "bias":
        offset = np.zeros_like(bias)
    else:
        wrong = wrong.T.copy()
    reference = net([ends[0], *plain, ends[1]], k=kernel, b=bias)
    candidate = net([ends[0], *moved, ends[1]], k=wrong, b=offset, none=np.float32(0))
    name, node, within = told(reference, candidate, rows())
    assert (name, node) == ("h", "cut")
    assert within == {"node": "layer", "primitive": "offset.scaled"}


def test_a_factor_that_has_become_one_is_not_lost_before_another_product():
    gate = [
        make.node("MatMul", ["x", "w"], ["m"]),
        make.node("Erf", ["m"], ["e"]),
        make.node("Add", ["e", "one"], ["f"]),
    ]
    inner = [make.node("Mul", ["f", "half"], ["g"], "factor"), make.node("Mul", ["m", "g"], ["h"], "product")]
    outer = [make.node("Mul", ["m", "f"], ["q"], "product"), make.node("Mul", ["q", "one"], ["p"], "factor")]
    last = make.node("MatMul", ["h", "v"], ["y"], "last"), make.node("MatMul", ["p", "v"], ["y"], "last")
    assert told(net([*gate, *inner, last[0]]), net([*gate, *outer, last[1]]), rows())[0] == "h"


def test_a_node_that_reads_a_tensor_from_before_several_layers_errs_and_not_what_it_reads():
    def made(source):
        nodes = [make.node("MatMul", ["x", "w"], ["a"], "first")]
        if source == "c":
            nodes += [make.node("MatMul", ["a", "v"], ["b"], "second"), make.node("Relu", ["b"], ["r"], "clip")]
            nodes += [make.node("MatMul", ["r", "u"], ["c"], "third")]
        return net([*nodes, make.node("Tanh", [source], ["h"], "bent"), make.node("MatMul", ["h", "t"], ["y"], "last")])

    name, node, within = told(made("c"), made("a"), rows())
    assert (name, node) == ("h", "bent")
    assert within == {"node": "bent", "primitive": "missing", "reference_node": "third"}


def test_what_is_computed_of_a_constant_names_the_node_that_the_reference_computes():
    def gated(start, **more):
        nodes = [make.node("Tanh", [start], ["h"], "bent"), make.node("Exp", ["h"], ["e"])]
        nodes += [make.node("Mul", ["e", "x"], ["p"])]
        first = [] if more else [make.node("MatMul", ["x", "w"], [start])]
        return net([*first, *nodes, make.node("MatMul", ["p", "v"], ["y"])], **more)

    name, _, within = told(gated("m"), gated("c", c=rows() / 2), rows())
    assert (name, within) == ("p", {"node": "bent", "primitive": "constant", "reference_node": "bent"})


@pytest.mark.parametrize("lost", [True, False])
def test_a_node_that_reads_a_layer_before_its_normalisation_lacks_the_activation_behind_that(lost):
    """Normalisation and activation were the layer's only readers: they are gone, and the layer stands for all three.

    A layer that is scaled wrongly and activated errs itself.
    """
    ends = [make.node("Mul", ["b", "g"], ["n"]), make.node("Relu", ["n"], ["r"], "clip")]
    reader = [make.node("MatMul", ["r", "v"], ["y"], "reader")]
    g, w = np.linspace(0.5, 3, SIZE, dtype=np.float32), np.random.default_rng(1).standard_normal((SIZE, SIZE))
    layer = [make.node("MatMul", ["x", "k"], ["b"], "layer")]
    whole = net([*layer, *ends, *reader], k=w.astype(np.float32), g=g)
    kept = [make.node("MatMul", ["x", "k"], ["a"], "layer"), make.node("Relu", ["a"], ["r"], "clip")]
    alone = [make.node("MatMul", ["x", "k"], ["r"], "layer")]
    wrong = (w * np.linspace(1, 2, SIZE)).astype(np.float32)
    name, node, within = told(whole, net([*(alone if lost else kept), *reader], k=wrong), rows())
    if lost:
        assert (name, within) == ("r", {"node": "reader", "primitive": "missing", "reference_node": "clip"})
    else:
        assert node in {"layer", "clip"}
        assert within is None or within["reference_node"] != "clip"


def test_a_step_of_a_function_spelled_out_is_named_where_a_factor_of_it_went_into_the_next_layer():
    """x · (1 + tanh(…)), halved by the kernel behind it: right at the end of that layer alone."""
    spelled = [("Mul", "m", "m", "q"), ("Mul", "q", "m", "c"), ("Mul", "c", "cubic", "s"), ("Add", "m", "s", "a")]
    spelled += [("Mul", "a", "root", "b"), ("Sigmoid", "b", "d"), ("Add", "d", "one", "e"), ("Mul", "m", "e", "h")]
    numbers = {"cubic": np.float32(0.044715), "root": np.float32(np.sqrt(2 / np.pi)), "one": np.float32(1)}
    first, last = make.node("MatMul", ["x", "w"], ["m"]), make.node("MatMul", ["h", "v"], ["y"])
    rng = np.random.default_rng(1)
    w, v = (rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))

    def made(nodes, **stored):
        ends = [make.value("x", 1, (5, SIZE))], [make.value("y", 1, (5, SIZE))]
        return make.model([first, *nodes, last], *ends, make.weights(w=w, **stored), opset=20, ir_version=9)

    whole = made([make.node("Gelu", ["m"], ["h"], approximate="tanh")], v=v)
    steps = [make.node(op, read, [out], f"to_{out}") for op, *read, out in spelled]
    _, _, within = told(whole, made(steps, v=v / 2, **numbers), rows())
    assert within == {"node": "to_d", "primitive": "tanh"}


def test_a_node_twice_in_the_first_half_of_another_spelling_is_named():
    """2σ(2x) − 1 for tanh(x), and the half of a later product with it: right at the end of that product alone."""
    first, last = make.node("MatMul", ["x", "w"], ["m"], "first"), make.node("MatMul", ["h", "v"], ["y"], "last")
    plain = [("Tanh", "m", "n"), ("Add", "n", "one", "a"), ("Mul", "m", "half", "b"), ("Mul", "a", "b", "h")]
    spelled = [("Mul", "m", "two", "d"), ("Sigmoid", "d", "s"), ("Sigmoid", "s", "s2"), ("Mul", "s2", "two", "e")]
    spelled += [("Sub", "e", "one", "f"), ("Mul", "f", "half", "g"), ("Add", "g", "half", "c"), ("Mul", "m", "c", "h")]

    def made(steps):
        return [first, *(make.node(op, read, [out], f"to_{out}") for op, *read, out in steps), last]

    _, _, within = told(net(made(plain)), net(made(spelled), two=np.float32(2)), rows())
    assert within == {"node": "to_s2", "primitive": "extra"}


def test_a_lost_residual_is_told_though_the_norm_behind_it_gives_what_one_before_it_gave():
    """Without the block between two norms the candidate's one norm holds the numbers of the reference's first."""

    def norm(source, gain, end):
        steps = [("Pow", source, "two", "p"), ("ReduceMean", "p", "l"), ("Add", "l", "tiny", "e"), ("Sqrt", "e", "z")]
        steps += [("Div", source, "z", "n"), ("Mul", "n", gain, "o")]
        inner = {name: f"{name}_{end}" for name in "plezn"} | {"o": end}
        return [(op, *(inner.get(name, name) for name in names)) for op, *names in steps]

    block = [("MatMul", "c", "v", "k"), ("Relu", "k", "r"), ("MatMul", "r", "u", "j"), ("Add", "a", "j", "s")]

    def made(steps):
        steps = [("MatMul", "x", "w", "a"), *steps, ("MatMul", steps[-1][-1], "t", "y")]
        gains = {name: np.linspace(0.5, 1.5, SIZE, dtype=np.float32) ** power for name, power in (("g", 1), ("f", 2))}
        numbers = {"two": np.float32(2), "tiny": np.float32(1e-6)}
        return net([make.node(op, read, [out], f"to_{out}") for op, *read, out in steps], **gains, **numbers)

    reference = made([*norm("a", "g", "c"), *block, *norm("s", "f", "d")])
    _, _, within = told(reference, made(norm("a", "f", "h")), rows())
    assert (within["primitive"], within["reference_node"]) == ("missing", "to_s")


def test_a_transposition_put_into_one_of_two_products_that_are_one_layer_on_the_other_side_is_named():
    """The sum of both stands for the layer's product, which says no more than that the error is made before it."""
    wide = np.random.default_rng(3).standard_normal((2 * SIZE, SIZE)).astype(np.float32)
    bias = np.linspace(-1, 1, SIZE, dtype=np.float32)
    parts = [make.node("Tanh", ["x"], ["p"], "bent"), make.node("Sigmoid", ["x"], ["q"], "gate")]
    parts += [make.node("Concat", ["p", "q"], ["c"], axis=1), make.node("MatMul", ["c", "other"], ["o"], "beside")]
    one = [make.node("Gemm", ["c", "wide", "bias"], ["h"], "layer")]
    two = [
        make.node("MatMul", ["p", "upper"], ["a"], "first"),
        make.node("Sigmoid", ["x"], ["again"], "twice"),
        make.node("Transpose", ["again"], ["r"], "put", perm=[1, 0]),
        make.node("MatMul", ["r", "lower"], ["e"], "second"),
        make.node("Add", ["a", "e"], ["f"], "both"),
        make.node("Add", ["bias", "f"], ["g"], "shifted"),
    ]
    ends = [make.node("Mul", [name, "o"], ["y"], "end") for name in ("h", "g")]
    numbers = {"rows": SIZE, "bias": bias, "other": wide[::-1].copy()}
    reference = net([*parts, *one, ends[0]], wide=wide, **numbers)
    candidate = net([*parts, *two, ends[1]], upper=wide[:SIZE], lower=wide[SIZE:], **numbers)
    _, _, within = told(reference, candidate, rows(SIZE))
    assert within == {"node": "put", "primitive": "extra"}


def test_a_walk_back_does_not_double_where_a_tensor_is_read_twice():
    class Counted(dict):
        asked = 0

        def get(self, *key):
            self.asked += 1
            return super().get(*key)

    nodes = tuple(
        Node(index=i, name=f"n{i}", op="Add", kind="add", inputs=(f"t{i}",) * 2, outputs=(f"t{i + 1}",))
        for i in range(64)
    )
    graph, partner = Graph("onnx", nodes, {}, {}, ("t0",), ("t64",)), Counted()
    WalkedBack((graph, graph), partner).before(("t64", "t64"))
    assert partner.asked < len(nodes)


def made_of(steps, count=SIZE, **more):
    nodes = [(op, read, out if isinstance(out, list) else [out], given) for op, *read, out, given in steps]
    return net([make.node(op, read, out, f"to_{out[0]}", **given) for op, read, out, given in nodes], count, **more)


def test_a_move_that_leads_back_before_a_product_that_wants_the_form_between_is_named():
    """(WᵀXᵀ)ᵀ for X·W: of the product, which reads what it should not, and the move before it, the move errs."""
    ends = [("Tanh", "x", "h", {})], [("MatMul", "m", "back", "y", {})]
    w = np.random.default_rng(5).standard_normal((SIZE, SIZE - 2)).astype(np.float32)
    turn = {"perm": [1, 0]}
    moved = [("Transpose", "h", "g", turn), ("Transpose", "g", "b", turn)]
    moved += [("MatMul", "turned", "b", "p", {}), ("Transpose", "p", "m", turn)]
    reference = made_of([*ends[0], ("MatMul", "h", "k", "m", {}), *ends[1]], k=w, back=w.T.copy())
    candidate = made_of([*ends[0], *moved, *ends[1]], turned=w.T.copy(), back=w.T.copy())
    _, _, within = told(reference, candidate, rows(SIZE))
    assert within == {"node": "to_b", "primitive": "extra"}


def test_of_several_moves_in_a_row_the_first_that_exchanges_axes_of_one_size_is_named():
    square, wide = [4, SIZE, SIZE], {"four": np.random.default_rng(6).standard_normal((4, 4)).astype(np.float32)}
    shape, last, first = np.int64(square), {"perm": [1, 2, 0]}, {"perm": [2, 0, 1]}
    start = [("Reshape", "x", "shape", "s", {}), ("Tanh", "s", "h", {}), ("Transpose", "s", "z", last)]
    end = [("Add", "r", "z", "a", {}), ("MatMul", "a", "four", "y", {})]
    plain = [("Transpose", "h", "r", last)]
    moved = [("Transpose", "h", "e", {"perm": [0, 2, 1]}), ("Transpose", "e", "f", last)]
    moved += [("Transpose", "f", "g", first), ("Transpose", "g", "r", last)]

    def made(steps):
        nodes = [make.node(op, read, [out], f"to_{out}", **given) for op, *read, out, given in [*start, *steps, *end]]
        ends = [make.value("x", 1, (4 * SIZE, SIZE))], [make.value("y", 1, (SIZE, SIZE, 4))]
        return make.model(nodes, *ends, make.weights(shape=shape, **wide))

    assert told(made(plain), made(moved), rows(4 * SIZE))[1] == "to_e"


def test_a_fault_behind_layers_whose_factor_goes_through_a_rectifier_is_looked_into():
    """The layers are right at the second one's end alone, and not looked into: no runs are left for the fault else."""
    rng = np.random.default_rng(7)
    k, n, m = (rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(3))
    layers = [("MatMul", "x", "k", "a", {}), ("Relu", "a", "b", {}), ("MatMul", "b", "n", "c", {})]
    layers += [("Sigmoid" if i % 2 else "Tanh", f"d{i}" if i else "c", f"d{i + 1}", {}) for i in range(39)]
    layers += [("Mul", "d39", "half", "d", {})]
    apart = [("MatMul", "d", "left", "e", {}), ("MatMul", "d", "right", "f", {}), ("Cast", "f", "g", {"to": 7})]
    apart += [("Cast", "g", "h", {"to": 1}), ("Concat", "e", "h", "i", {"axis": 1})]
    end = [("Tanh", "i", "j", {}), ("MatMul", "j", "v", "y", {})]
    reference = made_of([*layers, ("MatMul", "d", "m", "i", {}), *end], k=k, n=n, m=m)
    parts = {"left": m[:, :1].copy(), "right": m[:, 1:].copy()}
    candidate = made_of([*layers, *apart, *end], k=k * np.float32(3.3), n=n / np.float32(3.3), **parts)
    name, _, within = told(reference, candidate, rows(SIZE))
    assert (name, within) == ("i", {"node": "to_h", "primitive": "extra"})


@pytest.mark.parametrize("off", [2.0, 0.0])
def test_what_a_mask_is_added_to_comes_right_by_the_numbers_beside_it(off, monkeypatch):
    """Rounding of −1e9 explains any of them, and whatever is tried before the mask."""
    from aligner.api import second_look
    from aligner.diff.difference import difference
    from aligner.judgement.suspects import comes_right

    known = []

    def kept(sides, passes, _):
        known.append(((sides[0].graph, sides[1].graph), passes.measured["a"]))

    monkeypatch.setattr(second_look, "locate_within", kept)
    mask = np.where(np.arange(SIZE) > np.arange(5)[:, None] + 3, -1e9, 0).astype(np.float32)
    steps = [("MatMul", "x", "w", "s", {}), ("Add", "s", "mask", "a", {}), ("Softmax", "a", "b", {})]
    models = [made_of([*steps, ("MatMul", "b", last, "y", {})], 5, mask=mask) for last in "vu"]
    aligner.compare(*models, {"x": rows()})
    masked = rows() + mask
    tried = difference(masked, masked + np.where(mask == 0, np.float32(off), 0))
    assert comes_right(*known[0], tried) is not bool(off)


def test_layers_in_a_row_in_each_others_place_are_told_where_they_stand():
    """Each holds the other's weights, which say nothing of its place then."""
    rng = np.random.default_rng(10)
    weights = {f"k{i}": rng.standard_normal((SIZE, SIZE)).astype(np.float32) for i in range(3)}

    def layers(*order, of):
        steps = [("MatMul", "x", "w", f"{of}0", {})]
        for i, place in enumerate(order):
            steps += [
                ("Add", f"{of}{i}", "half", f"b{of}{i}", {}),
                ("MatMul", f"b{of}{i}", f"k{place}", f"c{of}{i}", {}),
            ]
            steps += [(["Tanh", "Sigmoid", "Sin"][i], f"c{of}{i}", f"{of}{i + 1}", {})]
        return made_of([*steps, ("MatMul", f"{of}3", "v", "y", {})], **weights)

    result = aligner.compare(layers(0, 1, 2, of="a"), layers(1, 0, 2, of="m"), {"x": rows(SIZE)})
    assert [pair.candidate.node for pair in result.introduced] == ["to_cm0", "to_cm1"]
    assert result.comparison.causes[0].id == "weights-wrong-entry"


@pytest.mark.parametrize("moved", [False, True])
def test_a_term_that_a_sum_counts_twice_is_told_at_the_sum_that_adds_it_again(moved):
    """A product in four parts, of which one is added twice, before a transposition of the sum or without one."""
    m = np.random.default_rng(3).standard_normal((SIZE, SIZE)).astype(np.float32)
    ends = [("MatMul", "x", "w", "h", {})], [("Tanh", "b", "c", {}), ("MatMul", "c", "v", "y", {})]
    reference = made_of([*ends[0], ("MatMul", "h", "m", "b", {}), *ends[1]], 5, m=m)
    turn = {"perm": [1, 0]}
    parts = [("Split", "h", ["h0", "h1", "h2", "h3"], {"axis": 1, "num_outputs": 4})]
    parts += [("MatMul", f"h{i}", f"m{i}", f"p{i}", {}) for i in range(4)]
    sums = [("Add", "p0", "p1", "s1", {}), ("Add", "s1", "p2", "s2", {}), ("Add", "s2", "p1", "s3", {})]
    turned = [("Transpose", "s3", "s4", turn), ("Transpose", "p3", "p4", turn), ("Add", "s4", "p4", "s5", {})]
    last = [*turned, ("Transpose", "s5", "b", turn)] if moved else [("Add", "s3", "p3", "b", {})]
    pieces = {f"m{i}": piece for i, piece in enumerate(np.split(m, 4))}
    candidate = made_of([*ends[0], *parts, *sums, *last, *ends[1]], 5, **pieces)
    assert told(reference, candidate, rows())[2] == {"node": "to_s3", "primitive": "extra"}


def test_a_truncation_between_layers_whose_factor_goes_through_a_rectifier_is_named():
    """The layer's tensor is paired as it is truncated, which gives it one form more before the layer's other half."""
    rng, factor = np.random.default_rng(3), np.float32(3.3)
    k, m = (rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))
    ends = [("MatMul", "b", "m", "d", {}), ("Tanh", "d", "e", {}), ("MatMul", "e", "v", "y", {})]
    reference = made_of([("MatMul", "x", "k", "a", {}), ("Relu", "a", "b", {}), *ends], k=k, m=m)
    cast = [("Cast", "a", "i", {"to": 7}), ("Cast", "i", "f", {"to": 1}), ("Relu", "f", "b", {})]
    candidate = made_of([("MatMul", "x", "k", "a", {}), *cast, *ends], k=k * factor, m=m / factor)
    assert told(reference, candidate, rows(SIZE))[2] == {"node": "to_f", "primitive": "extra"}


def test_a_tensor_of_a_wrong_pair_is_found_elsewhere_though_the_reference_has_no_other_open():
    """A leaky rectifier as relu(a) − ¼·relu(−a), in which the first rectifier was taken for it, before a fault."""
    m = np.random.default_rng(8).standard_normal((SIZE, SIZE)).astype(np.float32)
    start = [("MatMul", "x", "w", "a", {})]
    end = [("Transpose", "d", "distances", {"perm": [1, 0]}), ("MatMul", "distances", "v", "y", {})]
    spelled = [("Relu", "a", "p", {}), ("Neg", "a", "n", {}), ("Relu", "n", "q", {}), ("Mul", "q", "slope", "o", {})]
    spelled += [("Sub", "p", "o", "s", {})]
    reference = made_of([*start, ("LeakyRelu", "a", "b", {"alpha": 0.25}), ("MatMul", "b", "m", "d", {}), *end], m=m)
    behind = [("MatMul", "s", "left", "e", {}), ("MatMul", "s", "right", "f", {})]
    behind += [("Concat", "e", "f", "c", {"axis": 1}), ("Add", "c", "half", "d", {})]
    parts = {"left": m[:, :3].copy(), "right": m[:, 3:].copy(), "slope": np.float32(0.25)}
    name, _, within = told(reference, made_of([*start, *spelled, *behind, *end], **parts), rows(SIZE))
    assert (name, within) == ("d", {"node": "to_d", "primitive": "extra"})


def test_the_node_that_computes_a_constant_wrongly_is_named_and_not_the_one_that_recodes_it():
    table = np.random.default_rng(9).standard_normal((2 * SIZE, SIZE))
    places = np.arange(SIZE)
    ends = [("MatMul", "x", "w", "a", {}), ("Add", "a", "g", "s", {}), ("MatMul", "s", "v", "y", {})]
    reference = made_of([("Gather", "table", "at", "g", {}), *ends], table=table.astype(np.float32), at=places)
    looked_up = [("Gather", "table", "at", "b", {}), ("Cast", "b", "g", {"to": 1})]
    candidate = made_of([*looked_up, *ends], table=table, at=places + 1)
    name, _, within = told(reference, candidate, rows(SIZE))
    assert (name, within) == ("s", {"node": "to_b", "primitive": "constant", "reference_node": "to_g"})


def test_the_node_that_first_errs_among_those_that_compute_a_constant_is_named():
    """Learnt queries that are normalised and projected before they meet the input; a computed size spreads them."""
    rng = np.random.default_rng(9)
    stored = {name: rng.standard_normal((SIZE, SIZE)).astype(np.float32) for name in ("c", "k")}

    def queries(bent):
        nodes = [("Concat", "n", "n", "size", {"axis": 0}), ("Expand", "c", "size", "q", {}), (bent, "q", "h", {})]
        nodes += [("MatMul", "h", "k", "g", {}), ("Mul", "g", "x", "s", {}), ("MatMul", "s", "w", "y", {})]
        return made_of(nodes, n=np.array([SIZE]), **stored)

    report = aligner.compare(queries("Tanh"), queries("Sigmoid"), {"x": rows(SIZE)}).to_json()
    first = report["first_divergence"]
    assert first["candidate"]["name"] == "s"
    assert first["within"] == {"node": "to_h", "primitive": "constant", "reference_node": "to_h"}
    assert report["causes"][0]["node"] == "to_h"


@pytest.mark.parametrize("wrong", ["pads", "order"])
def test_a_factor_that_a_kernel_makes_up_for_is_a_form_whatever_else_its_layer_does(wrong):
    """A GELU without its half, which is in the next kernel; what that does wrong is more than a half."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.standard_normal((4, 3, 1, 1)), "k": rng.standard_normal((4, 4, 3, 3)), "root": 2**0.5, "one": 1}
    x = rng.standard_normal((1, 3, 5, 5)).astype(np.float32)

    def model(spelled):
        first = make.node("Conv", ["x", "w"], ["c"], "first")
        nodes = [first, make.node("Gelu", ["c"], ["g"], "gelu")]
        if spelled:
            nodes = [first, make.node("Div", ["c", "root"], ["d"], "div"), make.node("Erf", ["d"], ["e"], "erf")]
            nodes += [make.node("Add", ["e", "one"], ["p"], "plus"), make.node("Mul", ["c", "p"], ["g"], "gelu")]
        pads = [2, 2, 0, 0] if spelled and wrong == "pads" else [1, 1, 1, 1]
        nodes.append(make.node("Conv", ["g", "k"], ["y"], "second", pads=pads))
        used = {name for node in nodes for name in node.input}
        held = {name: np.asarray(array, np.float32) for name, array in arrays.items() if name in used}
        held["k"] = held["k"] * np.float32(0.5 if spelled else 1)
        held["k"] = held["k"][::-1].copy() if spelled and wrong == "order" else held["k"]
        ends = [make.value("x", 1, [1, 3, 5, 5])], [make.value("y", 1, [1, 4, 5, 5])]
        return make.model(nodes, *ends, make.weights(**held), opset=20)

    assert told(model(False), model(True), x)[1] == "second"


def test_what_only_a_wrong_activation_answers_is_still_known_to_be_missing_where_it_should_be_read():
    """Two faults: another activation, and a gate that reads what stands before it."""
    ends = [("MatMul", "x", "u", "c", {}), ("Add", "m", "p", "y", {})]
    right = [("Exp", "a", "e", {}), ("MatMul", "e", "v", "m", {}), ("Mul", "e", "c", "p", {})]
    wrong = [("Tanh", "a", "e", {}), ("MatMul", "e", "v", "m", {}), ("Mul", "a", "c", "p", {})]
    models = [made_of([("MatMul", "x", "w", "a", {}), *steps, *ends]) for steps in (right, wrong)]
    pairs = aligner.compare(*models, {"x": rows(SIZE) / 8}).to_json()["introduced"]
    told = {pair["candidate"]["node"]: pair.get("within") for pair in pairs}
    assert told["to_p"] == {"node": "to_p", "primitive": "missing", "reference_node": "to_e"}
    assert told["to_e"] is None


@pytest.mark.parametrize(
    ("wrong", "within"),
    [
        ({0: None}, ("to_q", "missing")),
        ({1: ("HardSigmoid", "p", "q")}, ("to_q", "sigmoid")),
        ({2: ("Mul", "q", "third", "r")}, ("to_r", "constant")),
        ({1: ("Sigmoid", "p", "q"), 3: ("Sub", "q", "one", "s")}, ("to_s", "missing")),
    ],
)
def test_a_formula_that_stands_rightly_elsewhere_tells_where_it_is_wrong_here(wrong, within):
    """tanh as 2σ(2x) − 1, twice, of which the second is wrong; nobody can look into the reference's tanh."""
    formula = [("Mul", "x", "two", "p"), ("Sigmoid", "p", "q"), ("Mul", "q", "two", "r"), ("Sub", "r", "one", "s")]

    def network(*spelled):
        nodes = [make.node("MatMul", ["x", "w"], ["a"])]
        for start, end, layer, steps in (("a", "b", "v", spelled[0]), ("c", "y", None, spelled[1])):
            names = {"x": start, "s": end} | ({name: f"{end}{name}" for name in "pqr"} if layer else {})
            for op, *read, out in steps:
                read = [names.get(name, name) for name in read]
                nodes.append(make.node(op, read, [names.get(out, out)], f"{layer or 'to'}_{out}"))
            nodes += [make.node("MatMul", ["b", "v"], ["c"])] if layer else []
        return net(nodes, two=np.float32(2), third=np.float32(3))

    other = [wrong.get(place, step) for place, step in enumerate(formula)]
    if None in other:
        other = [("Sigmoid", "x", "q"), *formula[2:]]
    whole = [("Tanh", "x", "s")]
    _, _, found = told(network(whole, whole), network(formula, other), rows())
    assert (found["node"], found["primitive"]) == within


def test_a_move_put_in_behind_what_is_joined_of_parts_is_named():
    """All parts are wrong in the order that is read, and no node computes them all."""
    rng = np.random.default_rng(6)
    parts = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32)
    more = {"both": np.concatenate([*parts], 1), "left": parts[0], "right": parts[1]}
    more |= {"one": rng.standard_normal((2 * SIZE, SIZE)).astype(np.float32)}
    more |= {"place": np.array([0]), "flat": np.array([2, 2 * SIZE])}
    reference = [make.node("MatMul", ["x", "both"], ["a"]), make.node("Tanh", ["a"], ["b"])]
    candidate = [
        *(make.node("MatMul", ["x", side], [f"{side}.a"]) for side in ("left", "right")),
        *(make.node("Tanh", [f"{side}.a"], [f"{side}.b"]) for side in ("left", "right")),
        *(make.node("Unsqueeze", [f"{side}.b", "place"], [f"{side}.c"]) for side in ("left", "right")),
        make.node("Concat", ["left.c", "right.c"], ["joined"], axis=0),
        make.node("Transpose", ["joined"], ["turned"], name="extra", perm=[1, 0, 2]),
        make.node("Transpose", ["turned"], ["back"], perm=[1, 0, 2]),
        make.node("Reshape", ["back", "flat"], ["b"]),
    ]
    end = [make.node("MatMul", ["b", "one"], ["y"])]
    _, _, within = told(net([*reference, *end], 2, **more), net([*candidate, *end], 2, **more), rows(2))
    assert within == {"node": "extra", "primitive": "extra"}


def test_a_transposition_put_before_a_normalisation_of_channels_is_named():
    """As many channels as steps: only the normalisation says which axis holds them."""
    rng = np.random.default_rng(7)
    more = {name: rng.uniform(0.5, 2, SIZE).astype(np.float32) for name in ("scale", "shift", "mean", "var")}
    more |= {"kernel": rng.standard_normal((SIZE, SIZE, 3)).astype(np.float32)}

    def network(read):
        nodes = [
            make.node("Conv", ["x", "kernel"], ["a"], pads=[1, 1]),
            make.node("Transpose", ["a"], ["turned"], "extra", perm=[0, 2, 1]),
            make.node("BatchNormalization", [read, "scale", "shift", "mean", "var"], ["n"], "norm"),
            make.node("Tanh", ["n"], ["t"]),
            make.node("Transpose", ["t"], ["y"], perm=[2, 0, 1]),
        ]
        shapes = (2, SIZE, SIZE), (SIZE, 2, SIZE)
        values = [make.value(name, 1, shape) for name, shape in zip("xy", shapes, strict=True)]
        kept = [node for node in nodes if node.name != "extra" or read == "turned"]
        return make.model(kept, values[:1], values[1:], make.weights(**more))

    x = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32)
    assert told(network("a"), network("turned"), x)[1] == "extra"


def test_what_a_norm_reads_is_paired_with_what_the_spelled_out_one_starts_from():
    """By structure alone: no values, no weights before it, and other nodes that make it."""
    norm = [
        make.node("Max", ["x", "less"], ["large"]),
        make.node("ReduceMean", ["large", "last"], ["mean"]),
        make.node("Sub", ["large", "mean"], ["c"]),
        make.node("Mul", ["c", "c"], ["p"]),
        make.node("ReduceMean", ["p", "last"], ["var"]),
        make.node("Add", ["var", "epsilon"], ["v1"]),
        make.node("Sqrt", ["v1"], ["v2"]),
        make.node("Div", ["c", "v2"], ["n"]),
        make.node("Mul", ["n", "scale"], ["s"]),
        make.node("Add", ["s", "shift"], ["y"]),
    ]
    more = {name: rows(1)[0] for name in ("scale", "shift")}
    more |= {"last": np.array([-1]), "epsilon": np.float32(1e-5)}
    end = make.node("LayerNormalization", ["block", "scale", "shift"], ["y"], axis=-1)
    reference = net([make.node("Abs", ["x"], ["block"]), end], **more)
    found = match(reference, net([make.node("Neg", ["x"], ["less"]), *norm], **more))
    assert [
        (pair.reference.name, pair.candidate.name, pair.rule) for pair in found.pairs if pair.reference.name == "block"
    ] == [("block", "large", "structure")]


def gelu_by_polynomial(named, *, rolled=None, lost=None):
    """m · (1 + erf m) / 2, and the same with erf by 1 / (1 + p|x|), a step of it rolled, or a product lost."""
    whole = [make.node("Erf", ["m"], ["e"]), make.node("Add", ["e", "one"], ["f"])]
    ends = [make.node("Mul", ["m", "f"], ["g"]), make.node("Mul", ["g", "half"], ["y"])]
    other = [make.node("Add", ["e" if named else "erf", "one"], ["f" if named else "sum"])]
    other += [make.node("Mul", ["m", "half"], ["h"]), make.node("Mul", ["h", "f" if named else "sum"], ["y"])]
    spelled = [make.node("Abs", ["m"], ["abs"]), make.node("Mul", ["abs", "p"], ["pa"])]
    spelled += [make.node("Add", ["pa", "one"], ["q"]), make.node("Reciprocal", ["q"], ["r"])]
    spelled += [make.node("Mul", ["r", "k0"], ["t0"])]
    for step in range(1, 5):
        spelled += [make.node("Add", [f"t{step - 1}", f"k{step}"], [f"s{step}"], f"add{step}")]
        spelled += [make.node("Gather", [f"s{step}", "order"], ["rolled"], "extra", axis=1)] if step == rolled else []
        spelled += [make.node("Mul", ["rolled" if step == rolled else f"s{step}", "r"], [f"t{step}"])]
    spelled += [make.node("Mul", ["abs", "abs"], ["square"]), make.node("Neg", ["square"], ["less"], "negated")]
    spelled += [make.node("Exp", ["less"], ["exp"]), make.node("Mul", ["t4", "exp"], ["te"])]
    spelled += [make.node("Sub", ["one", "te"], ["rest"]), make.node("Sign", ["m"], ["sign"])]
    spelled += [make.node("Mul", ["sign", "rest"], ["e" if named else "erf"])]
    if lost is not None:
        gone = next(node for node in spelled if lost in node.output)
        spelled.remove(gone)
        for node in spelled:
            node.input[:] = [gone.input[0] if name == lost else name for name in node.input]
    numbers = 1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592
    more = {f"k{place}": np.float32(number) for place, number in enumerate(numbers)}
    more |= {"p": np.float32(0.3275911), "order": np.roll(np.arange(SIZE), 3)}
    both = [*whole, *ends], [*spelled, *other]
    return [net([make.node("Identity", ["x"], ["m"]), *nodes], **more) for nodes in both]


@pytest.mark.parametrize("named", [True, False])
def test_a_roll_put_into_a_polynomial_is_named_whatever_its_inner_sums_are_paired_with(named):
    """With 1 + erf in the place of 1 + p|x| it is a division by next to nothing: noise explains anything there."""
    assert told(*gelu_by_polynomial(named, rolled=3), rows())[2]["node"] == "extra"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("lost", "reader"), [("t1", "add2"), ("t3", "add4"), ("square", "negated")])
def test_a_product_lost_in_a_polynomial_is_told_at_the_node_that_reads_one_operand_of_it(named, lost, reader):
    within = told(*gelu_by_polynomial(named, lost=lost), rows())[2]
    assert within == {"node": reader, "primitive": "missing"}


@pytest.mark.parametrize(
    ("fault", "within"),
    [
        ("exchanged", {"node": "one_less", "primitive": "operand"}),
        ("number", {"node": "add3", "primitive": "constant"}),
        ("lost", {"node": "times3", "primitive": "missing"}),
    ],
)
def test_a_fault_in_a_polynomial_is_told_though_its_end_is_a_multiple_that_the_next_kernel_makes_up_for(fault, within):
    """All that the reference computes in one node, twice as large, and half of the next layer's kernel."""
    _, spelled = gelu_by_polynomial(True)
    nodes = [node for node in spelled.graph.node if node.output[0] not in {"h", "y"}]
    for node in nodes:
        if node.op_type == "Sub":
            node.name = "one_less"
            node.input[:] = [*node.input][:: -1 if fault == "exchanged" else 1]
        if fault == "number" and node.name == "add3":
            node.input[1] = "other"
        if fault == "lost" and node.input[0] == "s3":
            node.name, node.input[0] = "times3", "t2"
    nodes = [node for node in nodes if not (fault == "lost" and node.name == "add3")]
    nodes[0] = make.node("Mul", ["x", "root"], ["m"])
    nodes += [make.node("Mul", ["x", "f"], ["g"]), make.node("MatMul", ["g", "v2"], ["y"])]
    kernel = np.random.default_rng(4).standard_normal((SIZE, SIZE)).astype(np.float32)
    numbers = {each.name: onnx.numpy_helper.to_array(each) for each in spelled.graph.initializer}
    numbers |= {"v2": kernel / 2, "other": np.float32(-0.4), "root": np.float32(0.5**0.5)}
    whole = net([make.node("Gelu", ["x"], ["g"]), make.node("MatMul", ["g", "k"], ["y"])], k=kernel)
    whole.opset_import[0].version = 20
    assert told(whole, net(nodes, **numbers), rows())[2] == within


def test_outputs_of_a_split_in_another_order_are_told_where_one_reader_moves_its_part_at_once():
    """Keys turned in two moves or in one, square: moved parts answer other forms once their order is put right."""
    rng = np.random.default_rng(9)
    more = {"QKV": rng.standard_normal((SIZE, 3 * SIZE)).astype(np.float32)}
    more |= {"heads": np.array([1, 4, 2, 4]), "flat": np.array([4, SIZE]), "parts": np.array([SIZE] * 3)}

    def network(*parts, at_once):
        nodes = [make.node("MatMul", ["x", "QKV"], ["p"]), make.node("Split", ["p", "parts"], [*parts], "cut", axis=1)]
        nodes += [make.node("Reshape", [name, "heads"], [f"{name}1"]) for name in "QKV"]
        nodes += [make.node("Transpose", [f"{name}1"], [f"{name}2"], perm=[0, 2, 1, 3]) for name in "QV"]
        if at_once:
            nodes += [make.node("Transpose", ["K1"], ["K3"], perm=[0, 2, 3, 1])]
        else:
            nodes += [make.node("Transpose", ["K1"], ["K2"], perm=[0, 2, 1, 3])]
            nodes += [make.node("Transpose", ["K2"], ["K3"], perm=[0, 1, 3, 2])]
        nodes += [make.node("MatMul", ["Q2", "K3"], ["s"]), make.node("Softmax", ["s"], ["a"], axis=-1)]
        nodes += [make.node("MatMul", ["a", "V2"], ["c"]), make.node("Transpose", ["c"], ["d"], perm=[0, 2, 1, 3])]
        nodes.append(make.node("Reshape", ["d", "flat"], ["y"]))
        for place, name in enumerate(name for node in nodes if at_once for name in node.output if name != "y"):
            for node in nodes:  # names tell nothing
                node.input[:] = [f"t{place}" if each == name else each for each in node.input]
                node.output[:] = [f"t{place}" if each == name else each for each in node.output]
        return net(nodes, 4, **more)

    models = network(*"QKV", at_once=False), network(*"KVQ", at_once=True)
    assert told(*models, rows(4))[1] == "cut"


def test_a_softmax_lost_behind_a_reshape_is_told_where_the_candidate_reshapes_for_its_product_alone():
    """What is found to answer the softmax has its shape in the form alone that the product reads."""

    def network(lost):
        nodes = [make.node("MatMul", ["x", "w"], ["m"]), make.node("Add", ["m", "x"], ["a"], "sum")]
        nodes += [make.node("Reshape", ["a", "apart"], ["r"])]
        nodes += [] if lost else [make.node("Softmax", ["r"], ["s"], axis=-1)]
        nodes += [make.node("MatMul", ["r" if lost else "s", "v4"], ["p"], "product")]
        more = {"apart": np.array([2, 4, 2, 4]), "v4": rows(4)[:, :4], "flat": np.array([8, SIZE])}
        return net([*nodes, make.node("Reshape", ["p", "flat"], ["y"])], 8, **more)

    name, _, within = told(network(False), network(True), rows(8))
    assert (name, within["node"], within["primitive"]) == ("s", "product", "missing")


def test_the_node_that_makes_what_is_no_number_is_named_though_a_maximum_hides_it():
    start, end = make.node("MatMul", ["x", "w"], ["m"]), make.node("Exp", ["b"], ["y"])
    wrong = [make.node("Log", ["m"], ["a"], "wrong"), make.node("Relu", ["a"], ["b"])]
    models = net([start, make.node("Sigmoid", ["m"], ["b"]), end]), net([start, *wrong, end])
    assert told(*models, rows())[2] == {"node": "wrong", "primitive": "nonfinite"}


@pytest.mark.parametrize("function", ["Relu", "Elu"])
def test_a_bias_lost_of_a_layer_that_permutes_channels_is_told_at_it_and_not_at_the_next_layer(
    function,
):
    rng = np.random.default_rng(10)
    order, bias, after = rng.permutation(SIZE), rows(1)[0], rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    kernel = rng.standard_normal((SIZE, SIZE)).astype(np.float32)

    def network(order, *bias):
        nodes = [make.node("MatMul", ["x", "w"], ["a"]), make.node("Tanh", ["a"], ["b"])]
        nodes += [make.node("Gemm", ["b", "first", *["bias" for _ in bias]], ["c"], "first")]
        nodes += [make.node(function, ["c"], ["d"]), make.node("Gemm", ["d", "second"], ["y"], "second")]
        more = {"first": kernel[:, order], "second": after[order]} | ({"bias": bias[0][order]} if bias else {})
        return net(nodes, **more)

    straight = np.arange(SIZE)
    assert told(network(straight, bias), network(order), rows())[1] == "first"
    assert aligner.compare(network(straight, bias), network(order, bias), {"x": rows()}).verdict == "aligned"
