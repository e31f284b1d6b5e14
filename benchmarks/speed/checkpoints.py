"""What `align weights` costs on two checkpoints of a Llama's size, beside reading both files once.

python -m benchmarks.speed.checkpoints [--billions 7] [--to float16|Q8_0] [--work FOLDER]

A folder of bfloat16 shards as Hugging Face writes it, and what a converter made of it: float16 shards, or a GGUF file.
One tensor of the second is wrong, and has to be the one that is named. Needs some 4 GB of disk for each billion.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.speed.measuring import Program, align, once, python

_WIDTH, _HIDDEN, _WORDS, _HEADS = 4096, 11008, 32000, 32
"""Llama 2 7B's: a layer has 202 million parameters."""
_LAYER, _TABLES = 4 * _WIDTH**2 + 3 * _WIDTH * _HIDDEN + 2 * _WIDTH, 2 * _WIDTH * _WORDS
_GUILTY = "model.layers.1.mlp.up_proj.weight"
_READ = """
import sys
for name in sys.argv[1:]:
    with open(name, "rb", 0) as file:
        while file.read(1 << 24):
            pass
"""


@click.command()
@click.option("--billions", default=7.0, show_default=True, help="Parameters.")
@click.option("--to", "target", type=click.Choice(["float16", "Q8_0"]), default="float16", show_default=True)
@click.option("--work", type=click.Path(path_type=Path), help="Where the files are written for the time of the run.")
def main(billions: float, target: str, work: Path | None) -> None:
    """Write both, compare them, print time, memory and answer."""
    layers = max(round((billions * 1e9 - _TABLES) / _LAYER), 2)
    with TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        source, converted = folder / "source", folder / ("converted" if target == "float16" else "converted.gguf")
        # by another process: what a child's parent once held counts as the child's largest size
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:
            writer.submit(_write, source, converted, layers, target).result()
        files = [
            *source.glob("*.safetensors"),
            *(converted.glob("*.safetensors") if converted.is_dir() else [converted]),
        ]
        size = sum(file.stat().st_size for file in files)
        read = once(Program(python("-c", _READ, *files)), folder / "log")
        cost = once(Program(align("weights", source, converted, "--json", folder / "run.json")), folder / "log")
        found = json.loads((folder / "run.json").read_text())
        changed = [
            (row["reference"] or row["candidate"])["name"] for row in found["weights"] if row["status"] != "matched"
        ]
    parameters = layers * _LAYER + _TABLES + _WIDTH
    print(f"{parameters / 1e9:.1f} billion parameters, bfloat16 to {target}, {size / 1e9:.1f} GB in all")
    print(f"reading both: {read.wall:.0f} s; align weights: {cost.wall:.0f} s, {cost.cpu:.0f} s of CPU")
    print(f"largest resident size, pages of mapped files among it: {cost.peak / 1e6:,.0f} MB")
    print(f"not matched: {', '.join(changed) or 'none'} (planted: {_GUILTY})")


def _write(source: Path, converted: Path, layers: int, target: str) -> None:
    _write_shards(source, layers, torch.bfloat16)
    if target == "float16":
        _write_shards(converted, layers, torch.float16, wrong=True)
    else:
        _write_gguf(converted, layers)


def _tensors(layers: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and values, one after another; each a slice of one noise, begun elsewhere."""
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(1 << 24, dtype=np.float32) * np.float32(0.02))
    shapes = {
        "model.embed_tokens.weight": (_WORDS, _WIDTH),
        "model.norm.weight": (_WIDTH,),
        "lm_head.weight": (_WORDS, _WIDTH),
    }
    for at in range(layers):
        layer = f"model.layers.{at}"
        shapes |= {f"{layer}.self_attn.{part}_proj.weight": (_WIDTH, _WIDTH) for part in "qkvo"}
        shapes |= {f"{layer}.mlp.{part}_proj.weight": (_HIDDEN, _WIDTH) for part in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj.weight": (_WIDTH, _HIDDEN)}
        shapes |= {f"{layer}.{part}_layernorm.weight": (_WIDTH,) for part in ("input", "post_attention")}
    for seed, (name, shape) in enumerate(shapes.items()):
        many = int(np.prod(shape))
        turned = torch.roll(noise, 7919 * seed)
        yield name, turned.repeat(-(-many // len(noise)))[:many].reshape(shape)


def _write_shards(folder: Path, layers: int, dtype: torch.dtype, *, wrong: bool = False) -> None:
    folder.mkdir()
    config = {
        "model_type": "llama",
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "hidden_size": _WIDTH,
    }
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["LlamaForCausalLM"]}))
    shard: dict[str, torch.Tensor] = {}
    for name, values in _tensors(layers):
        shard[name] = (
            (values.flip(0) if wrong and name == _GUILTY else values).to(torch.bfloat16).to(dtype).contiguous()
        )
        if sum(tensor.nbytes for tensor in shard.values()) > 2 << 30:
            _flush(shard, folder)
    _flush(shard, folder)


def _flush(shard: dict[str, torch.Tensor], folder: Path) -> None:
    if shard:
        save_file(shard, folder / f"model-{len(list(folder.glob('*.safetensors'))):05}.safetensors")
        shard.clear()


def _write_gguf(path: Path, layers: int) -> None:
    """As llama.cpp's converter writes it: query and key rows in pairs, blocks of eight bits."""
    from gguf import GGMLQuantizationType, GGUFWriter, get_tensor_name_map, quants
    from gguf.constants import MODEL_ARCH

    names = get_tensor_name_map(MODEL_ARCH.LLAMA, layers)
    writer = GGUFWriter(path, "llama", use_temp_file=True)
    writer.add_block_count(layers)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    for name, values in _tensors(layers):
        array = (values.flip(0) if name == _GUILTY else values).to(torch.bfloat16).to(torch.float32).numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            array = array.reshape(_HEADS, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        named = f"{names.get_name(name, ('.weight',))}"
        kind = GGMLQuantizationType.Q8_0 if array.ndim > 1 else GGMLQuantizationType.F32
        writer.add_tensor(named, quants.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
