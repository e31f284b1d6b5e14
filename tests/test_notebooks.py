"""Results in notebooks: what they display, and the stories in notebooks/, executed."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import comparison_factory as factory
import pytest
from hostile_comparison import hostile
from marks import requires_image, requires_onnx, requires_tflite, requires_torch
from test_preview import with_previews
from test_report_html import Tags, long
from test_report_json import nonfinite

from aligner.api.notebook_progress import NotebookProgress
from aligner.api.result import Result
from aligner.errors import InputError, MissingFrameworkError
from aligner.records import progress

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
STORIES = sorted(NOTEBOOKS.glob("*.ipynb"))
MADE = [factory.diverged, factory.aligned, factory.inconclusive, hostile, long, nonfinite, with_previews]

requires_jupyter = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel", "matplotlib", "pandas")),
    reason="needs nbclient, ipykernel, matplotlib and pandas",
)
requires_matplotlib = pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="needs matplotlib")


# --------------------------------------------------------------------------------------------------------- display


@pytest.mark.parametrize("made", MADE)
def test_a_result_displays_itself_without_scripts_and_styles_of_its_own(made):
    page = Tags(Result(made())._repr_html_())
    assert not {"script", "style", "link", "svg"} & set(page.tags)
    assert "class" not in page.attributes
    assert "onerror" not in page.attributes
    assert all(link.startswith("data:image/") for link in page.links)


@pytest.mark.parametrize("made", MADE)
def test_a_pair_displays_itself(made):
    result = Result(made())
    view = result.show(1)
    page = Tags(view._repr_html_())
    assert not {"script", "style"} & set(page.tags)
    assert all(link.startswith("data:image/") for link in page.links)
    assert "max abs" in repr(view)


def test_the_answer_is_in_it():
    text = Result(factory.diverged())._repr_html_()
    for word in ("DIVERGED", "lateral.3", "weights-never-loaded", "load the checkpoint", "/lateral/3/Conv_output_0"):
        assert word in text


def test_pictures_are_shown_with_their_pair():
    result = Result(with_previews())
    assert len(Tags(result.show()._repr_html_()).links) == 4
    assert Tags(result.show(1)._repr_html_()).links == []


def test_paths_are_short():
    comparison = factory.diverged(candidate=replace(factory.diverged().candidate, path="/home/someone/face.onnx"))
    assert "/home" not in Result(comparison)._repr_html_()


@pytest.mark.parametrize("wanted", [6, -11, "/lateral/3/Conv", "lateral.3", "input.5", None])
def test_pairs_are_found(wanted):
    result = Result(factory.diverged())
    assert result.show(wanted).pair is result.pairs[5]


def test_a_record_is_a_pair():
    result = Result(factory.diverged())
    assert result.show(result.introduced[1]).pair is result.introduced[1]


@pytest.mark.parametrize("wanted", [0, 17, -17, "nothing"])
def test_pairs_that_are_not_there(wanted):
    with pytest.raises(InputError):
        Result(factory.diverged()).show(wanted)


def test_similar_names_are_offered():
    with pytest.raises(InputError) as caught:
        Result(factory.diverged()).show("LATERAL/3")
    assert "/lateral/3/Conv_output_0" in caught.value.found


def test_nothing_to_show():
    with pytest.raises(InputError):
        Result(factory.aligned()).show()


def test_writes_the_page(tmp_path):
    Result(factory.diverged()).to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


# ------------------------------------------------------------------------------------------------------------ plot


@requires_matplotlib
@pytest.mark.parametrize("made", MADE)
def test_plots(made, tmp_path):
    Result(made()).plot().savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


@requires_matplotlib
def test_a_plot_names_the_first_divergence():
    (axes,) = Result(factory.diverged()).plot().axes
    assert "lateral.3" in axes.get_title(loc="left")
    assert axes.get_yscale() == "log"


def test_a_plot_without_matplotlib_says_how(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingFrameworkError) as caught:
        Result(factory.diverged()).plot()
    assert "aligner[notebook]" in caught.value.hint


@requires_matplotlib
def test_a_plot_shows_itself_without_pyplot():
    picture = Result(factory.diverged()).plot()._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 60_000


# -------------------------------------------------------------------------------------------------------- progress


class Kernel:
    """As much of IPython as tells a notebook from a terminal, and what was displayed in it."""

    def __init__(self, kernel):
        self.shell = SimpleNamespace(kernel=kernel)
        self.shown = []

    def get_ipython(self):
        return self.shell

    def display(self, data, *, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(data)
        return self

    def update(self, data, *, raw):
        assert raw
        self.shown.append(data)


@pytest.fixture
def notebook(monkeypatch):
    def opened(kernel):
        made = Kernel(kernel)
        monkeypatch.setitem(sys.modules, "IPython", made)
        monkeypatch.setitem(sys.modules, "IPython.display", made)
        return made

    return opened


def test_progress_is_shown_and_leaves_nothing(notebook):
    cell = notebook(object())
    with NotebookProgress(patience=0):
        progress.enter("candidate", "running <b>", "model.onnx")
        time.sleep(0.25)
        progress.advance(12, 80)
    assert "running &lt;b&gt; candidate" in cell.shown[0]["text/html"]
    assert '<progress value="12" max="80">' in cell.shown[1]["text/html"]
    assert cell.shown[1]["text/plain"] == "running <b> candidate 12 of 80"
    assert cell.shown[-1] == {"text/plain": ""}
    progress.enter("", "later")
    assert len(cell.shown) == 3


def test_short_work_shows_nothing(notebook):
    cell = notebook(object())
    with NotebookProgress():
        progress.enter("candidate", "running")
    assert cell.shown == []


def test_a_terminal_is_no_notebook(notebook, capsys):
    cell = notebook(None)
    with NotebookProgress(patience=0):
        progress.enter("candidate", "running")
    assert cell.shown == []
    assert capsys.readouterr() == ("", "")


@requires_jupyter
@pytest.mark.slow
def test_progress_in_a_real_kernel():
    import nbformat
    from nbclient import NotebookClient

    source = (
        "from aligner.api.notebook_progress import NotebookProgress\nfrom aligner.records import progress\n"
        "print('before')\nwith NotebookProgress(patience=0):\n    progress.enter('candidate', 'running')\n"
        "print('after')"
    )
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(made, timeout=60).execute()
    outputs = made.cells[0].outputs
    assert [output.get("text") for output in outputs if output.output_type == "stream"] == ["before\n", "after\n"]
    assert [output.data for output in outputs if output.output_type == "display_data"] == [{"text/plain": ""}]


# --------------------------------------------------------------------------------------------------------- stories


def test_there_are_three():
    assert len(STORIES) == 3


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_stories_are_kept_small_and_with_what_they_print(story):
    text = story.read_text(encoding="utf-8")
    assert len(text) < 250_000
    assert "/home/" not in text
    assert "/tmp" not in text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert any("text/html" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])


@requires_jupyter
@requires_torch
@requires_onnx
@requires_tflite
@requires_image
@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_stories_run_and_end_as_they_are_told(story):
    import nbformat
    from nbclient import NotebookClient

    told, notebook = (nbformat.read(story, as_version=4) for _ in range(2))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    assert list(map(verdicts, notebook.cells)) == list(map(verdicts, told.cells))


def verdicts(cell):
    """The verdict of each result that a cell shows."""
    plain = [output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", ())]
    return [text.split(":")[0] for text in plain if text.startswith("<aligner.Result")]
