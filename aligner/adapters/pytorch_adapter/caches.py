"""Key-value caches of decoders: as named tensors, and made from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aligner.errors import InputError

_PARTS = ("key", "value")


def opened(result: Any) -> Any:
    """A model's answer with every cache in it as a mapping from layer to key and value; the rest is as it was."""
    if isinstance(result, Mapping):
        return {key: opened(item) for key, item in result.items()}
    if type(result) in (tuple, list):
        return type(result)(opened(item) for item in result)
    return _layers(result)


def _layers(cache: Any) -> Any:
    """The tensors of a cache object of transformers, whose layers hold them; anything else is itself."""
    if not type(cache).__name__.endswith("Cache"):
        return cache
    found = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in getattr(cache, "layers", ())]
    found = found or list(zip(getattr(cache, "key_cache", ()), getattr(cache, "value_cache", ()), strict=True))
    return {str(place): dict(zip(_PARTS, pair, strict=True)) for place, pair in enumerate(found)} or cache


def nested(name: str, tensors: Mapping[str, Any], annotation: str, module: Any) -> Any:
    """What an argument is given for tensors called ``name.0.key``, ``name.0.value``, … or ``name.0.0``, …"""
    tree = _tree({key[len(name) + 1 :]: tensor for key, tensor in tensors.items()})
    return _cache(tree, module) if "Cache" in annotation else tree


def _tree(leaves: Mapping[str, Any]) -> Any:
    """Tuples of tuples by the numbers in the names; key comes before value."""
    if "" in leaves:
        return leaves[""]
    heads = sorted({key.partition(".")[0] for key in leaves}, key=_order)
    parts = [
        _tree({key.partition(".")[2]: leaf for key, leaf in leaves.items() if key.partition(".")[0] == head})
        for head in heads
    ]
    return (
        tuple(parts)
        if all(head.isdigit() or head in _PARTS for head in heads)
        else dict(zip(heads, parts, strict=True))
    )


def _order(word: str) -> tuple[int, str]:
    return (int(word), "") if re.fullmatch(r"\d+", word) else (0, word)


def _cache(layers: Any, module: Any) -> Any:
    """transformers' own cache, holding these very tensors: what its ``update`` makes of them would be others."""
    from transformers import DynamicCache

    config = getattr(module, "config", None)
    try:
        cache: Any = DynamicCache(config=config)
    except TypeError:  # releases before 4.56 take no configuration
        cache = DynamicCache()
    if isinstance(layers, tuple) and all(isinstance(pair, tuple) and len(pair) == len(_PARTS) for pair in layers):
        for place, (keys, values) in enumerate(layers):
            cache.update(keys, values, place)
            if hasattr(cache, "layers"):
                cache.layers[place].keys, cache.layers[place].values = keys, values
            else:
                cache.key_cache[place], cache.value_cache[place] = keys, values
        return cache
    raise InputError(
        "a cache is made of a key and a value for each layer",
        found=f"{len(layers)} entries of other kinds",
        hint="name them NAME.0.key, NAME.0.value, …",
    )
