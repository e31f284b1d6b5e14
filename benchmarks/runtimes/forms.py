"""What each runtime reads, made of one Keras model by the runtime's own converter."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Form = Callable[[Any, Path], Any]
"""A Keras model and a folder of its own → what is opened."""


def picture(model: Any, seed: int) -> Any:
    """A picture of noise, as the model takes it."""
    return np.random.default_rng(seed).normal(size=(1, *model.input_shape[1:])).astype(np.float32)


def _keras(model: Any, folder: Path) -> Path:
    model.save(folder / "model.keras")
    return folder / "model.keras"


def _hdf5(model: Any, folder: Path) -> Path:
    model.save(folder / "model.h5")
    return folder / "model.h5"


def _saved_model(model: Any, folder: Path) -> Path:
    model.export(str(folder / "saved"), verbose=False)
    return folder / "saved"


def _lite(model: Any, folder: Path, *, integers: bool = False) -> Path:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(_saved_model(model, folder)))
    if integers:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([picture(model, seed)] for seed in range(8))
    path = folder / "model.tflite"
    path.write_bytes(converter.convert())
    return path


def _onnx(model: Any, folder: Path) -> Path:
    import tensorflow as tf
    import tf2onnx

    path = folder / "model.onnx"
    tf2onnx.convert.from_keras(
        model, [tf.TensorSpec((1, *model.input_shape[1:]), name=model.inputs[0].name)], opset=17, output_path=str(path)
    )
    return path


def _torch(model: Any, _: Path) -> Any:
    from benchmarks.runtimes.torch_form import Twin

    return Twin(model).eval()


def _image(model: Any, seed: int = 0) -> Any:
    import torch

    return torch.from_numpy(picture(model, seed).transpose(0, 3, 1, 2).copy())


def _program(model: Any, folder: Path) -> Path:
    import torch

    path = folder / "model.pt2"
    torch.export.save(torch.export.export(_torch(model, folder), (_image(model),)), path)
    return path


def _scripted(model: Any, folder: Path) -> Path:
    import torch

    torch.jit.trace(_torch(model, folder), _image(model)).save(str(folder / "model.pt"))
    return folder / "model.pt"


def _compiled(model: Any, folder: Path) -> Any:
    import torch

    return torch.compile(_torch(model, folder))


def _torch_integers(model: Any, folder: Path) -> Any:
    """Static quantisation of torch.ao, calibrated on eight pictures."""
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    # transposed convolutions stay in float: PyTorch 2.13's of integers are not what their weights say
    settings = get_default_qconfig_mapping("x86").set_object_type(torch.nn.ConvTranspose2d, None)
    # so do tanh and softmax: prepare_fx gives what they read from float the range of what they put out
    settings = settings.set_object_type(torch.tanh, None).set_object_type(torch.nn.Softmax, None)
    prepared = prepare_fx(_torch(model, folder), settings, (_image(model),))
    for seed in range(8):
        prepared(_image(model, seed))
    return convert_fx(prepared)


def _openvino_of_torch(model: Any, folder: Path) -> Path:
    import openvino

    path = folder / "model.xml"
    converted = openvino.convert_model(_torch(model, folder), example_input=_image(model))
    openvino.save_model(converted, path, compress_to_fp16=False)
    return path


def _openvino(model: Any, folder: Path) -> Path:
    import openvino

    path = folder / "model.xml"
    openvino.save_model(openvino.convert_model(str(_onnx(model, folder))), path, compress_to_fp16=False)
    return path


def _ncnn(model: Any, folder: Path) -> Path:
    import subprocess

    import pnnx
    import torch

    from benchmarks.runtimes.torch_form import Pointwise

    twin = _torch(model, folder)
    twin.head = Pointwise(twin.head)  # ncnn keeps the weights of dense layers in float16: no fault of this bench
    torch.jit.trace(twin, _image(model)).save(str(folder / "traced.pt"))
    shape = ",".join(map(str, _image(model).shape))
    words = ["traced.pt", f"inputshape=[{shape}]", "fp16=0", "ncnnparam=model.param", "ncnnbin=model.bin"]
    subprocess.run([pnnx.EXEC_PATH, *words], cwd=folder, check=True, capture_output=True)
    return folder / "model.param"


def _executorch(model: Any, folder: Path, *, delegated: bool = False, integers: bool = False) -> Path:
    """A program of portable kernels or of XNNPACK's, or one that XNNPACK's quantizer gave integers."""
    from aligner.adapters.executorch_adapter.library import executorch

    executorch()  # imported without what it logs of parts that are not for this machine
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.export(_torch(model, folder), (_image(model),))
    if integers:
        exported = torch.export.export(_on_grids(exported.module(), model), (_image(model),))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()] if delegated else [])
    path = folder / "model.pte"
    path.write_bytes(lowered.to_executorch().buffer)
    return path


def _on_grids(module: Any, model: Any) -> Any:
    """Static quantisation by XNNPACK's quantizer, calibrated on eight pictures."""
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    settings = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    observed = prepare_pt2e(module, xnnpack.XNNPACKQuantizer().set_global(settings))
    for seed in range(8):
        observed(_image(model, seed))
    return convert_pt2e(observed)


_NEEDS: Mapping[str, tuple[Form, tuple[str, ...]]] = {
    "keras": (_keras, ("keras",)),
    "h5": (_hdf5, ("keras",)),
    "savedmodel": (_saved_model, ("tensorflow",)),
    "tflite": (_lite, ("tensorflow",)),
    "tflite-int8": (lambda model, folder: _lite(model, folder, integers=True), ("tensorflow",)),
    "onnx": (_onnx, ("tf2onnx", "onnxruntime")),
    "torch": (_torch, ("torch",)),
    "torch-compile": (_compiled, ("torch",)),
    "torch-int8": (_torch_integers, ("torch",)),
    "torchscript": (_scripted, ("torch",)),
    "torch-export": (_program, ("torch",)),
    "openvino": (_openvino, ("openvino", "tf2onnx")),
    "openvino-torch": (_openvino_of_torch, ("openvino", "torch")),
    "ncnn": (_ncnn, ("ncnn", "pnnx", "torch")),
    "executorch": (_executorch, ("executorch",)),
    "executorch-xnnpack": (lambda model, folder: _executorch(model, folder, delegated=True), ("executorch",)),
    "executorch-int8": (lambda model, folder: _executorch(model, folder, integers=True), ("executorch",)),
}
FORMS: Mapping[str, Form] = {
    name: form
    for name, (form, modules) in _NEEDS.items()
    if all(importlib.util.find_spec(module) is not None for module in modules)
}
"""Runtime's form → how it is made, of those that are installed."""
ABSENT = tuple(name for name in _NEEDS if name not in FORMS)
"""Forms whose runtime or converter is not installed."""
FIRST = frozenset(name for name in FORMS if "torch" in name or name == "ncnn")  # ExecuTorch's too
"""Forms that are fed channels first."""
KEPT = {"openvino": "f32", "openvino-torch": "f32"}
"""Forms that might compute in fewer bits → what keeps them from it; what ncnn has in float32 it computes so."""
