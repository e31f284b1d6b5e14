"""Pairs found again from the injected run, and where in a region the error is made."""

from __future__ import annotations

import numpy as np
import onnx_models as make
import pytest
from marks import requires_onnx, requires_torch

import aligner

pytestmark = requires_onnx
SIZE = 8


def compared(reference, candidate, shape=(5, SIZE)):
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    return aligner.compare(reference, candidate, {"x": x}).to_json()


def net(nodes, output="y", shape=(5, SIZE), **more):
    rng = np.random.default_rng(1)
    stored = {name: rng.standard_normal((SIZE, SIZE)).astype(np.float32) for name in ("w", "v", "u")}
    stored |= {"b": rng.standard_normal(SIZE).astype(np.float32)} | more
    used = {name for node in nodes for name in node.input}
    kept = {name: array for name, array in stored.items() if name in used}
    return make.model(nodes, [make.value("x", 1, shape)], [make.value(output, 1, shape)], make.weights(**kept))


def number(value):
    return np.float32(value)


def test_a_chain_of_two_wrong_pairs_is_dropped():
    reference = net(
        [
            make.node("MatMul", ["x", "w"], ["m"]),
            make.node("Add", ["m", "b"], ["a"]),
            make.node("Tanh", ["a"], ["t"]),
            make.node("MatMul", ["t", "v"], ["y"]),
        ]
    )
    candidate = net(
        [
            make.node("Gemm", ["x", "w", "b"], ["g"]),
            make.node("Mul", ["g", "two"], ["d"]),
            make.node("Sigmoid", ["d"], ["s"]),
            make.node("Mul", ["s", "two"], ["e"]),
            make.node("Sub", ["e", "one"], ["f"]),
            make.node("MatMul", ["f", "v"], ["y"]),
        ],
        two=number(2),
        one=number(1),
    )
    report = compared(reference, candidate)
    assert report["verdict"] == "aligned"
    pairs = {(pair["reference"]["name"], pair["candidate"]["name"]) for pair in report["pairs"]}
    assert {("a", "g"), ("t", "f"), ("y", "y")} <= pairs
    assert ("a", "d") not in pairs and ("m", "g") not in pairs


def layers(between=(), *, residual=True, activation=True):
    """x·w → (+ x) → relu → ·v → relu → ·u; ``between``: nodes from "r" to "n", which the second product reads."""
    nodes = [make.node("MatMul", ["x", "w"], ["m"], "first")]
    nodes += [make.node("Add", ["m", "x"], ["a"], "sum")] if residual else []
    last = "a" if residual else "m"
    nodes += [make.node("Relu", [last], ["r"], "active")] if activation else []
    last = "r" if activation else last
    nodes += [*between]
    nodes += [
        make.node("MatMul", ["n" if between else last, "v"], ["k"], "second"),
        make.node("Relu", ["k"], ["q"], "more"),
        make.node("MatMul", ["q", "u"], ["y"], "last"),
    ]
    return nodes


INSERTED = {
    "Clip": [make.node("Clip", ["r", "zero", "one"], ["n"], "put")],
    "offset": [make.node("Add", ["r", "tenth"], ["n"], "put")],
    "cast": [
        make.node("Cast", ["r"], ["h"], "down", to=10),
        make.node("Cast", ["h"], ["n"], "put", to=1),
    ],
    "nan": [
        make.node("Sub", ["r", "one"], ["l"], "less"),
        make.node("Sqrt", ["l"], ["n"], "put"),
    ],
}


@pytest.mark.parametrize("what", sorted(INSERTED))
def test_an_inserted_node_is_named_itself(what):
    constants = {"zero": number(0), "one": number(1), "tenth": number(0.1)}
    report = compared(net(layers()), net(layers(INSERTED[what]), **constants))
    first = report["first_divergence"]
    assert report["verdict"] == "diverged"
    guilty = "down" if what == "cast" else "put"  # float16 loses what the second cast cannot give back
    assert (first["reference"]["name"], first["candidate"]["node"]) == ("r", guilty)
    assert what == "cast" or len(report["introduced"]) == 1


@pytest.mark.parametrize(("lost", "place"), [("residual", "a"), ("activation", "r")])
def test_a_lost_node_is_named_at_its_place(lost, place):
    report = compared(net(layers()), net(layers(**{lost: False})))
    assert report["verdict"] == "diverged"
    assert report["first_divergence"]["reference"]["name"] == place
    assert len(report["introduced"]) == 1


