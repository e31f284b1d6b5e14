"""The plugin in every outcome: pytest sessions of its own, against real models."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from marks import importable, requires_onnx, requires_tflite, requires_torch

TESTS = Path(__file__).parent
HEADER = """
import numpy as np, pytest
from pytest_models import broken, build
x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype("float32")
"""
GUILTY = "DIVERGED at head"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exports of the network; also loads what the sessions below, which forget their imports, must find loaded."""
    torch = importlib.import_module("torch")
    models = importlib.import_module("pytest_models")
    folder = tmp_path_factory.mktemp("models")
    x = torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8)
    made = {"good": models.build(), "bad": models.broken()}
    made["inner"] = models.broken("conv", mute=True)
    for name, model in made.items():
        torch.jit.trace(model, x).save(folder / f"{name}.pt")
    if importable("onnx", "onnxruntime"):
        made["noisy"] = models.build(noisy=True)
        for name in ("good", "bad", "noisy"):
            names = {"input_names": ["x"], "output_names": ["y"]}
            torch.onnx.export(made[name], (x,), folder / f"{name}.onnx", dynamo=False, **names)
    _load(folder, models.build(), x.numpy())
    return folder


def _load(folder, model, x):
    aligner = importlib.import_module("aligner")
    importlib.import_module("aligner.testing.fixture")
    for file in sorted(folder.glob("good.*")):
        aligner.compare(model, file, {"x": x})
    aligner.compare(folder / "bad.pt", folder / "good.pt", {"x": x}).to_json()


@pytest.fixture
def session(pytester, exported, monkeypatch):
    """Run a test file with the plugin; ``source`` follows the header."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile(pytest_models=(TESTS / "pytest_models.py").read_text())
    for file in exported.iterdir():
        (pytester.path / file.name).symlink_to(file)

    def run(source, *options, subprocess=False):
        pytester.makepyfile(test_export=HEADER + source)
        method = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
        return method("-p", "no:hypothesispytest", "-p", "no:anyio", *options)

    return run


def errors_of(result):
    """The lines of the failure's message."""
    lines = [line for line in result.outlines if line.startswith("E   ")]
    indent = len(lines[0]) - len(lines[0][1:].lstrip())
    return [line[indent:].rstrip() for line in lines]


# what a failing test says


BAD = """
def test_export(assert_aligned):
    assert_aligned(build(), "bad.pt", {"x": x})
"""


@requires_torch
def test_a_failure_is_the_report(session, pytester):
    result = session(BAD)
    result.assert_outcomes(failed=1)
    lines = errors_of(result)
    text = "\n".join(lines)
    assert len(lines) <= 30
    assert lines[0].startswith(f"aligner.testing.NotAlignedError: {GUILTY}")
    words = r"1 of \d pairs introduces error; cause weights-changed \(proven\); coverage \S+% / \S+%$"
    assert re.search(words, lines[0])
    assert re.search(r"^tensor +head/linear\.0 +\S+$", text, re.M)  # both sides by their own names
    assert re.search(r"^source +\S*pytest_models\.py:\d+ +\S*pytest_models\.py:\d+$", text, re.M)
    assert re.search(r"^cause +\S+ at \S+ — ", text, re.M)
    assert re.search(r"^evidence +\S", text, re.M)
    assert re.search(r"^max abs +0\.\d+ at \[0, 0\] +0\.\d+ at \[0, 0\]$", text, re.M)
    assert "run again  pytest test_export.py::test_export" in text


@requires_torch
def test_a_failure_shows_no_frame_of_ours(session):
    result = session(BAD)
    assert "test_export.py:6: NotAlignedError" in result.stdout.str()
    assert "aligner/testing" not in result.stdout.str()
    assert "aligner/api" not in result.stdout.str()


@requires_torch
def test_the_inputs_of_a_failure_are_kept(session, pytester):
    import numpy as np

    result = session(BAD, "--align-json", "reports")
    (saved,) = (pytester.path / "reports").glob("*.npz")
    assert f"inputs     {saved}" in errors_of(result)
    with np.load(saved) as arrays:
        assert list(arrays) == ["x"]
        assert arrays["x"].shape == (1, 3, 8, 8)


