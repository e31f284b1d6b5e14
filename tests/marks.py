"""Marks that skip a test where its framework is not installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest


def importable(*modules: str) -> bool:
    """Whether every module is there; looks without importing."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def _requires(reason: str, present: bool) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not present, reason=f"needs {reason}")


requires_torch = _requires("torch", importable("torch"))
requires_onnx = _requires("onnx and onnxruntime", importable("onnx", "onnxruntime"))
requires_onnxscript = _requires("onnxscript", importable("onnxscript"))
requires_tensorflow = _requires("tensorflow", importable("tensorflow"))
requires_tflite = _requires("ai-edge-litert or tensorflow", importable("ai_edge_litert") or importable("tensorflow"))
requires_openvino = _requires("openvino", importable("openvino"))
requires_ncnn = _requires("ncnn and pnnx", importable("ncnn", "pnnx", "torch"))
requires_transformers = _requires("transformers", importable("transformers"))
requires_tf2onnx = _requires("tf2onnx", importable("tf2onnx"))
requires_image = _requires("pillow", importable("PIL"))
requires_pandas = _requires("pandas", importable("pandas"))
requires_safetensors = _requires("safetensors", importable("safetensors"))
requires_compiler = _requires("g++", shutil.which("g++") is not None)
requires_node = _requires("node", shutil.which("node") is not None)
requires_onnxruntime_web = _requires(
    "a node_modules with onnxruntime-web (npm install --ignore-scripts) named by ALIGNER_NODE_MODULES",
    (Path(os.environ.get("ALIGNER_NODE_MODULES", "")) / "onnxruntime-web").is_dir(),
)
requires_onnxruntime_node = _requires(
    "node, and a node_modules with onnxruntime-node (npm install --ignore-scripts) named by ALIGNER_NODE_MODULES",
    shutil.which("node") is not None and bool(os.environ.get("ALIGNER_NODE_MODULES")),
)
requires_polygraphy = _requires("polygraphy", importable("polygraphy"))
requires_executorch = _requires("executorch", importable("executorch"))
