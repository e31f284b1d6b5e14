"""Networks of torch as TorchScript and, through the legacy exporter, as ONNX, with an input.

python -m benchmarks.speed.networks FOLDER NAME [NUMBER]
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.faults.library_networks import Scores
from benchmarks.speed.restorer import SIZE, Restorer

OPSET = 17
CHANNELS, SIDE = 16, 256
"""Of the chain: 4 MiB for each tensor."""
WIDE = 256


def restorer(_=0):
    """The restorer of faces; takes no argument where it serves as a factory."""
    torch.manual_seed(0)
    return Restorer().eval()


class Residual(nn.Module):
    """x + relu(conv(x)), with weights so small that a thousand of them stay finite."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        nn.init.normal_(self.conv.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.conv(x))


def chain(blocks):
    """Residual blocks of constant width: three tensors each."""
    return nn.Sequential(*[Residual() for _ in range(blocks)])


def wide(_):
    """A picture, one tensor of 256 channels of that size, a picture."""
    return nn.Sequential(nn.Conv2d(4, WIDE, 1), nn.Conv2d(WIDE, 4, 1))


def _resnet(layer_type, sizes, depths):
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=64, hidden_sizes=sizes, depths=depths, layer_type=layer_type, num_labels=1000)
    return Scores(ResNetForImageClassification(config))


def resnet18(_):
    """11.7 M parameters."""
    return _resnet("basic", [64, 128, 256, 512], [2, 2, 2, 2])


def resnet50(_):
    """25.6 M parameters."""
    return _resnet("bottleneck", [256, 512, 1024, 2048], [3, 4, 6, 3])


def mobilenetv2(_):
    """3.5 M parameters."""
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    return Scores(MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=1000)))


def vit_b(_):
    """86 M parameters, patches of 16."""
    from transformers import ViTConfig, ViTForImageClassification

    return Scores(ViTForImageClassification(ViTConfig(num_labels=1000, attn_implementation="sdpa")))


def bert_base(_):
    """110 M parameters, 128 tokens."""
    from transformers import BertConfig, BertForSequenceClassification

    return Scores(BertForSequenceClassification(BertConfig(attn_implementation="eager")))


def _picture(channels, side):
    return np.random.default_rng(0).random((1, channels, side, side), dtype=np.float32)


def given(name, number):
    """The input of a network."""
    if name == "bert_base":
        return np.random.default_rng(0).integers(1000, 30000, (1, 128))
    sizes = {"restorer": (3, SIZE), "chain": (CHANNELS, SIDE), "wide": (4, number)}
    return _picture(*sizes.get(name, (3, 224)))


def build(folder, name, number=0):
    """Write a.pt, b.onnx and x.npy."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    module, x = globals()[name](number).eval(), given(name, number)
    np.save(folder / "x.npy", x)
    arguments = (torch.from_numpy(x),)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(module, arguments, check_trace=False), str(folder / "a.pt"))
        torch.onnx.export(
            module, arguments, str(folder / "b.onnx"), dynamo=False, opset_version=OPSET, input_names=["x"]
        )


if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
