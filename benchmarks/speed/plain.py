"""Load models and run each once: what a comparison is measured against.

python -m benchmarks.speed.plain [--inside] INPUT.npy MODEL…
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

import numpy as np


def torchscript(path):
    """Load a TorchScript file."""
    import torch

    return _torch(torch.jit.load(path))


def eager(target):
    """Make the module that a "package.module:function" returns."""
    module, name = target.split(":")
    return _torch(getattr(import_module(module), name)().eval())


def _torch(module):
    import torch

    def run(x):
        with torch.no_grad():
            return module(torch.from_numpy(x))

    return run


def onnx(path):
    """Load an ONNX file, as ONNX Runtime does by itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})


def tflite(path):
    """Load a TFLite file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()

    def run(x):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]

    return run


_LOADERS: dict[str, Callable] = {".pt": torchscript, ".onnx": onnx, ".tflite": tflite}
_MODULES = {".pt": "torch", ".onnx": "onnxruntime", ".tflite": "ai_edge_litert.interpreter"}


def ending(model):
    """What tells how a model is run: its suffix, or "" for a factory."""
    return "" if ":" in model else "." + model.rsplit(".", 1)[1]


def import_frameworks(models):
    """Import what the models need, before a clock starts."""
    for model in models:
        import_module(_MODULES.get(ending(model), "torch"))
        if not ending(model):
            import_module(model.split(":")[0])


def run(models, file):
    """Load all, then run each once."""
    x = np.load(file)
    loaded = [_LOADERS.get(ending(model), eager)(model) for model in models]
    for each in loaded:
        each(x)
    return {}


def main():
    """The command line of this module."""
    words = sys.argv[1:]
    if words[0] != "--inside":
        run(words[1:], words[0])
        return
    from benchmarks.speed.stopwatch import timed

    import_frameworks(words[2:])
    timed(lambda: run(words[2:], words[1]))


if __name__ == "__main__":
    main()
