"""The HTML report: its text, and how it behaves in a real browser."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import comparison_factory as factory
import golden_file
import pytest
from browser import browser, complaints, requires_browser
from hostile_comparison import SCRIPT, hostile
from test_report_json import nonfinite
from test_report_terminal import long

from aligner.errors import OutputError
from aligner.report.html import to_html, write_html
from aligner.report.json_document import write_json

MADE = [factory.diverged, factory.aligned, factory.inconclusive, hostile, long, nonfinite]


def nothing():
    return factory.inconclusive(pairs=(), outputs=(), inputs=(), notes=())


def thousand():
    every = []
    for place in range(1000):
        pair = factory.pairs()[place % 16]
        scope = f"decoder.blocks.{place}.attention.projection"
        reference = replace(pair.reference, scope=scope, name=f"{scope}/linear.0", node=f"{scope}/linear.0")
        name = f"/{scope.replace('.', '/')}/MatMul"
        every.append(
            replace(pair, reference=reference, candidate=replace(pair.candidate, name=f"{name}_output_0", node=name))
        )
    introduced = tuple(pair for pair in every if pair.verdict == "introduced")
    return factory.diverged(
        pairs=tuple(every), introduced=introduced, first_divergence=introduced[0], outputs=(every[-1],)
    )


class Tags(HTMLParser):
    """The tags and attributes of a page, and the text of its data."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.links, self.data, self._inside = [], set(), [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self._inside = ("id", "data") in attrs

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        self.data += data if self._inside else ""


# ------------------------------------------------------------------------------------------------------------ text


def test_a_command_of_two_parts_stays_one():
    page = to_html(factory.diverged(next_step="align demo --keep kept && align fix kept/it.onnx"))
    assert "align demo --keep kept &amp;&amp; align fix" in page


@pytest.mark.parametrize("made", [factory.diverged, factory.aligned, factory.inconclusive])
def test_golden(made, request):
    text = re.sub(r"<style>.*?</style>", "<style>…</style>", to_html(made()), flags=re.DOTALL)
    text = re.sub(r"<script>.*?</script>", "<script>…</script>", text, flags=re.DOTALL)
    text = re.sub(r"sha256-[\w+/=]+", "sha256-…", text)
    golden_file.check(f"{made.__name__}.html", text, request)


@pytest.mark.parametrize("made", [*MADE, nothing])
def test_loads_nothing_from_anywhere(made):
    text = to_html(made())
    assert all(link.startswith("#") for link in Tags(text).links)
    assert "default-src &#39;none&#39;" in text
    assert not re.search(r"@import|url\(", "".join(re.findall(r"<style>.*?</style>", text, flags=re.DOTALL)))


def test_names_are_never_markup():
    page = Tags(to_html(hostile()))
    assert page.tags.count("script") == 4
    assert "img" not in page.tags
    assert "onerror" not in page.attributes
    data = json.loads(page.data)
    assert data["pairs"][0]["candidate"]["name"].startswith(SCRIPT)
    assert "</" not in page.data
    assert "<!--" not in page.data


FUSED = ";".join(f'StatefulPartitionedCall/functional_1/block.{at}_bn/"<b>"/FusedBatchNormV3' for at in range(8))


def fused():
    """A first divergence whose tensor carries the names of all that was fused into it, as TFLite's do."""
    comparison = factory.diverged()
    first = comparison.pairs[5]
    first = replace(first, candidate=replace(first.candidate, name=FUSED, node=FUSED))
    causes = tuple(replace(cause, node=FUSED, evidence=f"{FUSED} ({FUSED}): off") for cause in comparison.causes)
    pairs = (*comparison.pairs[:5], first, *comparison.pairs[6:])
    return factory.diverged(pairs=pairs, introduced=(first,), first_divergence=first, causes=causes)


def test_names_of_fused_tensors_are_cut_in_the_head_and_whole_in_the_record():
    text = to_html(fused())
    head = text[text.index("<header") : text.index("</header>")]
    words = re.sub(r"<[^>]*>", " ", head).split()
    assert max(map(len, words)) < 120  # characters of markup count for several
    assert "<b>&quot;" not in head
    assert f'title="{escape(FUSED, quote=False).replace(chr(34), "&#34;")}"' in head
    assert json.loads(Tags(text).data)["pairs"][5]["candidate"]["name"] == FUSED


def test_control_and_direction_characters_are_shown():
    text = to_html(hostile())
    for char in "\x00\x1b\u202e\u2028\ud800\ufffe":
        assert char not in text
    text.encode("utf-8")