@pytest.mark.parametrize(
    ("fault", "node", "primitive"),
    [("scale", "scaled", "scaled"), ("offset", "more", "one_more"), ("half", "half", "half")],
)
def test_the_node_of_a_written_out_function_is_named_within(fault, node, primitive):
    plain = make.model(
        [make.node("Gelu", ["x"], ["g"], "gelu"), make.node("MatMul", ["g", "w"], ["y"])],
        [make.value("x", 1, (5, SIZE))],
        [make.value("y", 1, (5, SIZE))],
        make.weights(w=np.eye(SIZE, dtype=np.float32)),
        opset=20,
    )
    constants = {"scale": number(np.sqrt(2.0)), "offset": number(1.0), "half": number(0.5)}
    constants[fault] = constants[fault] * number(1.1)
    written = [
        make.node("Mul", ["x", "half"], ["h"], "half"),
        make.node("Div", ["x", "scale"], ["d"], "scaled"),
        make.node("Erf", ["d"], ["e"], "erf"),
        make.node("Add", ["e", "offset"], ["o"], "more"),
        make.node("Mul", ["h", "o"], ["g"], "gated"),
        make.node("MatMul", ["g", "w"], ["y"]),
    ]
    report = compared(plain, net(written, w=np.eye(SIZE, dtype=np.float32), **constants))
    assert report["verdict"] == "diverged"
    assert report["first_divergence"]["reference"]["name"] == "g"
    assert report["first_divergence"]["within"] == {"node": node, "primitive": primitive}


def sigmoid(between=()):
    """A sigmoid written out, with nodes between its exponential ("e") and its sum, which reads the last of them."""
    end = between[-1].output[0] if between else "e"
    return [
        make.node("Neg", ["x"], ["n"], "negated"),
        make.node("Exp", ["n"], ["e"], "exponential"),
        *between,
        make.node("Add", [end, "one"], ["s"], "sum"),
        make.node("Reciprocal", ["s"], ["g"], "reciprocal"),
        make.node("MatMul", ["g", "w"], ["y"]),
    ]


EXTRA = {
    "clip": ([make.node("Clip", ["e", "low", "high"], ["c"], "put")], {"put"}),
    "rounded": (
        [
            make.node("Mul", ["e", "four"], ["c"], "up"),
            make.node("Round", ["c"], ["d"], "put"),
            make.node("Div", ["d", "four"], ["f"], "down"),
        ],
        {"up", "put", "down"},
    ),
    "cast": (
        [make.node("Cast", ["e"], ["c"], "there", to=7), make.node("Cast", ["c"], ["d"], "back", to=1)],
        {"there", "back"},
    ),
    "twice": ([make.node("Exp", ["e"], ["c"], "again")], {"again"}),
}


@pytest.mark.parametrize("what", sorted(EXTRA))
def test_an_extra_node_inside_another_spelling_is_named_within(what):
    plain = net([make.node("Sigmoid", ["x"], ["g"], "sigmoid"), make.node("MatMul", ["g", "w"], ["y"])])
    between, guilty = EXTRA[what]
    constants = {"one": number(1), "four": number(4), "low": number(0.5), "high": number(2)}
    report = compared(plain, net(sigmoid(between), **constants))
    within = report["first_divergence"]["within"]
    assert report["verdict"] == "diverged"
    assert (within["node"] in guilty, within["primitive"]) == (True, "extra")


def test_a_lost_node_is_named_though_several_read_what_it_should_have_made():
    lost = [
        make.node("MatMul", ["x", "w"], ["m"], "first"),
        make.node("Sigmoid", ["m"], ["s"], "gate"),
        make.node("Mul", ["m", "s"], ["p"], "gated"),
        make.node("MatMul", ["p", "v"], ["y"], "last"),
    ]
    kept = [lost[0], make.node("Mul", ["m", "b"], ["k"], "scaled"), make.node("Sigmoid", ["k"], ["s"], "gate")]
    kept += [make.node("Mul", ["k", "s"], ["p"], "gated"), lost[3]]
    report = compared(net(kept), net(lost))
    assert report["verdict"] == "diverged"
    assert report["first_divergence"]["reference"]["name"] == "k"
    assert len(report["introduced"]) == 1


