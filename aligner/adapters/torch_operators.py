"""Which of PyTorch's operators compute and do nothing else: those that a file may name without being trusted.

An operator is let through by its schema: its namespace computes, and no argument of it is the name of anything outside
the program. An operator that a newer PyTorch adds is refused until its texts' meanings stand here.
"""

from __future__ import annotations

from typing import Any

_PRIM = frozenset(
    "NumToTensor RaiseException TupleIndex TupleUnpack StringIndex ModuleContainerIndex EnumName EnumValue IfThenElse "
    "abs data device dtype grad id index is_cpu is_cuda is_meta is_mkldnn is_mps is_nested is_quantized is_sparse "
    "is_sparse_csr is_vulkan is_xla is_xpu itemsize layout max min name nbytes rangelist requires_grad tolist type "
    "unchecked_cast unchecked_unwrap_optional Uninitialized ConstantChunk Print AutogradAdd shape".split()
)
_PRIMS = frozenset("convert_element_type view_of where broadcast_in_dim iota".split())
_PRIVATE = frozenset(
    "_adaptive_avg_pool2d _adaptive_avg_pool3d _add_relu _addmm_activation _aminmax _assert_async _assert_scalar "
    "_assert_tensor_metadata _batch_norm_impl_index _cdist_forward _conj _conj_physical _convolution "
    "_convolution_mode _dim_arange "
    "_embedding_bag _embedding_bag_forward_only _euclidean_dist _functional_assert_async _fused_rms_norm "
    "_get_tracing_state _grouped_mm "
    "_grid_sampler_2d_cpu_fallback _index_put_impl_ _infer_size _int_mm _is_all_true _is_any_true _list_to_tensor "
    "_local_scalar_dense _log_softmax _logcumsumexp _masked_softmax _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training _native_multi_head_attention _nested_tensor_from_mask "
    "_nested_tensor_from_mask_left_aligned _pack_padded_sequence _pad_circular "
    "_pad_enum _pad_packed_sequence _prelu_kernel _reshape_alias _safe_softmax _set_item _shape_as_tensor _softmax "
    "_stack _tensor_to_list _to_copy _transform_bias_rescale_qkv _transformer_encoder_layer_fwd _trilinear _unique "
    "_unique2 _unwrap_optional _unsafe_view _unsafe_index _unsafe_index_put _values _version _weight_norm "
    "_weight_norm_interface".split()
)
"""Operators of aten that begin with an underscore and that exporters write; others may leave checks to their caller."""
_FAMILIES = tuple("_upsample_ _fft_ _linalg_ _cast_ _autocast_ _no_grad_ _scaled_dot_product_".split())
"""How such names begin where each PyTorch adds more of a kind."""
_UNCHECKED = frozenset(
    "set set_ from_file save record_stream resize_as_sparse_ sparse_resize_ sparse_resize_and_clear_ sparse_coo_tensor "
    "sparse_compressed_tensor sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor segment_reduce "
    "ctc_loss".split()
)
"""Operators that look at memory or files by arguments of their own, also where one overload is harmless: the indices of
a sparse tensor, segments and labels are believed without being held against the sizes."""
_TEXTS = frozenset(
    "a approximate api_name assert_msg b chars cls device_type dict driver el elem equation fillchar idx indexing "
    "inputs interpolation item key l message mode msg new norm old ord p pad_mode padding padding_side reduce "
    "rounding_mode s self separator side string substr t to_add type UPLO value values v x input output_dtype ind "
    "default_value".split()
)
"""Names of arguments whose text says how to compute, or is itself what is computed."""
_NAMESPACES = frozenset(("aten", "prim", "prims", "quantized", "_quantized", "torchvision", "torchaudio", "sparse"))
_FOREIGN = ("Storage", "Stream", "torch.classes.")
PACKED_WEIGHTS = "torch.classes.quantized."
"""Classes that hold a quantised layer's weights; all others reach out."""


def is_harmless(name: str) -> bool:
    """Whether every overload of "namespace::operator" computes; a name of no operator can only be the program's own."""
    space, _, word = name.partition("::")
    if space not in _NAMESPACES:
        return False
    schemas = _schemas(name)
    return not schemas or (_is_known(space, word) and word not in _UNCHECKED and not any(map(_reaches_out, schemas)))


def _is_known(space: str, word: str) -> bool:
    """Whether an operator checks its operands itself."""
    if space != "aten":
        return word in {"prim": _PRIM, "prims": _PRIMS}.get(space, (word,))
    return not word.startswith("_") or word.startswith(("__", *_FAMILIES)) or word in _PRIVATE


def _schemas(name: str) -> list[Any]:
    import torch

    return list(torch._C._jit_get_schemas_for_operator(name))


def _reaches_out(schema: Any) -> bool:
    for argument in schema.arguments:
        kind = str(argument.type)
        if "str" in kind and argument.name not in _TEXTS:
            return True
        if any(word in kind for word in _FOREIGN) and PACKED_WEIGHTS not in kind:
            return True
    return False
