"""``python -m benchmarks.fuzz --seeds 0:50 [--only PATTERN] [--commands A:B] [--keep FOLDER]``: a table of outcomes."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.fuzz.commands import command_lines, write_files
from benchmarks.fuzz.running import BAD, command_case, file_cases, outcomes, warm
from benchmarks.fuzz.subjects import FolderSubject, Subject, subjects

_WARMING = (
    ["compare", "a.onnx", "b.onnx", "-i", "x.npy", "--html", "h"],
    ["weights", "a.onnx", "rec.npz"],
    ["inspect", "m.param"],
    ["weights", "shards", "g.gguf"],
    ["compare", "d.onnx", "d.onnx", "--steps", "1", "--prompt", "a b", "--tokenizer", "tokens.json"],
)
"""Commands whose modules all others need."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--seeds", default="0:20", help="A:B, B not included: files of each format")
    parser.add_argument("--only", default="", help="a pattern that is found in a format's word")
    parser.add_argument("--commands", default="0:0", help="A:B: command lines")
    parser.add_argument("--keep", type=Path, help="where files are kept that show a defect")
    chosen = parser.parse_args(arguments)
    table = Table()
    try:
        _read_files(chosen, table)
        _run_commands(chosen, table)
    finally:
        table.print()  # of what was done, where a long run is interrupted
    return 1 if table.defects else 0


def _read_files(chosen: argparse.Namespace, table: Table) -> None:
    seeds = _range(chosen.seeds)
    for name, subject in subjects(chosen.only) if seeds else ():
        warm(partial(read_whole, subject.kept_whole()))
        for seed, outcome in file_cases(subject, [f"{name}:{number}" for number in seeds], chosen.keep):
            table.count(name, seed, outcome)


def _run_commands(chosen: argparse.Namespace, table: Table) -> None:
    commands = _range(chosen.commands)
    if commands:
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder))  # here, where they are kept for all
        for words in _WARMING:
            warm(command_case(words, write_files))
    for number in commands:
        words = command_lines(number)
        (outcome,) = outcomes([command_case(words, write_files)])
        table.count(f"align {words[0]}", f"{number}: {shlex.join(words)}", outcome)


class Table:
    """Outcomes by group; a defect is told as it comes."""

    def __init__(self) -> None:
        self._rows: dict[str, Counter[str]] = {}
        self.defects: Counter[str] = Counter()

    def count(self, group: str, case: str, outcome: str) -> None:
        """One case more."""
        word = outcome.split(" ")[0]
        self._rows.setdefault(group, Counter())[word if word != "exit" else outcome] += 1
        if word in BAD:
            self.defects[f"{group}: {outcome}"] += 1
            print(f"{case}: {outcome}", file=sys.stderr, flush=True)

    def print(self) -> None:
        """The table, a row for each group."""
        for group, counts in sorted(self._rows.items()):
            words = ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))
            print(f"{group:40} {sum(counts.values()):6}  {words}")
        total = sum(sum(counts.values()) for counts in self._rows.values())
        print(f"{total} cases, {sum(self.defects.values())} defects of {len(self.defects)} kinds")


def read_whole(subject: Subject | FolderSubject, folder: Path) -> None:
    subject.read(subject.write(folder, Random(0)))


def _range(text: str) -> range:
    begin, end = map(int, text.split(":"))
    return range(begin, end)


if __name__ == "__main__":
    sys.exit(main())
