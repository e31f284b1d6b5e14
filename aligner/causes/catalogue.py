"""What there is to say of each cause, read off its classes."""

from __future__ import annotations

from collections.abc import Iterator

from aligner.adapters.advice import advice_on_all
from aligner.causes.cause import Cause
from aligner.causes.global_cause import GlobalCause
from aligner.causes.search import find_causes  # noqa: F401 - loads every family
from aligner.causes.unknown import Unknown
from aligner.errors import InputError
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause: what it is, how it is shown, what helps, an example."""

    id: str
    what: tuple[str, ...]
    shown: tuple[str, ...]
    fix: str
    example: str


def catalogue() -> Iterator[Entry]:
    """Every cause, by id."""
    kinds: dict[str, list[type[Cause] | type[GlobalCause]]] = {}
    every: list[type[Cause] | type[GlobalCause]] = [*Cause.registry, *GlobalCause.registry, Unknown]
    for kind in sorted(every, key=lambda kind: kind.__module__):  # whichever family something has imported first
        kinds.setdefault(kind.id, []).append(kind)
    for identifier in sorted(kinds):
        group = kinds[identifier]
        what = dict.fromkeys((kind.__doc__ or "").strip().split("\n")[0] for kind in group)
        shown = dict.fromkeys(kind.shown for kind in group)
        told = next((kind for kind in group if kind.fix), group[0])
        topic = next((kind.topic for kind in group if issubclass(kind, Cause) and kind.topic), None)
        fix = told.fix + (advice_on_all(topic) if topic else "")
        yield Entry(identifier, tuple(what), tuple(shown), fix, told.example)


def entry(identifier: str) -> Entry:
    """One cause; raises InputError where there is none of that id."""
    from difflib import get_close_matches

    every = {one.id: one for one in catalogue()}
    if identifier not in every:
        near = get_close_matches(identifier, every, 5, 0.4)
        raise InputError(
            f"there is no cause {identifier!r}",
            found=f"near it: {', '.join(near)}" if near else f"{len(every)} causes",
            hint="align explain lists them all",
        )
    return every[identifier]


def paragraphs(one: Entry) -> list[tuple[str, str]]:
    """An entry as headed lines."""
    return [
        ("what it is", " ".join(one.what)),
        ("how it is shown", " ".join(one.shown)),
        ("what helps", one.fix),
        ("for example", one.example),
    ]


_HEAD = """# Causes

Made by `python -m aligner.causes.catalogue > docs/causes.md`; `align explain CAUSE` prints one.

A cause is a hypothesis that was held against numbers. Its class says what it rests on:

- **proven**: two values that stand in the two models were exchanged, or something was changed without a free number,
  and nothing of the error was left but what rounding leaves (in few bits, what is not the cause's);
- **fitted**: numbers were solved for, or a little of the error was left;
- **suspected**: what both models say differs, or looks wrong, and nothing could be recomputed, or it did not explain
  the error.

Of several that explain an error equally well the one that is written in the models leads, then the one that takes least
to describe: out of fewer alternatives, with fewer numbers solved for. What was searched for must leave less than 2 % of
the error, and more must be explained than the best of as many unrelated guesses would. `explained` is the share of the
local error that goes; `confidence` in JSON follows from class and share (proven 1, fitted 0.8, suspected 0.3, times the
share) and measures nothing more. What explains as much of one error as the leading cause does is the same fault in
other words, and not told again; only what the model may have been fed stands beside what its first nodes do. What
helps is said in the words of the frameworks at hand, and of no other.

`python -m benchmarks.causes --seeds 7101:7105` plants each of 105 faults into four random networks, compared live, as a
trace and as what either exporter writes: of 420 cases 419 are told with the right cause, proven, at the place (eleven
of them after what the run had shown was mended), and one is fitted. Of seeds 7301:7303, 210 cases, 206 were, and all
are since.
"""


def text() -> str:
    """The page as the file holds it."""
    parts = [_HEAD]
    for one in catalogue():
        lines = "\n".join(f"- *{head}*: {words}" for head, words in paragraphs(one))
        parts.append(f"## {one.id}\n\n{lines}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(text(), end="")
