"""Run cases: build, compare, score, each step in a process of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.building import NoPlaceError, build
from benchmarks.faults.built import Built
from benchmarks.faults.cases import Case
from benchmarks.faults.peers import CANNOT, PEERS, SPARED, TOOK, Peer
from benchmarks.faults.process import Outcome, peak_megabytes, run_apart
from benchmarks.faults.scoring import judge, score

TIMEOUT = 120.0


def warm_up() -> None:
    """Import once what every case needs, and start no threads: the children are forks of this process."""
    import onnx
    import onnxruntime
    import onnxscript
    import onnxslim
    import torch
    import transformers  # noqa: F401

    import aligner.api

    assert onnx and onnxruntime and onnxscript and onnxslim and aligner.api
    torch.set_num_threads(1)


def forms_folder(work: Path) -> Path:
    """Where built forms are kept: the name changes with the code that builds them."""
    here = Path(__file__).parent
    sources = ("architectures.py", "forms.py", "library_networks.py", "own_networks.py")
    sources += ("keras_forms.py", "keras_networks.py", "onnx2tf_form.py")
    digest = hashlib.sha256(b"".join((here / name).read_bytes() for name in sources)).hexdigest()
    return work / f"forms-{digest[:10]}"


def run_cases(
    cases: Sequence[Case],
    work: Path,
    jobs: int,
    timeout: float = TIMEOUT,
    *,
    peers: bool = False,
    dumped: bool = False,
) -> Iterator[dict[str, Any]]:
    """One record for each case, in order."""
    if jobs == 1:
        yield from (run_case(case, work, timeout, peers=peers, dumped=dumped) for case in cases)
        return
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda case: run_case(case, work, timeout, peers=peers, dumped=dumped), cases)


def run_case(
    case: Case, work: Path, timeout: float = TIMEOUT, *, peers: bool = False, dumped: bool = False
) -> dict[str, Any]:
    """Build, compare and score one case.

    ``peers`` asks other tools too, which may take a minute; ``dumped`` compares with a recording of the candidate.
    """
    folder = work / "cases" / case.name
    record: dict[str, Any] = {key: value for key, value in asdict(case).items() if key != "architectures"}
    made = run_apart(build_case, case, work, log=folder / "build.log", timeout=timeout)
    if made.status != "ok":
        return record | {"status": "not built", "error": made.value}
    if made.value is None:
        return record | {"status": "no place"}
    record |= made.value | {"build_seconds": round(made.seconds, 3)}
    answer = run_apart(compare_case, folder, dumped, log=folder / "compare.log", timeout=timeout)
    record |= _answered(answer)
    if dumped:
        return record | {"baselines": {}}  # what the others say of the pair has nothing to do with a dump
    recipe = run_apart(recipe_case, folder, log=folder / "recipe.log", timeout=timeout)
    record["baselines"] = recipe.value if recipe.status == "ok" else {}
    return _with_peers(record, folder, timeout) if peers else record


def _with_peers(record: dict[str, Any], folder: Path, timeout: float) -> dict[str, Any]:
    built = Built.read(folder)
    for peer in PEERS:
        if peer.installed() and peer.sample is None:
            record = _with_peer(record, peer, folder, timeout)
        elif peer.installed():
            record = record | {"peers": record.get("peers", {}) | {peer.name: SPARED if peer.takes(built) else CANNOT}}
    return record


def _with_peer(record: dict[str, Any], peer: Peer, folder: Path, timeout: float) -> dict[str, Any]:
    """The record with what one peer says."""
    answer = run_apart(peer_case, peer.name, folder, log=folder / f"{peer.module}.log", timeout=timeout)
    said, scores = TOOK, dict(record["baselines"])
    if answer.status != "ok":
        said = f"{answer.status}: {str(answer.value).strip().splitlines()[-1][:160]}"
    elif answer.value is None:
        said = CANNOT
    else:
        scores[peer.row] = answer.value
    return record | {"baselines": scores, "peers": record.get("peers", {}) | {peer.name: said}}


def ask_sample(
    records: Sequence[dict[str, Any]], work: Path, seed: int, timeout: float = TIMEOUT
) -> list[dict[str, Any]]:
    """The records with what the slow peers say of a seeded sample of the pairs they can take."""
    found = list(records)
    for peer in PEERS:
        if peer.sample is None:
            continue
        able = [i for i, record in enumerate(found) if record.get("peers", {}).get(peer.name) == SPARED]
        chosen = np.random.default_rng([seed, 11]).permutation(len(able))[: peer.sample]
        for i in sorted(able[int(place)] for place in chosen):
            found[i] = _with_peer(found[i], peer, work / "cases" / found[i]["name"], timeout)
    return found


def _answered(answer: Outcome) -> dict[str, Any]:
    if answer.status == "ok":
        return {"status": "scored", **answer.value}
    return {"status": answer.status, "error": answer.value, "seconds": round(answer.seconds, 3)}


def build_case(case: Case, work: Path) -> dict[str, Any] | None:
    """In the child: build and lay the case down; None where no architecture has a place for it."""
    folder = work / "cases" / case.name
    try:
        built = build(case, forms_folder(work), folder)
    except NoPlaceError:
        return None
    built.write(folder)
    return {
        "architecture": built.architecture,
        "reference_form": built.reference.form,
        "candidate_form": built.candidate.form,
        "planted": built.truth.planted,
        "blame": built.truth.blame,
    }


def compare_case(folder: Path, dumped: bool = False) -> dict[str, Any]:
    """In the child: the tool's answer and its score; ``dumped``: the candidate is only known by a recording."""
    import aligner

    built = Built.read(folder)
    reference, candidate = built.reference.open(), built.candidate.open()
    feeds = dict(built.feeds)
    if dumped:
        candidate = _recorded(reference, candidate, built, folder)
        feeds = {name: array for name, array in feeds.items() if not name.startswith("candidate.")}  # it holds its own
    before = peak_megabytes()
    start = time.perf_counter()
    result = aligner.compare(reference, candidate, feeds)
    seconds, after = time.perf_counter() - start, peak_megabytes()
    rms = _rms(built) if built.truth.blame == "nobody" else {}
    measured = {"seconds": round(seconds, 3), "peak_mb": round(after, 1), "grown_mb": round(after - before, 1)}
    return judge(built.truth, result, rms) | measured


