"""Convolutions, pools, resizes and padding that look at other places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, ClassVar

from aligner.adapters.wording import Topic
from aligner.causes.cause import Claim
from aligner.causes.context import Context
from aligner.causes.setting_cause import SettingCause
from aligner.operations.kernels.resizing import COORDINATES, ROUNDINGS
from aligner.operations.kinds import STRIDED, ordered
from aligner.operations.operation import Operation
from aligner.operations.settings import Blocks, Convolution, Pad, Pool, Resize, TransposedConvolution, Windowed
from aligner.regions.culprit import Culprit
from aligner.regions.settings import alike


class PaddingAsymmetric(SettingCause):
    """TensorFlow's SAME puts the odd row at the end, PyTorch pads both ends alike."""

    id: ClassVar[str] = "padding-asymmetric"
    fix: ClassVar[str] = "pad explicitly before a layer without padding, as the reference does"
    example: ClassVar[str] = "TensorFlow's SAME with stride 2"
    kinds: ClassVar[tuple[str, ...]] = (*ordered(STRIDED - {"conv_transpose"}), "pad")
    follows: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("pads",)

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Pads that one side keeps in a node of their own make the settings differ and mean nothing: proof decides."""
        apart = len(list(culprit.reference.of_kind("pad"))) != len(list(culprit.candidate.of_kind("pad")))
        for claim in super().claims(culprit, context):
            yield replace(claim, only_proven=True) if apart else claim

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """The same total split otherwise; one row less or more at an end where a stride, here or behind, hides it."""
        windowed, splits = operation.settings, []
        pads = windowed.pads if isinstance(windowed, Windowed) else operation.read(Pad).pads
        strided = isinstance(windowed, Windowed) and max(windowed.strides) > 1
        for begin, end in pads:
            total = begin + end
            mine = [(b, total - b) for b in range(total + 1)] if total <= 8 else []
            if strided or (total and not isinstance(windowed, Windowed)):
                mine += [(begin, end - 1), (begin - 1, end), (begin, end + 1), (begin + 1, end)]
            splits.append([pair for pair in mine if pair != (begin, end) and min(pair) >= 0])
        for number in range(max((len(split) for split in splits), default=0)):
            yield {"pads": tuple(s[number] if number < len(s) else p for s, p in zip(splits, pads, strict=True))}
        for axis, split in enumerate(splits):
            for pair in split[:4]:
                yield {"pads": (*pads[:axis], pair, *pads[axis + 1 :])}


class PaddingMode(SettingCause):
    """The border is made of other numbers: zeros, a reflection, a copy of the edge."""

    id: ClassVar[str] = "padding-mode"
    fix: ClassVar[str] = "pad with the reference's mode and value"
    example: ClassVar[str] = "zeros for a reflection"
    kinds: ClassVar[tuple[str, ...]] = ("pad", "conv", "max_pool")
    names: ClassVar[tuple[str, ...]] = ("mode", "value")

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """Every other mode; a max pool padded with zeros."""
        settings = operation.settings
        if not isinstance(settings, (Convolution, Pad, Pool)) or not any(map(any, settings.pads)):
            return
        if isinstance(settings, Pool):
            yield {"fill": 0.0}
            return
        name = "mode" if isinstance(settings, Pad) else "padding_mode"
        present = settings.mode if isinstance(settings, Pad) else settings.padding_mode
        for mode in ("constant", "reflect", "replicate", "circular", "symmetric"):
            if mode != present:
                yield {name: mode}


class PoolCountIncludePad(SettingCause):
    """An average over the border divides by the window's size, or by what is inside; or by a number of its own."""

    id: ClassVar[str] = "pool-count-include-pad"
    fix: ClassVar[str] = "use the reference's count_include_pad"
    example: ClassVar[str] = "averages at the border divided by the window's size"
    kinds: ClassVar[tuple[str, ...]] = ("avg_pool",)
    names: ClassVar[tuple[str, ...]] = ("include_pad", "divisor")

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """The opposite."""
        settings = operation.read(Pool)
        if settings.divisor:
            yield {"divisor": None}
        yield {"include_pad": not settings.include_pad}


class PoolCeilMode(SettingCause):
    """The last window may hang over the edge."""

    id: ClassVar[str] = "pool-ceil-mode"
    fix: ClassVar[str] = "use the reference's ceil_mode"
    example: ClassVar[str] = "a last window that hangs over the edge"
    kinds: ClassVar[tuple[str, ...]] = ("avg_pool", "max_pool")
    names: ClassVar[tuple[str, ...]] = ("ceil",)

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """Padding at the end instead of ceil mode: the size is the same, the divisor is not."""
        settings = operation.read(Pool)
        if settings.ceil:
            pads = tuple((begin, end + 1) for begin, end in settings.pads)
            yield {"ceil": False, "pads": pads}
            yield {"ceil": False, "pads": pads, "include_pad": True}


