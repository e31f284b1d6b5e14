"""onnxruntime: how sessions are made and run, and how its errors become ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aligner.adapters.onnx_adapter.names import op_word
from aligner.adapters.target import is_unicode
from aligner.errors import (
    InputError,
    ModelError,
    ModelExecutionError,
    ModelFormatError,
    UnsupportedModelError,
    listing,
)
from aligner.records.dataclass import dataclass

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
LEVELS = tuple(_LEVELS)
_UNSEEING = ("LayerNormFusionL1", "LayerNormFusionL2", "SimplifiedLayerNormFusion")
"""Fusions that take a pattern for a norm without looking at its exponent or at the order of its operands."""
_SILENT = 4
_HEAD = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_LOAD = re.compile(r"Load model from .*? failed:\s*")
_PLACE = re.compile(r"(?:\S*[/\\])?[\w.-]+\.(?:cc|cpp|cu|h|hpp):\d+\s*(?:[\w:~<>&*, ]+\([^()]*\)\s*(?:const\s+)?)?")
_NODES = (
    re.compile(r"while running (?P<op>[\w.:]+) node\. Name:'(?P<name>[^']*)'"),
    re.compile(r"Node \((?P<name>[^)]*)\) Op \((?P<op>[^)]*)\)"),
    re.compile(r"In Node, \(\"(?P<name>[^\"]*)\", (?P<op>\w+)"),
    re.compile(r"implementation for (?P<op>[\w.]+)\(\d+\) node with name '(?P<name>[^']*)'"),
    re.compile(r"Node:(?P<name>\S*) (?P<op>)"),
)
_UNKNOWN_OP = re.compile(r"not a registered function/op|No Op registered|Could not find an implementation")
_WRONG_FEED = re.compile(r"(?:Got )?[Ii]nvalid (?:dimensions|rank) for input|Unexpected input data type")


@dataclass(frozen=True, slots=True)
class Engine:
    """What the user chose: the execution provider by its full name, and the level of graph optimisation.

    ``watched`` is the level of sessions whose every value is looked at; ``threads`` 0: as many as there are cores.
    """

    provider: str
    level: str
    watched: str
    threads: int = 0

    @property
    def is_chosen(self) -> bool:
        """Whether the user named the level."""
        return self.level == self.watched

    @property
    def title(self) -> str:
        """ "onnxruntime 1.31.1 (CPUExecutionProvider)"."""
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__} ({self.provider})"

    def session(self, model: Any, stubs: Mapping[str, Any] | None = None, *, level: str | None = None) -> Any:
        """An InferenceSession for a path or a ModelProto; ``stubs`` are OrtValues of initializers stored elsewhere."""
        options = self.options(level)
        if level is not None:
            options.add_session_config_entry("session.disable_prepacking", "1")
        if stubs:
            options.add_external_initializers(list(stubs), list(stubs.values()))
        return self.start(model, options, _UNSEEING if level is not None else ())

    def options(self, level: str | None = None) -> Any:
        """How sessions are made ready."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = _SILENT
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level or self.level])
        # Without the arena a tensor's memory goes back as soon as the tensor is dropped.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.intra_op_num_threads = self.threads
        # Who waits leaves the cores to the other side, and to those who look at the tensors.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def start(self, model: Any, options: Any, without: Sequence[str] = ()) -> Any:
        """A session with these options, without some of the optimisers."""
        import onnxruntime as ort

        if isinstance(model, Path) and not is_unicode(model):
            raise ModelError(
                "onnxruntime cannot open a file whose name is no UTF-8 text",
                found=repr(model.name),
                hint="rename the file, or link to it under another name",
            )
        providers = list(dict.fromkeys((self.provider, "CPUExecutionProvider")))
        try:
            source = str(model) if isinstance(model, Path) else model.SerializeToString()
            return ort.InferenceSession(
                source, options, providers=providers, enable_fallback=0, disabled_optimizers=list(without) or None
            )
        except Exception as error:
            raise _rejected(error) from error

    def run(self, session: Any, outputs: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
        """Run a session; feeds and results are OrtValues, strings and sequences plain numpy."""
        import onnxruntime as ort

        options = ort.RunOptions()
        options.log_severity_level = _SILENT
        try:
            if all(isinstance(value, ort.OrtValue) for value in feeds.values()):
                return list(session.run_with_ort_values(list(outputs), dict(feeds), options))
            results = session.run(list(outputs), dict(feeds), options)
        except Exception as error:
            raise _failed(error) from error
        return [_as_ort_value(result) for result in results]


def make_engine(provider: str | None, level: str | None) -> Engine:
    """Check what the user asked for. Raises ModelError for an unknown provider or level."""
    import onnxruntime as ort

    # Blocked layouts cost more than they gain where each tensor is wanted in the plain one.
    watched = (level or "extended").lower()
    level = (level or "all").lower()
    if level not in LEVELS:
        raise ModelError(
            "there is no such level of graph optimisation", found=level, hint=f"one of {', '.join(LEVELS)}"
        )
    available = ort.get_available_providers()
    wanted = (provider or "cpu").lower()
    full = next((name for name in available if wanted in (name.lower(), short_name(name))), None)
    if full is None:
        names = ", ".join(short_name(name) for name in available)
        known = wanted in {word for name in ort.get_all_providers() for word in (name.lower(), short_name(name))}
        what = "is not in this build of onnxruntime" if known else "does not exist"
        raise ModelError(
            f"execution provider {provider!r} {what}", found=f"available: {names}", hint="choose one of these"
        )
    return Engine(full, level, watched)


def short_name(provider: str) -> str:
    """ "cuda" of "CUDAExecutionProvider"."""
    return provider.removesuffix("ExecutionProvider").lower()


def check_operators(model: Any, title: str) -> None:
    """Raise UnsupportedModelError for operators that this onnxruntime does not know."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    if not hasattr(state, "get_all_operator_schema"):
        return
    known = {(schema.domain, schema.name) for schema in state.get_all_operator_schema()}
    unknown = [node for node in _every_node(model.graph) if _key(node) not in known]
    if unknown:
        domains = sorted({node.domain or "ai.onnx" for node in unknown})
        nodes = listing(f"{node.name or node.output[0]} ({op_word(node)})" for node in unknown)
        raise UnsupportedModelError(
            f"{title} has operators that onnxruntime cannot run, of domain {listing(domains)}",
            found=f"{len(unknown)} nodes: {nodes}",
            hint="export without custom operators, or convert them to standard ones (QDQ for quantisation)",
        )


def _key(node: Any) -> tuple[str, str]:
    return ("" if node.domain == "ai.onnx" else node.domain, node.op_type)


def _every_node(graph: Any) -> list[Any]:
    from aligner.adapters.onnx_adapter.names import subgraphs

    found = []
    for node in graph.node:
        found.append(node)
        for _, inner in subgraphs(node):
            found.extend(_every_node(inner))
    return found


def _as_ort_value(result: Any) -> Any:
    import numpy as np
    from onnxruntime import OrtValue

    if isinstance(result, np.ndarray) and result.dtype.kind not in "OUS":
        return OrtValue.ortvalue_from_numpy(result)
    return result


def _culprit(message: str) -> str:
    for pattern in _NODES:
        match = pattern.search(message)
        if match and (match["name"] or match["op"]):
            words = (f"node {match['name']!r}" if match["name"] else "a node without a name", match["op"])
            return f"{words[0]} ({words[1]})" if words[1] else words[0]
    return ""


def _clean(error: Exception) -> str:
    text = _LOAD.sub("", _HEAD.sub("", str(error)))
    text = re.sub(r"Non-zero status code returned while running .*? Status Message: ", "", text)
    return " ".join(_PLACE.sub("", text).split())[:600]


def _rejected(error: Exception) -> ModelError:
    message = str(error)
    at = _culprit(message)
    if _UNKNOWN_OP.search(message):
        return UnsupportedModelError(
            f"onnxruntime cannot run {at or 'the model'}",
            found=_clean(error),
            hint="export for another opset or provider, or update onnxruntime",
        )
    return ModelFormatError(
        f"onnxruntime rejects the model{f' at {at}' if at else ''}",
        found=_clean(error),
        hint="check the export; `python -m onnx.checker` may say more",
    )


def _failed(error: Exception) -> ModelExecutionError | InputError:
    message = str(error)
    if _WRONG_FEED.search(message):
        return InputError(
            "an input does not fit the model", found=_clean(error), hint="compare with `align inspect`'s inputs"
        )
    at = _culprit(message)
    return ModelExecutionError(
        f"onnxruntime failed while the model ran{f', at {at}' if at else ''}",
        found=_clean(error),
        hint="check the shapes and values of the inputs",
    )
