"""A comparison without the paths of the machine it was made on, for reports that travel."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from aligner.records.comparison import Comparison, Finding, ModelSummary, Pair, Side, Unpaired
from aligner.records.dissection import Dissection, RegionNode


def portable(comparison: Comparison, folder: Path | None = None) -> Comparison:
    """The same record with every absolute path made relative to ``folder`` (the working folder), or cut to its name.

    Pairs that are named in several places stay one and the same record.
    """
    return _Traveller(folder or Path.cwd()).comparison(comparison)


class _Traveller:
    """Shortens paths, and remembers what it shortened so that prose which quotes them is shortened alike."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shortened: dict[str, str] = {}
        self._pairs: dict[int, Pair] = {}

    def comparison(self, made: Comparison) -> Comparison:
        inputs = tuple(replace(fed, source=self._path(fed.source)) for fed in made.inputs)
        reference, candidate = self._model(made.reference), self._model(made.candidate)
        return replace(
            made,
            reference=reference,
            candidate=candidate,
            inputs=inputs,
            reason=self._prose(made.reason),
            first_divergence=None if made.first_divergence is None else self._pair(made.first_divergence),
            introduced=tuple(map(self._pair, made.introduced)),
            outputs=tuple(map(self._pair, made.outputs)),
            pairs=tuple(map(self._pair, made.pairs)),
            unpaired_reference=tuple(map(self._unpaired, made.unpaired_reference)),
            unpaired_candidate=tuple(map(self._unpaired, made.unpaired_candidate)),
            causes=tuple(map(self._cause, made.causes)),
            notes=tuple(map(self._prose, made.notes)),
            command=self._command(made.command),
            next_step=self._command(made.next_step),
            dissections=tuple(map(self._dissection, made.dissections)),
        )

    def _model(self, summary: ModelSummary) -> ModelSummary:
        path = self._path(summary.path)
        return replace(summary, path=path, notes=tuple(map(self._prose, summary.notes)))

    def _pair(self, pair: Pair) -> Pair:
        if id(pair) not in self._pairs:
            reference, candidate = self._side(pair.reference), self._side(pair.candidate)
            note = None if pair.note is None else self._prose(pair.note)
            self._pairs[id(pair)] = replace(pair, reference=reference, candidate=candidate, note=note)
        return self._pairs[id(pair)]

    def _side(self, side: Side) -> Side:
        return side if side.source is None else replace(side, source=self._path(side.source))

    def _unpaired(self, item: Unpaired) -> Unpaired:
        return replace(item, side=self._side(item.side))

    def _dissection(self, item: Dissection) -> Dissection:
        return replace(
            item, reference=tuple(map(self._node, item.reference)), candidate=tuple(map(self._node, item.candidate))
        )

    def _node(self, node: RegionNode) -> RegionNode:
        return node if node.source is None else replace(node, source=self._path(node.source))

    def _cause(self, cause: Finding) -> Finding:
        return replace(cause, evidence=self._prose(cause.evidence), suggestion=self._prose(cause.suggestion))

    def _path(self, text: str) -> str:
        short = _short(text, self._folder)
        if short != text:
            self._shortened[text] = short
        return short

    def _prose(self, text: str) -> str:
        for path in sorted(self._shortened, key=len, reverse=True):
            text = text.replace(path, self._shortened[path])
        return text

    def _command(self, command: str | None) -> str | None:
        if command is None:
            return None
        try:
            words = shlex.split(command)
        except ValueError:  # an unbalanced quote: not a command of ours
            return self._prose(command)
        return " ".join(word if word == "&&" else shlex.quote(self._word(word)) for word in words)

    def _word(self, word: str) -> str:
        name, equals, value = word.rpartition("=")
        return f"{name}{equals}{_short(value, self._folder)}"


def _short(text: str, folder: Path) -> str:
    """The path relative to the folder where it lies below, the name alone where it is absolute, else unchanged."""
    if PurePosixPath(text).is_absolute():
        path = PurePosixPath(text)
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name
    if PureWindowsPath(text).is_absolute():
        windows = PureWindowsPath(text)
        return windows.relative_to(folder).as_posix() if windows.is_relative_to(folder) else windows.name
    return text