def test_a_node_lost_before_one_of_several_readers_is_named_within():
    def block(normalised):
        return [
            make.node("MatMul", ["x", "w"], ["m"], "first"),
            *([make.node("LayerNormalization", ["m", "b"], ["n"], "norm")] if normalised else []),
            make.node("MatMul", ["n" if normalised else "m", "v"], ["k"], "second"),
            make.node("Add", ["k", "m"], ["a"], "sum"),
            make.node("MatMul", ["a", "u"], ["y"], "last"),
        ]

    report = compared(net(block(True)), net(block(False)))
    first = report["first_divergence"]
    assert report["verdict"] == "diverged"
    assert first["candidate"]["node"] == "second"
    assert first["within"] == {"node": "second", "primitive": "missing", "reference_node": "norm"}
    assert len(report["introduced"]) == 1


def test_a_tensor_that_holds_the_numbers_of_another_is_not_taken_for_a_third():
    def norm(deviation):
        nodes = [make.node("ReduceMean", ["x", "axes"], ["m"], "mean")]
        nodes += [make.node("Sub", ["x", "m"], ["c"], "centred")]
        if deviation:
            nodes += [make.node("Mul", ["c", "c"], ["q"], "squares"), make.node("ReduceMean", ["q", "axes"], ["r"])]
            nodes += [make.node("Sqrt", ["r"], ["s"], "deviation")]
        nodes += [make.node("Div", ["c", "s" if deviation else "m"], ["n"], "normalised")]
        return [*nodes, make.node("MatMul", ["n", "w"], ["y"], "last")]

    axes = np.array([1])
    report = compared(net(norm(True), axes=axes), net(norm(False), axes=axes))
    assert report["first_divergence"]["candidate"]["node"] == "normalised"


def test_a_factor_that_is_read_turned_answers_the_one_that_was_not_moved():
    def scores(product, between=()):
        nodes = [make.node("MatMul", ["x", "w"], ["q"], "query"), make.node("MatMul", ["x", "v"], ["k"], "key")]
        return [*nodes, *between, *product, make.node("MatMul", ["s", "u"], ["y"], "last")]

    plain = [
        make.node("Transpose", ["k"], ["t"], "turned", perm=[1, 0]),
        make.node("MatMul", ["q", "t"], ["s"], "scores"),
    ]
    fused = [make.node("Gemm", ["n", "k"], ["s"], "scores", transB=1)]
    noise = [make.node("Add", ["q", "b"], ["n"], "put")]
    report = compared(
        net(scores(plain), shape=(SIZE, SIZE)), net(scores(fused, noise), shape=(SIZE, SIZE)), (SIZE, SIZE)
    )
    pairs = {(pair["reference"]["name"], pair["candidate"]["name"]) for pair in report["pairs"]}
    assert ("k", "k") in pairs and ("t", "k") not in pairs
    assert report["first_divergence"]["candidate"]["node"] == "put"
    assert len(report["introduced"]) == 1


def test_of_several_moves_the_one_without_which_the_tensor_is_right_is_named():
    def moved(*perms):
        names = ["m", *(f"t{place}" for place in range(len(perms)))]
        nodes = [make.node("MatMul", ["x", "w"], ["m"], "first")]
        for place, perm in enumerate(perms):
            nodes.append(
                make.node("Transpose", names[place : place + 1], [names[place + 1]], f"move{place}", perm=perm)
            )
        return [*nodes, make.node("MatMul", [names[-1], "v"], ["y"], "last")]

    shape = (SIZE, SIZE, SIZE)
    there, back = [1, 2, 0], [2, 0, 1]
    report = compared(net(moved(), shape=shape), net(moved([1, 0, 2], there, back), shape=shape), shape)
    assert report["verdict"] == "diverged"
    assert report["first_divergence"]["candidate"]["node"] == "move0"


def test_a_constant_that_is_computed_otherwise_is_named_within():
    reference = net([make.node("MatMul", ["x", "w"], ["m"], "product"), make.node("Tanh", ["m"], ["y"])])
    candidate = net(
        [
            make.node("Mul", ["w", "factor"], ["scaled"], "scale"),
            make.node("MatMul", ["x", "scaled"], ["m"], "product"),
            make.node("Tanh", ["m"], ["y"]),
        ],
        factor=np.linspace(0.9, 1.1, SIZE, dtype=np.float32),
    )
    first = compared(reference, candidate)["first_divergence"]
    assert (first["candidate"]["node"], first["within"]) == ("product", {"node": "scale", "primitive": "constant"})


