"""``python -m benchmarks.fuzz --seeds 0:50 [--only WORD] [--commands N] [--keep FOLDER]``: a table of outcomes."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.fuzz.commands import command_lines, write_files
from benchmarks.fuzz.running import BAD, command_case, file_case
from benchmarks.fuzz.subjects import subjects


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--seeds", default="0:20", help="A:B, B not included: files of each format")
    parser.add_argument("--only", default="", help="formats whose word holds this")
    parser.add_argument("--commands", default="0:0", help="A:B: command lines")
    parser.add_argument("--keep", type=Path, help="where files are kept that show a defect")
    chosen = parser.parse_args(arguments)
    rows: dict[str, Counter[str]] = {}
    defects: Counter[str] = Counter()

    def count(group: str, seed: object, outcome: str) -> None:
        word = outcome.split(" ")[0]
        rows.setdefault(group, Counter())[word if word != "exit" else outcome] += 1
        if word in BAD:
            defects[f"{group}: {outcome}"] += 1
            print(f"{group} {seed}: {outcome}", file=sys.stderr, flush=True)

    for name, subject in subjects().items():
        if chosen.only in name:
            for number in _range(chosen.seeds):
                count(name, number, file_case(subject, f"{name}:{number}", chosen.keep))
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for number in _range(chosen.commands):
            words = command_lines(number)
            with tempfile.TemporaryDirectory() as place:
                write_files(Path(place))
                count("commands", " ".join(words), command_case(words, Path(place)))
    for group, counts in rows.items():
        print(f"{group:24} {sum(counts.values()):6}  " + ", ".join(f"{n} {word}" for word, n in sorted(counts.items())))
    total = sum(sum(counts.values()) for counts in rows.values())
    print(f"{total} cases, {sum(defects.values())} defects of {len(defects)} kinds")
    return 1 if defects else 0


def _range(text: str) -> range:
    begin, end = map(int, text.split(":"))
    return range(begin, end)


if __name__ == "__main__":
    sys.exit(main())
