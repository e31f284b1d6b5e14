"""PyTorch's words for operations and their arguments, in the framework-neutral words of ``records.graph``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from aligner.adapters.aten_names import bare_name
from aligner.operations.call import kind_said
from aligner.operations.kinds import STRIDED, kinds_of
from aligner.records.graph import Attribute

_WORDS: dict[str, str] = {
    "conv": "conv_tbc thnn_conv2d slow_conv2d conv1d_relu conv2d_relu conv3d_relu",
    "matmul": (
        "matmul mm bmm mv dot vdot inner addmm addmv addbmm baddbmm linear bilinear einsum tensordot outer "
        "linear_dynamic linear_relu linear_relu_dynamic"
    ),
    "norm": (
        "batch_norm native_batch_norm batchnorm1d batchnorm2d batchnorm3d syncbatchnorm layer_norm native_layer_norm "
        "instance_norm instancenorm1d instancenorm2d instancenorm3d group_norm native_group_norm "
        "native_batch_norm_legit native_batch_norm_legit_no_training rms_norm local_response_norm normalize "
        "fused_layer_norm fused_rms_norm"
    ),
    "minmax": "fmax fmin",
    "unary": "erfinv lgamma digamma not logit sinc deg2rad rad2deg resolve_conj nan_to_num positive pos",
    "binary": "logaddexp2 nextafter polar complex cross",
    "leaky_relu": "rrelu",
    "activation": "softmin gumbel_softmax",
    "resize": "upsamplingnearest2d upsamplingbilinear2d",
    "max_pool": "fractional_max_pool2d boolean_dispatch",
    "avg_pool": "lp_pool1d lp_pool2d",
    "reduce": "aminmax matrix_norm median mode nanmean nansum nanmedian count_nonzero quantile",
    "softmax": "softmax softmax2d",
    "concat": "stack hstack vstack dstack column_stack row_stack meshgrid block_diag",
    "split": "unbind hsplit vsplit dsplit iter",
    "slice": "getitem slice select narrow diagonal",
    "gather": "gather index index_select take take_along_dim masked_select",
    "scatter": (
        "setitem scatter scatter_add scatter_reduce index_put index_add index_copy index_fill masked_scatter "
        "index_put_impl slice_scatter select_scatter diagonal_scatter put fill_diagonal"
    ),
    "pad": "constantpad1d constantpad2d constantpad3d zeropad1d zeropad2d zeropad3d circularpad1d circularpad2d",
    "transpose": "t h mh numpy_t",
    "expand": "broadcast_tensors",
    "tile": "repeat tile repeat_interleave",
    "depth_to_space": "pixel_shuffle pixel_unshuffle",
    "quantize": (
        "quantize_per_tensor quantize_per_channel quantize_per_tensor_dynamic fake_quantize_per_tensor_affine "
        "fake_quantize_per_channel_affine fake_quantize_per_tensor_affine_cachemask"
    ),
    "identity": "alias cuda copy to_mkldnn set_data pin_memory",
    "dropout": (
        "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout native_dropout"
    ),
    "constant": (
        "constant arange range linspace logspace zeros ones full empty eye tensor as_tensor scalar_tensor asarray "
        "from_numpy zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_tensor "
        "numtotensor empty_strided fill zero hann_window hamming_window tril_indices triu_indices empty_permuted"
    ),
    "shape": "size shape numel dim ndimension stride storage_offset is_floating_point len sym_size",
    "compare": "equal allclose isclose",
    "where": "where masked_fill",
    "topk": "topk kthvalue",
    "sort": "sort argsort msort unique unique_consecutive unique2",
    "nms": "nms batched_nms",
    "random": (
        "rand randn randint randperm rand_like randn_like randint_like normal uniform bernoulli multinomial "
        "exponential log_normal geometric cauchy random poisson"
    ),
    "recurrent": (
        "lstm gru rnn_tanh rnn_relu rnn lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell lstmcell grucell rnncell "
        "thnn_fused_lstm_cell"
    ),
    "attention": (
        "scaled_dot_product_attention multi_head_attention_forward multiheadattention native_multi_head_attention "
        "transformer_encoder_layer_fwd scaled_dot_product_flash_attention scaled_dot_product_flash_attention_for_cpu "
        "flex_attention"
    ),
    "embedding": "embedding embedding_bag",
    "cumsum": "logcumsumexp",
    "control_flow": "if",
    "opaque": "pythonop",
}
_SPELLED = "log_softmax dequantize loop"
"""Words that spell their kind."""
_KINDS = {word.replace("_", ""): kind for word, kind in kinds_of(_WORDS, _SPELLED).items()}
_NAMESPACES = frozenset({"aten", "prim", "prims", "quantized", "torchvision", "torch", "inductor"})


def kind_of(op: str) -> str:
    """Answer the neutral kind of an op: "conv2d", "aten::conv2d", "__add__", "add_" and "Conv2d" are all known.

    An op of a namespace that is not PyTorch's own is "opaque"; an unknown one of PyTorch is "other".
    """
    word = bare_name(op).replace("_", "").lower()
    own = (op.split("::", 1)[0] if "::" in op else "aten") in _NAMESPACES
    return _KINDS.get(word) or _translated().get(word) or ("other" if own else "opaque")


@cache
def _translated() -> dict[str, str]:
    from aligner.adapters.aten_translation import VOCABULARY

    return {word.replace("_", "").lower(): kind_said(VOCABULARY, word, "") for word in VOCABULARY}


_RENAMED = {
    "eps": "epsilon",
    "negative_slope": "alpha",
    "keepdim": "keepdims",
    "min_val": "min",
    "max_val": "max",
    "train": "training",
}
_MODES = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
_TO_THE_END = (1 << 31) - 1
"""A slice's end from here on is the compilers' word for "to the end"."""
_TURNED: dict[str, dict[str, Attribute]] = {
    **{word: {"dim0": -2, "dim1": -1} for word in ("t", "mT", "mH", "adjoint")},
    **{word: {"reverse": True} for word in ("T", "numpy_T", "H")},
}
"""Transpositions that say what they exchange by their name alone: the last two axes, or all of them."""
_LOOSE_AXES = ("reduce", "reshape")
"""Kinds whose ``dim`` may be one axis or several: always written as ``axes``."""


def normalise_attributes(
    op: str, arguments: Mapping[str, Any], weight_shape: Sequence[int] | None = None
) -> dict[str, Attribute]:
    """Rename and reshape PyTorch's non-tensor arguments (named as in the schema) to the neutral attribute names.

    ``weight_shape`` is the kernel's shape where the op has one. What has no neutral name keeps PyTorch's.
    """
    kind = kind_of(op)
    given = {name: value for name, value in arguments.items() if value is not None}
    attributes = _special(kind, bare_name(op), given, weight_shape)
    for name, value in given.items():
        if name == "dim":
            loose = kind in _LOOSE_AXES or isinstance(value, tuple | list)
            attributes["axes" if loose else "axis"] = _tuple(value) if loose else value
        else:
            attributes[_RENAMED.get(name, name)] = plain(value)
    return attributes


def plain(value: Any) -> Attribute:
    """Reduce an argument to scalars, strings and tuples."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    if isinstance(value, slice):
        return f"{_edge(value.start)}:{_edge(value.stop)}" + ("" if value.step is None else f":{_edge(value.step)}")
    if value is Ellipsis:
        return "..."
    text = str(value)
    return text.removeprefix("torch.")


