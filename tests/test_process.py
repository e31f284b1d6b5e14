from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import command
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

PRELUDE = """
import ctypes, os, signal, sys, time
from aligner.cli.chatter import quiet
from aligner.cli.process import main, supervise
from aligner.errors import ModelFormatError
from aligner.records import progress
from aligner.records.partial import partial_of
from pathlib import Path
"""


def start(code: str, tmp_path, **environment: str) -> subprocess.Popen[str]:
    script = PRELUDE + textwrap.dedent(code) + "\nsys.exit(supervise(work))\n"
    tmp_path.joinpath("scratch").mkdir(exist_ok=True)
    variables = {**os.environ, "TMPDIR": str(tmp_path / "scratch"), "PYTHONUNBUFFERED": "", **environment}
    variables.pop("ALIGNER_DEBUG", None) if "ALIGNER_DEBUG" not in environment else None
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=variables,
        start_new_session=True,
    )


def run(code: str, tmp_path, **environment: str) -> tuple[int, str, str]:
    process = start(code, tmp_path, **environment)
    out, err = process.communicate(timeout=30)
    assert list((tmp_path / "scratch").iterdir()) == []
    return process.returncode, out, err


def wait_for(path, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} never appeared"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("said", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")]
)
def test_threads_that_wait_sleep_soon_unless_the_user_says_otherwise(tmp_path, monkeypatch, said, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    asked = "def work():\n    print(os.environ.get('GOMP_SPINCOUNT'))\n    return 0"
    assert run(asked, tmp_path, **said)[1].split() == [spins]


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_exit_code_is_passed_on(tmp_path, code):
    assert run(f"def work(): print('report'); return {code}", tmp_path) == (code, "report\n", "")


@pytest.mark.parametrize(
    ("leave", "code", "message"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('no')", 2, "error: no\n"),
        ("raise ModelFormatError('a', found='b', hint='c')", 2, "error: a\nfound: b\nnext: c\n"),
        (
            "raise KeyboardInterrupt",
            2,
            "error: interrupted\nfound: stopped by Ctrl-C before the work was done\nnext: run it again\n",
        ),
        ("raise BrokenPipeError", 2, ""),
    ],
)
def test_ways_to_leave(tmp_path, leave, code, message):
    assert run(f"def work(): {leave}", tmp_path) == (code, "", message)


def test_a_bug_shows_no_traceback(tmp_path):
    code, out, err = run("def work(): progress.listen(1); progress.enter('', 'x')", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("error: this is a bug in aligner, please report it\nfound: TypeError: 'int' object is not")
    assert "raised at aligner/records/progress.py:" in err
    assert err.endswith("next: ALIGNER_DEBUG=1 shows the traceback\n")
    assert "Traceback" not in err


def test_debugging_shows_the_traceback(tmp_path):
    code, _, err = run("def work(): {}['x']", tmp_path, ALIGNER_DEBUG="1")
    assert code == 2
    assert "Traceback (most recent call last)" in err
    assert "KeyError: 'x'" in err


def test_memory_error(tmp_path):
    code, _, err = run("def work(): raise MemoryError", tmp_path)
    assert code == 2
    assert err.startswith("error: the memory does not suffice\nfound: raised at")


DEATHS = {
    "SIGSEGV, segmentation fault": "ctypes.string_at(0)",
    "SIGABRT, abort": "os.abort()",
    "SIGKILL, killed from outside": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGBUS, bus error": "os.kill(os.getpid(), signal.SIGBUS)",
    "SIGFPE, arithmetic fault": "os.kill(os.getpid(), signal.SIGFPE)",
    "SIGILL, illegal instruction": "os.kill(os.getpid(), signal.SIGILL)",
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_crash_is_told(tmp_path, death):
    code, out, err = run(
        f"""
        def work():
            print('half a report')
            progress.enter('candidate', 'running', 'model.onnx')
            progress.advance(3, 9, '/conv1/Conv')
            with quiet():
                os.write(2, b'terminate: \\x1b[31mno kernel\\n')
                {DEATHS[death]}
        """,
        tmp_path,
    )
    assert code == 2
    assert out in ("", "half a report\n")
    what, found, *rest = err.splitlines()
    assert what == f"error: the working process died ({death}) while running the candidate, model.onnx"
    assert found.startswith("found: 3 of 9 nodes done, last node /conv1/Conv; ")
    assert "    terminate: \N{REPLACEMENT CHARACTER}[31mno kernel" in rest
    assert rest[-1].startswith("next: ")


def test_a_crash_names_the_python_frame(tmp_path):
    _, _, err = run("def work(): ctypes.string_at(0)", tmp_path)
    assert "while starting" in err
    assert "ctypes/__init__.py:" in err
    assert "in string_at" in err


def test_a_crash_in_another_thread_is_told(tmp_path):
    code, _, err = run(
        """
        import threading
        def work():
            progress.enter('reference', 'releasing', 'a.pt')
            thread = threading.Thread(target=ctypes.string_at, args=(0,))
            thread.start(); thread.join()
        """,
        tmp_path,
    )
    assert code == 2
    assert "while releasing the reference, a.pt" in err


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("aside", "running the candidate, m.xml"),
        ("here", "observing the reference, m.onnx"),
        ("native", "observing the reference, m.onnx and, beside it, running the candidate, m.xml"),
    ],
)
def test_a_crash_beside_other_work_names_the_side_that_died(tmp_path, where, told):
    """A thread that native code started is nobody's: both are named."""
    code, _, err = run(
        f"""
        import threading
        def die():
            if {where!r} == 'native':
                c = ctypes.CDLL(None)
                c.pthread_create(ctypes.byref(ctypes.c_ulong()), None, c.abort, None)
                time.sleep(9)
            ctypes.string_at(0)
        def beside():
            with progress.aside():
                progress.enter('candidate', 'running', 'm.xml')
                begun.set()
                other.wait()
                die() if {where!r} == 'aside' else time.sleep(9)
        def work():
            threading.Thread(target=beside, daemon=True).start()
            begun.wait()
            progress.enter('reference', 'observing', 'm.onnx')
            progress.advance(1, 2)
            other.set()
            time.sleep(9) if {where!r} == 'aside' else die()
        begun, other = threading.Event(), threading.Event()
        """,
        tmp_path,
    )
    assert code == 2
    assert err.splitlines()[0].endswith(f" while {told}")
    assert ("1 of 2 nodes done" in err) == (where != "aside")


def test_what_was_done_beside_is_not_told_once_it_is_over(tmp_path):
    _, _, err = run(
        """
        def work():
            progress.enter('reference', 'observing', 'm.onnx')
            with progress.aside():
                progress.enter('candidate', 'running', 'm.xml')
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert err.splitlines()[0].endswith(" while observing the reference, m.onnx")


def test_a_crash_at_teardown_cannot_spoil_a_finished_report(tmp_path):
    code, out, err = run(
        """
        import atexit
        def work():
            atexit.register(ctypes.string_at, 0)
            print('report')
            return 1
        """,
        tmp_path,
    )
    assert (code, out, err) == (1, "report\n", "")


@pytest.mark.parametrize("code", [0, 1, 3])
def test_code_that_ends_the_process_gives_no_verdict(tmp_path, code):
    ended, out, err = run(
        f"""
        def work():
            progress.enter('candidate', 'running', 'm.pt')
            os._exit({code})
        """,
        tmp_path,
    )
    assert (ended, out) == (2, "")
    assert err.startswith(
        f"error: the process was told to exit, with code {code}, while running the candidate, m.pt\n"
        "found: the work was not finished, so there is nothing to report"
    )
    assert "\nnext: " in err


def test_partial_files_are_deleted_after_a_crash(tmp_path):
    whole, part, mine = tmp_path / "whole.json", tmp_path / ".half.json.7.part", tmp_path / "mine"
    mine.write_text("of nobody's business")
    run(
        f"""
        def work():
            for path in ({str(part)!r}, 'gone', {str(whole)!r} + '.part', {str(mine)!r}):
                progress.unfinished(path)
            open({str(part)!r}, 'w').write('half')
            open({str(whole)!r} + '.part', 'w').write('all')
            os.rename({str(whole)!r} + '.part', {str(whole)!r})
            open(os.path.join(os.environ['TMPDIR'], 'left'), 'w').write('x')
            os.abort()
        """,
        tmp_path,
    )
    assert whole.read_text() == "all"
    assert not part.exists()
    assert mine.exists()  # whatever a process that was taken over says before it dies


WAITING = """
def work():
    progress.enter('candidate', 'running', 'm.onnx')
    partial_of(Path('out.npz')).write_text('half')
    open('ready', 'w').close()
    time.sleep(30)
    return 0
"""


@pytest.mark.parametrize("whole_group", [False, True], ids=["parent only", "terminal"])
def test_interrupt(tmp_path, whole_group):
    process = start(WAITING, tmp_path)
    wait_for(tmp_path / "ready")
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err == "error: interrupted\nfound: stopped by Ctrl-C before the work was done\nnext: run it again\n"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_cleaning_up_is_not_interrupted_by_the_same_ctrl_c(tmp_path):
    process = start(
        """
        def work():
            open('ready', 'w').close()
            try:
                time.sleep(30)
            finally:
                time.sleep(0.5)
                open('clean', 'w').close()
        """,
        tmp_path,
    )
    wait_for(tmp_path / "ready")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 2
    assert (tmp_path / "clean").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_the_command_is_imported(tmp_path, name):
    """From the first line of the command on, it waits for somebody who can tell what it did."""
    code = f"""
import os, signal, sys

class Signalling:
    def find_spec(self, name, path=None, target=None):
        if name == "aligner.cli.guard":
            os.kill(os.getpid(), signal.{name})

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Signalling())
from aligner.cli.entry import main
sys.exit(main())
"""
    outcome = command.run(tmp_path, "explain", code=code)
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("error: interrupted\n"), outcome
    assert command.files(tmp_path) == []


def test_an_interruption_that_a_finaliser_swallows_comes_again(tmp_path):
    code = """
    import os, signal, time

    class Kept:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)

    def work():
        Kept()
        time.sleep(5)
        return 0
    """
    status, _, err = run(code, tmp_path)
    assert status == 2
    assert err.startswith("error: interrupted\n")
    assert "Traceback" not in err


def test_without_a_process_of_its_own_nothing_is_left_either(tmp_path, monkeypatch, capfd):
    """Where there is no fork, temporary files go where they are swept, and this process is as it was."""
    import tempfile

    from aligner.cli.process import supervise

    monkeypatch.setenv("ALIGNER_NO_FORK", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TMP", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    def work() -> int:
        folder = Path(tempfile.gettempdir())
        (folder / ".ses").touch()
        seen.append(folder)
        return 0

    assert supervise(work) == 0
    assert seen[0].parent == tmp_path
    assert os.environ["TMPDIR"] == tempfile.gettempdir() == str(tmp_path)
    assert "TMP" not in os.environ
    assert command.files(tmp_path) == []


DEAF = """
def work():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open('ready', 'w').close()
    while True:
        time.sleep(1)
