"""The architectures of the bench: small, seeded, with norm statistics that are not trivial."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.faults import library_networks, own_networks

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network and what it is fed.

    ``image`` names the input that is a picture in NCHW; ``scriptable`` says that torch.jit.script takes the network;
    ``outputs`` are its outputs' names in exported files; ``lacks`` lists the forms it cannot be built in.
    """

    name: str
    build: Callable[[], Any]
    shapes: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...] = ("output",)
    vocabulary: int = 0
    image: str | None = None
    scriptable: bool = False
    lacks: tuple[str, ...] = ()

    def module(self, seed: int) -> Any:
        """The network in eval mode with the weights of ``seed``."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * 1000 + len(self.name))
            module = self.build().eval()
            enliven(module, seed)
        return module.requires_grad_(False)

    def feeds(self, seed: int) -> Feeds:
        """Seeded inputs: pictures are smooth and in 0..1 with unequal channels, tokens are in the vocabulary."""
        rng = np.random.default_rng([seed, 17])
        return {name: self._draw(name, shape, rng) for name, shape in self.shapes.items()}

    def _draw(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if self.vocabulary:
            return rng.integers(0, self.vocabulary, shape, dtype=np.int64)
        if name == self.image:
            return picture(shape, rng)
        return rng.standard_normal(shape).astype(np.float32)


def picture(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth blobs with some grain, each channel in a range of its own within 0..1."""
    coarse = rng.random((*shape[:-2], 6, 7))
    rows = np.linspace(0, 4.999, shape[-2])
    columns = np.linspace(0, 5.999, shape[-1])
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None], columns - left
    smooth = (
        coarse[..., top[:, None], left] * (1 - down) * (1 - right)
        + coarse[..., top[:, None] + 1, left] * down * (1 - right)
        + coarse[..., top[:, None], left + 1] * (1 - down) * right
        + coarse[..., top[:, None] + 1, left + 1] * down * right
    )
    grain = 0.2 * rng.random(shape)
    gain = np.linspace(0.6, 1.0, shape[1]).reshape(1, -1, 1, 1)
    return np.clip((0.8 * smooth + grain) * gain, 0, 1).astype(np.float32)


def channels_fitted(array: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
    """The array with its channels moved to where the shape wants them, where that is the only difference."""
    for axes in ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)):
        if array.ndim == len(shape) == 4 and tuple(array.shape[axis] for axis in axes) == tuple(shape):
            return np.ascontiguousarray(array.transpose(axes))
    return array


def enliven(module: Any, seed: int) -> None:
    """Give every norm affine and running numbers as training leaves them, every bias a value, in place."""
    import torch

    generator = torch.Generator().manual_seed(seed + 99)

    def draw(tensor: Any, low: float, high: float) -> None:
        tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for part in module.modules():
        is_norm = "Norm" in type(part).__name__
        if is_norm and getattr(part, "weight", None) is not None:
            draw(part.weight, 0.6, 1.4)
        if isinstance(part, torch.nn.PReLU):
            draw(part.weight, 0.05, 0.5)
        if getattr(part, "running_var", None) is not None:
            draw(part.running_var, 0.05, 1.0)
            draw(part.running_mean, -0.3, 0.3)
        if isinstance(getattr(part, "bias", None), torch.nn.Parameter):
            draw(part.bias, -0.2, 0.2)
    for name, parameter in module.named_parameters():
        if name.endswith(("gamma", "layer_scale_parameter")):  # ConvNeXt's layer scale starts at 1e-6
            draw(parameter, 0.3, 0.9)


def _library(name: str, **traits: Any) -> Architecture:
    return Architecture(name, getattr(library_networks, name), **traits)


def _own(name: str, **traits: Any) -> Architecture:
    return Architecture(name, getattr(own_networks, name), **traits)


_PICTURE = {"x": (1, 3, 36, 44)}
_SQUARE = {"x": (1, 3, 32, 32)}

ARCHITECTURES: Mapping[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        _library("resnet", shapes=_PICTURE, image="x"),
        _library("mobilenet", shapes=_SQUARE, image="x"),
        _library("convnext", shapes=_SQUARE, image="x"),
        _library("segformer", shapes={"x": (1, 3, 64, 64)}, image="x"),
        _library("vit", shapes=_SQUARE, image="x", lacks=("opset13",)),
        _library("swin", shapes=_SQUARE, image="x"),
        _library("bert", shapes={"x": (2, 12)}, vocabulary=50),
        _library("gpt2", shapes={"x": (1, 16)}, vocabulary=50),
        _library("wav2vec2", shapes={"x": (1, 1600)}),
        _own("squeeze", shapes={"x": (1, 3, 33, 41)}, image="x", scriptable=True),
        _own("unet", shapes={"x": (1, 3, 28, 36)}, image="x", scriptable=True),
        _own("generator", shapes={"z": (1, 24)}, outputs=("image", "preview")),
        _own("lstm", shapes={"x": (2, 9, 12)}, scriptable=True),
        _own("gru", shapes={"x": (2, 9, 12)}, scriptable=True),
        _own("towers", shapes={"image": (2, 3, 24, 24), "vector": (2, 16)}, image="image", scriptable=True),
        _own("detector", shapes={"x": (1, 3, 32, 40)}, outputs=("coarse", "fine", "score"), image="x", scriptable=True),
        _own("sharp", shapes={"x": (1, 14, 24)}, scriptable=True),
    )
}

CLEAN_ONLY = frozenset({"sharp"})
"""Ill-conditioned on purpose: nothing planted there can be told from rounding."""


def halves(seed: int) -> tuple[frozenset[str], frozenset[str]]:
    """The architectures that may be looked at while the tool is made, and those held out."""
    return split(ARCHITECTURES, seed, 5)


def split(names: Iterable[str], seed: int, stream: int) -> tuple[frozenset[str], frozenset[str]]:
    """Every other one of the shuffled names, and the rest; each family has a ``stream`` of random numbers to itself."""
    ordered = sorted(names)
    shuffled = [ordered[i] for i in np.random.default_rng([seed, stream]).permutation(len(ordered))]
    return frozenset(shuffled[::2]), frozenset(shuffled[1::2])
