"""Architectures of ``transformers`` made small, random weights, in the forms that a converter is given or gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FORMS = ("eager", "torchscript", "onnx-dynamo", "onnx-torchscript")


class Plain(nn.Module):
    """A library model that takes tensors by name in order, and returns the tensors of its record."""

    def __init__(self, net: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net = net
        self.names = names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """What the library's record holds, tensors alone."""
        found = self.net(**dict(zip(self.names, tensors, strict=True)), return_dict=True)
        return tuple(part for part in found.values() if isinstance(part, Tensor))


@dataclass(frozen=True)
class Architecture:
    """A class of the library, the settings that make it small, and its inputs."""

    model: str
    settings: Mapping[str, Any]
    inputs: Callable[[], dict[str, Tensor]]

    def build(self, attention: str) -> tuple[Plain, dict[str, Tensor]]:
        """The model with reproducible weights, and inputs for it by name."""
        import transformers

        torch.manual_seed(0)
        model: Any = getattr(transformers, self.model)
        config = model.config_class(**self.settings)
        config._attn_implementation = attention
        for part in getattr(config, "sub_configs", {}):
            getattr(config, part)._attn_implementation = attention
        inputs = self.inputs()
        return Plain(model(config).eval(), tuple(inputs)).eval(), inputs


def _tokens() -> dict[str, Tensor]:
    ids = torch.randint(3, 60, (1, 12), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _tokens_of_two() -> dict[str, Tensor]:
    named = _tokens()
    return {**named, "decoder_input_ids": named["input_ids"][:, :7]}


def _picture(size: int = 64, channels: int = 3) -> Callable[[], dict[str, Tensor]]:
    return lambda: {"pixel_values": torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(1))}


def _sound() -> dict[str, Tensor]:
    return {"input_values": torch.randn(1, 1600, generator=torch.Generator().manual_seed(1))}


def _spectrogram() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {
        "input_features": torch.randn(1, 16, 64, generator=draw),
        "decoder_input_ids": torch.randint(3, 60, (1, 7), generator=draw),
    }


_TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_CAUSAL = {**_TEXT, "use_cache": False}
_GROUPED = {**_CAUSAL, "num_key_value_heads": 2, "head_dim": 8}
_DECODER = {
    "vocab_size": 64,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "use_cache": False,
}
_PATCHES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 64,
    "patch_size": 16,
}
_STAGES = {"hidden_sizes": [8, 16, 24], "depths": [1, 2, 1], "num_stages": 3}
_RESIDUAL = {"embedding_size": 8, "hidden_sizes": [16, 24], "depths": [1, 2]}
_BLOOM = {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4, "use_cache": False}
_SWIN = {"image_size": 64, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
_SOUND = {
    **_TEXT,
    "conv_dim": (16, 16, 24),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_SEGFORMER = {
    "num_encoder_blocks": 3,
    "depths": [1, 1, 1],
    "sr_ratios": [4, 2, 1],
    "hidden_sizes": [16, 24, 32],
    "patch_sizes": [7, 3, 3],
    "strides": [4, 2, 2],
    "num_attention_heads": [1, 2, 4],
    "mlp_ratios": [2, 2, 2],
    "decoder_hidden_size": 24,
}
_MOBILEVIT = {
    "hidden_sizes": [16, 24, 32],
    "neck_hidden_sizes": [8, 8, 16, 24, 24, 32, 48],
    "num_attention_heads": 2,
    "image_size": 64,
}
_RT_DETR = {
    "encoder_hidden_dim": 32,
    "d_model": 32,
    "encoder_in_channels": [32, 48, 64],
    "decoder_in_channels": [32, 32, 32],
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "decoder_layers": 1,
    "num_queries": 6,
    "num_denoising": 0,
    "hidden_expansion": 1.0,
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 16,
        "hidden_sizes": [16, 32, 48, 64],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_features": ["stage2", "stage3", "stage4"],
        "out_indices": [2, 3, 4],
    },
}

ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("BertModel", _TEXT, _tokens),
    "distilbert": Architecture(
        "DistilBertModel",
        {"vocab_size": 64, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64},
        _tokens,
    ),
    "deberta-v2": Architecture(
        "DebertaV2Model",
        {**_TEXT, "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]},
        _tokens,
    ),
    "fnet": Architecture("FNetModel", _TEXT, lambda: {"input_ids": _tokens()["input_ids"]}),
    "gpt2": Architecture(
        "GPT2LMHeadModel",
        {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "use_cache": False},
        _tokens,
    ),
    "gpt-neox": Architecture("GPTNeoXForCausalLM", _CAUSAL, _tokens),
    "llama": Architecture("LlamaForCausalLM", _GROUPED, _tokens),
    "mistral": Architecture("MistralForCausalLM", {**_GROUPED, "sliding_window": 6}, _tokens),
    "qwen2": Architecture("Qwen2ForCausalLM", _GROUPED, _tokens),
    "gemma2": Architecture("Gemma2ForCausalLM", {**_GROUPED, "sliding_window": 6}, _tokens),
    "phi": Architecture("PhiForCausalLM", _CAUSAL, _tokens),
    "bloom": Architecture(
        "BloomForCausalLM",
        {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4, "use_cache": False},
        _tokens,
    ),
    "falcon": Architecture("FalconForCausalLM", {**_CAUSAL, "alibi": False}, _tokens),
    "mamba": Architecture(
        "MambaForCausalLM",
        {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "use_cache": False},
        lambda: {"input_ids": _tokens()["input_ids"]},
    ),
    "t5": Architecture(
        "T5ForConditionalGeneration",
        {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "use_cache": False},
        _tokens_of_two,
    ),
    "bart": Architecture("BartModel", _DECODER, _tokens_of_two),
    "whisper": Architecture(
        "WhisperModel",
        {**_DECODER, "num_mel_bins": 16, "max_source_positions": 32, "max_target_positions": 32},
        _spectrogram,
    ),
    "wav2vec2": Architecture("Wav2Vec2ForCTC", _SOUND, _sound),
    "vit": Architecture("ViTModel", _PATCHES, _picture()),
    "deit": Architecture("DeiTModel", _PATCHES, _picture()),
    "beit": Architecture("BeitModel", {**_PATCHES, "use_relative_position_bias": True}, _picture()),
    "dinov2": Architecture("Dinov2Model", _PATCHES, _picture()),
    "swin": Architecture("SwinModel", _SWIN, _picture()),
    "swinv2": Architecture("Swinv2Model", _SWIN, _picture()),
    "segformer": Architecture("SegformerForSemanticSegmentation", _SEGFORMER, _picture()),
    "mobilevit": Architecture("MobileViTModel", _MOBILEVIT, _picture()),
    "mobilenet-v2": Architecture("MobileNetV2Model", {"depth_multiplier": 0.25, "min_depth": 8}, _picture()),
    "efficientnet": Architecture(
        "EfficientNetModel", {"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320}, _picture()
    ),
    "resnet": Architecture(
        "ResNetModel", {"embedding_size": 8, "hidden_sizes": [16, 24], "depths": [1, 2]}, _picture()
    ),
    "regnet": Architecture(
        "RegNetModel", {"embedding_size": 8, "hidden_sizes": [16, 24], "depths": [1, 2], "groups_width": 8}, _picture()
    ),
    "convnext": Architecture("ConvNextModel", _STAGES, _picture()),
    "convnextv2": Architecture("ConvNextV2Model", _STAGES, _picture()),
    "poolformer": Architecture(
        "PoolFormerModel", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, _picture()
    ),
    "yolos": Architecture(
        "YolosForObjectDetection", {**_PATCHES, "image_size": [64, 64], "num_detection_tokens": 6}, _picture()
    ),
    "rt-detr": Architecture("RTDetrModel", _RT_DETR, _picture()),
}


def forms_of(name: str, folder: Path, attention: str = "eager") -> Iterator[tuple[str, Any, dict[str, Tensor]]]:
    """Each form with what ``open_model`` takes, and the inputs; its error where a form cannot be made."""
    architecture = ARCHITECTURES[name]
    for form in FORMS:
        module, inputs = architecture.build(attention)
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                made = _made(form, module, tuple(inputs.values()), folder / f"{name}-{form}")
        except Exception as error:  # noqa: BLE001 - whatever an exporter dies of
            yield form, error, inputs
        else:
            yield form, made, inputs


def _made(form: str, module: Plain, inputs: tuple[Tensor, ...], path: Path) -> nn.Module | Path:
    if form == "eager":
        return module.net
    if form == "torchscript":
        target = path.with_suffix(".pt")
        torch.jit.save(torch.jit.trace(module, inputs, check_trace=False), target)
        return target
    target, dynamo = path.with_suffix(".onnx"), form == "onnx-dynamo"
    torch.onnx.export(module, inputs, target, dynamo=dynamo, verbose=False)
    return target