"""


def test_a_second_interrupt_kills(tmp_path):
    process = start(DEAF, tmp_path)
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.startswith("error: interrupted\n")


@pytest.mark.slow
def test_a_deaf_child_is_killed_in_the_end(tmp_path):
    process = start(DEAF, tmp_path)
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "stopped by SIGTERM before the work was done" in err


def test_terminate(tmp_path):
    process = start(WAITING, tmp_path)
    wait_for(tmp_path / "ready")
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.startswith("error: interrupted\nfound: stopped by SIGTERM")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_child_does_not_outlive_a_killed_parent(tmp_path):
    process = start(WAITING, tmp_path)
    wait_for(tmp_path / "ready")
    process.kill()
    process.communicate(timeout=30)  # would hang while a child holds the pipes
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_ignored_interrupt_stays_ignored(tmp_path):
    script = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + WAITING.replace("sleep(30)", "sleep(1)")
    process = start(script, tmp_path)
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


NOISY = """
def work():
    print('before')
    with quiet(verbose={verbose}) as terminal:
        import warnings, logging
        print('python out'); print('python err', file=sys.stderr)
        os.write(1, b'fd out\\n'); os.write(2, b'fd err\\n')
        os.system('echo from a subprocess')
        ctypes.CDLL(None).puts(b'buffered by C')
        warnings.warn('a TracerWarning')
        logging.warning('logged')
        print('{{"verdict": "aligned"}}', file=terminal.out)
        print('progress', file=terminal.err)
        with quiet() as inner:
            print('nested', file=inner.err)
    logging.warning('logged later, by a handler made inside')
    print('after')
    return 0
