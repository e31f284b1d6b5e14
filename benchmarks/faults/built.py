"""A case that is built: two targets, what they are fed, and the truth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.architectures import Feeds
from benchmarks.faults.cases import Case
from benchmarks.faults.forms import run_onnx
from benchmarks.faults.planting.modules import Variant, make
from benchmarks.faults.truth import Truth


@dataclass(frozen=True, slots=True)
class Target:
    """One side: a file, or a live module that the comparing process builds again."""

    form: str
    file: str | None = None
    variant: Variant | None = None

    def open(self) -> Any:
        """What ``aligner.compare`` takes."""
        if self.variant is not None:
            return make(self.variant).module
        return self.file

    def outputs(self, feeds: Feeds) -> list[np.ndarray]:
        """Run it without the tool."""
        if self.file is not None and self.file.endswith(".onnx"):
            return run_onnx(self.file, feeds)
        import torch

        module = torch.jit.load(self.file) if self.file is not None else self.open()
        with torch.no_grad():
            found = module(*(torch.from_numpy(array.copy()) for array in feeds.values()))
        return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]


@dataclass(frozen=True, slots=True)
class Built:
    """A case ready to be compared; ``feeds`` may hold "reference.x" and "candidate.x"."""

    case: Case
    architecture: str
    reference: Target
    candidate: Target
    truth: Truth
    feeds: Feeds = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Lay it down for another process."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "feeds.npz", **self.feeds)
        record = {key: asdict(getattr(self, key)) for key in ("case", "reference", "candidate", "truth")}
        (folder / "case.json").write_text(json.dumps(record | {"architecture": self.architecture}, indent=1))

    @classmethod
    def read(cls, folder: Path) -> Built:
        record = json.loads((folder / "case.json").read_text())
        case = record["case"] | {"architectures": tuple(record["case"]["architectures"])}
        truth = {key: tuple(value) if isinstance(value, list) else value for key, value in record["truth"].items()}
        with np.load(folder / "feeds.npz") as arrays:
            feeds = {name: arrays[name] for name in arrays.files}
        return cls(
            Case(**case),
            record["architecture"],
            *(_target(record[key]) for key in ("reference", "candidate")),
            Truth(**truth),
            feeds,
        )


def _target(record: dict[str, Any]) -> Target:
    variant = record["variant"]
    return Target(record["form"], record["file"], None if variant is None else Variant(**variant))