def _recorded(reference: Any, candidate: Any, built: Built, folder: Path) -> Path:
    """A recording of the candidate, fed what a comparison of the two would feed it."""
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.recording_adapter.adapter import write_recording
    from aligner.api.given_inputs import input_items
    from aligner.execution.opening import open_side, side_info
    from aligner.inputs import prepare_feeds

    sides = [
        open_side(role, model, OpenOptions(), 0) for role, model in (("reference", reference), ("candidate", candidate))
    ]
    fed = prepare_feeds(input_items(built.feeds), *(side_info(side) for side in sides))
    sides[1].feeds = fed.candidate or {}
    path = folder / "candidate.npz"
    write_recording(path, sides[1].graph, sides[1].run(None), runtime=sides[1].session.runtime)
    for side in sides:
        side.close()
    return path


def _rms(built: Built) -> dict[str, float]:
    from benchmarks.faults.baselines import reference_sizes

    return reference_sizes(built.reference.open(), built.feeds)


def recipe_case(folder: Path) -> dict[str, Any]:
    """In the child: what the common recipe says of the same pair."""
    from benchmarks.faults.baselines import common_recipe

    built = Built.read(folder)
    start = time.perf_counter()
    said = common_recipe(built.reference.open(), built.candidate.open(), built.feeds)
    seconds = round(time.perf_counter() - start, 3)
    return {
        name: asdict(score(built.truth, bool(blamed), blamed)) | {"seconds": seconds} for name, blamed in said.items()
    }


def peer_case(name: str, folder: Path) -> dict[str, Any] | None:
    """In the child: what another tool says; None where it cannot take the pair."""
    peer = next(each for each in PEERS if each.name == name)
    built = Built.read(folder)
    if not peer.takes(built):
        return None
    start = time.perf_counter()
    blamed = peer.blames(built)
    seconds = round(time.perf_counter() - start, 3)
    return asdict(score(built.truth, bool(blamed), blamed)) | {"seconds": seconds}
