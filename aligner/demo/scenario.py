"""What `align demo` compares: a trained network, an ONNX file whose weights were never loaded, a photograph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType

from aligner.errors import MissingFrameworkError, OutputError
from aligner.records.dataclass import dataclass

IMAGE = Path(__file__).parent / "face.png"
REFERENCE = "aligner.demo.restorer:trained"
STORY = (
    "A face restorer was trained in PyTorch and exported to ONNX. The export ran without a warning, the file is valid, "
    "its output has the right shape, and the picture is wrong. The exporting script said "
    "load_state_dict(checkpoint, strict=False), the checkpoint keeps its weights under 'params_ema', "
    "so nothing was loaded: every layer still holds its random initialisation."
)


@dataclass(frozen=True, slots=True)
class DemoScenario:
    """What to compare with what, fed with what; ``preprocessing`` holds what the image needs beyond the defaults."""

    reference: str
    candidate: Path
    image: Path
    story: str
    preprocessing: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


def prepare(folder: Path) -> DemoScenario:
    """Export the demo's candidate into ``folder`` (``restorer.onnx``, half a megabyte) and say what to compare.

    Raises MissingFrameworkError without torch, OutputError where the folder cannot be written.
    """
    try:
        from aligner.demo import restorer
    except ModuleNotFoundError as error:
        raise MissingFrameworkError(
            "The demo's network needs PyTorch.",
            found=f"no module named {error.name!r}",
            hint='pip install "aligner[torch,onnx,image]"',
        ) from error
    candidate = folder / "restorer.onnx"
    try:
        restorer.export_candidate(candidate)
    except (OSError, RuntimeError) as error:  # torch's file writer reports an unwritable path as a RuntimeError
        raise OutputError(
            f"The demo's ONNX file cannot be written: {candidate}",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="Give the demo a folder that exists and can be written.",
        ) from error
    return DemoScenario(reference=REFERENCE, candidate=candidate, image=IMAGE, story=STORY)