@requires_torch
@pytest.mark.parametrize("inputs", ['{"x": x}', "[x]", "x", '{"reference.x": x, "candidate.x": x}'])
def test_the_command_repeats_the_failure(session, inputs):
    result = session(f"""
def test_export(assert_aligned):
    assert_aligned("good.pt", "bad.pt", {inputs}, seed=3, atol=1e-4)
""")
    (line,) = (line for line in errors_of(result) if line.startswith("run again"))
    words = shlex.split(line.removeprefix("run again"))
    assert words[:2] == ["align", "compare"]
    from aligner.cli.commands import cli

    assert cli.main([*words[1:], "--json", "again.json"], standalone_mode=False) == 1
    again = json.loads(Path("again.json").read_text())
    assert again["first_divergence"]["candidate"]["scope"] == "head"
    assert again["tolerance"]["atol"] == 1e-4


@requires_torch
def test_cause_can_be_left_out(session):
    lines = errors_of(session(BAD.replace('{"x": x}', '{"x": x}, cause=False')))
    assert lines[0].startswith("aligner.testing.NotAlignedError: DIVERGED")
    assert not [line for line in lines if line.startswith(("cause", "evidence", "fix"))]


@requires_torch
def test_what_cannot_be_compared_says_so_without_our_frames(session):
    result = session("""
def test_gone(assert_aligned):
    assert_aligned(build(), "goof.pt", {"x": x})

def test_option(assert_aligned):
    assert_aligned(build(), "good.pt", {"x": x}, tolerence=1)

def test_level(assert_aligned):
    assert_aligned(build(), "good.pt", {"x": x}, level="all")
""")
    result.assert_outcomes(failed=3)
    text = result.stdout.str()
    assert "ModelNotFoundError: goof.pt does not exist" in text
    assert "next: did you mean good.pt?" in text
    assert "assert_aligned has no option tolerence" in text
    assert "there is no level 'all'" in text
    assert "aligner/testing" not in text and "aligner/api" not in text


# what decides


@requires_torch
def test_a_pass_is_silent_and_returns_the_result(session):
    result = session("""
def test_export(assert_aligned):
    found = assert_aligned(build(), "good.pt", {"x": x})
    assert found.verdict == "aligned"
    assert found.first_divergence is None
""")
    result.assert_outcomes(passed=1)
    assert "aligner:" not in result.stdout.str()


@requires_torch
def test_verbose_prints_one_line_of_figures(session):
    result = session(BAD.replace("bad", "good"), "-v")
    result.assert_outcomes(passed=1)
    (line,) = (line for line in result.outlines if line.startswith("aligned "))
    figures = r"test_export\.py::test_export  max abs 0  \d pairs, coverage \S+% / \S+%"
    assert re.fullmatch(figures, line.split(maxsplit=1)[1])


@requires_torch
def test_levels_differ_where_the_output_hides_an_error(session):
    result = session(
        """
@pytest.mark.parametrize("level", ["outputs", "layers", "local"])
def test_export(assert_aligned, level):
    assert_aligned(build(mute=True), "inner.pt", {"x": x}, level=level)
""",
        "-v",
    )
    result.assert_outcomes(passed=1, failed=2)
    text = result.stdout.str()
    assert "inside, conv — " in text  # what passes is not hidden
    assert re.search(r"asserted +layers within 1e-05 \+ 1e-05·\|reference\|; \d of \d pairs beyond", text)
    assert "asserted   no node errs by itself; 1 does" in text
    assert text.count("E       aligner.testing.NotAlignedError: DIVERGED at conv") == 2


@requires_torch
@requires_onnx
def test_rounding_past_the_tolerance_fails_and_blames_no_node(session):
    result = session("""
def test_export(assert_aligned):
    assert_aligned(build(), "good.onnx", {"x": x}, atol=0, rtol=0)
""")
    result.assert_outcomes(failed=1)
    assert errors_of(result)[0].startswith("aligner.testing.NotAlignedError: BEYOND TOLERANCE at head")
    assert "no node errs by itself" in errors_of(result)[0]


@requires_torch
def test_a_failure_is_located_even_where_local_errors_were_waived(session):
    lines = errors_of(session(BAD.replace('{"x": x}', '{"x": x}, local="never"')))
    assert any(line.startswith("error      local (this node alone)") for line in lines)


@requires_torch
def test_pytest_raises_catches_it(session):
    result = session("""
def test_export(assert_aligned):
    with pytest.raises(AssertionError, match="DIVERGED at head") as caught:
        assert_aligned(build(), "bad.pt", {"x": x})
    assert caught.value.result.first_divergence.candidate.scope == "head"
""")
    result.assert_outcomes(passed=1)
    assert "aligner:" not in result.stdout.str()


