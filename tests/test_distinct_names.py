"""Names in a narrow column: what tells them apart stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aligner.report.distinct_names import shortened

LAYERS = [
    f"/model/layers.{layer}/self_attn/{name}_proj/MatMul_output_0"
    for layer in range(3)
    for name in ("q", "k", "v", "o")
]


@pytest.mark.parametrize("width", [10, 18, 22, 30, 40, 80])
def test_layers_of_a_transformer_stay_apart(width):
    shown = shortened(LAYERS, width)
    assert len(set(shown)) == len(LAYERS)
    assert all(len(text) <= width for text in shown)


def test_what_fits_is_left_alone():
    assert shortened(["a/b", "a/c"], 10) == ["a/b", "a/c"]


def test_the_shared_parts_leave_first():
    names = ["decoder.blocks.0.attention.q", "decoder.blocks.1.attention.q", "decoder.blocks.1.attention.k"]
    assert shortened(names, 18) == ["…0.attention.q", "…1.attention.q", "…1.attention.k"]


def test_one_of_several_fused_nodes_stands_for_all():
    names = [f"net/add_{place}/add;net/relu_{place}/Relu;net/shared/bias #{place}" for place in (3, 4)]
    assert shortened(names, 24) == ["net/add_3/add;… #3", "net/add_4/add;… #4"]
    assert shortened(names, 16) == ["…add_3/add;… #3", "…add_4/add;… #4"]
    assert shortened(["a/b;c/d", "c/d;a/b"], 6) == shortened(["a/b;c/d", "c/d;a/b"], 6)


@pytest.mark.parametrize("width", [16, 17, 18])
def test_steps_of_a_normalisation_stay_apart(width):
    """What most share tells these apart: the rows of two norms in each of three layers read alike."""
    names = [
        f"model.model.layers.{layer}.{norm}_layernorm/{step}"
        for layer in range(3)
        for norm in ("input", "post_attention")
        for step in ("pow.0", "mean.0", "add.0", "rsqrt.0", "mul.0", "mul.1")
    ]
    shown = shortened(names, width)
    assert len(set(shown)) == len(names)
    assert all(step in text for text, step in zip(shown, (name.rsplit("/")[-1] for name in names), strict=True))


def test_brackets_are_never_half():
    assert all(text.count("(") == text.count(")") for text in shortened([f"mul_{n} (m.l.{n}.attn)" for n in "12"], 12))


@given(st.lists(st.text("ab/._;", max_size=60), max_size=8), st.integers(4, 60))
def test_every_name_fits(names, width):
    for name, text in zip(names, shortened(names, width), strict=True):
        assert len(text) <= width
        assert text == name or len(name) > width