def test_an_extra_node_in_half_of_another_spelling_is_named_within():
    """2σ(2x) − 1 for a tanh, and what it reads made positive."""
    reference = net(
        [
            make.node("MatMul", ["x", "w"], ["m"]),
            make.node("Tanh", ["m"], ["t"]),
            make.node("MatMul", ["t", "v"], ["y"]),
        ]
    )
    candidate = net(
        [
            make.node("MatMul", ["x", "w"], ["m"]),
            make.node("Mul", ["m", "two"], ["d"]),
            make.node("Abs", ["d"], ["p"], "wrong"),
            make.node("Sigmoid", ["p"], ["s"]),
            make.node("Mul", ["s", "two"], ["e"]),
            make.node("Sub", ["e", "one"], ["f"]),
            make.node("MatMul", ["f", "v"], ["y"]),
        ],
        two=number(2),
        one=number(1),
    )
    assert compared(reference, candidate)["first_divergence"]["within"] == {"node": "wrong", "primitive": "extra"}


def heads(*, scaled=True):
    """Attention's product of queries and keys, the keys split into heads, moved and scaled."""
    nodes = [
        *(make.node("MatMul", ["x", weight], [f"{out}0"], out) for weight, out in (("w", "q"), ("v", "k"))),
        *(make.node("Reshape", [f"{out}0", "split"], [f"{out}1"], f"{out}_split") for out in "qk"),
        make.node("Transpose", ["q1"], ["q"], "q_moved", perm=[1, 0, 2]),
        make.node("Transpose", ["k1"], ["k2" if scaled else "k"], "k_moved", perm=[1, 2, 0]),
        *([make.node("Mul", ["k2", "half"], ["k"], "scale")] if scaled else []),
        make.node("MatMul", ["q", "k"], ["s"], "scores"),
        make.node("MatMul", ["s", "q"], ["h"], "mix"),
        make.node("Transpose", ["h"], ["h1"], "h_moved", perm=[1, 0, 2]),
        make.node("Reshape", ["h1", "whole"], ["y"], "join"),
    ]
    return net(nodes, split=np.array([5, 2, 4]), whole=np.array([5, 8]), half=number(0.5))


def test_a_lost_factor_of_a_moved_form_is_named_where_it_is_read():
    first = compared(heads(), heads(scaled=False))["first_divergence"]
    assert first["within"] == {"node": "scores", "primitive": "missing", "reference_node": "scale"}


def turned(order=("p", "q"), *, sliced=False):
    """Two halves turned by an angle: both sums hold the products of either, crosswise if the halves are exchanged."""
    bounds = {name: np.array([4 * place]) for place, name in enumerate(("start", "middle", "end"))}
    cut = [make.node("Slice", ["m", *some, "axis"], [name], name) for name, some in zip(order, CUTS, strict=True)]
    return net(
        [
            make.node("MatMul", ["x", "w"], ["m"], "first"),
            *(cut if sliced else [make.node("Split", ["m"], [*order], "halves", axis=1, num_outputs=2)]),
            make.node("Mul", ["p", "cos"], ["ac"], "ac"),
            make.node("Mul", ["q", "sin"], ["bs"], "bs"),
            make.node("Sub", ["ac", "bs"], ["left"], "sub"),
            make.node("Mul", ["p", "sin"], ["as"], "as"),
            make.node("Mul", ["q", "cos"], ["bc"], "bc"),
            make.node("Add", ["as", "bc"], ["right"], "add"),
            make.node("Concat", ["left", "right"], ["c"], "join", axis=1),
            make.node("MatMul", ["c", "v"], ["y"], "last"),
        ],
        cos=np.cos(np.arange(4, dtype=np.float32)),
        sin=np.sin(np.arange(4, dtype=np.float32)),
        axis=np.array([1]),
        **bounds,
    )


CUTS = (("start", "middle"), ("middle", "end"))


@pytest.mark.parametrize("sliced", [False, True])
def test_halves_given_in_each_others_place_are_the_fault_of_the_split_not_of_what_they_meet_in(sliced):
    report = compared(turned(sliced=sliced), turned(("q", "p")))
    assert report["first_divergence"]["candidate"]["node"] == "halves"
    assert report["causes"][0]["id"] == "split-order"
    assert not [
        pair for pair in report["pairs"] if pair["verdict"] == "introduced" and pair["candidate"]["node"] != "halves"
    ]