"""


def test_chatter_is_swallowed(tmp_path):
    code, out, err = run(NOISY.format(verbose=False), tmp_path)
    assert (code, out, err) == (0, 'before\n{"verdict": "aligned"}\nafter\n', "progress\nnested\n")


def test_verbose_lets_chatter_through_to_stderr(tmp_path):
    code, out, err = run(NOISY.format(verbose=True), tmp_path)
    assert (code, out) == (0, 'before\n{"verdict": "aligned"}\nafter\n')
    for line in ("python out", "python err", "fd out", "fd err", "from a subprocess", "buffered by C", "logged"):
        assert line in err


def test_debugging_lets_chatter_through(tmp_path):
    _, out, err = run(NOISY.format(verbose=False), tmp_path, ALIGNER_DEBUG="1")
    assert "fd out" in err
    assert "fd out" not in out


def test_streams_are_restored_after_an_error(tmp_path):
    code, out, err = run(
        """
        def work():
            try:
                with quiet() as terminal:
                    raise ValueError
            except ValueError:
                print('restored'); os.write(1, b'fd too\\n')
            raise ModelFormatError('what')
        """,
        tmp_path,
    )
    assert code == 2
    assert sorted(out.splitlines()) == ["fd too", "restored"]
    assert err == "error: what\n"


def test_encoding_of_the_real_stream_is_kept(tmp_path):
    code = "def work():\n    with quiet() as t:\n        print(t.out.encoding, '\\u00b1', file=t.out)\n    return 0"
    assert run(code, tmp_path, PYTHONIOENCODING="ascii:backslashreplace")[1] == "ascii \\xb1\n"


def test_a_terminal_is_still_a_terminal(tmp_path):
    pty = pytest.importorskip("pty")
    script = PRELUDE + "def work():\n    with quiet() as t: print(t.err.isatty(), file=t.err)\nsupervise(work)"
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", script], stdout=theirs, stderr=theirs)
    process.wait(timeout=20)
    os.close(theirs)
    assert b"True" in os.read(ours, 100)
    os.close(ours)


def test_closed_descriptors(tmp_path):
    script = PRELUDE + "def work():\n    with quiet() as t: print('x', file=t.out); return 3\nsys.exit(supervise(work))"
    assert subprocess.call([sys.executable, "-c", script], preexec_fn=lambda: (os.close(1), os.close(2))) == 3


def test_a_full_disk_is_told(tmp_path):
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("needs /dev/full")
    script = PRELUDE + "def work(): print('report'); return 0\nsys.exit(supervise(work))"
    for unbuffered in ("", "1"):
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        with device.open("w") as full:
            done = subprocess.run(
                [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
            )
        assert done.returncode == 2
        assert "\nfound: [Errno 28] No space left on device" in done.stderr
        assert "bug" not in done.stderr


def test_a_closed_pipe_is_quiet(tmp_path):
    script = PRELUDE + "def work():\n    for _ in range(99999): print('line')\n    return 0\nsys.exit(supervise(work))"
    command = f"{sys.executable} -c '{script.replace(chr(39), chr(34))}' | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("line\n2\n", "")


def test_without_fork_the_work_runs_here(tmp_path):
    code, out, err = run(
        "here = os.getpid()\ndef work(): print(os.getpid() == here); raise ModelFormatError('what')",
        tmp_path,
        ALIGNER_NO_FORK="1",
    )
    assert (code, out, err) == (2, "True\n", "error: what\n")


COMMANDS = """
import types, click
commands = types.ModuleType('aligner.cli.commands')
sys.modules['aligner.cli.commands'] = commands
@click.group()
def cli(): pass
@cli.command()
@click.argument('how')
def do(how):
    if how == 'abort': raise click.Abort
    if how == 'usage': raise click.UsageError('wrong words')
    if how == 'pipe': raise BrokenPipeError(32, 'Broken pipe')
    if how == 'error': raise ModelFormatError('what', found='found', hint='hint')
    click.echo('done')
    return int(how)
