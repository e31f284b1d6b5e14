"""How much the answers hang on the numbers typed into the code: each is halved and doubled, and the cases run again.

python -m benchmarks.properties.constants --seeds A:B [--room judgement …] [--only NAME …]

A constant is sound where neither half nor twice of it changes a verdict or a culprit of any case; where one does, the
table says how many, and how many properties of ``benchmarks.properties`` are then violated: the direction in which the
number may not be moved. Numbers that only say how much is shown or tried change costs, and no answer.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from benchmarks.converters.case import Case, case
from benchmarks.converters.properties import violations
from benchmarks.converters.scoring import compare

_FACTORS = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Constant:
    """A number at the top of a module, and wherever else it was imported to."""

    module: str
    name: str
    value: int | float

    @contextmanager
    def times(self, factor: float) -> Iterator[int | float]:
        """The number multiplied, in every module that holds it, for as long as the block lasts."""
        number = type(self.value)(max(self.value * factor, 1)) if isinstance(self.value, int) else self.value * factor
        holders = [one for one in _loaded() if getattr(one, self.name, None) is self.value] or [
            sys.modules[self.module]
        ]
        try:
            for one in holders:
                setattr(one, self.name, number)
            yield number
        finally:
            for one in holders:
                setattr(one, self.name, self.value)


def _loaded() -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.startswith("aligner.") and module]


def constants(rooms: Sequence[str], only: Sequence[str] = ()) -> Iterator[Constant]:
    """The numbers at the top of a room's modules that they define themselves."""
    for room in rooms:
        package = importlib.import_module(f"aligner.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"aligner.{room}."):
            module = importlib.import_module(found.name)
            lines = Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()
            own = {line.partition("=")[0].partition(":")[0].strip() for line in lines}
            for name, value in vars(module).items():
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if number and name in own and name.isupper() and (not only or name in only):
                    yield Constant(found.name, name, value)


def _answer(one: Case) -> tuple[tuple[object, ...], list[str]]:
    with TemporaryDirectory() as folder:
        report = compare(one, Path(folder))
    told = report["verdict"], tuple(pair["candidate"]["name"] for pair in report["introduced"])
    return told, violations(one, report)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.properties.constants", description=__doc__)
    parser.add_argument("--seeds", default="0:10", help="A:B, B not included")
    parser.add_argument("--room", nargs="*", default=["judgement"])
    parser.add_argument("--only", nargs="*", default=[])
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition(":")
    made = [case(seed, faulty=faulty) for seed in range(int(first), int(last)) for faulty in (False, True)]
    cases = [one for one in made if one is not None]
    plain = [_answer(one) for one in cases]
    print(f"{len(cases)} cases, {sum(len(found) for _, found in plain)} violations as it stands", flush=True)
    for constant in constants(chosen.room, chosen.only):
        told = []
        for factor in _FACTORS:
            with constant.times(factor) as number:
                again = [_answer(one) for one in cases]
            changed = sum(one[0] != other[0] for one, other in zip(plain, again, strict=True))
            told.append(f"{number:g}: {changed} changed, {sum(len(found) for _, found in again)} violations")
        where = f"{constant.module.removeprefix('aligner.')}.{constant.name}"
        print(f"{where} = {constant.value:g}; {'; '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