class ConvolutionSettings(SettingCause):
    """Stride, dilation, groups or kernel size are not the reference's."""

    id: ClassVar[str] = "conv-stride-dilation-groups"
    fix: ClassVar[str] = "give the layer the reference's stride, dilation, groups and kernel size"
    example: ClassVar[str] = "dilation dropped by a converter"
    kinds: ClassVar[tuple[str, ...]] = ordered(STRIDED)
    names: ClassVar[tuple[str, ...]] = ("strides", "dilations", "groups", "kernel")


class TransposedOutputPadding(SettingCause):
    """A transposed convolution of the right size that starts at another place."""

    id: ClassVar[str] = "transposed-conv-output-padding"
    fix: ClassVar[str] = "crop the transposed convolution as the reference does"
    example: ClassVar[str] = "output_padding dropped"
    kinds: ClassVar[tuple[str, ...]] = ("conv_transpose",)
    names: ClassVar[tuple[str, ...]] = ("output_padding", "pads")

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """Every crop that leaves the same size."""
        axes, settings = [], operation.read(TransposedConvolution)
        for (begin, end), extra in zip(settings.pads, settings.output_padding, strict=True):
            axes.append([(b, begin + end - extra - b + x, x) for x in (0, 1) for b in range(begin + end + 1)])
        for number in range(max(len(axis) for axis in axes)):
            chosen = [axis[min(number, len(axis) - 1)] for axis in axes]
            yield {"pads": tuple((b, e) for b, e, _ in chosen), "output_padding": tuple(x for _, _, x in chosen)}


class ResizeCoordinateMode(SettingCause):
    """Which source place a target pixel looks at: half pixels, aligned corners, the given scale or the sizes' ratio."""

    id: ClassVar[str] = "resize-coordinate-mode"
    fix: ClassVar[str] = "choose the reference's coordinates (align_corners, half_pixel, asymmetric)"
    example: ClassVar[str] = "align_corners=True lost"
    kinds: ClassVar[tuple[str, ...]] = ("resize",)
    names: ClassVar[tuple[str, ...]] = ("coordinates", "mode", "cubic_a", "antialias")
    follows: ClassVar[bool] = True

    def relevant(self, operation: Operation, name: str) -> bool:
        """The cubic coefficient means something to a cubic only."""
        return name != "cubic_a" or operation.read(Resize).mode == "cubic"

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """Coordinates, scales, then interpolation."""
        settings = operation.read(Resize)
        scales = [settings.scales] + ([None] if settings.scales else [])
        for coordinates, scale in product(COORDINATES, scales):
            if (coordinates, scale) != (settings.coordinates, settings.scales):
                changed: dict[str, Any] = {"coordinates": coordinates}
                yield changed | ({"scales": scale} if scale != settings.scales else {})
        for mode in ("nearest", "linear", "cubic"):
            if mode != settings.mode:
                yield {"mode": mode}
                if mode == "nearest":
                    yield {"mode": mode, "coordinates": "asymmetric"}
        if settings.mode == "cubic":
            yield {"cubic_a": -0.5 if alike(settings.cubic_a, -0.75) else -0.75}
        if settings.mode != "nearest":
            yield {"antialias": not settings.antialias}


class ResizeNearestRounding(SettingCause):
    """Which of two neighbours a place between them means."""

    id: ClassVar[str] = "resize-nearest-rounding"
    fix: ClassVar[str] = "choose the reference's rounding (nearest or nearest-exact)"
    example: ClassVar[str] = "floor for round_prefer_floor"
    kinds: ClassVar[tuple[str, ...]] = ("resize",)
    names: ClassVar[tuple[str, ...]] = ("rounding",)

    def relevant(self, operation: Operation, name: str) -> bool:
        """Only nearest neighbours round."""
        return operation.read(Resize).mode == "nearest"

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """Every other rounding."""
        if operation.read(Resize).mode == "nearest":
            for rounding in ROUNDINGS:
                if rounding != operation.read(Resize).rounding:
                    yield {"rounding": rounding}
            for coordinates, rounding in (("asymmetric", "floor"), ("half_pixel", "round_prefer_ceil")):
                yield {"coordinates": coordinates, "rounding": rounding}


class DepthToSpaceOrder(SettingCause):
    """Channels become pixels depth first or column first."""

    id: ClassVar[str] = "depth-to-space-order"
    fix: ClassVar[str] = "split the channels in the reference's order"
    topic: ClassVar[Topic | None] = "order-of-blocks"
    example: ClassVar[str] = "a pixel shuffle converted to TensorFlow's order"
    kinds: ClassVar[tuple[str, ...]] = ("depth_to_space",)
    names: ClassVar[tuple[str, ...]] = ("order", "block")

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """The other order."""
        yield {"order": "DCR" if operation.read(Blocks).order == "CRD" else "CRD"}
