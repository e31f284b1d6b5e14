"""Fused attention, embeddings and rotations, shown as the nodes that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import aligner
from aligner.adapters.base import OpenOptions, Session
from aligner.adapters.onnx_adapter.adapter import OnnxAdapter

BATCH, LENGTH, HIDDEN, HEADS, BEFORE = 2, 5, 8, 2, 3
DRAWN = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return DRAWN.standard_normal(shape).astype(np.float32)


X, KERNEL, BIAS = drawn(BATCH, LENGTH, HIDDEN), drawn(HIDDEN, 3 * HIDDEN) / 3, drawn(3 * HIDDEN)
PLANE = np.tril(np.ones((BATCH, LENGTH, LENGTH), np.int32))
PAST = drawn(2, BATCH, HEADS, BEFORE, HIDDEN // HEADS)
KEPT = drawn(BATCH, HEADS, BEFORE, HIDDEN // HEADS)
KEY, VALUE = drawn(BATCH, LENGTH, HIDDEN), drawn(BATCH, LENGTH, HIDDEN)
TABLES = [part(np.outer(np.arange(16), np.geomspace(1, 0.01, 8))).astype(np.float32) for part in (np.cos, np.sin)]
QUERY, GROUP, BEHIND = drawn(BATCH, LENGTH, 64), drawn(2, BATCH, LENGTH, 32), drawn(2, BATCH, 2, BEFORE, 16)
FEW = {"num_heads": 4, "kv_num_heads": 2}
PROMPT = [np.full(BATCH, LENGTH - 1, np.int32), np.array(LENGTH, np.int32)]
LONGER = [np.array([BEFORE + LENGTH - 1], np.int32), np.array(BEFORE + LENGTH, np.int32)]
PLACES = DRAWN.integers(0, 16, (BATCH, LENGTH))
IN_ORDER, ALONE = np.arange(3, 3 + LENGTH)[None], [PROMPT[0][:1], PROMPT[1]]
CASES: dict[str, tuple[str, list[Any], dict[str, Any], int]] = {
    "plain": ("Attention", [X, KERNEL, BIAS], {}, 1),
    "scaled": ("Attention", [X, KERNEL, BIAS], {"scale": 0.3}, 1),
    "kept positions": (
        "Attention",
        [X, KERNEL, BIAS, np.array([[1] * LENGTH, [1, 1, 0, 0, 0]], np.int32)],
        {"mask_filter_value": -50.0},
        1,
    ),
    "kept places": ("Attention", [X, KERNEL, BIAS, PLANE], {}, 1),
    "lengths": ("Attention", [X, KERNEL, BIAS, np.array([5, 2], np.int32)], {}, 1),
    "ends and beginnings": ("Attention", [X, KERNEL, BIAS, np.array([5, 4, 1, 0], np.int32)], {}, 1),
    "added": ("Attention", [X, KERNEL, BIAS, None, None, drawn(1, HEADS, LENGTH, LENGTH)], {}, 1),
    "causal": ("Attention", [X, KERNEL, BIAS], {"unidirectional": 1}, 2),
    "causal behind a past": ("Attention", [X, KERNEL, BIAS, None, PAST], {"unidirectional": 1}, 2),
    "other widths": ("Attention", [X, KERNEL[:, :20], BIAS[:20]], {"qkv_hidden_sizes": [8, 8, 4]}, 1),
    "of eight bits": (
        "QAttention",
        [
            DRAWN.integers(0, 255, X.shape, np.uint8),
            DRAWN.integers(-127, 127, KERNEL.shape, np.int8),
            BIAS,
            np.float32(0.02),
            np.float32(0.01),
            None,
            np.uint8(120),
            np.int8(3),
        ],
        {},
        1,
    ),
    "of eight bits by column": (
        "QAttention",
        [
            DRAWN.integers(0, 255, X.shape, np.uint8),
            DRAWN.integers(-127, 127, KERNEL.shape, np.int8),
            BIAS,
            np.array([0.02], np.float32),
            np.linspace(0.005, 0.02, 3 * HIDDEN, dtype=np.float32),
            None,
            np.array([120], np.uint8),
            np.zeros(3 * HIDDEN, np.int8),
        ],
        {},
        1,
    ),
    "sides apart": ("MultiHeadAttention", [X, KEY, VALUE, BIAS], {}, 1),
    "sides behind a past": ("MultiHeadAttention", [X, KEY, VALUE, None, None, None, KEPT, KEPT[::-1]], {}, 3),
    "sides with a mask": (
        "MultiHeadAttention",
        [X, KEY, VALUE, None, np.array([[1] * LENGTH, [1, 1, 1, 0, 0]], np.int32), drawn(1, 1, LENGTH, LENGTH)],
        {},
        1,
    ),
    "heads that share keys": ("GroupQueryAttention", [QUERY, *GROUP, None, None, *PROMPT], FEW, 1),
    "heads that share keys, turned": (
        "GroupQueryAttention",
        [QUERY, *GROUP, None, None, *PROMPT, *TABLES],
        {**FEW, "do_rotary": 1},
        3,
    ),
    "heads that share keys, turned by places that are told": (
        "GroupQueryAttention",
        [QUERY[:1], *GROUP[:, :1], None, None, *ALONE, *TABLES, IN_ORDER, drawn(1, 1, LENGTH, LENGTH)],
        {**FEW, "do_rotary": 1},
        3,
    ),
    "heads that share keys, behind a past": (
        "GroupQueryAttention",
        [QUERY[:1], *GROUP[:, :1], *BEHIND[:, :1], *LONGER, *TABLES],
        {**FEW, "do_rotary": 1, "rotary_interleaved": 1},
        3,
    ),
    "heads that share keys, packed": (
        "GroupQueryAttention",
        [drawn(BATCH, LENGTH, 128), None, None, None, None, *PROMPT],
        {**FEW, "scale": 0.3},
        3,
    ),
    "turned": ("RotaryEmbedding", [QUERY, PLACES, *TABLES], {}, 1),
    "turned from a place on": ("RotaryEmbedding", [BEHIND[0], np.array([2]), *TABLES], {"interleaved": 1}, 1),
    "turned in part": ("RotaryEmbedding", [QUERY, PLACES, *TABLES], {"num_heads": 2, "rotary_embedding_dim": 16}, 1),
    "turned as ONNX says": ("ai.onnx::RotaryEmbedding", [QUERY, *TABLES, PLACES], {"num_heads": 4}, 1),
    "turned by tables of each place": (
        "ai.onnx::RotaryEmbedding",
        [BEHIND[0], *(np.stack([table[:BEFORE]] * BATCH) for table in TABLES)],
        {"interleaved": 1},
        1,
    ),
    "embedding": (
        "EmbedLayerNormalization",
        [
            DRAWN.integers(0, 20, (BATCH, LENGTH), np.int32),
            DRAWN.integers(0, 2, (BATCH, LENGTH), np.int32),
            drawn(20, HIDDEN),
            drawn(9, HIDDEN),
            drawn(2, HIDDEN),
            drawn(HIDDEN),
            drawn(HIDDEN),
            np.array([[1] * LENGTH, [1, 1, 0, 0, 0]], np.int32),
        ],
        {"epsilon": 1e-5},
        3,
    ),
}


def model_of(op: str, operands: list[Any], attributes: dict[str, Any], outputs: int) -> onnx.ModelProto:
    """One node; its first operand is the model's input, the others are stored."""
    names = ["x" if place == 0 else f"w{place}" if each is not None else "" for place, each in enumerate(operands)]
    domain, _, op = op.rpartition("::")
    settings = ({"num_heads": HEADS} if op.endswith("Attention") else {}) | attributes
    results = [f"y{place}" for place in range(outputs)]
    node = helper.make_node(op, names, results, name="fused", domain=domain or "com.microsoft", **settings)
    kind = helper.np_dtype_to_tensor_dtype(operands[0].dtype)
    integers = {"y1"} if op == "EmbedLayerNormalization" else set()
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, operands[0].shape)],
        [
            helper.make_tensor_value_info(each, TensorProto.INT32 if each in integers else TensorProto.FLOAT, None)
            for each in results
        ],
        [numpy_helper.from_array(np.asarray(a), f"w{i}") for i, a in enumerate(operands) if i and a is not None],
    )
    opsets = [helper.make_opsetid("", 23 if domain else 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=11)


def opened(model: onnx.ModelProto) -> Session:
    return OnnxAdapter().open(model, OpenOptions())


@pytest.mark.parametrize("name", CASES)
def test_the_nodes_compute_what_the_fused_one_does(name: str) -> None:
    session = opened(model_of(*CASES[name]))
    feeds = {"x": CASES[name][1][0]}
    graph = session.graph(feeds)
    assert len(graph.nodes) > 3
    assert not [node.op for node in graph.nodes if "::" in node.op]
    right = {tensor.value: tensor.array for tensor in session.predict(feeds)}
    seen = {tensor.value: tensor.array for tensor in session.run(feeds)}
    for output in graph.outputs:
        np.testing.assert_allclose(seen[output], right[output], rtol=1e-5, atol=1e-5)


APART = """
<ir_version: 9, opset_import: ["" : 17]> g (float[2, 5, 8] x) => (float[2, 5, 8] y)
{
    heads = Constant <value_ints = [0, 0, 2, 4]> ()
    whole = Constant <value_ints = [0, 0, 8]> ()
    scale = Constant <value_float = 0.5> ()
    q = MatMul (x, wq) q1 = Add (q, bq) q2 = Reshape (q1, heads) q3 = Transpose <perm = [0, 2, 1, 3]> (q2)
    k = MatMul (x, wk) k1 = Add (k, bk) k2 = Reshape (k1, heads) k3 = Transpose <perm = [0, 2, 3, 1]> (k2)
    v = MatMul (x, wv) v1 = Add (v, bv) v2 = Reshape (v1, heads) v3 = Transpose <perm = [0, 2, 1, 3]> (v2)
    s = MatMul (q3, k3) t = Mul (s, scale) p = Softmax (t)
    m = MatMul (p, v3) n = Transpose <perm = [0, 2, 1, 3]> (m) y = Reshape (n, whole)
}
"""


def apart(kernel: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """Attention with a projection each for queries, keys and values."""
    model = onnx.parser.parse_model(APART)
    for name, matrix, vector in zip("qkv", np.split(kernel, 3, axis=1), np.split(bias, 3), strict=True):
        stored = (numpy_helper.from_array(np.ascontiguousarray(matrix), f"w{name}"), f"b{name}", vector)
        model.graph.initializer.extend([stored[0], numpy_helper.from_array(vector, stored[1])])
    return model


def test_one_projection_for_all_answers_three() -> None:
    fused = model_of("Attention", [X, KERNEL, BIAS], {}, 1)
    for pair in ((apart(KERNEL, BIAS), fused), (fused, apart(KERNEL, BIAS))):
        assert aligner.compare(*pair, {"x": X}).verdict == "aligned"


@pytest.mark.parametrize("fused_first", [False, True])
def test_a_part_of_a_packed_kernel_is_named(*, fused_first: bool) -> None:
    wrong = KERNEL.copy()
    wrong[:, HIDDEN : 2 * HIDDEN] = drawn(HIDDEN, HIDDEN) / 3
    models = [lambda kernel: apart(kernel, BIAS), lambda kernel: model_of("Attention", [X, kernel, BIAS], {}, 1)]
    reference, candidate = models[::-1] if fused_first else models
    result = aligner.compare(reference(KERNEL), candidate(wrong), {"x": X})
    assert result.verdict == "diverged"
    (cause, *_) = result.causes
    assert cause.id.startswith("weights-") and cause.evidence_class == "proven"
    assert ("outputs 8 to 15" in cause.evidence) is not fused_first


WITHIN = {
    "heads": ("Attention", [X, KERNEL, BIAS], {}, {"num_heads": 4}, "axis-split"),
    "scale": (
        "GroupQueryAttention",
        [QUERY, *GROUP, None, None, *PROMPT, *TABLES],
        {**FEW, "do_rotary": 1},
        {"scale": 0.1},
        "attention-scale",
    ),
}


@pytest.mark.parametrize(("op", "operands", "settings", "wrong", "identifier"), WITHIN.values(), ids=WITHIN)
def test_a_setting_of_a_fused_node_is_proven_within(
    op: str, operands: list[Any], settings: dict[str, Any], wrong: dict[str, Any], identifier: str
) -> None:
    models = (model_of(op, operands, settings | other, 1) for other in ({}, wrong))
    (cause, *_) = aligner.compare(*models, {"x": operands[0]}).causes
    assert (cause.id, cause.evidence_class) == (identifier, "proven"), cause


OTHER = KERNEL * np.where(np.arange(3 * HIDDEN) == 9, 3, 1).astype(np.float32)
FIXED = {
    "scale": (WITHIN["scale"][:2], WITHIN["scale"][2], WITHIN["scale"][2] | {"scale": 0.1}, None),
    "mask": (CASES["kept positions"][:2], {}, {"mask_filter_value": -1.0}, None),
    "weight": (("Attention", [X, KERNEL, BIAS]), {}, {}, OTHER),
}


@pytest.mark.parametrize(("node", "right", "wrong", "kernel"), FIXED.values(), ids=FIXED)
def test_what_is_wrong_within_a_fused_node_is_put_right_in_its_file(
    tmp_path: Path, node: tuple[str, list[Any]], right: dict[str, Any], wrong: dict[str, Any], kernel: np.ndarray | None
) -> None:
    """The node gives its place to those that it stands for, one of them changed."""
    from aligner.api.fixing import fix

    op, operands = node
    others = operands if kernel is None else [operands[0], kernel, *operands[2:]]
    onnx.save(model_of(op, operands, right, 1), tmp_path / "right.onnx")
    onnx.save(model_of(op, others, wrong, 1), tmp_path / "wrong.onnx")
    found = fix(tmp_path / "right.onnx", tmp_path / "wrong.onnx", {"x": operands[0]}, output=tmp_path / "fixed.onnx")
    assert (found.before, found.after) == ("diverged", "aligned"), found
    assert found.written
