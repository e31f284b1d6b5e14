"""Options that name a model for one side or the other."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.errors import ComparisonError
from aligner.inputs.items import ROLES


def parse_dump_of(texts: Sequence[str]) -> dict[str, object] | str | None:
    """What ``--dump-of`` says: a model, or one for each side ("reference=MODEL")."""
    found = by_side("--dump-of", texts)
    plain = found.pop("", None)
    return {role: found.get(role, plain) for role in ROLES} if found else None if plain is None else str(plain)


def by_side(option: str, texts: Sequence[str], *, unnamed: str = "") -> dict[str, object]:
    """Side → model ("reference=MODEL"), ``unnamed`` → one without. Raises ComparisonError where one is named twice."""
    found: dict[str, object] = {}
    for text in texts:
        role, equals, model = text.partition("=")
        side, model = (role, model) if equals and role in ROLES else (unnamed, text)
        if side in found:
            raise ComparisonError(
                f"{option} was given twice for {side or 'one side'}",
                found=f"{found[side]}, {model}",
                hint=f"say which side each is for: {option} reference=MODEL {option} candidate=MODEL",
            )
        found[side] = model
    return found