def test_an_extra_node_right_behind_what_a_region_reads_is_named():
    first = make.node("MatMul", ["x", "w"], ["m"], "first")
    plain = [make.node("Softmax", ["x"], ["s"], "shares"), make.node("MatMul", ["s", "m"], ["y"], "last")]
    spelled = [
        make.node("Transpose", ["x"], ["t"], "turn", perm=[1, 0]),
        make.node("Softmax", ["t"], ["k"], "shares", axis=0),
        make.node("Transpose", ["k"], ["s"], "back", perm=[1, 0]),
        make.node("Clip", ["m", "low", "high"], ["c"], "clip"),
        make.node("Reshape", ["s", "wide"], ["q"], "wide_s"),
        make.node("Reshape", ["c", "wide"], ["r"], "wide_c"),
        make.node("MatMul", ["q", "r"], ["p"], "product"),
        make.node("Reshape", ["p", "flat"], ["y"], "flat"),
    ]
    shape = (SIZE, SIZE)
    more = {"low": number(-1), "high": number(1), "wide": np.array([1, *shape]), "flat": np.array(shape)}
    report = compared(net([first, *plain], shape=shape), net([first, *spelled], shape=shape, **more), shape)
    found = report["first_divergence"]
    assert "clip" in {found["candidate"]["node"], (found["within"] or {}).get("node")}


def test_a_lost_gate_is_named_though_its_place_holds_nothing_that_could_answer_it():
    gate = [make.node("Sigmoid", ["m"], ["s"], "gate"), make.node("Mul", ["m", "s"], ["g"], "product")]
    first, last = make.node("MatMul", ["x", "w"], ["m"], "first"), make.node("MatMul", ["g", "v"], ["y"], "last")
    report = compared(net([first, *gate, last]), net([first, make.node("Mul", ["m", "m"], ["g"], "product"), last]))
    expected = {"node": "product", "primitive": "missing", "reference_node": "gate"}
    assert report["first_divergence"]["within"] == expected


def test_a_lost_activation_behind_a_mask_that_adds_nothing_is_named_at_what_reads_it():
    first, last = make.node("MatMul", ["x", "w"], ["m"], "first"), make.node("MatMul", ["r", "v"], ["y"], "last")
    cast, masked = make.node("Cast", ["n"], ["r"], "cast", to=1), make.node("Sub", ["m", "none"], ["k"], "masked")
    soft, none = make.node("Softmax", ["k"], ["n"], "soft"), np.zeros(SIZE, np.float32)
    straight = [make.node("Sub", ["m", "none"], ["n"], "masked"), cast]
    report = compared(net([first, masked, soft, cast, last], none=none), net([first, *straight, last], none=none))
    expected = {"node": "last", "primitive": "missing", "reference_node": "soft"}
    assert report["first_divergence"]["within"] == expected


def test_a_tail_behind_a_layer_with_its_activation_fused_in_is_named():
    plain = [make.node("Gemm", ["x", "w", "b"], ["m"], "first"), make.node("Tanh", ["m"], ["y"], "end")]
    fused = [
        make.node("FusedGemm", ["x", "w", "b"], ["t"], "first", domain="com.microsoft", activation="Tanh"),
        make.node("Sigmoid", ["t"], ["y"], "tail"),
    ]
    report = compared(net(plain), net(fused))
    assert [pair["candidate"]["node"] for pair in report["introduced"]] == ["tail"]


def test_a_lost_activation_is_named_between_kernels_whose_channels_stand_in_another_order():
    order = np.random.default_rng(3).permutation(SIZE)
    w, v = (np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32) for seed in (4, 5))
    first, last = make.node("MatMul", ["x", "w"], ["m"], "first"), make.node("MatMul", ["r", "v"], ["y"], "last")
    reference = net([first, make.node("Relu", ["m"], ["r"], "clip"), last], w=w, v=v)
    straight = make.node("MatMul", ["m", "v"], ["y"], "last")
    report = compared(reference, net([first, straight], w=w[:, order], v=v[order]))
    expected = {"node": "last", "primitive": "missing", "reference_node": "clip"}
    assert report["first_divergence"]["within"] == expected


def renamed(nodes):
    """The nodes with tensors that go by other names than the reference's."""
    made = {name: f"t{place}" for place, name in enumerate(name for node in nodes for name in node.output)}
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [name if name == "y" else made.get(name, name) for name in names]
    return nodes