def _edge(value: Any) -> str:
    """A bound of a slice; a tensor that is one is a number."""
    if getattr(value, "ndim", None) == 0:
        return str(int(value))
    return "" if value is None else str(plain(value))


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(plain(item) for item in value) if isinstance(value, tuple | list) else (plain(value),)


def _spread(value: Any, rank: int) -> tuple[Any, ...]:
    """One entry for each spatial axis: 2 → (2, 2); an empty list stays empty."""
    values = _tuple(value)
    return values * rank if len(values) == 1 else values


def _rank(name: str, given: Mapping[str, Any], weight_shape: Sequence[int] | None) -> int:
    if weight_shape is not None and len(weight_shape) > 2:
        return len(weight_shape) - 2
    digits = re.search(r"([123])d", name)
    if digits:
        return int(digits.group(1))
    lengths = [len(given[key]) for key in ("stride", "padding", "dilation") if isinstance(given.get(key), tuple | list)]
    return max(lengths, default=2)


def _special(kind: str, name: str, given: dict[str, Any], weight_shape: Sequence[int] | None) -> dict[str, Attribute]:
    """What takes more than renaming; the arguments that were read are taken out of ``given``."""
    if kind in STRIDED:
        return _window(name, given, weight_shape)
    if kind == "pad":
        return _pad(name, given)
    if kind == "resize":
        return _resize(name, given)
    if kind == "norm":
        given.pop("cudnn_enabled", None)
        shape = given.pop("normalized_shape", None)
        return {"axes": tuple(range(-len(_tuple(shape)), 0))} if shape is not None else {}
    if kind == "transpose" and "dims" in given:
        return {"perm": _tuple(given.pop("dims"))}
    if name in _TURNED:
        return dict(_TURNED[name])
    if kind == "slice" and isinstance(given.get("end"), int) and given["end"] >= _TO_THE_END:
        del given["end"]
    return {}


