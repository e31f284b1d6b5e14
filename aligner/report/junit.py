"""The comparison as JUnit XML: a test for the verdict, one for each output and one for each pair.

A node that errs by itself fails; one that only passes an error on is skipped, so that what is red is what to repair.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from aligner.records.comparison import GUILTY, Comparison, Pair
from aligner.report.document_file import write_text
from aligner.report.excerpt import excerpt, one_line
from aligner.report.numbers import number, percent
from aligner.report.page import visible
from aligner.report.pair_table import within
from aligner.report.portable import portable
from aligner.report.words import MARKS, label, operation, times


def write_junit(comparison: Comparison, target: Path | TextIO) -> None:
    """Write the tests to a file (whole or not at all) or to an open stream.

    Raises OutputError where the target cannot be written.
    """
    write_text(to_junit(comparison), target)


def to_junit(comparison: Comparison) -> str:
    """The document as text; it holds no times."""
    comparison = portable(comparison)
    root = Element("testsuites", name="aligner")
    suites = [_suite(root, name) for name in ("verdict", "outputs", "pairs")]
    _verdict(suites[0], comparison)
    for pair in comparison.outputs:
        _output(suites[1], pair)
    for position, pair in enumerate(comparison.pairs, 1):
        _pair(suites[2], position, pair)
    for suite in suites:
        _count(suite)
    _count(root)
    indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, name: str) -> Element:
    return SubElement(root, "testsuite", name=f"aligner.{name}")


def _case(suite: Element, name: str, place: str | None = None, source: str | None = None) -> Element:
    classname = suite.get("name", "") + (f".{visible(place)}" if place else "")
    case = SubElement(suite, "testcase", classname=classname, name=visible(name))
    file, colon, line = (source or "").rpartition(":")
    if colon and line.isdigit():
        case.set("file", visible(file))
        case.set("line", line)
    return case


def _say(case: Element, kind: str, message: str, text: str = "") -> None:
    outcome = SubElement(case, kind, message=visible(message))
    if kind == "failure":
        outcome.set("type", "divergence")
    if text:
        outcome.text = text


def _verdict(suite: Element, comparison: Comparison) -> None:
    case = _case(suite, f"{comparison.reference.path} → {comparison.candidate.path}")
    if comparison.verdict == "diverged":
        _say(case, "failure", one_line(comparison), excerpt(comparison))
    elif comparison.verdict == "inconclusive":
        _say(case, "error", one_line(comparison), excerpt(comparison))


def _output(suite: Element, pair: Pair) -> None:
    case = _case(suite, label(pair.candidate))
    if not within(pair):
        share = "" if pair.accumulated is None else f": {percent(pair.accumulated.beyond)} of elements beyond"
        _say(case, "failure", f"outside the tolerance{share}")


def _pair(suite: Element, position: int, pair: Pair) -> None:
    name = f"{position} {label(pair.reference)} → {label(pair.candidate)} ({operation(pair)})"
    case = _case(suite, name, pair.reference.scope, pair.reference.source or pair.candidate.source)
    if pair.verdict in GUILTY:
        _say(case, "failure", pair_message(pair))
    elif pair.verdict != "aligned":
        _say(case, "skipped", pair_message(pair))


def pair_message(pair: Pair) -> str:
    """What is wrong with a pair in one line: its verdict, its errors, how far beyond its bound."""
    parts = [MARKS[pair.verdict].strip("→? ")]
    for name, errors in (("local", pair.local), ("accumulated", pair.accumulated)):
        if errors is not None:
            parts.append(f"{name} max abs {number(errors.max_abs)}")
    if beyond := times(pair, pair.bound):
        parts.append(f"{beyond} the bound {number(pair.bound)}")
    if pair.note:
        parts.append(pair.note)
    return ", ".join(parts)


def _count(suite: Element) -> None:
    cases = list(suite.iter("testcase"))
    counts = {"tests": len(cases)} | {
        plural: sum(case.find(kind) is not None for case in cases)
        for plural, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    for name, many in counts.items():
        suite.set(name, str(many))