@requires_torch
def test_random_numbers_of_the_test_are_left_alone(session):
    session("""
import random, torch

def test_export(assert_aligned):
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    assert_aligned(build(), "good.pt", {"x": x})
    model = build()
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    assert_aligned(model, "good.pt", {"x": x})
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
""").assert_outcomes(passed=1)


# where nothing can be said


INCONCLUSIVE = """
def test_constant(assert_aligned):
    assert_aligned(build(), "good.pt", {"x": x * 0})
"""


@requires_torch
def test_inconclusive_fails_with_its_reason(session):
    result = session(INCONCLUSIVE)
    result.assert_outcomes(failed=1)
    assert "NotAlignedError: INCONCLUSIVE — the input is constant" in errors_of(result)[0]


@requires_torch
def test_inconclusive_may_skip(session, pytester):
    source = INCONCLUSIVE.replace("x * 0}", "x * 0}, allow_inconclusive=True")
    result = session(source, "-rs")
    result.assert_outcomes(skipped=1)
    assert "SKIPPED [1] test_export.py:6: INCONCLUSIVE — the input is constant" in result.stdout.str()
    pytester.makeini("[pytest]\nalign_allow_inconclusive = true")
    session(INCONCLUSIVE).assert_outcomes(skipped=1)


@requires_torch
@requires_onnx
def test_random_operators_are_named(session):
    result = session("""
def test_noise(assert_aligned):
    assert_aligned(build(noisy=True), "noisy.onnx", {"x": x})
""")
    result.assert_outcomes(failed=1)
    lines = errors_of(result)
    assert "INCONCLUSIVE — random numbers enter at rand_like.0" in lines[0]
    assert any(re.match(r"op +rand_like +RandomUniformLike$", line) for line in lines)


@requires_torch
def test_local_level_needs_local_errors(session):
    result = session(BAD.replace("bad", "good").replace('{"x": x}', '{"x": x}, level="local", local="never"'))
    result.assert_outcomes(failed=1)
    assert "INCONCLUSIVE — local errors were not measured" in errors_of(result)[0]


# the page that explains it


