"""Real model code from ``transformers``, made small; weights are random."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Scores(nn.Module):
    """A library model that takes one tensor and returns one, as exporters like it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).logits


class MaskedScores(Scores):
    """The same with a mask given, without which the library looks for packed sequences by value."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, attention_mask=torch.ones_like(x)).logits


def resnet() -> Any:
    """Bottleneck residual network with batch norm."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=12, hidden_sizes=[16, 24], depths=[2, 2], layer_type="bottleneck", num_labels=10
    )
    return Scores(ResNetForImageClassification(_explicit(config)))


def mobilenet() -> Any:
    """Inverted residuals: depthwise convolutions and ReLU6, padded as TensorFlow does."""
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    config = MobileNetV2Config(depth_multiplier=0.25, min_depth=8, num_labels=10, hidden_act="relu6")
    return Scores(MobileNetV2ForImageClassification(_explicit(config)))


def convnext() -> Any:
    """Depthwise 7×7, channels-last layer norm, GELU, layer scale."""
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[16, 24, 32], depths=[1, 2, 1], num_stages=3, num_labels=10)
    return Scores(ConvNextForImageClassification(_explicit(config)))


def segformer() -> Any:
    """Hierarchical attention with spatial reduction and a decoder that resizes."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_encoder_blocks=3,
        depths=[1, 1, 1],
        sr_ratios=[4, 2, 1],
        hidden_sizes=[16, 24, 32],
        patch_sizes=[7, 3, 3],
        strides=[4, 2, 2],
        num_attention_heads=[1, 2, 4],
        mlp_ratios=[2, 2, 2],
        decoder_hidden_size=24,
        num_labels=5,
    )
    return Scores(SegformerForSemanticSegmentation(_explicit(config)))


def vit() -> Any:
    """Plain attention over patches."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        num_labels=10,
    )
    return Scores(ViTForImageClassification(_explicit(config, attention="sdpa")))


def swin() -> Any:
    """Windowed, shifted attention with relative position bias and patch merging."""
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(
        image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4, num_labels=10
    )
    return Scores(SwinForImageClassification(_explicit(config)))


def bert() -> Any:
    """Encoder transformer."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=32,
        num_labels=4,
    )
    return Scores(BertForSequenceClassification(_explicit(config)))


def gpt2() -> Any:
    """Decoder transformer: causal mask, tanh GELU, tied embeddings."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=50, n_embd=32, n_layer=3, n_head=4, n_positions=32, use_cache=False, bos_token_id=0, eos_token_id=0
    )
    return MaskedScores(GPT2LMHeadModel(_explicit(config)))


def wav2vec2() -> Any:
    """One-dimensional convolutions over audio, group norm, then a small encoder."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config(
        conv_dim=(16, 16, 24),
        conv_kernel=(10, 3, 3),
        conv_stride=(5, 2, 2),
        num_feat_extract_layers=3,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        vocab_size=12,
    )
    return Scores(Wav2Vec2ForCTC(_explicit(config)))


def _explicit(config: Any, attention: str = "eager") -> Any:
    """Attention as its own matmuls and softmax unless asked otherwise."""
    config._attn_implementation = attention
    return config