commands.cli = cli
def work(): return 0
sys.exit(main({argv!r}))
"""


@pytest.mark.parametrize(
    ("argv", "code", "out", "err"),
    [
        (["do", "0"], 0, "done\n", ""),
        (["do", "3"], 3, "done\n", ""),
        (["do", "abort"], 2, "", "error: interrupted"),
        (["do", "usage"], 2, "", "Error: wrong words"),
        (["do", "pipe"], 2, "", ""),
        (["do", "error"], 2, "", "error: what\nfound: found\nnext: hint\n"),
        (["nonsense"], 2, "", "No such command 'nonsense'"),
        (["do", "0", "--nonsense"], 2, "", "No such option"),
    ],
)
def test_click(tmp_path, argv, code, out, err):
    seen = run(COMMANDS.format(argv=argv), tmp_path)
    assert seen[:2] == (code, out)
    assert err in seen[2]
    assert bool(err) == bool(seen[2].strip())


def test_click_help(tmp_path):
    code, out, _ = run(COMMANDS.format(argv=["--help"]), tmp_path)
    assert code == 0
    assert out.startswith("Usage: align [OPTIONS] COMMAND [ARGS]...")


def test_the_parent_stays_thin():
    code = (
        "import sys, json; bare = set(sys.modules); import aligner.cli.process, aligner.cli.watch;"
        "print(json.dumps(sorted(m for m in sys.modules if m not in bare)))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"numpy", "click", "rich", "torch", "onnx", "ctypes", "tempfile", "subprocess", "asyncio"}


def test_what_a_killed_run_left_is_swept_by_the_next(tmp_path):
    process = start(WAITING, tmp_path)
    wait_for(tmp_path / "ready")
    (left,) = (tmp_path / "scratch").iterdir()
    (left / "something").write_text("of a framework's")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert left.exists()
    assert list(tmp_path.glob(".*.part"))
    assert run("def work(): return 0", tmp_path)[0] == 0
    assert not left.exists()
    assert not list(tmp_path.glob(".*.part"))


def test_a_board_that_a_dead_run_has_replaced_is_left_alone(tmp_path):
    left, victim = tmp_path / "scratch" / "aligner-999999-0123456789ab", tmp_path / ".victim.1.part"
    left.mkdir(parents=True)
    victim.write_bytes(b"x" * 100)
    (left / "board").symlink_to(victim)
    assert run("def work(): return 0", tmp_path)[0] == 0
    assert not left.exists()
    assert victim.read_bytes() == b"x" * 100


def test_a_run_beside_it_keeps_its_folder(tmp_path):
    process = start(WAITING, tmp_path)
    wait_for(tmp_path / "ready")
    (folder,) = (tmp_path / "scratch").iterdir()
    start("def work(): return 0", tmp_path).communicate(timeout=20)
    assert folder.exists()
    process.terminate()
    process.communicate(timeout=30)


def test_a_reader_who_has_seen_enough_does_not_change_the_verdict(tmp_path):
    code = """
    from aligner.cli.guard import decided
    def work():
        decided(1)
        for _ in range(99999): print('line')
        return 1
    """
    script = PRELUDE + textwrap.dedent(code) + "\nsys.exit(supervise(work))\n"
    (tmp_path / "script.py").write_text(script)
    command = f"{sys.executable} {tmp_path / 'script.py'} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("line\n1\n", "")


def test_a_report_may_end_in_a_code_of_its_own(tmp_path):
    """``align demo`` finds its fault every time and is done: 0, whoever reads along."""
    code = """
    from aligner.cli.work import working
    sys.path.insert(0, TESTS)
    from comparison_factory import diverged
    def work():
        with working(False) as terminal:
            return terminal.report(diverged(), {}, code=0)
    """
    script = (
        PRELUDE + f"TESTS = {str(Path(__file__).parent)!r}\n" + textwrap.dedent(code) + "\nsys.exit(supervise(work))\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = f"{sys.executable} {tmp_path / 'script.py'} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_each_command_with_a_verdict_keeps_it_from_a_closed_pipe():
    """By their text: a code that a command returns is kept before it prints."""
    import aligner

    for file in (Path(aligner.__file__).parent / "cli").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        returned = set(re.findall(r"return (\w+\.exit_code)", text)) - {"error.exit_code"}
        assert all(f"decided({code})" in text for code in returned), file.name


def test_a_shell_that_asks_for_completions(tmp_path):
    environment = {**os.environ, "_ALIGN_COMPLETE": "bash_source"}
    words = [sys.executable, "-c", "from aligner.cli.process import main; raise SystemExit(main())"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, env=environment)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "complete" in done.stdout