def _window(name: str, given: dict[str, Any], weight_shape: Sequence[int] | None) -> dict[str, Attribute]:
    rank = _rank(name, given, weight_shape)
    adaptive = "adaptive" in name
    found: dict[str, Attribute] = {}
    kernel = given.pop("kernel_size", None)
    if kernel is None and weight_shape is not None and len(weight_shape) > 2:
        kernel = tuple(weight_shape[2:])
    if kernel is not None:
        found["kernel"] = _spread(kernel, rank)
    stride = given.pop("stride", None)
    if stride is None or stride in ([], ()):
        stride = None if adaptive else (kernel if "pool" in name else 1)
    if stride is not None:
        found["strides"] = _spread(stride, rank)
    if not adaptive:
        found.update(_padding(given.pop("padding", 0), rank))
        if "avg" not in name and "lp" not in name:
            found["dilations"] = _spread(given.pop("dilation", 1), rank)
    if "conv" in name:
        found["groups"] = plain(given.pop("groups", 1))
    if "output_padding" in given:
        found["output_padding"] = _spread(given.pop("output_padding"), rank)
    for noise in ("benchmark", "deterministic", "cudnn_enabled", "allow_tf32"):
        given.pop(noise, None)
    return found


def _padding(padding: Any, rank: int) -> dict[str, Attribute]:
    if padding == "same":
        return {"auto_pad": "same_upper"}
    amounts = _spread(0 if padding == "valid" else padding, rank)
    return {"pads": tuple((amount, amount) for amount in amounts)}


def _pad(name: str, given: dict[str, Any]) -> dict[str, Attribute]:
    """``F.pad`` counts from the last axis backwards; the pairs here stand in axis order, for the last axes."""
    amounts = _tuple(given.pop("pad", given.pop("padding", ())))
    pairs = tuple(zip(amounts[0::2], amounts[1::2], strict=False))
    named = next((word for word in ("reflect", "replicat", "circular") if name.startswith(word)), None)
    mode = {"reflect": "reflect", "replicat": "replicate", "circular": "circular"}.get(named or "", "constant")
    return {"pads": pairs[::-1], "mode": plain(given.pop("mode", mode))}


def _resize(name: str, given: dict[str, Any]) -> dict[str, Attribute]:
    """The interpolation's ``mode`` is one of nearest, nearest-exact, linear, cubic, area."""
    named = next(
        (word for word in ("nearest_exact", "nearest", "bilinear", "bicubic", "trilinear", "linear") if word in name),
        "nearest",
    )
    mode = str(given.pop("mode", named.replace("_", "-")))
    return {"mode": _MODES.get(mode, mode)}