def test_a_bias_lost_before_a_function_whose_factor_stands_elsewhere_is_told_at_its_layer():
    """A pair that is settled in a further look leaves the pairs alone that agreed before."""
    gate = [
        make.node("Div", ["a", "root"], ["d"]),
        make.node("Erf", ["d"], ["e"]),
        make.node("Add", ["e", "one"], ["f"]),
    ]
    inner = [make.node("Mul", ["f", "half"], ["g"]), make.node("Mul", ["a", "g"], ["h"])]
    outer = [make.node("Mul", ["a", "f"], ["g"]), make.node("Mul", ["g", "half"], ["h"])]
    biased = [make.node("MatMul", ["x", "w"], ["m"], "layer"), make.node("Add", ["m", "b"], ["a"], "bias")]
    bare = [make.node("MatMul", ["x", "w"], ["a"], "layer")]
    last = make.node("MatMul", ["h", "v"], ["y"], "last")
    numbers = {"root": number(2**0.5), "one": number(1), "half": number(0.5)}
    reference = net([*biased, *gate, *inner, last], **numbers)
    report = compared(reference, net(renamed([*bare, *gate, *outer, last]), **numbers))
    assert report["first_divergence"]["candidate"]["node"] == "layer"
    assert report["first_divergence"]["within"]["reference_node"] == "bias"


def test_a_layer_before_a_function_that_starts_with_a_factor_is_told_itself():
    """2σ(2x) − 1 for tanh: the layer's tensor twice as large is another one."""
    spelled = [
        make.node("InstanceNormalization", ["x", "s", "z"], ["n"], "norm", epsilon=1e-5),
        make.node("Mul", ["n", "two"], ["d"]),
        make.node("Sigmoid", ["d"], ["g"]),
        make.node("Mul", ["g", "two"], ["e"]),
        make.node("Sub", ["e", "one"], ["t"]),
    ]
    plain = [
        make.node("InstanceNormalization", ["x", "s", "z"], ["n"], "norm", epsilon=0.1),
        make.node("Tanh", ["n"], ["t"], "tanh"),
    ]
    last, shape = make.node("MatMul", ["t", "v"], ["y"], "last"), (2, 3, SIZE)
    more = {"s": np.float32([1, 2, 0.5]), "z": np.float32([0, 1, -1])}
    reference = net([*spelled, last], shape=shape, two=number(2), one=number(1), **more)
    first = compared(reference, net(renamed([*plain, last]), shape=shape, **more), shape)["first_divergence"]
    assert (first["reference"]["name"], first["candidate"]["node"]) == ("n", "norm")


def test_a_lost_end_of_a_region_is_named_at_what_reads_too_early():
    """A layer with its scale folded in is all that the sum could be paired with; it gives what the sum should read."""
    scale = np.linspace(0.5, 2, SIZE, dtype=np.float32)
    folded = np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype(np.float32) * scale
    reference = [
        make.node("MatMul", ["x", "w"], ["m"], "layer"),
        make.node("Mul", ["m", "scale"], ["n"], "scaled"),
        make.node("Add", ["n", "b"], ["a"], "shifted"),
        make.node("Add", ["a", "x"], ["s"], "sum"),
        make.node("Relu", ["s"], ["r"], "relu"),
        make.node("MatMul", ["r", "v"], ["y"], "last"),
    ]
    candidate = [
        make.node("Gemm", ["x", "folded", "b"], ["a"], "layer"),
        make.node("Relu", ["a"], ["r"], "relu"),
        make.node("MatMul", ["r", "v"], ["y"], "last"),
    ]
    report = compared(net(reference, scale=scale), net(renamed(candidate), folded=folded))
    assert report["first_divergence"]["within"] == {"node": "relu", "primitive": "missing", "reference_node": "sum"}


def test_a_node_that_reads_the_inside_of_another_spelling_errs_and_not_what_it_reads():
    """σ(x) as ½ + ½·tanh(x/2): half of x answers nothing, and is read by an activation that should read another."""
    reference = [
        make.node("MatMul", ["x", "w"], ["m"], "one"),
        make.node("Sigmoid", ["m"], ["g"], "gate"),
        make.node("MatMul", ["g", "u"], ["k"], "other"),
        make.node("HardSwish", ["k"], ["h"], "act"),
    ]
    candidate = [
        make.node("MatMul", ["x", "w"], ["m"], "one"),
        make.node("Mul", ["m", "half"], ["q"], "halved"),
        make.node("Tanh", ["q"], ["t"], "tanh"),
        make.node("Mul", ["t", "half"], ["e"], "scaled"),
        make.node("Add", ["e", "half"], ["g"], "shifted"),
        make.node("HardSwish", ["q"], ["h"], "act"),
    ]

    def ended(nodes):
        return [*nodes, make.node("Add", ["h", "g"], ["z"], "join"), make.node("MatMul", ["z", "v"], ["y"], "last")]

    report = compared(net(ended(reference)), net(renamed(ended(candidate)), half=number(0.5)))
    assert [pair["candidate"]["node"] for pair in report["introduced"]] == ["act"]


