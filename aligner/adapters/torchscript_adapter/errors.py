"""What TorchScript says when it fails, without the noise of its interpreter."""

from __future__ import annotations

import re

from aligner.adapters.torchscript_adapter.ops import source_line
from aligner.errors import ModelExecutionError, ModelFormatError, UnsupportedModelError

_LONGEST = 300
_UNKNOWN_OP = re.compile(r"Unknown builtin op: ([\w:.]+)")


def execution_error(error: BaseException, name: str) -> ModelExecutionError:
    """The exception that forward raised, with the line of the model's source that raised it."""
    text = str(error)
    _, marker, original = text.rpartition("Traceback of TorchScript, original code")
    source = _innermost(original if marker else text)
    where = f" at {source}" if source else ""
    return ModelExecutionError(
        f"{name} raised while it ran{where}",
        found=_message(error),
        hint="check the inputs' shapes, types and values against what the model expects",
    )


def load_error(error: BaseException, name: str) -> ModelFormatError | UnsupportedModelError:
    """Why an archive could not be loaded."""
    unknown = _UNKNOWN_OP.search(str(error))
    if unknown:
        return UnsupportedModelError(
            f"{name} uses an op that this installation does not have",
            found=unknown[1].rstrip("."),
            hint="install the package that defines it, and import it before opening the model",
        )
    if "on a CUDA device" in str(error):  # PyTorch's own advice is for its Python API
        return UnsupportedModelError(
            f"{name} cannot be loaded on a CUDA device",
            found="PyTorch sees none here, or not that one",
            hint="use --device cpu",
        )
    return ModelFormatError(
        f"{name} cannot be loaded as TorchScript",
        found=_message(error),
        hint="the file is damaged or was written by a newer PyTorch; download or export it again",
    )


def unknown_namespace(error: BaseException) -> str | None:
    """The library whose ops an archive needs, "torchvision" say."""
    unknown = _UNKNOWN_OP.search(str(error))
    return unknown[1].split("::", 1)[0] if unknown else None


def _innermost(traceback: str) -> str | None:
    """The line of the last frame: a scripted traceback ends with it, a traced one begins with it."""
    scripted = [part for part in re.split(r"(?=  File \")", traceback) if part.startswith('  File "')]
    for frame in reversed(scripted):
        if "torch/nn/" not in frame.split("\n", 1)[0]:
            return source_line(frame)
    return source_line(traceback)


def _message(error: BaseException) -> str:
    """The last paragraph: "ValueError: Input audio chunk is too short"."""
    text = str(error).strip()
    _, traceback, rest = text.rpartition("<--- HERE")
    lines = [line.strip() for line in (rest if traceback else text).splitlines() if line.strip()]
    noise = ("Exception raised from", "frame #", "Traceback of", "The following operation", "This is an internal")
    kept = []
    for line in lines:
        if line.startswith("Exception raised from"):
            break
        if not line.startswith(noise):
            kept.append(line.split(" This is an internal miniz error.")[0])
    found = [line for line in kept if re.match(r"[\w.]*(Error|Exception)\b.*?:", line)]
    message = (found[-1] if traceback and found else " ".join(kept)) or type(error).__name__
    message = message.removeprefix("builtins.")
    return message if len(message) <= _LONGEST else message[: _LONGEST - 1] + "…"
