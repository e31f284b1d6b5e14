"""Every promised id has a model that triggers it and one that must not; no cause has an id that nobody promised."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from aligner.causes.cause import Cause
from aligner.causes.global_cause import GlobalCause
from aligner.causes.search import find_causes  # noqa: F401 - loads every family

HERE = Path(__file__).parent

TABLES = {
    "settings": ("CASES", "test_a_model_with_the_fault_names_it_with_proof", "test_its_neighbours_fault_is_not"),
    "structure": ("CASES", "test_a_model_with_the_fault_names_it", "test_no_other_fault_is_taken_for_it"),
    "operations": ("CASES", "test_a_model_with_the_fault_names_it", "test_no_other_fault_is_taken_for_it"),
    "weights": ("FAULTS", "test_weights_that_are_wrong_are_named", "test_no_other_fault_of_weights_is_proven"),
    "inputs": ("FAULTS", "test_a_first_layer_that_reads_something_else", "test_another_fault_of_inputs_is_not"),
    "quantization": ("FAULTS", "test_a_quantisation_that_is_wrong_is_named", "test_another_fault_of_quantisation_is"),
}
"""Test file → its table of faults by id, the test that runs each of them, the test that runs the others."""

SINGLE = {
    "weights-prefix-mismatch": ("weights", "sub_tree_left_at_its_initial", "single_layer_is_no_prefix"),
    "weights-bn-fold": ("weights", "fold_along_the_wrong_axis", "right_fold"),
    "weights-shared-edited": ("weights", "shared_weight_edited", "weight_of_one_use_is_not_called_shared"),
    "input-resize": ("benign", "picture_resampled_otherwise", "picture_scaled_otherwise"),
    "output-order": ("numbers", "outputs_in_another_order", "the_same_outputs"),
    "output-extra": ("numbers", "an_output_more", "the_same_outputs"),
    "rnn-direction": ("recurrent", "attribute_of_the_cell", "attribute_of_the_cell"),
    "gru-reset-after": ("recurrent", "attribute_of_the_cell", "attribute_of_the_cell"),
    "trace-baked-shape": ("../test_probing", "what_was_traced_in_shows", "sound_trace_says_the_same"),
    "attributes-differ": ("opaque", "other_numbers_inside", "the_same_operator"),
    "random-op": ("numbers", "noise_is_random", "same_noise_is_no_difference"),
    "dropout-active": ("numbers", "dropout_that_is_active", "dropout_that_is_off"),
    "nondeterministic-kernel": ("numbers", "kernel_that_disagrees_with_itself", "steady_kernel"),
    "precision-fp16": ("numbers", "a_node_in_float16", "bfloat16_is_not_called_float16"),
    "precision-bf16": ("numbers", "bfloat16_is_not_called_float16", "a_node_in_float16"),
    "precision-chosen": ("../test_openvino_adapter", "precision_that_the_runtime_chose", "weights_are_no_chosen"),
    "precision-overflow": ("numbers", "float16_overflows", "small_numbers_do_not_overflow"),
    "precision-double-cast": ("benign", "a_node_in_float64", "is_not_called_wide"),
    "nonfinite-introduced": ("numbers", "logarithm_of_what_is_negative", "finite_and_unclipped"),
    "saturation": ("numbers", "limit_that_the_reference_does_not_have", "finite_and_unclipped"),
    "quantization-expected": ("benign", "what_eight_bits_cost", "more_than_eight_bits_cost"),
    "fusion-or-kernel": ("execution", "kernel_that_does_not_compute", "another_activation_is_no_kernel_fault"),
    "capture-artefact": ("benign", "looking_changes_what_is_seen", "is_no_artefact"),
    "integer-saturation": ("quantization", "large_bytes_saturate", "do_not_saturate"),
    "split-order": ("execution", "other_part_of_a_split", "no_part_of_the_split"),
    "wrong-operand": ("structure", "gate_and_value_exchanged", "product_with_another_tensor"),
    "ill-conditioned": ("execution", "means_ill_conditioned", "are_not_ill_conditioned"),
    "rounding": ("execution", "is_called_rounding", "is_not_called_rounding"),
}
"""Id → test file, a word of the name of the test that triggers it, and of the test that must not."""

PROMISED = """
weights-not-loaded weights-prefix-mismatch weights-partly-loaded weights-wrong-entry weights-transposed
weights-permuted weights-changed weights-reduced-precision weights-quantized weights-bn-fold weights-bias-missing
weights-shared-edited
input-channel-order input-scale input-mean-std input-layout input-resize input-dtype output-order output-extra
padding-asymmetric padding-mode pool-count-include-pad pool-ceil-mode resize-coordinate-mode resize-nearest-rounding
conv-stride-dilation-groups transposed-conv-output-padding depth-to-space-order slice-bounds
norm-epsilon norm-train-mode norm-statistics activation-variant softmax-axis attention-mask attention-scale
reduce-axis-or-bias division-rounding
layout-transposition flatten-order concat-order split-order axis-not-remapped spatial-flip broadcast-axis rolled
residual-missing operand-swapped wrong-operand rnn-gate-order rnn-direction gru-reset-after embedding-offset
setting-changed attributes-differ operation-changed operation-extra operation-missing operation-order axis-split
trace-baked-constant trace-baked-branch trace-baked-shape inplace-write-lost
random-op dropout-active nondeterministic-kernel
precision-fp16 precision-bf16 precision-chosen precision-overflow precision-double-cast nonfinite-introduced
saturation
quantization-scale quantization-zero-point quantization-calibration quantization-expected constant-changed
fusion-or-kernel capture-artefact integer-saturation ill-conditioned rounding
""".split()


def parsed(name: str) -> ast.Module:
    file = HERE / f"{name.removeprefix('../')}.py" if name.startswith("../") else HERE / f"test_causes_{name}.py"
    return ast.parse(file.read_text())


def functions(name: str) -> list[str]:
    return [item.name for item in parsed(name).body if isinstance(item, ast.FunctionDef)]


def table(name: str) -> set[str]:
    """The keys of a file's table of faults."""
    for item in parsed(name).body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and target.id == TABLES[name][0] and isinstance(item.value, ast.Dict):
            return {key.value for key in item.value.keys if isinstance(key, ast.Constant)}
    raise AssertionError(f"test_causes_{name}.py has no {TABLES[name][0]}")


def places(identifier: str) -> list[tuple[str, str, str]]:
    """(test file, test that triggers it, test that must not), all that there are."""
    found = [(name, *TABLES[name][1:]) for name in TABLES if identifier in table(name)]
    return found + ([SINGLE[identifier]] if identifier in SINGLE else [])


@pytest.mark.parametrize("identifier", PROMISED)
def test_every_id_has_both_its_tests(identifier):
    known = places(identifier)
    assert known, f"{identifier} has no test: add a model that triggers it and one that must not"
    for name, triggers, spares in known:
        for word in (triggers, spares):
            assert any(word in test for test in functions(name)), f"{identifier}: no test {word!r} in {name}"


def test_every_id_is_promised_and_every_promise_is_kept():
    written = {kind.id for kind in (*Cause.registry, *GlobalCause.registry)}
    assert written == set(PROMISED)