def test_an_extra_node_before_a_layer_whose_factor_is_undone_behind_a_rectifier_is_named():
    """The layer is half of another way to compute the same: two pairs on, the next layer is right without the node."""
    rng, factor = np.random.default_rng(9), np.linspace(0.5, 2, SIZE, dtype=np.float32)
    first, second = (rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))

    def nodes(read="t"):
        return [
            make.node("MatMul", ["x", "w"], ["m"], "start"),
            make.node("Tanh", ["m"], ["t"], "tanh"),
            *([make.node("Add", ["t", "b"], ["n"], "put")] if read == "n" else []),
            make.node("MatMul", [read, "first"], ["l"], "layer"),
            make.node("Relu", ["l"], ["r"], "relu"),
            make.node("MatMul", ["r", "second"], ["y"], "next"),
        ]

    scaled = net(renamed(nodes("n")), first=first * factor, second=second / factor[:, None])
    report = compared(net(nodes(), first=first, second=second), scaled)
    assert report["first_divergence"]["within"] == {"node": "put", "primitive": "extra"}


def island(there=(1, 0), axis=0, back=(1, 0)):
    """A softmax of a square, along the other axis of its transpose."""
    return net(
        [
            make.node("MatMul", ["x", "w"], ["m"], "first"),
            make.node("Transpose", ["m"], ["there"], "there", perm=there),
            make.node("Softmax", ["there"], ["soft"], "soft", axis=axis),
            make.node("Transpose", ["soft"], ["back"], "back", perm=back),
            make.node("MatMul", ["back", "v"], ["y"], "last"),
        ],
        shape=(SIZE, SIZE),
    )


@pytest.mark.parametrize(
    ("mistake", "node"), [({"there": (0, 1)}, "there"), ({"axis": 1}, "soft"), ({"back": (0, 1)}, "back")]
)
def test_of_an_island_of_moves_the_one_node_that_is_wrong_is_named(mistake, node):
    plain = [
        make.node("MatMul", ["x", "w"], ["m"], "first"),
        make.node("Softmax", ["m"], ["s"], "soft", axis=-1),
        make.node("MatMul", ["s", "v"], ["y"], "last"),
    ]
    first = compared(net(plain, shape=(SIZE, SIZE)), island(**mistake), (SIZE, SIZE))["first_divergence"]
    assert (first.get("within") or first["candidate"])["node"] == node


def test_a_transposition_of_a_square_that_only_a_region_reads_is_named():
    """A concatenation as a sum of paddings: nothing answers the padded tensor that reads the turned one."""
    shape, ends = (SIZE, 2 * SIZE), {"shape": (SIZE, SIZE)}
    first = [make.node("MatMul", ["x", "w"], ["m"], "first"), make.node("Tanh", ["x"], ["t"])]
    last = make.node("MatMul", ["j", "join"], ["y"], "last")
    joined = [make.node("Concat", ["t", "m"], ["j"], "joined", axis=1)]
    padded = [
        make.node("Transpose", ["m"], ["turned"], "turned", perm=[1, 0]),
        make.node("Pad", ["t", "behind"], ["l"]),
        make.node("Pad", ["turned", "before"], ["r"]),
        make.node("Add", ["l", "r"], ["j"], "joined"),
    ]
    pads = {"behind": np.int64([0, 0, 0, SIZE]), "before": np.int64([0, SIZE, 0, 0])}
    more = {"join": np.random.default_rng(4).standard_normal(shape[::-1]).astype(np.float32)}
    report = compared(
        net([*first, *joined, last], **ends, **more), net([*first, *padded, last], **ends, **more, **pads), (SIZE, SIZE)
    )
    assert report["first_divergence"]["candidate"]["node"] == "turned"


