"""A Keras model as a module of PyTorch, layer by layer, its weights copied."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class Twin(nn.Module):
    """Runs the layers of a functional Keras model channels first; modules have the layers' names."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.steps = []
        for operation in model._operations:
            if type(operation).__name__ == "InputLayer":
                self.source = operation.output.name
                continue
            node = operation._inbound_nodes[-1]
            reads = [tensor.name for tensor in node.input_tensors]
            made = _MODULES[type(operation).__name__](operation)
            self.add_module(operation.name, made)
            self.steps.append((operation.name, reads, operation.output.name))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        seen = {self.source: image}
        for name, reads, output in self.steps:
            seen[output] = getattr(self, name)(*(seen[read] for read in reads))
        return seen[self.steps[-1][2]]


class Pointwise(nn.Module):
    """A dense layer as a convolution of one pixel."""

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        self.inner = nn.Conv2d(dense.in_features, dense.out_features, 1)
        self.inner.weight.data, self.inner.bias.data = dense.weight.data[:, :, None, None], dense.bias.data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x[:, :, None, None]).flatten(1)


class _Padded(nn.Module):
    """SAME as TensorFlow means it: the odd row at the end. A pool that pads evenly does so itself."""

    def __init__(self, inner: nn.Module, layer: Any, size: Any) -> None:
        super().__init__()
        self.inner = inner
        self.value = -torch.inf if isinstance(inner, nn.MaxPool2d) else 0.0
        self.pads = _same_pads(layer.input.shape[1:-1], size, layer.strides) if layer.padding == "same" else []
        self.act = _function(getattr(layer, "activation", None))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not any(self.pads):
            return self.act(self.inner(x))
        if isinstance(self.inner, nn.MaxPool2d) and self.pads[::2] == self.pads[1::2]:
            return F.max_pool2d(x, self.inner.kernel_size, self.inner.stride, self.pads[::-2])
        return self.act(self.inner(F.pad(x, self.pads, value=self.value)))


def _same_pads(sizes: Any, kernel: Any, strides: Any) -> list[int]:
    pads: list[int] = []
    for length, size, stride in zip(sizes[::-1], kernel[::-1], strides[::-1], strict=True):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads += [total // 2, total - total // 2]
    return pads


class _Wide(nn.Module):
    """A transposed convolution of which SAME crops the odd row at the end."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        kernel, bias = layer.get_weights()
        self.inner = nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], kernel.shape[:2], layer.strides)
        _set(self.inner, kernel.transpose(3, 2, 0, 1), bias)
        rest = (size - stride for size, stride in zip(kernel.shape[:2], layer.strides, strict=True))
        self.kept, self.act = [slice(-most or None) for most in rest], _function(layer.activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.inner(x)[:, :, self.kept[0], self.kept[1]])


class _Call(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.function(*tensors)


def _function(activation: Any) -> Any:
    named = {"relu": F.relu, "relu6": F.relu6, "silu": F.silu, "tanh": torch.tanh}
    return named.get(getattr(activation, "__name__", "linear"), lambda x: x)


def _set(module: Any, kernel: Any, bias: Any) -> Any:
    module.weight.data = torch.from_numpy(np.ascontiguousarray(kernel))
    if bias is not None:
        module.bias.data = torch.from_numpy(bias)
    return module


def _kernel_and_bias(layer: Any) -> tuple[Any, Any]:
    kernel, *bias = layer.get_weights()
    return kernel, bias[0] if bias else None


def _conv(layer: Any) -> nn.Module:
    kernel, bias = _kernel_and_bias(layer)
    height, width, ins, outs = kernel.shape
    if type(layer).__name__ == "DepthwiseConv2D":
        inner = nn.Conv2d(ins, ins, (height, width), layer.strides, groups=ins, bias=bias is not None)
        return _Padded(_set(inner, kernel.transpose(2, 3, 0, 1), bias), layer, (height, width))
    inner = nn.Conv2d(ins, outs, (height, width), layer.strides, bias=bias is not None)
    return _Padded(_set(inner, kernel.transpose(3, 2, 0, 1), bias), layer, (height, width))


def _norm(layer: Any) -> nn.Module:
    gamma, beta, mean, variance = (torch.from_numpy(array) for array in layer.get_weights())
    module = nn.BatchNorm2d(len(gamma), eps=layer.epsilon)
    module.weight.data, module.bias.data = gamma, beta
    module.running_mean, module.running_var = mean, variance
    return module


def _pool(layer: Any) -> nn.Module:
    if type(layer).__name__ == "MaxPooling2D":
        return _Padded(nn.MaxPool2d(layer.pool_size, layer.strides), layer, layer.pool_size)
    return nn.AvgPool2d(layer.pool_size, layer.strides, padding=1, count_include_pad=False)


def _dense(layer: Any) -> nn.Module:
    kernel, bias = layer.get_weights()
    return _set(nn.Linear(*kernel.shape), kernel.T, bias)


def _crop(layer: Any) -> nn.Module:
    (top, bottom), (left, right) = layer.cropping
    return _Call(lambda x: x[:, :, top : -bottom or None, left : -right or None])


_MODULES = {
    "ZeroPadding2D": lambda layer: nn.ZeroPad2d((*layer.padding[1], *layer.padding[0])),
    "Conv2D": _conv,
    "DepthwiseConv2D": _conv,
    "Conv2DTranspose": _Wide,
    "BatchNormalization": _norm,
    "Activation": lambda layer: _Call(_function(layer.activation)),
    "ReLU": lambda layer: nn.ReLU6() if layer.max_value == 6 else nn.ReLU(),
    "Add": lambda _: _Call(operator.add),
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "UpSampling2D": lambda layer: nn.Upsample(scale_factor=layer.size, mode=layer.interpolation),
    "Cropping2D": _crop,
    "Concatenate": lambda _: _Call(lambda *tensors: torch.cat(tensors, 1)),
    "Softmax": lambda layer: nn.Softmax({-1: 1, 1: 2, 2: 3}[layer.axis]),
    "GlobalAveragePooling2D": lambda _: _Call(lambda x: x.mean((2, 3))),
    "Dense": _dense,
}
