"""What the terminal shows on request: errors along the depth, pictures, chosen and sorted pairs."""

from __future__ import annotations

import re
from dataclasses import replace

import comparison_factory as factory
import numpy as np
import pytest
from rich.cells import cell_len
from test_preview import with_previews
from test_report_terminal import MADE, compare_golden, page, printed, report

from aligner.cli.view_options import SORTS
from aligner.diff.preview import preview
from aligner.records.preview import NOT_FINITE
from aligner.report.csv_table import to_csv
from aligner.report.json_document import from_document, to_document
from aligner.report.markdown import to_markdown
from aligner.report.selection import COLUMNS, Selection
from aligner.report.terminal import print_comparison


def coloured(comparison, width=80, **options):
    console = page(width, force_terminal=True, color_system="truecolor")
    print_comparison(comparison, console, **options)
    return printed(console)


def section(text, title):
    """The lines under a heading, up to the next empty line."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(title)) + 1
    end = next((place for place in range(start, len(lines)) if not lines[place].strip()), len(lines))
    return lines[start:end]


def deep(many=300, guilty=200):
    """A long model: equal at first, one culprit, then errors that it hands on."""
    pairs = [
        factory.convolution(
            f"layer.{place}", place, *(("aligned", 0.0, 0.0) if place < guilty else ("inherited", 0.1, 1e-7))
        )
        for place in range(many)
    ]
    pairs[guilty] = factory.convolution("culprit", guilty, "introduced", 0.1, 0.1)
    return factory.diverged(pairs=tuple(pairs), first_divergence=pairs[guilty], introduced=(pairs[guilty],))


# ---- errors along the depth ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_mark_stands_under_the_first_divergence(width):
    accumulated, local, marks = section(report(deep(), width), "error along the depth")[-3:]
    at = marks.index("▲")
    assert marks.count("▲") == 1
    assert set(accumulated[12:at]) == set(local[12:at]) == {"·"}
    assert set(accumulated[at:].rstrip()) == {"█"}
    assert local[at] == "█"
    assert set(local[at + 1 :].rstrip()) == {"▁"}
    assert len(accumulated) <= width


@pytest.mark.parametrize("console", [{"encoding": "ascii"}, {"force_terminal": True, "_environ": {"TERM": "dumb"}}])
def test_the_depth_reads_in_plain_ascii(console):
    console = page(80, **console)
    print_comparison(deep(), console)
    lines = section(printed(console), "error along the depth")
    assert all(line.isascii() for line in lines[-3:])
    assert lines[-1].strip() == "^"
    assert re.fullmatch(r"local +_+@\.+ *", lines[-2])


def test_the_depth_says_what_is_not_finite_and_what_was_not_measured():
    pairs = list(deep(20, 10).pairs)
    pairs[10] = replace(pairs[10], verdict="nonfinite", accumulated=factory.errors(float("nan")), local=None)
    comparison = factory.diverged(pairs=tuple(pairs), first_divergence=pairs[10], introduced=())
    accumulated, local, marks = section(report(comparison), "error along the depth")[-3:]
    assert (accumulated[22], local[22], marks[22]) == ("!", " ", "▲")


def test_no_depth_where_the_table_shows_it_or_nothing_differs():
    same = tuple(factory.convolution(f"layer.{place}", place, accumulated=0.0, local=0.0) for place in range(30))
    assert "along the depth" in report(factory.aligned())
    assert "along the depth" not in report(replace(factory.aligned(), pairs=same[:12], outputs=same[:1]))
    assert "along the depth" not in report(deep(9, 4))
    assert "along the depth" not in report(deep(), quiet=True)


# ---- pictures --------------------------------------------------------------------------------------------------------


def channels(many=20, size=48):
    """A wide feature map of which channel 3 is wrong, in one corner most of all."""
    reference = np.tile(np.linspace(-1, 1, size, dtype="float32"), (1, many, size, 1))
    candidate = reference.copy()
    candidate[:, 3] += 0.2
    candidate[:, 3, : size // 4, : size // 4] += 2
    drawn = preview(reference, candidate, pair=5, error="local")
    return factory.diverged(previews=(drawn,))


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("shown", [report, coloured])
def test_pictures_fit_the_width(width, shown):
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown(channels(), width, pictures=True))
    assert "pictures of lateral.3" in text
    assert all(cell_len(line) <= width for line in text.splitlines())


def test_pictures_are_coloured_half_blocks():
    text = coloured(channels(), pictures=True)
    assert "▀" in text
    assert "38;2;" in text
    assert "48;2;" in text
    assert "▀" not in coloured(channels())


@pytest.mark.parametrize(
    "console",
    [
        {"force_terminal": True, "_environ": {"NO_COLOR": "1", "COLORTERM": "truecolor"}},
        {"force_terminal": True, "_environ": {"TERM": "dumb"}},
        {},
        {"encoding": "ascii", "force_terminal": True, "color_system": "truecolor"},
    ],
)
def test_pictures_without_colour_are_letters(console):
    console = page(80, **console)
    print_comparison(channels(), console, pictures=True)
    text = printed(console)
    assert "▀" not in text
    assert "from low to high: ' .:-=+*#%@'" in text
    first = section(re.sub(r"\x1b\[[0-9;]*m", "", text), "reference -1")[1]
    assert first[54:].strip() == "@@@@@@"  # the corner where channel 3 is wrong
    assert first[:27].strip().startswith("....:::---===")


def test_pictures_come_from_the_record_alone():
    comparison = channels()
    again = from_document(to_document(comparison))
    assert report(comparison, pictures=True) == report(again, pictures=True)


def test_nan_is_seen_however_small_the_picture_gets():
    array = np.zeros((1, 1, 96, 96), "float32")
    broken = array.copy()
    broken[0, 0, 50, 50] = np.nan
    broken[0, 0, 0, 0] = 1
    drawn = preview(array, broken, pair=5, error="local")
    assert NOT_FINITE in drawn.candidate.pixels
    text = report(factory.diverged(previews=(drawn,)), pictures=True)
    drawing = text[text.index("|difference|") : text.index("from low to high")]
    assert drawing.count("!") == 2  # the candidate and the difference


def test_no_pictures_are_said():
    assert "no pictures" in report(factory.diverged(), pictures=True)
    assert "--pictures" not in report(factory.diverged())
    assert "--pictures" in report(with_previews())


def test_golden_pictures(request):
    compare_golden("pictures_80", report(with_previews(), 80, pictures=True), request)


# ---- chosen and sorted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (("introduced",), [5, 14]),
        (("INTRODUCED", "ok"), [0, 1, 2, 3, 4, 5, 14]),
        (("Lateral",), [5]),
        (("decoder.blocks.7",), [13]),
        (("decoder", "47"), [7]),
        (("tanh",), [15]),
        (("introduced", "rgb"), [14]),
        (("decoder.py:41",), [1]),
        (("nonfinite",), []),
        (("nowhere",), []),
    ],
)
def test_filters(filters, found):
    assert Selection(filters).places(factory.diverged()) == found


def test_sorting_puts_the_worst_first_and_the_unmeasured_last():
    pairs = list(factory.pairs())
    pairs[2] = replace(pairs[2], local=None)
    pairs[3] = replace(pairs[3], local=factory.errors(float("nan")))
    places = Selection(sort="local").places(factory.diverged(pairs=tuple(pairs)))
    assert (places[0], places[1], places[2], places[-1]) == (3, 5, 14, 2)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_any_column_sorts_any_report(sort, made):
    places = Selection(sort=sort).places(made())
    assert sorted(places) == list(range(len(made().pairs)))


def test_the_command_line_offers_every_column():
    assert list(COLUMNS) == SORTS


def test_the_table_holds_what_was_asked_for():
    text = report(factory.diverged(), 120, selection=Selection(("introduced",), "accumulated"))
    rows = [line for line in section(text, "pairs matching introduced, by accumulated") if "introduced" in line]
    assert [line.split()[0] for line in rows] == ["15", "▶6"]
    assert "2 of 16" in text
    assert "around the first" not in text


def test_a_long_selection_is_cut_unless_full():
    chosen = Selection(sort="times")
    assert "260 more: --full" in report(deep(), selection=chosen)
    assert "260 more: --full" not in report(deep(), selection=chosen, full=True)


def test_nothing_chosen_is_said():
    assert "no pair matches" in report(factory.diverged(), selection=Selection(("nowhere",)))


def test_csv_and_markdown_hold_what_was_asked_for():
    chosen = Selection(("introduced",), "accumulated")
    lines = to_csv(factory.diverged(), chosen).splitlines()
    assert [line.split(",")[0] for line in lines] == ["position", "15", "6"]
    text = to_markdown(factory.diverged(), chosen)
    assert "#### Pairs matching introduced, by accumulated: 2 of 16" in text
    assert text.index("| 15 |") < text.index("| ▶ 6 |")
    assert "Around the first" not in text