@requires_torch
@requires_onnx
def test_the_documented_test_passes(session):
    page = (TESTS.parent / "docs" / "pytest.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    result = session(blocks[0] + blocks[1], "--align-update")
    result.assert_outcomes(passed=2)


# settings


@requires_torch
def test_calls_win_over_marks_over_options_over_ini(session, pytester):
    pytester.makeini("[pytest]\nalign_atol = 1\nalign_rtol = 2\nalign_level = layers")
    source = """
@pytest.mark.align(atol=3)
class Test:
    def told(self, assert_aligned, **options):
        found = assert_aligned(build(), "good.pt", {"x": x}, **options).comparison.tolerance
        return found.atol, found.rtol

    def test_class(self, assert_aligned):
        assert self.told(assert_aligned) == (3, 2)

    @pytest.mark.align(atol=4, seed=1)
    def test_closest(self, assert_aligned):
        assert self.told(assert_aligned) == (4, 2)

    def test_call(self, assert_aligned):
        assert self.told(assert_aligned, atol=5, rtol=0) == (5, 0)

def test_options(assert_aligned, request):
    expected = (6, 2) if request.config.getoption("align_atol") else (1, 2)
    assert Test().told(assert_aligned) == expected
"""
    session(source).assert_outcomes(passed=4)
    session(source, "--align-atol=6", "--strict-markers", "-k", "options or closest").assert_outcomes(passed=2)


@requires_torch
@pytest.mark.parametrize(
    ("ini", "options", "message"),
    [
        ("", ["--align-atol=-1"], "align_atol is -1.0: use a number"),
        ("align_rtol = much", [], "align_rtol is 'much': use a number"),
        ("align_level = all", [], "align_level is 'all': use one of outputs, layers, local"),
    ],
)
def test_wrong_settings_end_the_session(session, pytester, ini, options, message):
    pytester.makeini(f"[pytest]\n{ini}")
    result = session(BAD, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


@requires_torch
def test_a_mark_with_a_bare_value_is_refused(session):
    result = session("@pytest.mark.align(1e-3)" + BAD)
    result.assert_outcomes(errors=1)
    assert "the align mark takes keywords only" in result.stdout.str()


# files


PARAMETRISED = """
@pytest.mark.parametrize("name", ["a/b", "a-b", pytest.param("long", id="long" * 60)])
def test_export(assert_aligned, name):
    for candidate in ("bad.pt", "good.pt"):
        try:
            assert_aligned(build(), candidate, {"x": x})
        except AssertionError:
            pass
    assert name == "a-b"
"""


@requires_torch
def test_every_comparison_has_a_file_of_its_own(session, pytester):
    session(PARAMETRISED, "--align-json=out", "-p", "no:cacheprovider").assert_outcomes(passed=1, failed=2)
    files = sorted((pytester.path / "out").glob("*.json"))
    assert len(files) == 6
    verdicts = [json.loads(file.read_text())["verdict"] for file in files]
    assert sorted(verdicts) == ["aligned"] * 3 + ["diverged"] * 3
    assert not (pytester.path / ".pytest_cache").exists()


@requires_torch
def test_html_is_written_where_asked(session, pytester):
    pytest.importorskip("aligner.report.html")
    pytester.makeini("[pytest]\nalign_html = pages")
    result = session(BAD)
    (page,) = (pytester.path / "pages").glob("*.html")
    assert f"html       {page}" in errors_of(result)
    assert "head" in page.read_text()


@requires_torch
def test_a_report_that_cannot_be_written_hides_no_failure(session, pytester):
    (pytester.path / "taken").write_text("a file")
    result = session(BAD, "--align-json=taken")
    result.assert_outcomes(failed=1)
    lines = errors_of(result)
    assert GUILTY in lines[0]
    assert any(line.startswith("json       not written: ") for line in lines)


@requires_torch
def test_junit_gets_the_first_node_and_the_error(session, pytester):
    session(BAD, "--junitxml=junit.xml")
    root = ElementTree.parse(pytester.path / "junit.xml").getroot()
    found = {item.get("name"): item.get("value") for item in root.iter("property")}
    assert found["align_verdict"] == "diverged"
    assert found["align_first_node"].startswith("head — ")
    assert float(found["align_max_abs"]) == pytest.approx(0.1, abs=0.1)


# the summary


THREE = """
def test_fine(assert_aligned):
    assert_aligned(build(), "good.pt", {"x": x})

def test_constant(assert_aligned):
    assert_aligned(build(), "good.pt", {"x": x * 0})

def test_bad(assert_aligned):
    assert_aligned(build(), "bad.pt", {"x": x})

def test_worse(assert_aligned):
    assert_aligned(build(), "bad.pt", {"x": x * 1000})

def test_other():
    pass
"""


def summary(result):
    """(status, test) of each line of the summary."""
    start = next(n for n, line in enumerate(result.outlines) if line.startswith("====") and " aligner: " in line)
    rows = [re.match(r"(\w.{11}) test_export\.py::(\w+)", line) for line in result.outlines[start + 1 :]]
    return [(row[1].strip(), row[2]) for row in rows if row]


WORST_FIRST = [
    ("not aligned", "test_worse"),
    ("not aligned", "test_bad"),
    ("inconclusive", "test_constant"),
    ("aligned", "test_fine"),
]


@requires_torch
def test_the_summary_lists_each_comparison_once_worst_first(session):
    result = session(THREE)
    result.assert_outcomes(passed=2, failed=3)
    assert summary(result) == WORST_FIRST
    assert "aligner: 4 comparisons, 3 not aligned" in result.stdout.str()


@pytest.mark.slow
@requires_torch
def test_processes_of_xdist_report_to_one_summary(session, pytester):
    pytest.importorskip("xdist")
    result = session(THREE, "-n2", "--align-json=out", "--junitxml=junit.xml", subprocess=True)
    result.assert_outcomes(passed=2, failed=3)
    assert summary(result) == WORST_FIRST
    assert len(list((pytester.path / "out").glob("*.json"))) == 4
    assert "align_first_node" in (pytester.path / "junit.xml").read_text()


# goldens


GOLDEN = """
@pytest.mark.parametrize("mute", [False, True])
def test_model(assert_aligned, mute):
    assert_aligned.golden(MODEL(mute=mute), {"x": x}, "network")
"""


@requires_torch
def test_a_golden_is_asked_for_recorded_and_held(session, pytester):
    pytest.importorskip("aligner.adapters.recording_adapter.adapter")
    good, bad = GOLDEN.replace("MODEL", "build"), GOLDEN.replace("MODEL", "broken")
    result = session(good)
    result.assert_outcomes(failed=2)
    assert "there is no golden network-False.npz" in result.stdout.str()
    assert "--align-update" in result.stdout.str()
    session(good, "--align-update").assert_outcomes(passed=2)
    names = sorted(file.name for file in (pytester.path / "golden").iterdir())
    assert names == ["network-False.npz", "network-True.npz"]
    session(good.replace('"x": x', '"x": x + 1')).assert_outcomes(passed=2)  # what was recorded is fed
    result = session(bad, "-k", "False")
    result.assert_outcomes(failed=1)
    assert GUILTY in result.stdout.str()
    assert "reference  golden/network-False.npz" in result.stdout.str()


@requires_torch
def test_a_golden_has_a_plain_name(session):
    result = session(GOLDEN.replace("MODEL", "build").replace('"network"', '"../network"'), "--align-update")
    result.assert_outcomes(failed=2)
    assert "'../network' cannot name a golden" in result.stdout.str()


@requires_torch
@requires_tflite
def test_a_tflite_file_against_its_own_recording(session, pytester):
    pytest.importorskip("aligner.adapters.recording_adapter.adapter")
    importlib.import_module("aligner").inspect(TESTS / "data" / "tiny_conv_float.tflite")
    pytester.makeini("[pytest]\nalign_golden = kept")
    source = """
def test_model(assert_aligned):
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    assert_aligned.golden(r"FILE", x, "tiny", atol=1e-6)
"""
    float32 = source.replace("FILE", str(TESTS / "data" / "tiny_conv_float.tflite"))
    session(float32, "--align-update").assert_outcomes(passed=1)
    assert (pytester.path / "kept" / "tiny.npz").is_file()
    session(float32).assert_outcomes(passed=1)
    session(float32.replace("_float.", "_int8.")).assert_outcomes(failed=1)


# without the plugin's fixture, without frameworks, without cost


@requires_torch
def test_the_function_needs_no_fixture(session):
    result = session("""
from aligner.testing import NotAlignedError, assert_aligned

def test_good():
    assert assert_aligned(build(), "good.pt", {"x": x}).verdict == "aligned"

def test_bad():
    with pytest.raises(NotAlignedError, match="DIVERGED at head"):
        assert_aligned(build(), "bad.pt", {"x": x})

def test_skips():
    assert_aligned(build(), "good.pt", {"x": x * 0}, allow_inconclusive=True)

def test_fails():
    assert_aligned("good.pt", "bad.pt", {"x": x})
""")
    result.assert_outcomes(passed=2, skipped=1, failed=1)
    assert "aligner/testing" not in result.stdout.str()
    assert "run again  align compare good.pt bad.pt --input " in result.stdout.str()


@requires_torch
def test_torch_alone_is_enough(session, pytester, monkeypatch):
    hidden = pytester.mkdir("hidden")
    others = ("onnx", "onnxruntime", "onnxscript", "tensorflow", "ai_edge_litert", "tflite_runtime", "PIL", "pandas")
    (hidden / "sitecustomize.py").write_text("import sys\n" + "".join(f"sys.modules[{m!r}] = None\n" for m in others))
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    (pytester.path / "other.onnx").write_bytes(b"\x08\x08\x12\x07pytorch:\x00")
    result = session(BAD + THREE + BAD.replace("bad.pt", "other.onnx").replace("_export", "_onnx"), subprocess=True)
    result.assert_outcomes(passed=2, failed=5)
    assert GUILTY in result.stdout.str()
    assert 'next: pip install "aligner[onnx]"' in result.stdout.str()


def test_the_plugin_imports_nothing_but_itself():
    code = """
import pytest, sys, tempfile
before = set(sys.modules)
import aligner.pytest_plugin
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['aligner', 'aligner.pytest_plugin']"


def test_only_the_asserts_of_the_conformance_suite_are_rewritten():
    """Two threads that open models import our modules, and CPython 3.11.7 cannot parse in two threads at once."""
    code = """
def test(pytestconfig):
    import aligner.execution.opening as opening, aligner.testing.conformance as conformance
    rewriting = type(pytestconfig.pluginmanager.rewrite_hook)
    assert isinstance(conformance.__loader__, rewriting) and not isinstance(opening.__loader__, rewriting)
"""
    done = subprocess.run([sys.executable, "-c", f"""
import pathlib, sys, tempfile, pytest
with tempfile.TemporaryDirectory() as folder:
    (pathlib.Path(folder) / "test_one.py").write_text({code!r})
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]))
"""], capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout
