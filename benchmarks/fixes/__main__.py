"""``python -m benchmarks.fixes``: plant the fault bench's faults, let ``fix`` put the file right, count.

With ``--repro`` each located fault is cut out instead, and its package run where aligner cannot be imported.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.faults.cases import Case, all_cases

_GROUPS = frozenset({"fault", "module", "outputs", "double"})
_NO_EDIT = frozenset({"random-op"})
"""Faults that no edit undoes: noise that the reference does not draw alike."""


@click.command()
@click.option("--only", multiple=True, metavar="TEXT", help="Cases whose name holds this text; may be repeated.")
@click.option("--half", type=click.Choice(["open", "held"]), help="One half of the architectures alone.")
@click.option("--suffix", multiple=True, default=(".onnx", ".tflite"), show_default=True, help="Candidates' forms.")
@click.option("--sample", type=int, help="So many of the cases, drawn with the seed.")
@click.option("--part", metavar="I/N", help="Every N-th case from the I-th on, counted from 1.")
@click.option("--repro", is_flag=True, help="Cut the faults out instead of mending them.")
@click.option("--seed", default=0, show_default=True, help="The bench's seed.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep built files here; a temporary folder if not.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the results as JSON.")
def main(
    only: tuple[str, ...],
    half: str | None,
    suffix: tuple[str, ...],
    sample: int | None,
    part: str | None,
    repro: bool,
    seed: int,
    work: Path | None,
    out: Path | None,
) -> None:
    """Build the cases, fix them, print how many came out right."""
    from benchmarks.faults.bench import warm_up
    from benchmarks.faults.deployed import missing

    warm_up()
    cases = [case for case in all_cases(seed) if case.group in _GROUPS and half in {None, case.half}]
    cases = [case for case in cases if not only or any(text in case.name for text in only)]
    if sample is not None:
        cases = random.Random(seed).sample(cases, min(sample, len(cases)))
    if part is not None:
        first, parts = map(int, part.split("/"))
        cases = cases[first - 1 :: parts]
    records, job = [], repro_case if repro else fix_case
    with tempfile.TemporaryDirectory(prefix="fixes-") as temporary:
        for case in cases:
            if missing(case.form) is None and (record := _run(case, work or Path(temporary), suffix, job)):
                records.append(record)
                click.echo(f"{record['name']:45} {_words(record)}", err=True)
    if out is not None:
        out.write_text(json.dumps(records, indent=1) + "\n")
    click.echo(_reproduced(records) if repro else _summary(records))


def _run(case: Case, work: Path, suffix: tuple[str, ...], job: Any) -> dict[str, Any] | None:
    from benchmarks.faults.bench import build_case
    from benchmarks.faults.process import run_apart

    folder = work / "cases" / case.name
    if not (folder / "case.json").exists():
        made = run_apart(build_case, case, work, log=folder / "build.log", timeout=300)
        if made.status != "ok" or made.value is None:
            return None
    answer = run_apart(job, folder, suffix, log=folder / f"{job.__name__}.log", timeout=600)
    if answer.status == "ok" and answer.value is None:
        return None
    found = answer.value if answer.status == "ok" else {"status": answer.status, "error": str(answer.value)[-300:]}
    return {"name": case.name, "kind": case.kind, "editable": case.kind not in _NO_EDIT, **found}


def fix_case(folder: Path, suffix: tuple[str, ...]) -> dict[str, Any] | None:
    """In the child: fix, and hold what was written against the reference without the tool's help."""
    import warnings

    import aligner
    from aligner.api.fixing import fix
    from aligner.errors import AlignerError
    from benchmarks.faults.built import Built

    warnings.simplefilter("ignore")
    built = Built.read(folder)
    if built.candidate.file is None or not built.candidate.file.endswith(suffix):
        return None
    written = folder / f"fixed{Path(built.candidate.file).suffix}"
    written.unlink(missing_ok=True)
    start = time.perf_counter()
    try:
        found = fix(built.reference.open(), built.candidate.file, built.feeds, output=written)
    except AlignerError as error:
        return {"status": "refused", "error": f"{error.what}; {error.found}", "seconds": _since(start)}
    record = {
        "status": "written" if written.exists() else "not written",
        "before": found.before,
        "after": found.after,
        "errors": found.errors,
        "rounds": found.rounds,
        "patches": [(patch.node, patch.words, patch.lines) for patch in found.patches],
        "left": [(one.node, one.why) for one in found.left],
        "seconds": _since(start),
    }
    if written.exists():
        record["verified"] = aligner.compare(built.reference.open(), str(written), built.feeds).verdict
    return record


_ALONE = "import runpy, sys; sys.modules['aligner'] = None; runpy.run_path('repro.py', run_name='__main__')"


def repro_case(folder: Path, suffix: tuple[str, ...]) -> dict[str, Any] | None:
    """In the child: cut the fault out, and run what was written where aligner cannot be imported."""
    import aligner
    from aligner.errors import AlignerError
    from benchmarks.faults.built import Built

    built = Built.read(folder)
    if built.candidate.file is None or not built.candidate.file.endswith(suffix):
        return None
    written = folder / "repro"
    shutil.rmtree(written, ignore_errors=True)
    start = time.perf_counter()
    try:
        found = aligner.reproduce(built.reference.open(), built.candidate.file, built.feeds, output=written)
    except AlignerError as error:
        located = "there is no fault" not in str(error.what)
        words = f"{error.what}; {error.found}"
        return {"status": "refused" if located else "not located", "error": words, "seconds": _since(start)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE], cwd=written, capture_output=True, text=True, check=False
    )
    alone = done.returncode == 1 and "largest error" in done.stdout
    size = sum(path.stat().st_size for path in written.iterdir())
    words = f"{', '.join(found.operations)}; {size:,} bytes; {done.stdout.strip() or done.stderr[-200:]}"
    return {"status": "fails alone" if alone else "does not fail", "error": words, "seconds": _since(start)}


def _reproduced(records: list[dict[str, Any]]) -> str:
    located = [one for one in records if one["status"] != "not located"]
    alone = [one for one in located if one["status"] == "fails alone"]
    left = ", ".join(one["name"] for one in located if one not in alone)
    share = f"{len(alone) / len(located):.0%}" if located else "none"
    return f"{len(alone)} of {len(located)} located faults fail alone ({share})\nleft: {left or 'none'}"


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 2)


def _words(record: dict[str, Any]) -> str:
    more = record.get("error") or "; ".join(words[:60] for _, words, _ in record.get("patches", ()))
    return f"{record['status']} {record.get('verified', '')} {record.get('seconds', '')} {more[:140]}"


def _summary(records: list[dict[str, Any]]) -> str:
    guilty = [one for one in records if one["editable"] and one.get("before") != "aligned"]
    right = [one for one in guilty if one.get("verified") == "aligned"]
    wrong = [one["name"] for one in records if one["status"] == "written" and one.get("verified") != "aligned"]
    left = [one["name"] for one in guilty if one not in right]
    share = f"{len(right) / len(guilty):.0%}" if guilty else "none"
    return "\n".join(
        [
            f"{len(right)} of {len(guilty)} faulty files put right ({share})",
            f"written and not aligned: {', '.join(wrong) or 'none'}",
            f"left: {', '.join(left) or 'none'}",
        ]
    )


if __name__ == "__main__":
    main()
