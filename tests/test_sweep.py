"""Many inputs: which samples break, the same answer for any split, what is bad is told."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from aligner.adapters.base import OpenOptions  # noqa: E402
from aligner.api.options import CompareOptions, told_settings  # noqa: E402
from aligner.api.sweeping import Shard, SweepOptions, run_sweep, sweep  # noqa: E402
from aligner.cli.guard import guarded  # noqa: E402
from aligner.cli.sweep_commands import ShardOption, _gone_through, _Keeping  # noqa: E402
from aligner.cli.sweep_commands import sweep as sweep_command  # noqa: E402
from aligner.errors import AlignerError, InputError, OutputError  # noqa: E402
from aligner.inputs.samples import dataset, sample_files, samples_of  # noqa: E402
from aligner.records import progress  # noqa: E402
from aligner.records.sweep import _rises, distribution  # noqa: E402
from aligner.report.sweep_document import merged, read_sweep, to_document, write_sweep  # noqa: E402
from aligner.report.sweep_page import to_html  # noqa: E402
from aligner.report.sweep_table import agreement_words, headline  # noqa: E402


class Limited(torch.nn.Module):
    """The limit is only reached by large inputs."""

    def __init__(self, limit):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.limit = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 8), limit

    def forward(self, x):
        return self.head(torch.clamp(self.conv(x), 0, self.limit).mean((2, 3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models that differ on samples 0 and 4 of eight."""
    folder = tmp_path_factory.mktemp("sweep")
    x = torch.zeros(1, 3, 8, 8)
    torch.jit.trace(Limited(6.0).eval(), x).save(folder / "reference.pt")
    torch.onnx.export(Limited(2.0).eval(), (x,), folder / "candidate.onnx", dynamo=False, input_names=["x"])
    (folder / "val").mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        size = 0.2 if index % 4 else 5
        np.save(folder / "val" / f"{index}.npy", (size * rng.standard_normal((1, 3, 8, 8))).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def models(folder):
    return str(folder / "reference.pt"), str(folder / "candidate.onnx")


@pytest.fixture(scope="module")
def samples(folder):
    return list(samples_of(str(folder / "val" / "*.npy")))


@pytest.fixture(scope="module")
def whole(models, samples):
    return run_sweep(*models, samples, SweepOptions(total=8))


def test_the_samples_that_break_are_named(whole):
    assert (whole.verdict, whole.stability, whole.exit_code) == ("diverged", "sample-dependent", 1)
    assert {one.index for one in whole.breaking} == {0, 4}
    assert {one.first for one in whole.breaking} == {"/Clip"}
    guilty = [node for node in whole.nodes if node.introduced]
    assert [(node.op, node.introduced) for node in guilty] == [("Clip", 2)]
    assert guilty[0].worst_sample in (0, 4)
    assert guilty[0].errors.count == 8
    assert all("argmax" in sample.agreements[0].measures for sample in whole.samples)
    assert "largest element the same" in agreement_words(whole)[0]


@pytest.mark.parametrize("parts", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_any_split_adds_up_to_the_same(models, samples, whole, tmp_path, parts):
    files = []
    for number in range(parts):
        part = run_sweep(*models, samples, SweepOptions(total=8, shard=Shard(number, parts)))
        files.append(tmp_path / f"{number}.json")
        write_sweep(part, files[-1])
    assert to_document(merged(files[::-1])) == to_document(whole)
    with pytest.raises(OutputError, match="add up"):
        merged([files[0], files[0]])


def test_it_goes_on_where_it_was_left(models, samples, whole):
    seen = []

    def told(sofar):
        seen.append(sofar)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(*models, samples, SweepOptions(total=8, told=told))
    assert len(seen[-1].samples) == 3
    rest = []
    found = run_sweep(*models, samples, SweepOptions(total=8, done=seen[-1], told=rest.append))
    assert len(rest) == 5
    assert to_document(found) == to_document(whole)


def test_what_cannot_be_read_is_named_or_skipped(models, folder, tmp_path):
    good, bad = folder / "val" / "1.npy", tmp_path / "bad.npy"
    bad.write_bytes(b"no array")
    with pytest.raises(InputError, match=r"bad\.npy"):
        sweep(*models, [good, bad])
    found = sweep(*models, [bad, good], skip_bad=True)
    assert [one.index for one in found.skipped] == [0]
    assert found.verdict == "aligned"
    assert found.reference.framework == "torchscript"


def test_a_dataset_that_raises_is_told(models):
    def broken():
        yield np.zeros((1, 3, 8, 8), np.float32)
        raise ValueError("no more")

    with pytest.raises(InputError, match="ended with an error") as told:
        sweep(*models, broken())
    assert "after sample 0" in told.value.found


def test_a_dataset_of_a_length_is_read_one_by_one(tmp_path, monkeypatch):
    (tmp_path / "lazily.py").write_text(
        "class Many:\n"
        "    def __len__(self): return 10**6\n"
        "    def __getitem__(self, at):\n"
        "        if at == 7: raise OSError('the disk is gone')\n"
        "        return [at]\n"
    )
    monkeypatch.chdir(tmp_path)
    found = dataset("lazily.py:Many")
    assert (len(found), found[10**5].inputs, found[10**5].name) == (10**6, [10**5], "sample 100000")
    with pytest.raises(InputError, match="ended with an error") as told:
        list(found)
    assert told.value.found == "OSError: the disk is gone, at sample 7"


class Places:
    """The second of three is torn."""

    def __len__(self):
        return 3

    def __getitem__(self, at):
        if at == 1:
            raise OSError("torn")
        return np.random.default_rng(at).standard_normal((1, 3, 8, 8)).astype(np.float32) * 0.2


def test_one_place_of_a_dataset_or_line_of_a_list_is_skipped(models, folder, tmp_path):
    with pytest.raises(InputError, match="ended with an error"):
        sweep(*models, Places())
    found = sweep(*models, Places(), skip_bad=True)
    assert [(one.index, one.why) for one in found.skipped] == [(1, "the dataset raised: OSError: torn, at sample 1")]
    assert [one.index for one in found.samples] == [0, 2]
    (tmp_path / "list.txt").write_text(f"missing.npy\n{folder / 'val' / '1.npy'}\n")
    found = sweep(*models, sample_files([str(tmp_path / "list.txt")], missing=True), skip_bad=True)
    assert "no such input file" in found.skipped[0].why
    assert len(found.samples) == 1


def test_a_set_of_which_nothing_can_be_read(models, tmp_path):
    (tmp_path / "junk.npz").write_text("junk")
    found = sweep(*models, [tmp_path / "junk.npz"], skip_bad=True)
    assert headline(found) == "INCONCLUSIVE — no sample could be read, 1 skipped"
    assert "it begins with b'junk'" in found.skipped[0].why


_YIELDS = """
import numpy as np
FINE = False
def samples():
    for at in range(4):
        if at == 2 and not FINE: raise ValueError("midway")
        yield np.random.randn(1, 3, 8, 8).astype(np.float32) / 9
"""


def test_what_a_dataset_yielded_before_it_raised_is_kept(models, tmp_path, monkeypatch):
    (tmp_path / "yields.py").write_text(_YIELDS)
    monkeypatch.chdir(tmp_path)
    given = {"json_file": "run.json", "jobs": 1, "dask": None}
    broken = dataset("yields.py:samples")
    with pytest.raises(InputError, match="ended with an error") as told:
        _gone_through(models, broken, SweepOptions(), given)
    assert "after sample 1" in told.value.found
    kept = read_sweep(tmp_path / "run.json")
    assert (len(kept.samples), kept.left) == (2, 1)
    (tmp_path / "yields.py").write_text(_YIELDS.replace("FINE = False", "FINE = True"))
    found = _gone_through(models, dataset("yields.py:samples"), SweepOptions(done=kept), given)
    assert (len(found.samples), found.total, found.left) == (4, 4, 0)


def test_what_a_dataset_draws_is_not_drawn_again(models):
    drawn = []

    def samples():
        for _ in range(3):
            drawn.append(np.random.randn(1, 3, 8, 8).astype(np.float32) / 9)
            yield drawn[-1]

    sweep(*models, samples())
    assert len({one.tobytes() for one in drawn}) == 3


def test_a_factory_may_be_named_by_inputs(models):
    context = sweep_command.make_context("sweep", [*models, "--inputs", "sets.py:val", "--skip-bad"])
    assert (context.params["samples"], context.params["dataset"]) == ((), "sets.py:val")


def test_how_far_other_processes_are_is_told(whole, samples):
    heard = []
    stop = progress.listen(lambda mark: heard.append((mark.done, mark.total, progress.over())))
    try:
        _Keeping(None, SweepOptions(total=8), samples, by_others=True)(whole)
    finally:
        stop()
        progress.headline("")
    assert heard[1][:2] == (8, 8)
    assert heard[1][2].startswith("8 of 8 samples, ")


@pytest.mark.parametrize("word", ["*.none", "list.txt", "empty"])
def test_a_set_that_is_none(tmp_path, word):
    (tmp_path / "list.txt").write_text("missing.npy\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        sample_files([str(tmp_path / word)])


def test_a_list_is_relative_to_itself_and_keeps_its_order(folder, tmp_path):
    listed = folder / "list.txt"
    listed.write_text("# chosen\nval/3.npy\n\nval/1.npy\n")
    assert [path.name for path in sample_files([str(listed)])] == ["3.npy", "1.npy"]
    listed.unlink()


def test_other_sweeps_are_not_added(models, samples, whole, tmp_path):
    write_sweep(whole, tmp_path / "one.json")
    document = json.loads((tmp_path / "one.json").read_text())
    (tmp_path / "other.json").write_text(json.dumps(document | {"total": 9}))
    with pytest.raises(OutputError, match="another sweep"):
        merged([tmp_path / "one.json", tmp_path / "other.json"])
    (tmp_path / "other.json").write_text(json.dumps(document | {"agreement": ["iou"]}))
    with pytest.raises(OutputError, match="another sweep") as told:
        merged([tmp_path / "one.json", tmp_path / "other.json"])
    assert "measures of agreement" in told.value.found
    by_outputs = SweepOptions(CompareOptions(level="outputs"), total=8)
    write_sweep(run_sweep(*models, samples[:1], by_outputs), tmp_path / "level.json")
    with pytest.raises(OutputError, match="another sweep") as told:
        merged([tmp_path / "one.json", tmp_path / "level.json"])
    assert "settings (level)" in told.value.found
    options = CompareOptions(candidate_options=OpenOptions(provider="cpu", memory_limit=5))
    assert told_settings(options) == {"candidate_options.provider": "cpu"}
    (tmp_path / "no.json").write_text("[]")
    with pytest.raises(OutputError, match="no sweep"):
        read_sweep(tmp_path / "no.json")


def test_the_page_escapes_names(whole):
    named = replace(whole.samples[0], name="<script>alert(1)</script>")
    page = to_html(replace(whole, samples=(named, *whole.samples[1:])))
    assert "sample-dependent" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_an_interrupted_sweep_says_how_to_go_on(models, samples, whole, tmp_path, monkeypatch, capsys):
    def interrupted(*given):
        given[-1].told(whole)
        raise KeyboardInterrupt

    monkeypatch.setattr("aligner.api.sweeping.run_sweep", interrupted)
    for file, told in ((str(tmp_path / "run.json"), "run it again with --resume: "), (None, "run it again\n")):
        given = {"json_file": file, "jobs": 1, "dask": None}
        assert guarded(lambda given=given: _gone_through(models, samples, SweepOptions(total=8), given)) == 2
        assert f"next: {told}" in capsys.readouterr().err


def test_a_page_lists_the_worst_of_many(whole):
    many = [replace(whole.samples[at % 8], index=at, name=f"n{at}") for at in range(1200)]
    page = to_html(replace(whole, samples=tuple(many)))
    assert "1000 of 1200" in page
    assert page.count('<tr class="') == 1000
    assert page.index(">n0<") < page.index(">n1<")


def test_a_trend_is_counted_in_pairs():
    rng = np.random.default_rng(0)
    for many in (2, 9, 40):
        numbers = rng.choice(rng.random(20), many).tolist()
        assert _rises(numbers) == sum((b > a) - (b < a) for at, a in enumerate(numbers) for b in numbers[at + 1 :])


def test_quantiles_are_within_one_percent():
    numbers = [float(number) for number in np.random.default_rng(0).lognormal(0, 4, 999)]
    exact = np.sort(numbers)
    found = distribution(numbers)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert found.quantile(share) == pytest.approx(exact[int(share * 998)], rel=0.0101)
    assert distribution([0.0, 0.0, float("nan")]).quantile(0.5) == 0.0


@pytest.mark.slow
def test_the_command(folder):
    def align(*words):
        return subprocess.run(
            [sys.executable, "-m", "aligner", *words], cwd=folder, capture_output=True, text=True, timeout=300
        )

    command = ["sweep", "reference.pt", "candidate.onnx", "--inputs", "val/*.npy"]
    found = align(*command, "--json", "run.json", "--html", "run.html", "--worst", "worst", "--jobs", "2")
    assert found.returncode == 1, found.stderr
    assert "DIVERGED on 2 of 8 samples, sample-dependent" in found.stdout
    written = {f"sample_{number}.{kind}" for number in (0, 4) for kind in ("html", "npz")}
    assert {path.name for path in (folder / "worst").iterdir()} == written
    page = (folder / "run.html").read_text()
    assert 'href="worst/sample_4.html"' in page
    assert 'alt="what was fed"' in page
    assert align("compare", "reference.pt", "candidate.onnx", "-i", "worst/sample_4.npz").returncode == 1
    assert align("merge", "run.json").returncode == 1
    refused = align("sweep", "reference.pt", "candidate.onnx", "--inputs", "val/*.png")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "the pattern fits nothing" in refused.stderr
    other = align("sweep", "reference.pt", "candidate.onnx", "--inputs", "val/1.npy", "--resume", "--json", "run.json")
    assert other.returncode == 2
    assert "another sweep" in other.stderr


def test_a_part_that_is_lost_is_told_when_the_others_are_added_up(whole, tmp_path):
    """Parts that agree are no set that agrees."""
    agreeing = replace(whole, samples=tuple(one for one in whole.samples if one.verdict == "aligned"))
    assert headline(agreeing) == "ALIGNED on 6 of 6 samples, 2 of the set not among them"
    assert "not among them" not in headline(whole)
    for number, one in enumerate((agreeing, replace(agreeing, total=6))):
        write_sweep(one, tmp_path / f"{number}.json")
        told = subprocess.run([sys.executable, "-m", "aligner", "merge", tmp_path / f"{number}.json"], timeout=60)
        assert told.returncode == (3, 0)[number]


@pytest.mark.parametrize(
    ("task", "part"), [("0", (0, 4)), ("2", (1, 4)), ("6", (3, 4))], ids=["the first", "a step on", "the last"]
)
def test_a_job_array_in_steps(monkeypatch, task, part):
    for name, number in {"ID": task, "COUNT": "4", "MIN": "0", "STEP": "2"}.items():  # --array=0-6:2
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", number)
    assert ShardOption().convert("slurm", None, None) == part


def test_a_part_that_does_not_exist():
    with pytest.raises(AlignerError, match="no part"):
        Shard(2, 2)
