"""The pytest plugin: the ``assert_aligned`` fixture, its options, and the summary at the end.

Every pytest session imports this module, so it imports nothing but pytest.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aligner.testing.fixture import AssertAligned, Entry

_LEVELS = ("outputs", "layers", "local")
_MARK = "align(atol=1e-5, rtol=1e-5, level='outputs', **options): what assert_aligned is told in this test"
_ATTRIBUTE = "aligner_comparisons"

_options = pytest.StashKey[dict[str, Any]]()
_entries = pytest.StashKey[list["Entry"]]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Leave the package as it is but for ``aligner.testing``, whose asserts speak to whoever writes an adapter.

    pytest parses every module of a plugin's package to rewrite its asserts, also those that two models' threads import
    at once, in which CPython before 3.11.8 and 3.12.2 fails (gh-106905). It has no public way to be told not to.
    """
    marked = getattr(getattr(pluginmanager, "rewrite_hook", None), "_must_rewrite", None)
    if isinstance(marked, set) and "aligner" in marked:
        marked.remove("aligner")
        marked.add("aligner.testing")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the --align-* options and the align_* ini keys."""
    group = parser.getgroup("aligner", "model alignment (aligner)")
    group.addoption("--align-atol", type=float, metavar="X", help="absolute tolerance of assert_aligned (1e-5)")
    group.addoption("--align-rtol", type=float, metavar="X", help="relative tolerance of assert_aligned (1e-5)")
    group.addoption("--align-level", choices=_LEVELS, help="what decides: outputs (default), layers or local errors")
    group.addoption("--align-html", metavar="DIR", help="write an HTML report for each comparison")
    group.addoption("--align-json", metavar="DIR", help="write a JSON report for each comparison")
    group.addoption("--align-update", action="store_true", help="record the goldens of assert_aligned.golden anew")
    parser.addini("align_atol", "absolute tolerance of assert_aligned", default="")
    parser.addini("align_rtol", "relative tolerance of assert_aligned", default="")
    parser.addini("align_level", "what decides: outputs, layers or local", default="")
    parser.addini("align_html", "folder for HTML reports, from the ini file", default="")
    parser.addini("align_json", "folder for JSON reports, from the ini file", default="")
    parser.addini("align_golden", "folder for goldens, from each test's own file", default="golden")
    parser.addini("align_allow_inconclusive", "skip where nothing can be said", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and check the settings before any test runs."""
    config.addinivalue_line("markers", _MARK)
    config.stash[_options] = _settings(config)


def _settings(config: pytest.Config) -> dict[str, Any]:
    """What the command line and the ini file say, the former first."""
    found: dict[str, Any] = {}
    for name in ("atol", "rtol"):
        found[name] = _tolerance(name, config)
    found["level"] = config.getoption("align_level") or config.getini("align_level") or None
    if found["level"] not in (None, *_LEVELS):
        raise pytest.UsageError(f"align_level is {found['level']!r}: use one of {', '.join(_LEVELS)}")
    if config.getini("align_allow_inconclusive"):
        found["allow_inconclusive"] = True
    return {name: value for name, value in found.items() if value is not None}


def _tolerance(name: str, config: pytest.Config) -> float | None:
    given = config.getoption(f"align_{name}")
    text = config.getini(f"align_{name}")
    try:
        value = given if given is not None else float(text) if str(text).strip() else None
    except ValueError:
        value = math.nan
    if value is not None and not value >= 0:
        raise pytest.UsageError(f"align_{name} is {text if given is None else given!r}: use a number ≥ 0")
    return value


def _folder(name: str, config: pytest.Config) -> Path | None:
    """Relative to where pytest was called for an option, to the ini file for an ini key."""
    given = config.getoption(f"align_{name}")
    if given:
        return Path(config.invocation_params.dir, given).absolute()
    text = str(config.getini(f"align_{name}")).strip()
    base = config.inipath.parent if config.inipath is not None else config.rootpath
    return (base / text).absolute() if text else None


