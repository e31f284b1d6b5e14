"""Ten residual blocks as a live module of PyTorch or Keras, or made into a program from it, sound and with one fault.

The faults are those that are planted in files: a channel of a weight scaled, an activation lost, a tensor clipped, a
bias of a layer zeroed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FAULTS = ("scaled channel", "lost activation", "clipped", "zeroed bias")
BLOCKS, CHANNELS, SIDE = 10, 32, 64


class Clipped(nn.Module):
    """A layer whose result is cut off."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).clamp(-0.1, 0.1)


class Block(nn.Module):
    """relu(x + conv(relu(norm(conv(x)))))."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2))
        self.norm, self.act = nn.BatchNorm2d(CHANNELS), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.second(self.act(self.norm(self.first(x)))))


def module() -> nn.Sequential:
    """Ten blocks between a convolution and a classifier."""
    torch.manual_seed(0)
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10)
    return nn.Sequential(nn.Conv2d(3, CHANNELS, 3, padding=1), *(Block() for _ in range(BLOCKS)), *ends).eval()


def faulty(fault: str, place: int) -> nn.Sequential:
    """The same module with a fault in a block."""
    whole = module()
    block = whole[place + 1]
    with torch.no_grad():
        if fault == "scaled channel":
            block.first.weight[0] *= 1.5
        elif fault == "lost activation":
            block.act = nn.Identity()
        elif fault == "clipped":
            block.first = Clipped(block.first)
        else:
            block.first.bias.zero_()
    return whole


def picture() -> np.ndarray:
    """What all of them are fed, channels first."""
    return np.random.default_rng(0).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)


def _scripted(whole: nn.Module, folder: Path, name: str) -> Path:
    path = folder / f"{name}.torchscript.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(whole, torch.from_numpy(picture())), path)
    return path


def _exported(whole: nn.Module, _folder: Path, _name: str) -> Any:
    return torch.export.export(whole, (torch.from_numpy(picture()),))


def _in_keras(whole: nn.Module, _folder: Path, _name: str) -> Any:
    import keras

    def convolved(x, layer, clipped):
        made = keras.layers.Conv2D(layer.out_channels, 3, padding="same")
        y = made(x)
        made.set_weights([layer.weight.detach().numpy().transpose(2, 3, 1, 0), layer.bias.detach().numpy()])
        return keras.ops.clip(y, -0.1, 0.1) if clipped else y

    inputs = x = keras.Input((SIDE, SIDE, 3), batch_size=1)
    x = convolved(x, whole[0], clipped=False)
    for block in whole[1 : BLOCKS + 1]:
        clipped = isinstance(block.first, Clipped)
        active = keras.layers.ReLU if isinstance(block.act, nn.ReLU) else keras.layers.Identity
        y = convolved(x, block.first.layer if clipped else block.first, clipped)
        y = convolved(active()(keras.layers.BatchNormalization(epsilon=1e-5)(y)), block.second, clipped=False)
        x = active()(keras.layers.Add()([x, y]))
    last = keras.layers.Dense(10)
    model = keras.Model(inputs, last(keras.layers.GlobalAveragePooling2D()(x)))
    last.set_weights([whole[-1].weight.detach().numpy().T, whole[-1].bias.detach().numpy()])
    return model


FORMS: dict[str, Callable[[nn.Module, Path, str], Any]] = {
    "eager": lambda whole, _folder, _name: whole,
    "compile": lambda whole, _folder, _name: torch.compile(whole),
    "export": _exported,
    "script": _scripted,
    "keras": _in_keras,
}
"""How the module is made into what is compared; the reference is made so as well, but for what is compiled."""


def pairs(form: str, folder: Path) -> tuple[Any, Any, Iterator[tuple[str, Any]], np.ndarray]:
    """Reference, sound candidate, (fault, candidate) in a third and two thirds of the depth, and their input."""
    made = FORMS[form]
    reference = module() if form == "compile" else made(module(), folder, "reference")
    given = picture().transpose(0, 2, 3, 1) if form == "keras" else picture()

    def wrong() -> Iterator[tuple[str, Any]]:
        for fault in FAULTS:
            for depth in (1 / 3, 2 / 3):
                told = f"{fault} at {depth:.0%}"
                yield told, made(faulty(fault, round(depth * BLOCKS)), folder, told)

    return reference, made(module(), folder, "sound"), wrong(), given
