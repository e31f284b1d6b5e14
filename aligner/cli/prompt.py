"""What compare is fed: files and numbers, or the tokens of a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aligner.errors import InputError, MissingFrameworkError
from aligner.records.regular_file import read_regular


def fed(given: dict[str, Any]) -> list[Any]:
    """The inputs that a command line names. Raises InputError for a text without its tokenizer, and both at once."""
    text, tokenizer = given["prompt"], given["tokenizer"]
    if text is None and tokenizer is None:
        return list(given["inputs"])
    if text is None or tokenizer is None or given["inputs"]:
        raise InputError(
            "a text is fed by --prompt and --tokenizer, without --input",
            found=f"--{'prompt' if text is not None else 'tokenizer'}" + (" and --input" if given["inputs"] else ""),
            hint="--prompt 'Once upon a time' --tokenizer tokenizer.json, or --input ids.json",
        )
    return [tokens(text, tokenizer)]


def tokens(text: str, place: Path) -> Any:
    """Token ids, one row. Raises InputError where the tokenizer cannot be read or gives none."""
    import numpy as np

    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingFrameworkError(
            "reading a tokenizer needs tokenizers", found="it is not installed", hint="pip install tokenizers"
        ) from error
    file = place / "tokenizer.json" if place.is_dir() else place
    try:
        ids = Tokenizer.from_buffer(read_regular(file)).encode(text).ids
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # the library raises Exception itself, and where it panics not even that
        hint = "give a tokenizer.json, or the folder that holds it"
        raise InputError(f"{file} is no tokenizer that can be read", found=str(error), hint=hint) from error
    if not ids:
        raise InputError("the text has no tokens", found=repr(text), hint="give a longer one")
    return np.asarray([ids], np.int64)
