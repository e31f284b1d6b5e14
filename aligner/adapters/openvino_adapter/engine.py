"""The runtime: models compiled and run, its errors made ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_PLACE = re.compile(r"Exception from \S+:\d+:\s*|Check '.*?' failed at \S+:\d+:\s*|While validating node ", re.DOTALL)
_UNKNOWN = ("unsupported opset", "Cannot create", "doesn't contain the operation")
_FULL = {"INFERENCE_PRECISION_HINT": "f32"}


@dataclass(frozen=True, slots=True)
class Engine:
    """``exact``: what is compiled keeps to the precision that the model declares."""

    core: Any
    device: str
    version: str
    exact: bool = False

    def read(self, path: Path, weights: Path) -> Any:
        """A model from its file, which has been checked."""
        with translated(f"{path} cannot be read by OpenVINO", ModelFormatError):
            return self.core.read_model(str(path), str(weights) if weights.is_file() else "")

    def compile(self, model: Any) -> Any:
        """The model made ready for the device."""
        with translated("OpenVINO cannot compile the model", UnsupportedModelError):
            return self.core.compile_model(model, self.device, dict(_FULL) if self.exact else {})

    def chosen_precision(self) -> str | None:
        """The precision ("bfloat16") that the device computes in where it takes less than float32; else None."""
        try:
            hint = self.core.get_property(self.device, "INFERENCE_PRECISION_HINT").get_type_name()
        except RuntimeError:  # a device without such a choice
            return None
        return None if self.exact else {"bf16": "bfloat16", "f16": "float16"}.get(hint)

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
    import numpy as np

    if word_of(element) != "bfloat16":
        return np.ascontiguousarray(array)
    tensor = openvino().Tensor(element, list(array.shape))
    wide = np.ascontiguousarray(array, np.float32).view(np.uint32)
    tensor.data.view(np.uint16)[...] = (wide + 0x7FFF + ((wide >> 16) & 1)) >> 16  # to the nearest even
    return tensor


def _array(tensor: Any) -> Array:
    import numpy as np

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
