"""Dtypes by one word each, whichever a framework has for them."""

from __future__ import annotations

from functools import lru_cache

_WORDS = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "boolean": "bool",
}


@lru_cache(maxsize=256)
def plain_dtype(word: str) -> str:
    """numpy's word where it has one: "float16" for "library.float16", "half" and "HALF"."""
    bare = word.rpartition(".")[2].lower()
    return _WORDS.get(bare, bare)


def is_floating(word: str | None) -> bool:
    """Whether it is a float of any width; a dtype that is not said is none."""
    return plain_dtype(word or "").startswith(("float", "bfloat"))