@requires_torch
def test_a_node_that_reads_another_tensor_errs_and_not_what_it_reads():
    import torch

    w, v = (torch.from_numpy(np.random.default_rng(seed).standard_normal((SIZE, SIZE), np.float32)) for seed in (1, 2))

    class Boxes(torch.nn.Module):
        def forward(self, x):
            m = x @ w
            low = torch.minimum(m[:, None, 4:], m[None, :, 4:])
            high = torch.maximum(m[:, None, :4], m[None, :, :4])
            return torch.cat([low, high], 2).sum(1) @ v

    nodes = [
        make.node("MatMul", ["x", "w"], ["m"]),
        make.node("Unsqueeze", ["m", "at1"], ["u1"]),
        make.node("Unsqueeze", ["m", "at0"], ["u2"]),
        make.node("Slice", ["u1", "at0", "at4", "at2"], ["s1"]),
        make.node("Slice", ["u2", "at0", "at4", "at2"], ["s2"]),
        make.node("Slice", ["u2", "at4", "at8", "at2"], ["t2"]),
        make.node("Max", ["s1", "s2"], ["high"], "high"),
        make.node("Min", ["s1", "t2"], ["low"], "low"),
        make.node("Concat", ["low", "high"], ["c"], axis=2),
        make.node("ReduceSum", ["c", "at1"], ["r"], keepdims=0),
        make.node("MatMul", ["r", "v"], ["y"]),
    ]
    places = {f"at{number}": np.array([number]) for number in (0, 1, 2, 4, 8)}
    report = compared(Boxes(), net(nodes, w=w.numpy(), v=v.numpy(), **places))
    guilty = [pair["candidate"]["node"] for pair in report["pairs"] if pair["verdict"] == "introduced"]
    assert guilty == ["low"] == [report["first_divergence"]["candidate"]["node"]]


def test_a_further_look_runs_what_reads_other_tensors_and_sees_the_same(monkeypatch):
    from aligner.api import second_look
    from aligner.execution.look import look
    from aligner.execution.side import OpenSide

    nodes = [make.node("MatMul", ["x", "w"], ["t0"]), make.node("Cos", ["t0"], ["t1"])]
    nodes += [make.node("Tanh", [f"t{place}"], [f"t{place + 1}"]) for place in range(1, 5)]
    nodes += [make.node("MatMul", ["t5", "v"], ["y"])]
    observed, seen, run = [], [], OpenSide.run

    def watched(side, observe=None, inject=None, *, phase="observing", feeds=None):
        observed.extend([set(observe)] if phase == "looking again" else [])
        return run(side, observe, inject, phase=phase, feeds=feeds)

    def looked(sides, passes, alignment, *_):
        look(sides[1], passes, set())
        seen.append(look(sides[1], passes, {"t1"}))
        passes.looked = {}, {}
        seen.append(look(sides[1], passes, {"t1"}))
        return alignment

    monkeypatch.setattr(OpenSide, "run", watched)
    monkeypatch.setattr(second_look, "second_look", looked)
    compared(net(nodes), net([nodes[0], make.node("Sin", ["t0"], ["t1"]), *nodes[2:]]))
    assert repr(sorted(seen[0].items())) == repr(sorted(seen[1].items()))
    assert observed[1] == {"t2"} and observed[0] == observed[2] >= {"t1", "t2", "t3", "y"}


@requires_torch
@pytest.mark.filterwarnings("ignore")
def test_a_pair_that_a_second_look_confirms_stays(tmp_path):
    """Behind a part of a projection that is wrong, a factor spread over both sides of a product is no error."""
    import torch

    class Attends(torch.nn.Module):
        """Queries, keys and values of one projection; scores scaled behind their product, or each side before."""

        def __init__(self, apart):
            super().__init__()
            self.packed, self.last, self.apart = torch.nn.Linear(16, 48), torch.nn.Linear(16, 4), apart

        def forward(self, x):
            q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.packed(x).chunk(3, -1))
            if self.apart:
                scores = (q * 8**-0.25) @ (k * 8**-0.25).transpose(-1, -2)
            else:
                scores = q @ k.transpose(-1, -2) * 8**-0.5
            return self.last((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    right, wrong, x = Attends(False), Attends(True), torch.randn(2, 5, 16)
    wrong.load_state_dict(right.state_dict())
    wrong.packed.weight.data[16:32].normal_(0, 0.2)
    torch.onnx.export(wrong, (x,), tmp_path / "m.onnx", dynamo=False, opset_version=17)
    result = aligner.compare(right, tmp_path / "m.onnx", {"x": x.numpy()})
    assert result.first_divergence.candidate.name == "/packed/Add_output_0"
    assert [cause.id for cause in result.causes] == ["weights-changed"]
