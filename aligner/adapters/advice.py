"""What helps, in the words of the frameworks at hand, the reference's first: no advice names another one's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aligner.adapters.registry import adapters, wording
from aligner.adapters.wording import Topic, Wording


def advice_on(topic: Topic, frameworks: Iterable[str]) -> str:
    """What each of the frameworks says of it, in brackets; nothing where none does."""
    return _bracketed(frameworks, lambda words: words.advice.get(topic, ""))


def advice_on_all(topic: Topic) -> str:
    """Likewise of every framework that there is."""
    return advice_on(topic, [adapter.name for adapter in adapters()])


def settings_as_written(kind: str, settings: Mapping[str, Any], frameworks: Iterable[str]) -> str:
    """Settings of one kind of operation as the frameworks' arguments and attributes."""
    return _bracketed(frameworks, lambda words: words.written(kind, settings))


def least_values(kind: str, setting: str) -> dict[str, float]:
    """Framework → the least value of a setting that its layers hand on, of whichever has one."""
    every = [words for adapter in adapters() if (words := wording(adapter.name)) is not None]
    return {words.name: words.least[place] for words in every if (place := f"{kind}.{setting}") in words.least}


def _bracketed(frameworks: Iterable[str], said: Callable[[Wording], str]) -> str:
    every = [words for name in frameworks if (words := wording(name)) is not None]
    found = dict.fromkeys(f"{words.name}: {text}" for words in every if (text := said(words)))
    return f" ({'; '.join(found)})" if found else ""
