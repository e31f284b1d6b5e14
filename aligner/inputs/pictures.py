"""One picture for both sides: decoded once, sized, scaled, laid out and cast as each declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aligner.errors import InputError
from aligner.inputs.casting import cast, fed_dtype
from aligner.inputs.conventions import pixel_range
from aligner.inputs.fed import Fed, clipping_warning, describe, number, owned, shapes_differ
from aligner.inputs.items import Preprocessing
from aligner.inputs.layouts import (
    PICTURE_CHANNELS,
    Layout,
    channel_axis,
    evident_layout,
    layout_label,
    move_channels,
    shape_text,
    spatial_axes,
)
from aligner.inputs.slots import End, Slot
from aligner.inputs.value import Picture
from aligner.records.array import Array, Wide
from aligner.records.dataclass import dataclass
from aligner.records.graph import InputSpec

if TYPE_CHECKING:
    from PIL.Image import Image


_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


@dataclass(frozen=True, slots=True)
class Frame:
    """An end that can take a picture; None where its shape does not say."""

    end: End
    rank: int
    layout: Layout
    batch: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    alone: bool = True
    """Whether --dtype speaks of this end: not where it declares a dtype and the end opposite does not."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """What all frames of a picture agree on."""

    channels: int
    height: int | None
    width: int | None
    batch: int


def frame_of(end: End, layout: Layout | None = None) -> Frame | None:
    """The end as a frame for pictures: rank 4, or 3 without batch, with 1, 3 or 4 channels; None for any other."""
    shape, dtype = end.spec.shape, end.spec.dtype
    if dtype is not None and not ("float" in dtype or "int" in dtype):
        return None
    if shape is None:
        return Frame(end, 4, layout or end.side.channels)
    where = evident_layout(shape)
    if where is None and len(shape) == 4:
        where = layout or end.side.channels
    if where is None or len(shape) not in (3, 4):
        return None
    channels = shape[channel_axis(len(shape), where)]
    height, width = (shape[axis] for axis in spatial_axes(len(shape), where))
    if channels is not None and channels not in PICTURE_CHANNELS:
        return None
    return Frame(end, len(shape), where, shape[0] if len(shape) == 4 else 1, channels, height, width)


def frames_of(slot: Slot, preprocessing: Preprocessing) -> tuple[Frame, ...] | None:
    """Frames of all ends; None when one cannot take a picture.

    An end that declares nothing takes the rank of the other.
    """
    found = [frame_of(end, preprocessing.channels) for end in slot.ends]
    frames = [frame for frame in found if frame is not None]
    if len(frames) < len(found):
        return None
    declared = [frame.rank for frame in frames if frame.end.spec.shape is not None]
    frames = [
        frame if frame.end.spec.shape is not None or not declared else replace(frame, rank=declared[0])
        for frame in frames
    ]
    return tuple(_of_the_others_dtype(frame, frames, preprocessing) for frame in frames)


def _of_the_others_dtype(frame: Frame, frames: Sequence[Frame], preprocessing: Preprocessing) -> Frame:
    """An end that declares no dtype is fed the very pixels that an integer end opposite is fed.

    Not where it has refused them (``scaled``); ``--dtype`` speaks of such an end alone.
    """
    spec = frame.end.spec
    integers = [other.end.spec.dtype for other in frames if other is not frame and _holds_pixels(other.end.spec)]
    if spec.dtype is not None or not integers:
        silent = any(other.end.spec.dtype is None for other in frames if other is not frame)
        return replace(frame, alone=not silent)
    if preprocessing.dtype is not None or preprocessing.rescales or frame.end.role in preprocessing.scaled:
        return frame
    return replace(frame, end=replace(frame.end, spec=replace(spec, dtype=integers[0])))


def _holds_pixels(spec: InputSpec) -> bool:
    return spec.quantization is None and spec.dtype is not None and "int" in spec.dtype


def canvas_of(frames: tuple[Frame, ...], preprocessing: Preprocessing) -> Canvas:
    """Channels, size and batch that fit every frame; the size is None where neither a model nor the user says.

    Raises InputError where the frames, or a frame and ``--size``, disagree.
    """
    slot = Slot(tuple(frame.end for frame in frames))
    channels = _agreed({frame.channels for frame in frames}, slot, "numbers of channels")
    height = _agreed({frame.height for frame in frames}, slot, "sizes")
    width = _agreed({frame.width for frame in frames}, slot, "sizes")
    batch = _agreed({frame.batch for frame in frames}, slot, "batch sizes")
    if preprocessing.size is not None:
        asked = preprocessing.size
        if height not in (None, asked[0]) or width not in (None, asked[1]):
            found = f"--size {asked[0]} {asked[1]}, but {', '.join(end.text for end in slot.ends)}"
            raise InputError("--size contradicts the model's input", found=found, hint="leave --size out")
        height, width = asked
    return Canvas(channels or 3, height, width, batch or 1)


def feed_picture(picture: Picture, slot: Slot, source: str, preprocessing: Preprocessing) -> tuple[Fed, ...]:
    """Give a picture to every end of a slot. Raises InputError when an end takes no pictures."""
    frames = frames_of(slot, preprocessing)
    if frames is None:
        raise InputError(
            f"{source} is a picture, and input {slot.name} takes none",
            found=", ".join(end.text for end in slot.ends),
            hint="give an array (.npy, .npz) of that shape, or name the right input: --input NAME=FILE",
        )
    canvas = canvas_of(frames, preprocessing)
    image, remarks = _sized(picture.image, canvas)
    pixels = _pixels(image, canvas.channels)
    if picture.image.mode in _ALPHA and canvas.channels != 4:
        remarks.append("alpha dropped")
    if canvas.batch > 1:
        pixels = np.repeat(pixels, canvas.batch, axis=0)
        remarks.append(f"repeated {canvas.batch} times")
    if picture.remark:
        remarks.append(picture.remark)
    return feed_pixels(pixels, frames, source, preprocessing, remarks)


def feed_pixels(
    pixels: Array, frames: tuple[Frame, ...], source: str, preprocessing: Preprocessing, remarks: list[str]
) -> tuple[Fed, ...]:
    """Give pixels [N, H, W, C], 0..255, RGB, to every frame.

    Integers that are not quantised take the pixels as they are; floats and quantised integers stand for real values,
    which are the same on both sides.
    """
    if preprocessing.color == "bgr" and pixels.shape[-1] >= 3:
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[-1])]]
    real, span = _real_values(pixels, _effective(frames, preprocessing))
    return tuple(_feed_frame(frame, pixels, real, span, source, preprocessing, remarks) for frame in frames)


def range_notes(slot: Slot, preprocessing: Preprocessing) -> list[str]:
    """What the user should know of the range that was chosen for a picture."""
    frames = frames_of(slot, preprocessing) or ()
    notes = []
    undeclared = [end.role for end in slot.ends if end.spec.dtype is None]
    if len(frames) > len(undeclared) > 0 and all(takes_pixels(frame, preprocessing) for frame in frames):
        notes.append(
            f"input {slot.name}: the {undeclared[0]} does not say which numbers it takes and is fed the same pixels "
            "0..255 as the other side (--dtype float32, --scale, --mean or --std feed it real values)"
        )
    if {takes_pixels(frame, preprocessing) for frame in frames} == {True, False}:
        notes.append(
            f"input {slot.name}: the integer side is fed pixels 0..255, the float side scaled values (0..1 "
            "unless --scale, --mean or --std say otherwise), as each declares"
        )
    spans = [(frame.end, pixel_range(frame.end.spec)) for frame in frames if pixel_range(frame.end.spec) is not None]
    if spans and not preprocessing.rescales and spans[0][1] not in (None, (0.0, 1.0)):
        end, (low, high) = spans[0][0], spans[0][1] or (0.0, 1.0)
        notes.append(
            f"input {slot.name}: pixels were scaled to {number(low)}..{number(high)}, for which "
            f"the {end.role}'s quantised input was calibrated (--scale, --mean and --std override it)"
        )
    return notes


def takes_pixels(frame: Frame, preprocessing: Preprocessing) -> bool:
    """Whether the end is fed the bytes themselves: an integer input that declares no quantisation."""
    dtype = fed_dtype(frame.end.spec, preprocessing.dtype, sole=frame.end.sole and frame.alone)
    return dtype is not None and dtype.kind in "iu" and frame.end.spec.quantization is None


def _feed_frame(
    frame: Frame,
    pixels: Array,
    real: Array,
    span: str,
    source: str,
    preprocessing: Preprocessing,
    remarks: list[str],
) -> Fed:
    end = frame.end
    dtype = fed_dtype(end.spec, preprocessing.dtype, sole=end.sole and frame.alone) or np.dtype(np.float32)
    if takes_pixels(frame, preprocessing):
        made, span, remarks = cast(np.rint(pixels), dtype, end, None, source), "0..255", list(remarks)
        if preprocessing.rescales:
            remarks.append("pixels as they are: --scale, --mean and --std concern float inputs")
    else:
        made = cast(real, dtype, end, None, source)
    array = made.array if frame.rank == 4 else made.array[0]
    axes = move_channels(frame.rank, "last", frame.layout)
    array = owned(array.transpose(axes))
    label = f"{_color_text(pixels.shape[-1], preprocessing)}, {layout_label(frame.rank, frame.layout)}"
    text = describe(array, end, *remarks, span=span, label=label)
    return Fed(end, array, axes, text, clipping_warning(end, made.clipped))


def _effective(frames: tuple[Frame, ...], preprocessing: Preprocessing) -> Preprocessing:
    """What the user said of the range; else the usual range a quantised end was calibrated for; else 0..1."""
    if preprocessing.rescales:
        return preprocessing
    calibrated = next(filter(None, (pixel_range(frame.end.spec) for frame in frames)), (0.0, 1.0))
    return Preprocessing(scale=calibrated[1] - calibrated[0], mean=(-calibrated[0],) if calibrated[0] else None)


def _real_values(pixels: Array, preprocessing: Preprocessing) -> tuple[Array, str]:
    """(pixel / 255 · scale − mean) / std in float64, and the range in which it falls."""
    channels = pixels.shape[-1]
    scale = 1.0 if preprocessing.scale is None else preprocessing.scale
    mean = _each_channel(preprocessing.mean, 0.0, channels, "--mean")
    std = _each_channel(preprocessing.std, 1.0, channels, "--std")
    ends = np.stack([(0.0 - mean) / std, (scale - mean) / std])
    real: Array = (pixels.astype(np.float64) * scale / 255.0 - mean) / std
    return real, f"{number(float(ends.min()))}..{number(float(ends.max()))}"


def _each_channel(values: tuple[float, ...] | None, default: float, channels: int, option: str) -> Wide:
    given = (default,) if values is None else values
    if len(given) not in (1, channels):
        found = f"{len(given)} values for {channels} channels"
        raise InputError(
            f"{option} does not fit the picture", found=found, hint="give one value or one for each channel"
        )
    return np.asarray(given, dtype=np.float64)


def _color_text(channels: int, preprocessing: Preprocessing) -> str:
    if channels == 1:
        return "grey"
    return ("BGR" if preprocessing.color == "bgr" else "RGB") + ("A" if channels == 4 else "")


def _sized(image: Image, canvas: Canvas) -> tuple[Image, list[str]]:
    from PIL.Image import Resampling

    image = _plain_mode(image, canvas.channels)
    size = (canvas.width or image.width, canvas.height or image.height)
    if size == image.size:
        return image, []
    remark = f"resized from {shape_text((image.height, image.width))}"
    return image.resize(size, Resampling.BILINEAR), [remark]


def _plain_mode(image: Image, channels: int) -> Image:
    """The picture in 8 bits for each of the wanted channels, or in float where it has 16 bits of grey."""
    from PIL import Image as Pillow

    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.float32) / 257.0, 0.0, 255.0)
        return Pillow.fromarray(grey)
    if image.mode == "F":
        raise InputError("the picture holds floats, whose range is unknown", found="mode F", hint="save it as .npy")
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == _MODES[channels] else image.convert(_MODES[channels])


def _pixels(image: Image, channels: int) -> Array:
    """[1, H, W, C], 0..255."""
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], channels if image.mode == "F" else 1, axis=-1)
    return pixels[np.newaxis]


def _agreed(values: set[int | None], slot: Slot, what: str) -> int | None:
    known = sorted(value for value in values if value is not None)
    if len(known) > 1:
        raise shapes_differ(slot, f"the two sides want different {what} for input {slot.name}")
    return known[0] if known else None
