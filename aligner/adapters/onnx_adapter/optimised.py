"""An ONNX model under other switches of onnxruntime, and as its optimisers have left it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aligner.adapters.base import Feeds
from aligner.adapters.onnx_adapter.engine import LEVELS, Engine, make_engine, short_name
from aligner.adapters.onnx_adapter.file import OnnxFile, read_onnx
from aligner.adapters.onnx_adapter.session import OnnxSession
from aligner.errors import UnsupportedModelError
from aligner.records.tensor import CapturedTensor

_CHANGED = re.compile(r"GraphTransformer (\S+) modified: 1")
_TELLING = """
import sys, onnxruntime as ort
options = ort.SessionOptions()
options.log_severity_level = 0
options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, sys.argv[2])
ort.InferenceSession(sys.argv[1], options, providers=sys.argv[3:])
"""
"""Which optimisers change a model onnxruntime tells its log alone, which is the process's standard error."""


class OptimisedSession(OnnxSession):
    """A model that runs as it is wherever it is not looked into, and shows what the optimisers have made of it.

    Outputs are those of the untouched file under this level; the graph, whose nodes run as they stand, is the one that
    onnxruntime writes down.
    """

    def __init__(self, file: OnnxFile, engine: Engine, limit: int | None = None, without: Collection[str] = ()) -> None:
        self._plain, self._without, self._limit = file, tuple(sorted(without)), limit
        self._folder = tempfile.TemporaryDirectory(prefix="aligner-optimised-")
        self._ready, self._once = None, threading.Lock()
        super().__init__(self._written(engine), engine, limit)

    def _written(self, engine: Engine) -> OnnxFile:
        options, path = engine.options(), Path(self._folder.name) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        if self._plain.external:
            options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
        engine.start(self._source, options, self._without)
        return read_onnx(path)

    @property
    def _source(self) -> Any:
        if self._plain.external and self._plain.path is None:
            raise UnsupportedModelError(
                "a live ModelProto with external data is not optimised apart",
                found=str(self._plain),
                hint="save it, and give the file",
            )
        return self._plain.path or self._plain.original

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """Of the untouched file; the answers have the names that its outputs have in both graphs."""
        with self._once:
            if self._ready is None:
                self._ready = self._engine.start(self._source, self._engine.options(), self._without)
        return self._answers(self._ready, feeds)

    def get_ready(self) -> None:
        """Nothing: what runs untouched is not the graph that is shown."""

    def steps(self) -> tuple[str, ...]:
        """The optimisers that change this model, in the order in which they first do."""
        path = self._source
        if not isinstance(path, Path):
            path = Path(self._folder.name) / "plain.onnx"
            path.write_bytes(self._source.SerializeToString())
        level = self._engine.options().graph_optimization_level.name
        told = subprocess.run(
            [sys.executable, "-c", _TELLING, str(path), level, self._engine.provider],
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
        )
        return tuple(dict.fromkeys(_CHANGED.findall(told.stderr)))

    def without(self, steps: Collection[str]) -> OptimisedSession:
        """The same level without some of its optimisers."""
        return OptimisedSession(self._plain, self._engine, self._limit, {*self._without, *steps})

    def close(self) -> None:
        super().close()
        self._ready = None
        self._folder.cleanup()


class SwitchableSession(OnnxSession):
    """A model as its file is opened: also under other settings of the runtime."""

    def switches(self) -> Mapping[str, tuple[str, ...]]:
        """Providers of this build, levels of graph optimisation, threads."""
        import onnxruntime

        others = [short_name(name) for name in onnxruntime.get_available_providers() if not name.startswith("CPU")]
        return {
            "provider": ("cpu", *others),
            "optimization": LEVELS,
            "threads": ("1", str(max(os.cpu_count() or 1, 2))),
        }

    def switched(self, switch: str, setting: str) -> OnnxSession:
        """The same file; with an optimised graph, as the optimisers have left it."""
        file, engine, limit = self._file, self._engine, self._memory_limit
        if switch == "threads":
            return OnnxSession(file, replace(engine, threads=int(setting)), limit)
        if switch == "provider":
            return OnnxSession(file, replace(engine, provider=make_engine(setting, None).provider), limit)
        if setting == "none":
            return OnnxSession(file, replace(engine, level="none", watched="none"), limit)
        return OptimisedSession(file, replace(engine, level=setting, watched="none"), limit)