def test_a_thousand_pairs_stay_below_five_megabytes(tmp_path):
    write_html(thousand(), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 5_000_000


def test_written_to_a_stream_of_any_encoding(tmp_path):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    write_html(factory.diverged(), stream)
    stream.flush()
    write_html(factory.diverged(), tmp_path / "page.html")
    assert stream.buffer.getvalue() == (tmp_path / "page.html").read_bytes()
    with pytest.raises(OutputError):
        write_html(factory.diverged(), tmp_path / "missing" / "page.html")


# --------------------------------------------------------------------------------------------------------- browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def show(chromium, tmp_path):
    """Open a comparison's page; it must not have complained by the end of the test."""

    def opened(comparison, address=""):
        write_html(comparison, tmp_path / "page.html")
        chromium.get((tmp_path / "page.html").as_uri() + address)
        return chromium

    yield opened
    assert complaints(chromium) == []


def visible_rows(driver):
    script = (
        "return [...document.querySelectorAll('#pairs tbody tr')].filter(r => !r.hidden).map(r => +r.dataset.place)"
    )
    return driver.execute_script(script)


def selected(driver):
    return driver.execute_script("return +document.querySelector('[aria-selected=true]').dataset.place")


def press(driver, keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(keys).perform()


def wait(driver, condition):
    """Events reach the page a moment later."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, 5, poll_frequency=0.05).until(condition)


def find(driver, selector):
    return driver.find_element("css selector", selector)


@requires_browser
@pytest.mark.parametrize("made", [*MADE, nothing])
def test_every_page_loads_without_complaint(made, show):
    page = show(made())
    assert not page.execute_script("return window.harmed")
    assert page.execute_script("return document.querySelectorAll('img').length") == 0


@requires_browser
def test_says_node_cause_and_cure_without_scrolling(show):
    page = show(factory.diverged())
    header = find(page, "header")
    assert "lateral.3" in find(page, "h1").text
    assert "weights-never-loaded" in header.text
    assert "load the checkpoint" in header.text
    assert header.rect["y"] + header.rect["height"] < 600


@requires_browser
def test_a_long_name_unfolds(show):
    page = show(fused())
    header = find(page, "header")
    assert header.rect["y"] + header.rect["height"] < 600
    assert FUSED not in header.text
    assert FUSED in find(page, "#detail").text
    find(page, "header button.long").click()
    assert FUSED in header.text
    find(page, "header button.long").click()
    assert FUSED not in header.text


@requires_browser
def test_first_divergence_is_open(show):
    page = show(factory.diverged())
    assert selected(page) == 5
    detail = find(page, "#detail").text
    assert "/lateral/3/Conv_output_0" in detail
    assert "0.4123" in detail
    assert "load the checkpoint" in find(page, "header").text
    assert "load the checkpoint" not in detail, "the cure stands above already"


@requires_browser
def test_sorting(show):
    page = show(factory.diverged())
    header = find(page, "th[data-key=accumulated]")
    find(page, "th[data-key=accumulated] button").click()
    worst = [pair.accumulated.max_abs for pair in factory.diverged().pairs]
    assert [worst[place] for place in visible_rows(page)] == sorted(worst, reverse=True)
    assert header.get_attribute("aria-sort") == "descending"
    find(page, "th[data-key=accumulated] button").click()
    assert [worst[place] for place in visible_rows(page)] == sorted(worst)
    find(page, "th[data-key=place] button").click()
    assert visible_rows(page) == list(range(16))


@requires_browser
def test_filtering_and_searching(show):
    page = show(factory.diverged())
    find(page, "input[value=inherited]").click()
    find(page, "input[value=aligned]").click()
    assert visible_rows(page) == [5, 14]
    press(page, "/to_rgb")
    assert visible_rows(page) == [14]
    assert find(page, "#count").text == "1 of 16"
    press(page, "nothing like that")
    assert find(page, "#nothing").is_displayed()
    find(page, "#clear").click()
    assert len(visible_rows(page)) == 16


@requires_browser
def test_a_click_opens_the_pair(show):
    page = show(factory.diverged())
    find(page, "#pair-15 td").click()
    assert selected(page) == 14
    assert "to_rgb" in find(page, "#detail h2").text
    assert page.current_url.endswith("#pair-15")


@requires_browser
def test_a_link_opens_the_pair_even_when_it_is_filtered_out(show):
    page = show(factory.diverged(), "#pair-8")
    assert selected(page) == 7
    find(page, "input[value=introduced]").click()
    find(page, "header a[href='#pair-6']").click()
    wait(page, lambda driver: selected(driver) == 5)
    assert len(visible_rows(page)) == 16


@requires_browser
def test_keyboard(show):
    from selenium.webdriver.common.keys import Keys

    page = show(factory.diverged())
    press(page, "j")
    assert selected(page) == 6
    press(page, "n")
    assert selected(page) == 14
    press(page, "f")
    assert selected(page) == 5
    press(page, "k")
    assert selected(page) == 4
    find(page, "#scroller").send_keys(Keys.ARROW_DOWN)
    assert selected(page) == 5
    press(page, "?")
    assert find(page, "#help").is_displayed()


@requires_browser
def test_a_click_on_the_chart_goes_to_the_row(show):
    from selenium.webdriver.common.action_chains import ActionChains

    page = show(thousand())
    over = find(page, "#chart .u-over")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", over)
    ActionChains(page).move_to_element(over).perform()
    assert "#50" in find(page, ".u-legend").text
    ActionChains(page).move_to_element(over).click().perform()
    place = selected(page)
    assert 480 < place < 520
    row, box = (find(page, selector).rect for selector in ("[aria-selected=true]", "#scroller"))
    assert box["y"] <= row["y"] < box["y"] + box["height"]


@requires_browser
def test_what_is_not_finite_is_said(show):
    page = show(nonfinite())
    assert "not finite" in find(page, "#detail").text


@requires_browser
def test_light_and_dark(show):
    page = show(factory.diverged())
    grounds = set()
    for _ in range(3):
        find(page, "#theme").click()
        grounds.add(page.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert grounds == {"rgb(255, 255, 255)", "rgb(20, 23, 28)"}


AXE = Path(os.environ.get("ALIGNER_NODE_MODULES", "")) / "axe-core" / "axe.min.js"


@requires_browser
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core in the node_modules named by ALIGNER_NODE_MODULES")
@pytest.mark.parametrize("width", [390, 1400])
def test_accessible(width, show):
    page = show(factory.diverged())
    page.set_window_size(width, 900)
    page.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    page.execute_script(AXE.read_text(encoding="utf-8"))
    for _ in range(3):  # the themes
        violations = page.execute_async_script("axe.run().then((all) => arguments[0](all.violations))")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []
        find(page, "#theme").click()


@requires_browser
def test_prints_every_pair(show):
    page = show(factory.diverged())
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        box, table = find(page, "#scroller").rect, find(page, "#pairs").rect
        assert table["height"] <= box["height"]
        assert not find(page, ".filters").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@requires_browser
@pytest.mark.parametrize("width", [360, 800, 1200])
def test_nothing_hangs_out_of_a_narrow_window(width, show):
    page = show(long())
    page.set_window_size(width, 900)
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    try:
        wait(page, lambda driver: driver.execute_script(fits))
    finally:
        page.set_window_size(1500, 1000)


# ---------------------------------------------------------------------------------------------------- another run


def mended():
    """The same models after the fix: no pair errs."""
    pairs = tuple(
        replace(pair, verdict="aligned", local=replace(pair.local, max_abs=1e-7)) if pair.local else pair
        for pair in factory.diverged().pairs
    )
    return factory.aligned(pairs=pairs, outputs=(pairs[-1],))


def beside(page, path):
    find(page, "#beside-file").send_keys(str(path))
    wait(page, lambda driver: find(driver, "#beside-said").text)
    return find(page, "#beside").text


@requires_browser
@pytest.mark.parametrize("kind", ["json", "html"])
def test_another_run_beside_this_one(show, tmp_path, kind):
    other = tmp_path / f"after.{kind}"
    write_json(mended(), other) if kind == "json" else write_html(mended(), other)
    page = show(factory.diverged())
    told = beside(page, other)
    assert "ALIGNED in after." in told
    assert "here and not there: 2 (#6 /lateral/3/Conv, #15 /to_rgb/Conv); there and not here: 0; in both: 0" in told
    assert find(page, "#pair-6 .beside").text == "ok 1e-7"
    assert "other run" in find(page, ".u-legend").text
    find(page, "th[data-key=local] button").click()
    assert visible_rows(page)[0] == 5
    beside(page, other)
    assert len(page.find_elements("css selector", "#pair-6 .beside")) == 1


@requires_browser
def test_another_run_of_hostile_models(show, tmp_path):
    write_json(hostile(), tmp_path / "other.json")
    page = show(factory.diverged())
    beside(page, tmp_path / "other.json")
    assert not page.execute_script("return window.harmed")


@requires_browser
@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', "<p>no report</p>", ""])
def test_a_file_that_is_no_report_is_said(show, tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    page = show(factory.diverged())
    assert "cannot be read" in beside(page, tmp_path / "other.json")
