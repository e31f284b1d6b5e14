"""The terminal report: golden pages, and what must hold on every page."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import comparison_factory as factory
import pytest
from rich.cells import cell_len
from rich.console import Console

from aligner.adapters.registry import AdapterStatus
from aligner.records.comparison import Comparison, Coverage, Finding, Within
from aligner.records.graph import Graph, InputSpec, Node, Quantization, Signature, Value, Weight
from aligner.records.opinion import Opinion
from aligner.report.adapter_table import print_adapters
from aligner.report.graph_table import print_graph
from aligner.report.terminal import print_comparison

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (40, 60, 80, 120, 200)
EVIL = "[bold]x[/bold]\x1b[31m:smile:\r\n\u202eline\u2028\ud800" + "リモデル"


def page(width: int = 80, encoding: str = "utf-8", **options) -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    return Console(file=file, width=width, **({"force_terminal": False, "_environ": {}} | options))


def printed(console: Console) -> str:
    console.file.flush()
    return console.file.buffer.getvalue().decode(console.file.encoding)


def report(comparison: Comparison, width: int = 80, **options) -> str:
    console = page(width)
    print_comparison(comparison, console, **options)
    return printed(console)


def hostile() -> Comparison:
    """Every text that a model file can choose is one that would break a terminal."""
    comparison = factory.diverged()
    pair = comparison.pairs[5]
    sides = {
        side: replace(getattr(pair, side), name=EVIL, node=EVIL, op=EVIL, scope=EVIL, source=EVIL, names=(EVIL,) * 9)
        for side in ("reference", "candidate")
    }
    evil = replace(pair, rule=EVIL, note=EVIL, **sides)
    model = replace(comparison.reference, path=EVIL, framework=EVIL, runtime=EVIL, notes=(EVIL,))
    return factory.diverged(
        reason=EVIL,
        reference=model,
        candidate=model,
        first_divergence=evil,
        introduced=(evil,),
        pairs=(evil,),
        outputs=(evil,),
        causes=(Finding(EVIL, EVIL, 0.5, EVIL, None, EVIL),),
        notes=(EVIL,),
        unpaired_reference=tuple(replace(item, reason=EVIL) for item in comparison.unpaired_reference),
    )


def test_the_first_line_names_the_node_inside_a_pair():
    first = factory.diverged().first_divergence
    inner = replace(first, within=Within("/attention/Add", "causal"))
    assert "inside it /attention/Add," in " ".join(report(factory.diverged(first_divergence=inner), 200).split())
    own = replace(first, within=Within(first.candidate.node, "extra"))
    assert "inside it" not in report(factory.diverged(first_divergence=own), 200)


def long() -> Comparison:
    """Many of everything, with names of a hundred characters and one of ten thousand."""
    name = "/decoder" + "/block_with_a_long_name" * 4
    pairs = []
    for place, pair in enumerate(factory.pairs() * 20):
        candidate = replace(pair.candidate, name=f"{name}/{place}", node=f"{name}/{place}")
        reference = replace(pair.reference, name=f"v{place}", node=f"v{place}", scope=None)
        pairs.append(replace(pair, reference=reference, candidate=candidate))
    pairs[5] = replace(pairs[5], candidate=replace(pairs[5].candidate, name="/a" * 5000, node="/b" * 5000))
    introduced = tuple(pair for pair in pairs if pair.verdict == "introduced")
    unpaired = tuple(replace(factory.diverged().unpaired_candidate[0], reason=f"reason {place}") for place in range(60))
    return factory.diverged(
        pairs=tuple(pairs),
        first_divergence=pairs[5],
        introduced=introduced,
        outputs=tuple(pairs[-40:]),
        causes=(factory.FINDING,) * 20,
        notes=tuple(f"note {place}" for place in range(50)),
        unpaired_candidate=unpaired,
        inputs=factory.diverged().inputs * 20,
    )


def without_local() -> Comparison:
    """As a recording gives it: accumulated errors only."""
    pairs = tuple(replace(pair, local=None, bound=None) for pair in factory.pairs())
    return factory.diverged(pairs=pairs, first_divergence=pairs[5], introduced=(pairs[5], pairs[14]), causes=())


def no_culprit() -> Comparison:
    pairs = tuple(replace(pair, verdict="inherited") for pair in factory.pairs()[-4:])
    return factory.diverged(first_divergence=None, introduced=(), causes=(), pairs=pairs, outputs=pairs[-1:])


def incomparable() -> Comparison:
    first = factory.pairs()[5]
    output = replace(first, verdict="incomparable", accumulated=None, local=None, bound=None, note="shapes differ")
    first = replace(first, verdict="nonfinite", axes=(0, 2, 3, 1), noise=3e-7)
    return factory.diverged(first_divergence=first, introduced=(), pairs=(first, output), outputs=(output,))


def empty() -> Comparison:
    return factory.inconclusive(
        pairs=(), outputs=(), inputs=(), notes=(), unpaired_candidate=(), coverage=Coverage(0, 0, 0, 0), timing={}
    )


MADE = {
    made.__name__: made
    for made in (
        factory.diverged,
        factory.aligned,
        factory.inconclusive,
        hostile,
        long,
        without_local,
        no_culprit,
        incomparable,
        empty,
    )
}
EVERY = pytest.mark.parametrize("made", MADE.values(), ids=MADE)
EVERY_WIDTH = pytest.mark.parametrize("width", WIDTHS)

PAGES = {
    **{f"diverged_{width}": (factory.diverged, width, {}) for width in (80, 120, 200)},
    "diverged_full_120": (factory.diverged, 120, {"full": True}),
    "diverged_quiet": (factory.diverged, 80, {"quiet": True}),
    "aligned_80": (factory.aligned, 80, {}),
    "inconclusive_80": (factory.inconclusive, 80, {}),
    "without_local_100": (without_local, 100, {}),
    "no_culprit_100": (no_culprit, 100, {}),
    "incomparable_80": (incomparable, 80, {}),
    "hostile_80": (hostile, 80, {}),
}


def compare_golden(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / f"{name}.txt"
    text = "".join(line.rstrip() + "\n" for line in text.splitlines())
    if request.config.getoption("--update-golden", default=False):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert path.exists(), f"no {path.name}: run pytest --update-golden and read what it wrote"
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_golden(name, request):
    made, width, options = PAGES[name]
    compare_golden(name, report(made(), width, **options), request)


@pytest.mark.parametrize("width", [80, 160])
def test_golden_graph(width, request):
    console = page(width)
    print_graph(*graph(), console, path="face.tflite", runtime="ai-edge-litert 2.3")
    compare_golden(f"graph_{width}", printed(console), request)


def test_golden_adapters(request):
    console = page(80)
    print_adapters(ADAPTERS, console)
    compare_golden("adapters_80", printed(console), request)


@EVERY
@EVERY_WIDTH
@pytest.mark.parametrize("full", [False, True])
def test_fits_the_width(made, width, full):
    for line in report(made(), width, full=full).splitlines():
        assert cell_len(line) <= width, line


@EVERY
@EVERY_WIDTH
def test_the_verdict_leads(made, width):
    comparison = made()
    assert report(comparison, width).startswith(comparison.verdict.upper())


@EVERY
def test_quiet_is_one_line(made):
    text = report(made(), 40, quiet=True)
    assert text.count("\n") == 1
    assert text.startswith(made().verdict.upper())


@EVERY
@pytest.mark.parametrize("width", [80, 120, 200])
def test_is_short_unless_full(made, width):
    assert len(report(made(), width).splitlines()) <= (130 if made is long else 90 if made is hostile else 77)


@EVERY_WIDTH
@pytest.mark.parametrize("full", [False, True])
def test_first_failing_row_is_the_findings_tensor(width, full):
    comparison = factory.diverged()
    lines = report(comparison, width, full=full).splitlines()
    start = next(place for place, line in enumerate(lines) if re.match("around|every pair", line))
    start += next(place for place, line in enumerate(lines[start:]) if line.startswith("──")) + 1
    rows = lines[start : lines.index("", start)]
    first = next(line for line in rows if not line.rstrip().endswith(" ok"))
    assert "→ introduced" in first
    if width >= 60:
        assert "/lateral/3/Conv" in first


@EVERY_WIDTH
def test_headline_and_panel_name_the_culprit_on_both_sides(width):
    text = re.sub(r"[\s│]", "", report(factory.diverged(), width))
    assert "lateral.3" in text
    assert width < 80 or "/lateral/3/Conv_output_0" in text
    assert width < 80 or "face/decoder.py:45" in text


@EVERY
@pytest.mark.parametrize("full", [False, True])
def test_full_prints_every_pair(made, full):
    comparison = made()
    text = report(comparison, 200, full=full)
    found = [line for line in text.splitlines() if re.match(r"\s*▶?\d+  ", line)]
    assert not full or len(found) == len(comparison.pairs)


def test_a_note_that_is_evidence_is_printed_once():
    said, other = "no kernel of its own", "the batch was split"
    cause = replace(factory.FINDING, evidence=f"the weights agree; {said}")
    text = report(factory.diverged(causes=(cause,), notes=(said, other)), width=200)
    assert (text.count(said), text.lower().count(other)) == (1, 1)


def test_a_large_difference_of_an_aligned_pair_says_what_excuses_it():
    opinion = Opinion("aligned", "closed-region", "another way to compute the same")
    moved = factory.convolution("moved", 9, accumulated=0.4, local=0.4, verdict_rule=opinion.rule, opinions=(opinion,))
    text = report(factory.aligned(pairs=(*factory.pairs()[:1], moved)), width=200)
    assert re.search(r"worst +0\.4 at moved .*: another way to compute the same", text)


def test_names_print_as_they_are_and_obey_nothing():
    for text in (report(hostile()), report(hostile(), full=True), report(hostile(), quiet=True)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028\ud800]", text)
        assert "[bold]x" in text
        assert r"\x1b[31m" in text or r"\x1b" in text.replace("\n", "")
        assert "😄" not in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@EVERY
def test_terminals_without_unicode(made, encoding):
    console = page(80, encoding)
    print_comparison(made(), console)
    text = printed(console)
    assert text.isascii()
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "; cause weights-never-loaded (proven)"),
        ({"explained": None}, "; cause weights-never-loaded (suspected)"),
        ({"id": "unknown", "explained": None}, "; cause unknown;"),
    ],
)
def test_the_verdicts_line_names_the_cause(change, words):
    comparison = factory.diverged(causes=(replace(factory.FINDING, **change),))
    assert words in report(comparison, 200, quiet=True)
    assert "; cause" not in report(factory.diverged(causes=()), 200, quiet=True)


def test_colour_is_never_the_only_sign():
    console = page(120, force_terminal=True, color_system="truecolor")
    print_comparison(factory.diverged(), console)
    coloured = printed(console)
    assert "\x1b[" in coloured
    plain = report(factory.diverged(), 120)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_terminals_without_colour(environment):
    console = page(80, force_terminal=True, _environ=environment)
    print_comparison(factory.diverged(), console)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", printed(console))


def test_without_local_errors_no_empty_column():
    text = report(without_local(), 120)
    assert "local: not measured" in text
    assert not re.search(r"accumulated +local", text)


def test_two_lines_where_the_sides_were_fed_differently():
    text = report(factory.diverged(), 120)
    assert "→ reference 1×3×128×128 float32, 0..1, RGB, NCHW" in text
    assert "→ candidate 1×128×128×3 float32, 0..1, RGB, NHWC" in text
    assert "both sides" in report(factory.inconclusive(), 120)


ADAPTERS = [
    AdapterStatus("onnx", "*.onnx", True, "onnx 1.23.0, onnxruntime 1.31.1", ""),
    AdapterStatus("tflite", "*.tflite", False, None, 'pip install "aligner[tflite]"'),
]


def graph() -> tuple[Graph, Signature]:
    values = {
        "x": Value("x", "serving_default_x:0", (1, 128, 128, 3), "uint8", 0),
        "c": Value("c", "StatefulPartitionedCall/model/conv/Conv2D", (1, 64, 64, 16), "float32", 12),
        "a": Value("a", "Identity:0", (None, 10), "float32", 13),
        "b": Value("b", EVIL, (1, 5), "int64", 14),
    }
    kernel = Weight("model/conv/kernel", (16, 3, 3, 3), "float32", lambda: pytest.fail("a weight was loaded"), index=9)
    attributes = {"strides": (2, 2), "pads": ((0, 1), (0, 1)), "epsilon": 1e-05, "fused_activation": "relu6"}
    nodes = (
        Node(
            0, "CONV_2D_0", "CONV_2D", "conv", ("x", "w", ""), ("c",), ("w",), attributes, "model.conv", "model.py:12"
        ),
        Node(1, "", "SPLIT", "split", ("c",), ("a", "b"), (), {"axis": 1}),
    )
    notes = ("2 subgraphs; the first is run",)
    made = Graph("tflite", nodes, values, {"w": kernel}, ("x",), ("a", "b"), "last", notes)
    spec = InputSpec("x", (1, 128, 128, 3), "uint8", True, Quantization((1 / 255,), (0,)))
    return made, Signature((spec, InputSpec("mask", None, None, required=False)), ("a", "b"))


@EVERY_WIDTH
def test_graph_fits_the_width(width):
    console = page(width)
    print_graph(*graph(), console)
    assert all(cell_len(line) <= width for line in printed(console).splitlines())
    assert "\x1b" not in printed(console)


def test_graph_shows_tensor_indices():
    console = page(100)
    print_graph(*graph(), console)
    assert "0,9 → 12" in printed(console)


def test_graph_without_nodes():
    console = page()
    print_graph(Graph("onnx", (), {}, {}, (), ()), Signature(()), console)
    assert "0 nodes" in printed(console)


@EVERY_WIDTH
def test_adapters_say_how_to_get_the_rest(width):
    console = page(width)
    print_adapters(ADAPTERS, console)
    text = printed(console)
    assert 'pip install "aligner[tflite]"' in " ".join(text.split())
    assert all(cell_len(line) <= width for line in text.splitlines())
