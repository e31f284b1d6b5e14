"""Values for inputs that nobody gave: derived from what the name says, or drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aligner.errors import InputError
from aligner.inputs.arrays import feed_array
from aligner.inputs.casting import fed_dtype
from aligner.inputs.conventions import is_state, is_tokens, pixel_range, real_range
from aligner.inputs.fed import Fed, number, shapes_differ
from aligner.inputs.following import is_cache
from aligner.inputs.items import Preprocessing
from aligner.inputs.pictures import canvas_of, feed_pixels, frames_of, takes_pixels
from aligner.inputs.slots import Slot, compatible, merged_shape
from aligner.records.array import Array
from aligner.records.graph import Shape

_SIDE = 224
"""Pixels of a picture whose size is open: what most classifiers were trained on."""
_STEPS = 16
"""Length of other axes that are open: long enough for a window, short enough to be quick."""
_TOKENS = 10
"""Whole numbers are drawn below this: every vocabulary and every table has so many."""
_MOST_ELEMENTS = int(np.iinfo(np.intp).max) // 16
"""Elements of the widest dtype that can have an address."""
_WORDS = {"zeros": "zeros", "ones": "ones", "range": "0, 1, 2 …", "state": "zeros"}


def random_feed(
    slot: Slot, preprocessing: Preprocessing, rng: np.random.Generator
) -> tuple[tuple[Fed, ...], str] | None:
    """Draw one input, the same data for every end, and say how; None when a number of it cannot be drawn.

    Pictures: uniform over the pixel range. Floats: standard normal. Token ids and other integers: 0..9. Where an end is
    quantised: uniform over what it can hold, so that nothing is clipped. Unknown sizes: batch 1, pictures 224, else 16;
    the caller fills those that follow from other inputs.
    A single integer is a setting (a sample rate, a count) and is not drawn.
    """
    if len(slot.ends) == 2 and not compatible(slot.ends[0], slot.ends[1]):
        raise shapes_differ(slot, f"the two sides declare input {slot.name} differently; one array cannot feed both")
    merged = merged_shape(slot)
    if merged is None:
        raise InputError(
            f"input {slot.name} cannot be drawn at random: no model declares its shape",
            found=", ".join(end.text for end in slot.ends),
            hint=f"give it: --input {slot.name}=FILE",
        )
    base, shape = merged
    state = any(is_state(end.spec) for end in slot.ends)
    quantized = any(end.spec.quantization for end in slot.ends)  # then what it can hold says more than its shape
    if len(shape) == 4 and not (state or quantized or any(is_tokens(e.spec) or is_cache(e.spec) for e in slot.ends)):
        drawn = _random_picture(slot, preprocessing, rng)
        if drawn is not None:
            return drawn
    sizes = tuple(size if size is not None else 1 if state or axis == 0 else _STEPS for axis, size in enumerate(shape))
    _check_sizes(slot, sizes)
    values = _draw(slot, sizes, preprocessing, rng)
    if values is None:
        return None
    array, how = values
    return feed_array(array, slot, "random data", layout=base.layout, dtype=preprocessing.dtype), how


def derived_feed(slot: Slot, fed: Sequence[Fed]) -> tuple[tuple[Fed, ...], str] | None:
    """Derive a state, a mask, type or position ids; None when the name or the shape does not allow it.

    Unknown sizes come from what was fed: the batch for a state, the token ids' shape for the others.
    """
    kind = slot.derivable
    merged = merged_shape(slot)
    if kind is None:
        return None
    if kind == "state":
        batch = next((f.array.shape[0] for f in fed if f.array.ndim >= 2), 1)
        sizes = None if merged is None else tuple(batch if size is None else size for size in merged[1])
    else:
        sizes = _like_tokens(merged[1] if merged else None, fed)
    if sizes is None or (len(slot.ends) == 2 and not compatible(slot.ends[0], slot.ends[1])):
        return None
    _check_sizes(slot, sizes)
    declared = next(filter(None, (fed_dtype(end.spec, None, sole=False) for end in slot.ends)), None)
    array = np.zeros(sizes, declared or (np.float32 if kind == "state" else np.int64))
    if kind == "ones":
        array[...] = 1
    elif kind == "range":
        array[...] = np.arange(sizes[-1])
    if kind == "state" and any(end.spec.quantization for end in slot.ends):
        array = array.astype(np.float32)  # a real zero, which each end quantises for itself
    return feed_array(array, slot, "derived data", layout=merged[0].layout if merged else None), _WORDS[kind]


def _check_sizes(slot: Slot, sizes: tuple[int, ...]) -> None:
    if 0 in sizes:
        raise InputError(
            f"input {slot.name} holds nothing: one of its axes has size zero",
            found=", ".join(end.text for end in slot.ends),
            hint="export the model with sizes of at least one, or with open sizes",
        )
    if math.prod(sizes) > _MOST_ELEMENTS or min(sizes, default=1) < 0:
        raise InputError(
            f"input {slot.name} is declared with sizes that no memory holds",
            found=", ".join(end.text for end in slot.ends),
            hint="check the export, or give an input of the size that is meant",
        )


def _like_tokens(shape: Shape | None, fed: Sequence[Fed]) -> tuple[int, ...] | None:
    if shape is not None and None not in shape:
        return tuple(size for size in shape if size is not None)
    rank = 2 if shape is None else len(shape)
    alike = [f for f in fed if f.array.ndim == rank]
    tokens = [f for f in alike if is_tokens(f.end.spec)] or alike
    if not tokens:
        return None
    actual = tokens[0].array.shape
    return (
        actual if shape is None else tuple(a if size is None else size for size, a in zip(shape, actual, strict=True))
    )


def _random_picture(
    slot: Slot, preprocessing: Preprocessing, rng: np.random.Generator
) -> tuple[tuple[Fed, ...], str] | None:
    frames = frames_of(slot, preprocessing)
    if frames is None or any(real_range(frame.end.spec) and not pixel_range(frame.end.spec) for frame in frames):
        return None  # a range that is not one of pictures: features of another kind
    canvas = canvas_of(frames, preprocessing)
    size = (canvas.batch, canvas.height or _SIDE, canvas.width or _SIDE, canvas.channels)
    _check_sizes(slot, size)
    pixels: Array = rng.uniform(0.0, 255.0, size)
    if any(takes_pixels(frame, preprocessing) for frame in frames):
        pixels = rng.integers(0, 256, size)
    return feed_pixels(pixels, frames, "random data", preprocessing, []), "uniform pixels"


def _draw(
    slot: Slot, sizes: tuple[int, ...], preprocessing: Preprocessing, rng: np.random.Generator
) -> tuple[Array, str] | None:
    ranges = [held for end in slot.ends if (held := real_range(end.spec)) is not None]
    if ranges:
        low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
        return rng.uniform(low, high, sizes).astype(np.float32), f"uniform {number(low)}..{number(high)}"
    dtypes = [fed_dtype(end.spec, preprocessing.dtype, sole=False) for end in slot.ends]
    known = [dtype for dtype in dtypes if dtype is not None]
    kinds = {dtype.kind for dtype in known}
    if kinds & {"O", "S", "c"}:
        return None
    if kinds == {"b"}:
        return rng.integers(0, 2, sizes).astype(bool), "true or false"
    if kinds & set("iu") or (not kinds and any(is_tokens(end.spec) for end in slot.ends)):
        whole = next((dtype for dtype in known if dtype.kind in "iu"), np.dtype(np.int64))
        return (rng.integers(0, _TOKENS, sizes).astype(whole), f"integers 0..{_TOKENS - 1}") if sizes else None
    return np.asarray(rng.standard_normal(sizes)).astype(known[0] if known else np.float32), "standard normal"
