"""Architectures of ``transformers``, all but one of which no other bench here has, made small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from benchmarks.converters.blind.pictures import picture
from benchmarks.converters.blind.sequences import noise, tokens

Made = tuple[Callable[[], nn.Module], tuple[Tensor, ...]]

_TEXT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "use_cache": False,
}
_FEW = {"num_key_value_heads": 2, "head_dim": 4}
_SIDES = {
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "use_cache": False,
}
_PATCHES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
_SOUND = {
    **_TEXT,
    "conv_dim": (8, 8, 12),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_EIGHT = (tokens(40, 1, 8),)
_PICTURE = (picture(1, 3, 32, 32),)
_WAVE = (noise(1, 800),)

_ROWS: Mapping[str, tuple[str, Mapping[str, Any], tuple[Tensor, ...]]] = {
    "roberta": ("RobertaModel", _TEXT, _EIGHT),
    "electra": ("ElectraModel", {**_TEXT, "embedding_size": 12}, _EIGHT),
    "albert": ("AlbertModel", {**_TEXT, "embedding_size": 12}, _EIGHT),
    "mobilebert": (
        "MobileBertModel",
        {**_TEXT, "embedding_size": 12, "intra_bottleneck_size": 16, "true_hidden_size": 16},
        _EIGHT,
    ),
    "squeezebert": ("SqueezeBertModel", {**_TEXT, "embedding_size": 16}, _EIGHT),
    "convbert": ("ConvBertModel", {**_TEXT, "embedding_size": 16, "head_ratio": 2, "conv_kernel_size": 3}, _EIGHT),
    "roformer": ("RoFormerModel", {**_TEXT, "embedding_size": 16}, _EIGHT),
    "nystromformer": ("NystromformerModel", {**_TEXT, "segment_means_seq_len": 8, "num_landmarks": 4}, _EIGHT),
    "xlm-roberta": ("XLMRobertaModel", _TEXT, _EIGHT),
    "ernie": ("ErnieModel", _TEXT, _EIGHT),
    "mpnet": ("MPNetModel", _TEXT, _EIGHT),
    "esm": ("EsmModel", {**_TEXT, "position_embedding_type": "rotary", "mask_token_id": 3}, _EIGHT),
    "modernbert": ("ModernBertModel", {**_TEXT, "local_attention": 4, "cls_token_id": 1, "sep_token_id": 2}, _EIGHT),
    "gptj": ("GPTJForCausalLM", {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 4, "rotary_dim": 4}, _EIGHT),
    "codegen": (
        "CodeGenForCausalLM",
        {"vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 4, "rotary_dim": 4},
        _EIGHT,
    ),
    "opt": ("OPTForCausalLM", {**_TEXT, "ffn_dim": 24, "word_embed_proj_dim": 16}, _EIGHT),
    "bigcode": ("GPTBigCodeForCausalLM", {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 4}, _EIGHT),
    "olmo2": ("Olmo2ForCausalLM", {**_TEXT, **_FEW}, _EIGHT),
    "stablelm": ("StableLmForCausalLM", {**_TEXT, "num_key_value_heads": 2, "partial_rotary_factor": 0.5}, _EIGHT),
    "starcoder2": ("Starcoder2ForCausalLM", {**_TEXT, "num_key_value_heads": 2}, _EIGHT),
    "cohere": ("CohereForCausalLM", {**_TEXT, "num_key_value_heads": 2}, _EIGHT),
    "gemma": ("GemmaForCausalLM", {**_TEXT, **_FEW}, _EIGHT),
    "gemma3": ("Gemma3ForCausalLM", {**_TEXT, **_FEW, "sliding_window": 4}, _EIGHT),
    "phi3": ("Phi3ForCausalLM", {**_TEXT, "num_key_value_heads": 2}, _EIGHT),
    "qwen3": ("Qwen3ForCausalLM", {**_TEXT, **_FEW}, _EIGHT),
    "granite": ("GraniteForCausalLM", {**_TEXT, "num_key_value_heads": 2}, _EIGHT),
    "smollm3": ("SmolLM3ForCausalLM", {**_TEXT, "num_key_value_heads": 2}, _EIGHT),
    "mixtral": ("MixtralForCausalLM", {**_TEXT, **_FEW, "num_local_experts": 4}, _EIGHT),
    "mpt": (
        "MptForCausalLM",
        {"vocab_size": 40, "d_model": 16, "n_layers": 2, "n_heads": 4, "max_seq_len": 32},
        _EIGHT,
    ),
    "biogpt": ("BioGptForCausalLM", _TEXT, _EIGHT),
    "pegasus": ("PegasusModel", _SIDES, (*_EIGHT, tokens(40, 1, 5))),
    "marian": ("MarianModel", {**_SIDES, "decoder_start_token_id": 0}, (*_EIGHT, tokens(40, 1, 5))),
    "hubert": ("HubertModel", _SOUND, _WAVE),
    "data2vec-audio": (
        "Data2VecAudioModel",
        {**_SOUND, "conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2},
        _WAVE,
    ),
    "sew": ("SEWModel", {**_SOUND, "squeeze_factor": 2}, _WAVE),
    "spectrogram": (
        "ASTModel",
        {**_PATCHES, "max_length": 32, "num_mel_bins": 16, "frequency_stride": 4, "time_stride": 4},
        (noise(1, 32, 16),),
    ),
    "siglip": ("SiglipVisionModel", _PATCHES, _PICTURE),
    "clip": ("CLIPVisionModelWithProjection", {**_PATCHES, "projection_dim": 8}, _PICTURE),
    "dinov2-registers": ("Dinov2WithRegistersModel", _PATCHES, _PICTURE),
    "ijepa": ("IJepaModel", _PATCHES, _PICTURE),
    "levit": (
        "LevitForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [16, 24, 32],
            "num_attention_heads": [2, 2, 2],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
            "down_ops": [["Subsample", 8, 2, 4, 2, 2], ["Subsample", 8, 3, 4, 2, 2]],
            "kernel_size": 3,
            "patch_size": 4,
        },
        (picture(1, 3, 64, 64),),
    ),
    "pvt": (
        "PvtModel",
        {
            "image_size": 32,
            "depths": [1, 1],
            "hidden_sizes": [8, 16],
            "num_encoder_blocks": 2,
            "sequence_reduction_ratios": [4, 1],
            "patch_sizes": [4, 2],
            "strides": [4, 2],
            "num_attention_heads": [1, 2],
            "mlp_ratios": [2, 2],
        },
        _PICTURE,
    ),
    "focalnet": (
        "FocalNetModel",
        {
            "image_size": 32,
            "embed_dim": 8,
            "hidden_sizes": [8, 16],
            "depths": [1, 1],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
        },
        _PICTURE,
    ),
    "mobilenet-v1": ("MobileNetV1Model", {"depth_multiplier": 0.25, "min_depth": 4}, _PICTURE),
    "bit": ("BitModel", {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 1], "num_groups": 4}, _PICTURE),
    "swiftformer": (
        "SwiftFormerModel",
        {"image_size": 32, "depths": [1, 1], "embed_dims": [8, 16], "mlp_ratio": 2},
        _PICTURE,
    ),
    "swin2sr": (
        "Swin2SRForImageSuperResolution",
        {
            "image_size": 16,
            "patch_size": 1,
            "embed_dim": 12,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "window_size": 4,
            "upscale": 2,
        },
        (picture(1, 3, 16, 16),),
    ),
    "glpn": (
        "GLPNForDepthEstimation",
        {
            "num_encoder_blocks": 4,
            "depths": [1, 1, 1, 1],
            "sr_ratios": [4, 2, 1, 1],
            "hidden_sizes": [8, 8, 16, 16],
            "num_attention_heads": [1, 1, 2, 2],
            "mlp_ratios": [2, 2, 2, 2],
            "decoder_hidden_size": 8,
        },
        (picture(1, 3, 64, 64),),
    ),
    "superpoint": (
        "SuperPointForKeypointDetection",
        {"encoder_hidden_sizes": [8, 8, 8, 16], "decoder_hidden_size": 16, "descriptor_decoder_dim": 16},
        _PICTURE,
    ),
    "videomae": ("VideoMAEModel", {**_PATCHES, "num_frames": 4, "tubelet_size": 2}, (picture(1, 4, 3, 32, 32),)),
    "timesformer": ("TimesformerModel", {**_PATCHES, "num_frames": 2}, (picture(1, 2, 3, 32, 32),)),
    "patchtst": (
        "PatchTSTModel",
        {
            "num_input_channels": 2,
            "context_length": 24,
            "patch_length": 6,
            "patch_stride": 6,
            "d_model": 16,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "ffn_dim": 24,
        },
        (noise(2, 24, 2),),
    ),
    "patchtsmixer": (
        "PatchTSMixerModel",
        {
            "num_input_channels": 2,
            "context_length": 24,
            "patch_length": 6,
            "patch_stride": 6,
            "d_model": 16,
            "num_layers": 2,
        },
        (noise(2, 24, 2),),
    ),
    "convnext-v2-classes": (
        "ConvNextV2ForImageClassification",
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "num_labels": 5},
        _PICTURE,
    ),
}


_WRITTEN_OUT = "convbert roformer gptj focalnet mobilenet-v1 glpn superpoint patchtsmixer".split()
"""Architectures that know no fused attention."""


class Plain(nn.Module):
    """A library model that gives the tensors of its record."""

    def __init__(self, net: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = self.net(**dict(zip(self.names, tensors, strict=True)))
        return tuple(part for part in found.to_tuple() if isinstance(part, Tensor))


class PlainOfTwo(Plain):
    """The same of an encoder and a decoder; its inputs have names."""

    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor) -> tuple[Tensor, ...]:
        return super().forward(input_ids, decoder_input_ids)


def build(name: str) -> nn.Module:
    import transformers

    model, settings, inputs = _ROWS[name]
    kind: Any = getattr(transformers, model)
    config = kind.config_class(**settings)
    config._attn_implementation = "eager" if len(name) % 2 or name in _WRITTEN_OUT else "sdpa"
    net = kind(config).eval()
    names = (net.main_input_name, "decoder_input_ids")[: len(inputs)]
    return (PlainOfTwo if len(names) > 1 else Plain)(net, names)


LIBRARY: dict[str, Made] = {name: (lambda name=name: build(name), row[2]) for name, row in _ROWS.items()}
