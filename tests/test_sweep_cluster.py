"""A sweep dealt to processes or a Dask cluster: the answer is the same, and one that dies loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
distributed = pytest.importorskip("distributed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from aligner.api.sweeping import SweepOptions, in_processes, on_cluster, run_sweep  # noqa: E402
from aligner.errors import AlignerError, ComparisonError, CrashError  # noqa: E402
from aligner.execution import cluster  # noqa: E402
from aligner.execution.confinement import Bounds  # noqa: E402
from aligner.execution.own_process import OwnProcess  # noqa: E402
from aligner.execution.workers import Workers  # noqa: E402
from aligner.inputs.samples import samples_of  # noqa: E402
from aligner.report.sweep_document import to_document  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    return [str(_limited(folder / f"{limit}.onnx", limit)) for limit in (6.0, 2.0)]


def _limited(path, limit):
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    bounds = [numpy_helper.from_array(np.float32(bound), name) for name, bound in (("low", 0.0), ("high", limit))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Clip", ["m", "low", "high"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in "xy")
    graph = helper.make_graph(nodes, "limited", [x], [y], [weight, *bounds])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return list(samples_of([rng.uniform(0, 3 if at % 3 else 1, (1, 8)).astype(np.float32) for at in range(20)]))


def test_a_killed_worker_loses_nothing(models, samples):
    options = SweepOptions(total=20)
    heard, given = [], Bounds(reads=tuple(Path(model) for model in models))

    def told(sofar):
        heard.append(len(sofar.samples))
        if len(heard) == 1:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        found = on_cluster(models, samples, replace(options, told=told), local.scheduler_address, given)
    assert heard == sorted(heard)
    assert heard[-1] == 20
    assert to_document(found) == to_document(run_sweep(*models, samples, options))


def test_samples_are_dealt_in_turn(samples, monkeypatch):
    class OfOne:
        def scheduler_info(self, n_workers):
            return {"workers": {"only": {}}}

    assert [len(batch) for batch in cluster.batches(OfOne(), samples)] == [1] * 20
    monkeypatch.setattr(cluster, "_AT_LEAST", 1)
    dealt = cluster.batches(OfOne(), samples)
    assert len(dealt) == 8
    assert {len(batch) for batch in dealt} == {2, 3}
    assert [sample.index for sample in dealt[0]] == [0, 8, 16]


def test_workers_with_another_aligner_are_refused():
    class Other:
        def __init__(self, workers):
            self.workers = workers

        def get_versions(self, packages):
            return {"workers": self.workers}

    with pytest.raises(ComparisonError, match="another aligner") as told:
        cluster._check_workers(Other({"tcp://a": {"packages": {"aligner": "0.0.1"}}}))
    assert "tcp://a has 0.0.1" in told.value.found
    with pytest.raises(ComparisonError, match="no workers"):
        cluster._check_workers(Other({}))


def test_other_runtimes_do_not_add_up(models, samples):
    from aligner.api.sweeping import _alike

    first, second = (run_sweep(*models, samples[at : at + 1], SweepOptions(total=20)) for at in range(2))
    assert len(_alike(first, second).samples) == 2
    older = replace(second, reference=replace(second.reference, runtime="onnxruntime 1.0"))
    with pytest.raises(ComparisonError, match="different runtimes"):
        _alike(first, older)


def test_an_address_where_nobody_is(models, samples):
    with pytest.raises(AlignerError, match="no Dask scheduler"):
        on_cluster(models, samples, SweepOptions(), "nonsense://here")


def test_a_process_answers_again_and_keeps_what_it_holds():
    with OwnProcess() as process:
        assert process.call(divmod, 7, 3) == (2, 1)
        process.call(exec, "import os; os.kept = 5")
        assert process.call(eval, "__import__('os').kept") == 5
        with pytest.raises(ZeroDivisionError):
            process.call(divmod, 7, 0)
        assert process.call(eval, "print('noise') or 1") == 1
        process.call(exec, "from aligner.records import progress; progress.about('val/7.png')")
        with pytest.raises(CrashError, match=r"SIGKILL.*running the candidate, m\.onnx, on val/7\.png"):
            process.call(
                exec,
                "from aligner.records import progress; progress.enter('candidate', 'running', 'm.onnx')\n"
                "import os; os.kill(os.getpid(), 9)",
            )


def test_the_time_of_a_process_counts_for_each_call():
    with OwnProcess(Bounds(files=False, network=False, seconds=0.5)) as process:
        for _ in range(3):
            assert process.call(eval, "__import__('time').sleep(0.25) or 1") == 1
        with pytest.raises(CrashError, match="time limit") as told:
            process.call(eval, "__import__('time').sleep(30)")
        assert told.value.of_time


def test_processes_share_calls_and_lose_nothing(tmp_path):
    gone, end = (
        f"__import__('pathlib').Path({str(tmp_path / 'gone')!r})",
        "__import__('os').kill(__import__('os').getpid(), 9)",
    )
    once = f"{gone}.exists() or ({gone}.touch(), {end})"
    start = time.monotonic()
    with Workers(2, (divmod, (1, 1)), None) as workers:
        found = list(workers.answers(eval, [(once,), *((str(number),) for number in range(6))]))
        assert sorted(found) == [0, 1, True, 2, 3, 4, 5]
        with pytest.raises(ZeroDivisionError):
            list(workers.answers(eval, [("__import__('time').sleep(60)",), ("1 / 0",)]))
    with Workers(1, (divmod, (1, 1)), None) as workers, pytest.raises(CrashError, match="SIGKILL"):
        list(workers.answers(eval, [(end,)]))
    assert time.monotonic() - start < 50  # whatever they were at


def test_interrupted_processes_keep_what_is_done(models, samples):
    kept = []

    def told(sofar):
        kept.append(sofar)
        if len(kept) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_processes(models, samples, SweepOptions(total=20, told=told), 2)
    assert [len(one.samples) for one in kept] == [1, 2, 3, 4, 5]
    found = in_processes(models, samples, SweepOptions(total=20, done=kept[-1]), 2)
    assert to_document(found) == to_document(run_sweep(*models, samples, SweepOptions(total=20)))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_batch_systems_signal_ends_as_ctrl_c_does(name):
    program = (
        "import os, signal, time\n"
        "from aligner.cli.guard import guarded, stopped_by_signals\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"
        "def work():\n"
        "    with stopped_by_signals():\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "        time.sleep(30)\n"
        "raise SystemExit(guarded(work))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and f"stopped by {name} before" in ended.stderr, ended


def test_the_worst_samples_are_opened_in_a_process_of_their_own(models, samples, tmp_path, monkeypatch):
    from aligner.api import open_models
    from aligner.cli import sweep_commands

    options = SweepOptions(total=20)
    found = run_sweep(*models, samples, options)
    monkeypatch.setattr(open_models, "OpenModels", None)  # what talks to a cluster opens none
    bounds = Bounds(reads=tuple(map(Path, models)), writes=(tmp_path,))
    monkeypatch.setattr(sweep_commands, "limits", lambda: bounds)
    given = {"worst_folder": str(tmp_path / "worst"), "dask": "tcp://nobody:1"}
    written = sweep_commands._worst(tuple(models), samples, found, options, given)
    assert len(written) == 3
    assert all(path.stat().st_size for one in written.values() for path in (one.page, one.page.with_suffix(".npz")))
