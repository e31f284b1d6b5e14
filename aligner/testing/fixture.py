"""What the ``assert_aligned`` fixture hands to a test: the function, with the session's settings filled in."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aligner.api import Result
from aligner.records.comparison import GUILTY, Comparison, Pair
from aligner.records.dataclass import dataclass
from aligner.report.excerpt import worst
from aligner.report.numbers import percent, plural
from aligner.report.words import place
from aligner.testing.assertion import Outcome, examined
from aligner.testing.contract import Contract
from aligner.testing.evidence import Places
from aligner.testing.golden import golden_file, record, recorded

Entry = dict[str, Any]
"""One comparison as plain scalars, which any transport between processes carries."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a test brings: its id, its folders, and the options that the session and its marks set."""

    test: str
    parameters: str
    options: Mapping[str, Any]
    scratch: Callable[[], Path]
    goldens: Path
    html: Path | None = None
    json: Path | None = None
    update: bool = False
    arguments: tuple[str, ...] = ()
    """Command line options that the test depends on."""


class AssertAligned:
    """``assert_aligned(reference, candidate, inputs, …)`` and ``assert_aligned.golden(model, inputs, "name", …)``.

    Options given to a call win over those of the ``align`` mark, the command line and the ini file, in that order.
    """

    def __init__(self, setting: Setting, note: Callable[[Entry], None]) -> None:
        self._setting, self._note = setting, note
        self._count = 0

    def __call__(self, reference: object, candidate: object, inputs: Any = None, **options: Any) -> Result:
        """As ``aligner.testing.assert_aligned``."""
        __tracebackhide__ = True
        contract = Contract.of({**self._setting.options, **options})
        outcome = self._examined(reference, candidate, inputs, contract)
        return outcome.settle(contract)

    def golden(self, model: object, inputs: Any, name: str, **options: Any) -> Result:
        """Compare a model with what it computed when ``--align-update`` last recorded it.

        The recorded inputs are fed; ``inputs`` count when recording.
        """
        __tracebackhide__ = True
        contract = Contract.of({**self._setting.options, **options})
        path = golden_file(self._setting.goldens, name, slug(self._setting.parameters, 60))
        if self._setting.update:
            record(model, inputs, path, contract.compare_options)
        outcome = self._examined(recorded(path, self._rerun()), model, None, contract, golden=name)
        return outcome.settle(contract)

    def _examined(self, reference: object, candidate: object, inputs: Any, contract: Contract, **more: str) -> Outcome:
        __tracebackhide__ = True
        self._count += 1
        stem = file_stem(self._setting.test) + (f"-{self._count}" if self._count > 1 else "")
        places = Places(stem, self._setting.scratch, self._setting.html, self._setting.json, self._rerun())
        outcome = examined(reference, candidate, inputs, contract, places)
        self._note({**entry(outcome), "number": self._count, **more})
        return outcome

    def _rerun(self) -> str:
        return shlex.join(["pytest", self._setting.test, *self._setting.arguments])

    def __repr__(self) -> str:
        return "<assert_aligned>"


def entry(outcome: Outcome) -> Entry:
    """What the end of a session says of one comparison."""
    comparison = outcome.result.comparison
    first, output = comparison.first_divergence or _inside(comparison), worst(comparison.outputs)
    max_abs = None if output is None or output.accumulated is None else output.accumulated.max_abs
    where = "" if first is None else f"{place(first.reference)} — {first.candidate.name} ({first.candidate.op})"
    shares = comparison.coverage
    return {
        "status": outcome.status,
        "verdict": comparison.verdict,
        "first_node": where,
        "max_abs": max_abs,
        "reason": outcome.ruling.doubt or "",
        "figures": f"{plural(len(comparison.pairs), 'pair')}, coverage {percent(shares.reference)} / "
        f"{percent(shares.candidate)}",
        "files": [text for _, text in outcome.files],
    }


def _inside(comparison: Comparison) -> Pair | None:
    """The first pair that errs by itself, where the contract is kept all the same."""
    return next((pair for pair in comparison.pairs if pair.verdict in GUILTY), None)


def slug(text: str, most: int) -> str:
    """The text as part of a file name; a few digits of its hash where something had to change."""
    plain = _plain(text, most)
    return plain if plain == text else f"{plain}-{_digest(text)}".strip("-")


def file_stem(test: str) -> str:
    """A file name for a test's id: distinct for every test and every set of parameters, in any file system."""
    return f"{_plain(test.replace('.py::', '.').replace('::', '.'), 100)}-{_digest(test)}"


def _plain(text: str, most: int) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:most].strip("-.")


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:8]
