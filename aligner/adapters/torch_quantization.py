"""PyTorch's quantised tensors: what their integers stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aligner.records.dataclass import dataclass
from aligner.records.graph import Quantization


def dtype_word(tensor: Any) -> str:
    """The framework's own word without its prefix ("float32"); of a quantised tensor that of what is stored."""
    kept = getattr(tensor, "qdata", None)
    known = tensor if kept is None else kept
    word = getattr(tensor, "target_dtype", known.dtype)  # fewer bits than a byte are kept in bytes
    return str(word).removeprefix("torch.").removeprefix("q" if tensor.is_quantized else "")


def integers_of(tensor: Any) -> Any | None:
    """The integers that a tensor of a class of its own keeps, as torchao's do, with one scale for all or each slice."""
    stored, scale = getattr(tensor, "qdata", None), getattr(tensor, "scale", None)
    if stored is None or scale is None or stored.dtype.is_floating_point or stored.shape != tensor.shape:
        return None
    wide = [axis for axis, size in enumerate(scale.shape) if size > 1]
    sliced = scale.ndim == stored.ndim and all(scale.shape[axis] == stored.shape[axis] for axis in wide)
    return stored if not wide or (len(wide) == 1 and sliced) else None


def spacing_of(tensor: Any) -> Callable[[], Any] | None:
    """How far apart the codes around each number are, where they are floats or have a scale for each block."""
    stored, scale = getattr(tensor, "qdata", None), getattr(tensor, "scale", None)
    if stored is None or scale is None or integers_of(tensor) is not None:
        return None
    if stored.shape != tensor.shape or scale.ndim != stored.ndim:
        return None
    return lambda: (_scales(scale, stored.shape) * _gaps(stored)).detach().cpu().numpy()


def _scales(scale: Any, shape: Any) -> Any:
    """The scale of each number: blocks are equal along an axis."""
    for axis, (many, size) in enumerate(zip(scale.shape, shape, strict=True)):
        scale = scale.repeat_interleave(-(-size // many), axis).narrow(axis, 0, size)
    return scale.double()


def _gaps(stored: Any) -> Any:
    """How far apart neighbouring codes are: one for integers, the unit in the last place for floats."""
    import torch

    if not stored.dtype.is_floating_point:
        return 1.0
    told = torch.finfo(stored.dtype)
    return told.eps * torch.exp2(stored.double().abs().clamp_min(told.smallest_normal).log2().floor())


def in_real_numbers(tensor: Any) -> Any:
    """A tensor that is of no class of its own: what it stands for, where numpy cannot see what another class keeps."""
    import torch

    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    return tensor if plain or not hasattr(tensor, "qdata") else tensor.dequantize()


def quantization_of(tensor: Any) -> Quantization | None:
    """The grid of a quantised tensor; None for any other."""
    if integers_of(tensor) is not None:
        scales, points = tensor.scale.flatten(), getattr(tensor, "zero_point", None)
        zeros = [0] * len(scales) if points is None else points.flatten().expand(len(scales)).tolist()
        wide = [axis for axis, size in enumerate(tensor.scale.shape) if size > 1]
        return Quantization(tuple(map(float, scales.tolist())), tuple(map(int, zeros)), wide[0] if wide else None)
    if not tensor.is_quantized:
        return None
    if "channel" in str(tensor.qscheme()):
        scales, points = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
        return Quantization(
            tuple(map(float, scales.tolist())), tuple(map(int, points.tolist())), int(tensor.q_per_channel_axis())
        )
    return Quantization((float(tensor.q_scale()),), (int(tensor.q_zero_point()),))


def requantised(tensor: Any, stored: Any) -> Any:
    """A tensor of these integers on the grid of another."""
    import torch

    stored = stored.to(dtype=tensor.int_repr().dtype)
    if "channel" in str(tensor.qscheme()):
        return torch._make_per_channel_quantized_tensor(
            stored, tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points(), tensor.q_per_channel_axis()
        )
    return torch._make_per_tensor_quantized_tensor(stored, tensor.q_scale(), tensor.q_zero_point())


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """What a quantised layer keeps in an object that only its operator can read."""

    weights: Mapping[str, Any]
    settings: Mapping[str, Any]
    """Arguments of the operator that are packed with them, and the kernel."""


_SETTINGS = ("stride", "padding", "output_padding", "dilation", "groups")


def packed_layers(module: Any) -> dict[int, PackedLayer]:
    """The layers with packed weights, by the ``id()`` of what each hands to its operator."""
    import torch

    found: dict[int, PackedLayer] = {}
    for path, part in module.named_modules():
        held = getattr(part, "_packed_params", None)
        packed = getattr(held, "_packed_params", held)
        if not isinstance(packed, torch.ScriptObject) or not callable(getattr(part, "weight", None)):
            continue
        named = {"weight": part.weight(), "bias": part.bias() if callable(getattr(part, "bias", None)) else None}
        weights = {f"{path}.{name}".lstrip("."): tensor for name, tensor in named.items() if tensor is not None}
        settings = {name: getattr(part, name) for name in _SETTINGS if hasattr(part, name)}
        found[id(packed)] = PackedLayer(weights, settings | {"weight": named["weight"]})
    return found
