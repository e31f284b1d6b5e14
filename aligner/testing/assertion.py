"""assert_aligned: two forms of one model in a test; a failure says which node, and why."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from aligner.api import Result, compare
from aligner.errors import AlignerError
from aligner.records.comparison import Comparison, Level
from aligner.records.dataclass import dataclass
from aligner.report.excerpt import excerpt, one_line, worst
from aligner.report.numbers import number, percent, plural
from aligner.report.words import place
from aligner.testing.contract import Contract, Ruling, rule
from aligner.testing.evidence import Places, command, save_inputs, write_reports


class NotAlignedError(AssertionError):
    """Two models differ beyond what the test allows, or nothing can be said; ``result`` holds the comparison."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


NotAlignedError.__module__ = "aligner.testing"  # the name that users import, and that a failing test shows


@dataclass(frozen=True, slots=True)
class Outcome:
    """One comparison held against a contract; ``message`` is empty where it is kept."""

    result: Result
    ruling: Ruling
    message: str = ""
    files: tuple[tuple[str, str], ...] = ()

    @property
    def status(self) -> str:
        """ "passed", "failed" or "inconclusive"."""
        return "passed" if self.ruling.passed else "inconclusive" if self.ruling.doubt else "failed"

    def settle(self, contract: Contract) -> Result:
        """Return the result of a kept contract; fail or skip otherwise."""
        __tracebackhide__ = True
        if self.ruling.passed:
            return self.result
        if self.ruling.doubt and contract.allow_inconclusive:
            _skip(one_line(self.result.comparison) if self.result.verdict == "inconclusive" else self.ruling.doubt)
        raise NotAlignedError(self.message, self.result)


def _skip(reason: str) -> NoReturn:
    __tracebackhide__ = True
    pytest = sys.modules.get("pytest")
    if pytest is not None:
        pytest.skip(reason)
    import unittest

    raise unittest.SkipTest(reason)


def assert_aligned(
    reference: object,
    candidate: object,
    inputs: Any = None,
    *,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    level: Level = "outputs",
    cause: bool = True,
    allow_inconclusive: bool = False,
    **compare_options: Any,
) -> Result:
    """Assert that two forms of one model compute the same; the failure's message is the report.

    ``level`` says what decides: "outputs" and "layers" hold the outputs, or every pair of tensors, to
    |c − r| ≤ atol + rtol·|r|; "local" allows no node an error of its own beyond rounding. ``cause=False`` leaves causes
    out of the message. An inconclusive comparison (random numbers, a constant input, too little paired) fails with its
    reason, or skips the test where ``allow_inconclusive`` is set. Everything else is as in ``aligner.compare``.

    Raises NotAlignedError, an AssertionError; AlignerError where the two cannot be compared.
    """
    __tracebackhide__ = True
    given = {"atol": atol, "rtol": rtol, "level": level, "cause": cause, "allow_inconclusive": allow_inconclusive}
    contract = Contract.of(given | compare_options)
    return examined(reference, candidate, inputs, contract, default_places()).settle(contract)


def default_places() -> Places:
    """Without the plugin: a new folder under the system's temporary one, named for the test where pytest runs one."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return Places(
        stem="inputs",
        scratch=lambda: Path(tempfile.mkdtemp(prefix="aligner-")),
        rerun=f"pytest {shlex.quote(test)}" if test else None,
    )


def examined(reference: object, candidate: object, inputs: Any, contract: Contract, places: Places) -> Outcome:
    """Compare, judge, and write what a failure leaves behind.

    AlignerErrors come without the frames of this package, which say nothing to a test's author.
    """
    __tracebackhide__ = True
    try:
        return _examined(reference, candidate, inputs, contract, places)
    except AlignerError as error:
        if os.environ.get("ALIGNER_DEBUG", "0") not in ("", "0"):
            raise
        failure = error
    raise failure.with_traceback(None) from None


def _examined(reference: object, candidate: object, inputs: Any, contract: Contract, places: Places) -> Outcome:
    comparison, ruling = _compared(reference, candidate, inputs, contract, contract.compare_options)
    if not ruling.passed and contract.level != "local" and contract.compare_options.get("local") == "never":
        located = dict(contract.compare_options) | {"local": "auto"}
        comparison, ruling = _compared(reference, candidate, inputs, contract, located)
    if not contract.cause:
        comparison = replace(comparison, causes=())
    if ruling.passed or (ruling.doubt and contract.allow_inconclusive):
        return Outcome(Result(comparison), ruling, files=tuple(write_reports(comparison, places)))
    saved = save_inputs(inputs, places)
    again = command(reference, candidate, saved, contract, places)
    comparison = replace(comparison, command=again)
    files = write_reports(comparison, places)
    after = [("run again", again)] if again else []
    after += [("inputs", saved.fact)] if saved.fact else []
    message = excerpt(
        comparison, title=_title(comparison, ruling), before=_before(comparison, ruling, contract), after=after + files
    )
    return Outcome(Result(comparison), ruling, message, tuple(files))


def _compared(
    reference: object, candidate: object, inputs: Any, contract: Contract, options: Mapping[str, Any]
) -> tuple[Comparison, Ruling]:
    result = compare(
        reference, candidate, inputs, atol=contract.atol, rtol=contract.rtol, level=contract.level, **options
    )
    return result.comparison, rule(result.comparison, contract)


def _title(comparison: Comparison, ruling: Ruling) -> str | None:
    """None where the verdict's own line says it."""
    if ruling.doubt and comparison.verdict != "inconclusive":
        return f"INCONCLUSIVE — {ruling.doubt}"
    pair = worst(ruling.breaches)
    if comparison.verdict == "inconclusive" or comparison.introduced or pair is None:
        return None
    coverage = f"coverage {percent(comparison.coverage.reference)} / {percent(comparison.coverage.candidate)}"
    return (
        f"BEYOND TOLERANCE at {place(pair.reference)} — candidate {pair.candidate.name}: max abs {_max_abs(pair)}; "
        f"no node errs by itself, rounding grows to this; {coverage}"
    )


def _max_abs(pair: Any) -> str:
    return "not measured" if pair.accumulated is None else number(pair.accumulated.max_abs)


def _before(comparison: Comparison, ruling: Ruling, contract: Contract) -> list[tuple[str, str]]:
    """What was asserted, and what broke it."""
    if ruling.doubt:
        return [("settle", "give what the reason asks for; allow_inconclusive=True skips the test instead")]
    pair = worst(ruling.breaches)
    if contract.level == "local":
        return [("asserted", f"no node errs by itself; {plural(len(ruling.breaches), 'does', 'do')}")]
    many = comparison.outputs if contract.level == "outputs" else comparison.pairs
    what = plural(len(many), "output" if contract.level == "outputs" else "pair")
    worst_ = ""
    if pair is not None:
        share = "" if pair.accumulated is None else f" ({percent(pair.accumulated.beyond)} of elements)"
        worst_ = f", worst {pair.candidate.name}: {_max_abs(pair)}{share}"
    broken = len(ruling.breaches)
    rule_ = f"{number(contract.atol)} + {number(contract.rtol)}·|reference|"
    return [("asserted", f"{contract.level} within {rule_}; {broken:,} of {what} beyond{worst_}")]
