"""Sides, items and pictures for the tests of inputs, and the two ways a test asks: fed or refused."""

from __future__ import annotations

import numpy as np
import pytest

from aligner.errors import InputError
from aligner.inputs import InputItem, Preprocessing, SideInfo, prepare_feeds
from aligner.records.graph import InputSpec, Quantization, Signature

F32 = "float32"
INT8_PIXELS = Quantization((1.0,), (-128,))
NCHW = InputSpec("x", (1, 3, 8, 6), F32)
NHWC = InputSpec("input", (1, 8, 6, 3), F32)
TWO = (InputSpec("a", (2,), F32), InputSpec("b", (3,), F32))
VAD = (
    InputSpec("input", (None, None), F32),
    InputSpec("state", (2, None, 128), F32),
    InputSpec("sr", (), "int64"),
)


def side(*specs, channels="first", **more):
    return SideInfo(Signature(tuple(specs)), channels, "test", **more)


def item(value, name=None, role=None):
    return InputItem(name, role, value)


def picture(path, height=10, width=7, mode="RGB", seed=0):
    from PIL import Image

    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def feeds(items, reference, candidate=None, seed=0, **options):
    prepared = prepare_feeds(items, reference, candidate, Preprocessing(**options), seed)
    for name, other, axes in prepared.correspondence:
        moved = prepared.reference[name] if axes is None else np.transpose(prepared.reference[name], axes)
        assert moved.shape == prepared.candidate[other].shape
    for array in (*prepared.reference.values(), *(prepared.candidate or {}).values()):
        assert array.flags.c_contiguous and array.flags.owndata
    return prepared


def refused(items, reference, candidate=None, **options):
    with pytest.raises(InputError) as caught:
        prepare_feeds(items, reference, candidate, Preprocessing(**options), 0)
    assert caught.value.what and caught.value.hint
    return caught.value


def ramp(*shape, dtype=np.float32):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)
