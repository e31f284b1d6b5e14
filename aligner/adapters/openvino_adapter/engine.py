"""The runtime: models compiled and run, its errors made ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.openvino_adapter.library import openvino
from aligner.adapters.openvino_adapter.types import holder_of, word_of
from aligner.errors import (
    AlignerError,
    ModelError,
    ModelExecutionError,
    ModelFormatError,
    UnsupportedModelError,
    listing,
)
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_PLACE = re.compile(r"Exception from \S+:\d+:\s*|Check '.*?' failed at \S+:\d+:\s*|While validating node ", re.DOTALL)
_UNKNOWN = ("unsupported opset", "Cannot create", "doesn't contain the operation")
_PRECISION = "INFERENCE_PRECISION_HINT"
_REDUCED = {"bf16": "bfloat16", "f16": "float16"}
_PROPERTIES = {"precision": _PRECISION, "optimization": "EXECUTION_MODE_HINT", "threads": "INFERENCE_NUM_THREADS"}
"""Switch → the property that it sets."""


@dataclass(frozen=True, slots=True)
class Engine:
    """``settings``: properties that models are compiled with, by name."""

    core: Any
    device: str
    version: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: Path, weights: Path) -> Any:
        """A model from its file, which has been checked."""
        with translated(f"{path} cannot be read by OpenVINO", ModelFormatError):
            return self.core.read_model(str(path), str(weights) if weights.is_file() else "")

    def compile(self, model: Any) -> Any:
        """The model made ready for the device."""
        with translated("OpenVINO cannot compile the model", UnsupportedModelError):
            return self.core.compile_model(model, self.device, dict(self.settings))

    def chosen_precision(self) -> str | None:
        """The precision ("bfloat16") that the device computes in where it takes less than float32; else None."""
        try:
            hint = self.settings.get(_PRECISION) or self.core.get_property(self.device, _PRECISION).get_type_name()
        except RuntimeError:  # a device without such a choice
            return None
        return _REDUCED.get(hint)

    def exact(self) -> Engine:
        """The engine that keeps to the precision that a model declares."""
        return self.switched("precision", "f32")

    def switches(self) -> dict[str, tuple[str, ...]]:
        """What the device lets a model be compiled with."""
        able = [str(one).lower() for one in self.core.get_property(self.device, "OPTIMIZATION_CAPABILITIES")]
        own = self.device.split(".")[0]
        others = (name.lower() for name in self.core.available_devices if name.split(".")[0] != own)
        return {
            "provider": (own.lower(), *others),
            "optimization": ("accuracy", "performance"),
            "precision": ("f32", *("bf16" if one == "bf16" else "f16" for one in able if one in {"bf16", "fp16"})),
            "threads": ("1", str(max(os.cpu_count() or 1, 2))),
        }

    def switched(self, switch: str, setting: str) -> Engine:
        """The engine under one of them."""
        if switch == "provider":
            return replace(self, device=setting.upper())
        return replace(
            self,
            settings={**self.settings, _PROPERTIES[switch]: setting.upper() if switch == "optimization" else setting},
        )

    def run(self, compiled: Any, feeds: Sequence[Array]) -> list[Array]:
        """Feeds in the order of the inputs; results in that of the outputs, in memory of their own."""
        with translated("OpenVINO failed while the model ran", ModelExecutionError):
            request = compiled.create_infer_request()
            kinds = [port.get_element_type() for port in compiled.inputs]
            request.infer({k: _tensor(array, kinds[k]) for k, array in enumerate(feeds)}, share_inputs=False)
            return [_array(request.get_output_tensor(k)) for k in range(len(compiled.outputs))]


def find_engine(device: str) -> Engine:
    """The runtime on a device ("cpu", "gpu", …). Raises ModelError where it has none of that name."""
    runtime = openvino()
    core = runtime.Core()
    wanted = device.upper()
    known = list(core.available_devices)
    if wanted.split(".")[0] not in {name.split(".")[0] for name in known}:
        raise ModelError(
            f"OpenVINO has no device {device}", found=f"its devices: {listing(known)}", hint="use --device cpu"
        )
    return Engine(core, wanted, str(runtime.__version__).split("-")[0])


@contextmanager
def translated(what: str, kind: type[AlignerError]) -> Iterator[None]:
    """The runtime's exceptions as ours; the places in its source are left out."""
    try:
        yield
    except RuntimeError as error:
        text = " ".join(_PLACE.sub("", str(error)).split())
        unknown = any(
            words in text for words in ("unsupported opset", "Cannot create", "doesn't contain the operation")
        )
        raise (UnsupportedModelError if unknown else kind)(
            what,
            found=text[:400],
            hint="its layers need an extension or another version of OpenVINO"
            if unknown
            else "check it with OpenVINO's benchmark_app; where that finds no fault, report this message",
        ) from error


def _tensor(array: Array, element: Any) -> Any:
    if word_of(element) != "bfloat16":
        return np.asarray(array, order="C")  # ascontiguousarray makes a row of a single number
    tensor = openvino().Tensor(element, list(array.shape))
    wide = np.ascontiguousarray(array, np.float32).view(np.uint32)
    tensor.data.view(np.uint16)[...] = (wide + 0x7FFF + ((wide >> 16) & 1)) >> 16  # to the nearest even
    return tensor


def _array(tensor: Any) -> Array:
    word = word_of(tensor.get_element_type())
    if word == "bfloat16":
        found: Array = (tensor.data.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    elif holder_of(word) is None:
        raise UnsupportedModelError(
            f"an output of type {word} cannot be compared",
            found=f"{list(tensor.get_shape())}",
            hint="convert the model with outputs of numbers",
        )
    else:
        found = np.array(tensor.data, order="C")
    found.flags.writeable = False
    return found