@pytest.fixture
def assert_aligned(request: pytest.FixtureRequest) -> AssertAligned:
    """Assert that two forms of one model compute the same; a failure names the first node that does not.

    ``assert_aligned(reference, candidate, inputs, *, atol, rtol, level, cause, allow_inconclusive, **options)``, with
    ``options`` as in ``aligner.compare``; ``assert_aligned.golden(model, inputs, "name")`` compares with a recording.
    """
    from aligner.testing.fixture import AssertAligned, Setting

    config, item = request.config, request.node
    settings: dict[str, Any] = config.stash[_options]
    setting = Setting(
        test=item.nodeid,
        parameters=getattr(getattr(item, "callspec", None), "id", ""),
        options={**settings, **_marked(item)},
        scratch=lambda: _scratch(request),
        goldens=item.path.parent / str(config.getini("align_golden")),
        html=_folder("html", config),
        json=_folder("json", config),
        update=bool(config.getoption("align_update")),
        arguments=tuple(_arguments(config)),
    )
    entries: list[Entry] = item.stash.setdefault(_entries, [])

    def note(entry: Entry) -> None:
        entries.append({"test": item.nodeid, **entry})
        item.user_properties.extend(_properties(entry))

    return AssertAligned(setting, note)


def _marked(item: pytest.Item) -> dict[str, Any]:
    """The options of the test's marks, the closest first."""
    found: dict[str, Any] = {}
    for mark in item.iter_markers("align"):
        if mark.args:
            pytest.fail("the align mark takes keywords only, as in @pytest.mark.align(atol=1e-4)", pytrace=False)
        found = {**mark.kwargs, **found}
    return found


def _scratch(request: pytest.FixtureRequest) -> Path:
    try:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    except pytest.FixtureLookupError:  # -p no:tmpdir
        return Path(tempfile.mkdtemp(prefix="aligner-"))
    folder = factory.getbasetemp() / "aligner"
    folder.mkdir(exist_ok=True)
    return folder


def _arguments(config: pytest.Config) -> Iterator[str]:
    for name in ("atol", "rtol", "level"):
        value = config.getoption(f"align_{name}")
        if value is not None:
            yield f"--align-{name}={value}"


def _properties(entry: Entry) -> Iterator[tuple[str, str]]:
    """For JUnit; the second comparison of a test and later ones are numbered."""
    end = f"_{entry['number']}" if entry["number"] > 1 else ""
    yield f"align_verdict{end}", entry["verdict"]
    if entry["first_node"]:
        yield f"align_first_node{end}", entry["first_node"]
    if entry["max_abs"] is not None:
        yield f"align_max_abs{end}", f"{entry['max_abs']:.6g}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hand the comparisons of a phase to its report, which travels between processes."""
    report = yield
    entries = item.stash.get(_entries, None)
    if entries:
        setattr(report, _ATTRIBUTE, list(entries))
        entries.clear()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List every comparison once, the worst first, where a test that made one failed, or with -v."""
    reports = [report for group in terminalreporter.stats.values() for report in group if hasattr(report, _ATTRIBUTE)]
    failed = any(getattr(report, "failed", False) for report in reports)
    if not reports or not (failed or config.getoption("verbose", 0) > 0):
        return
    entries = sorted((entry for report in reports for entry in getattr(report, _ATTRIBUTE)), key=_order)
    broken = sum(entry["status"] != "passed" for entry in entries)
    many = f"{len(entries)} comparison" + ("s" if len(entries) > 1 else "")
    terminalreporter.write_sep("=", f"aligner: {many}, {broken} not aligned" if broken else f"aligner: {many}")
    for entry in entries:
        colour = {"failed": "red", "inconclusive": "yellow"}.get(entry["status"], "green")
        terminalreporter.write(f"{_WORDS[entry['status']]:<13}", **{colour: True})
        terminalreporter.write_line(_line(entry))


_WORDS = {"failed": "not aligned", "inconclusive": "inconclusive", "passed": "aligned"}


def _order(entry: Entry) -> tuple[int, float]:
    error = entry["max_abs"]
    known = error is not None and not math.isnan(error)
    return list(_WORDS).index(entry["status"]), -error if known else -math.inf


def _line(entry: Entry) -> str:
    """The test, its largest error, and the guilty node or how much was compared."""
    test = entry["test"] + (f" ({entry['number']})" if entry["number"] > 1 else "")
    error = "max abs –" if entry["max_abs"] is None else f"max abs {entry['max_abs']:.3g}"
    first = entry["first_node"]
    if entry["status"] == "passed":
        first = f"{entry['figures']}; inside, {first} differs" if first else entry["figures"]
    parts = [test, error, entry["reason"] or first or entry["figures"], *entry["files"]]
    return "  ".join(part for part in parts if part)
