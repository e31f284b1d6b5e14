"""Pairs with a TFLite side: ``python -m benchmarks.converters.mobile --source torch --seeds A:B --cache FOLDER``.

Networks drawn by seed, in PyTorch (ONNX, then onnx2tf, whose Python ``FAULT_BENCH_ONNX2TF`` names) or in Keras
(TensorFlow's converter, tf2onnx), with their twins in fewer bits; clean, and with one fault in the TFLite file.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks.converters.mobile.judging import Judged, judge
from benchmarks.converters.mobile.pairs import REFERENCES, pairs

LIMIT = 600
"""Seconds after which a seed counts as stuck."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.converters.mobile", description=__doc__)
    parser.add_argument("--source", choices=[*REFERENCES], default="torch")
    parser.add_argument("--seeds", default="0:4", help="A:B, B not included")
    parser.add_argument("--faults", type=int, default=3, metavar="COUNT", help="faults of a seed")
    parser.add_argument("--no-clean", action="store_true", help="only faults")
    parser.add_argument("--all-forms", action="store_true", help="clean pairs with every form as the reference")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the faulty files there")
    parser.add_argument("--cache", type=Path, required=True, help="where the tools' files are kept, by seed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every outcome, a line each")
    chosen = parser.parse_args(arguments)
    first, _, last = chosen.seeds.partition(":")
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
    found: list[Judged] = []
    for seed in range(int(first), int(last)):
        found += _of_seed(seed, chosen)
    print(table(found))
    return int(any(each.failed for each in found))


def _of_seed(seed: int, chosen: argparse.Namespace) -> list[Judged]:
    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise TimeoutError

    found = []
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    options = {"faults": chosen.faults, "clean": not chosen.no_clean, "all_forms": chosen.all_forms}
    with tempfile.TemporaryDirectory(prefix="mobile") as work:
        try:
            for pair in pairs(seed, chosen.source, chosen.cache, chosen.keep or Path(work), **options):
                judged = judge(pair)
                found.append(judged)
                if chosen.json:
                    with chosen.json.open("a") as file:
                        file.write(json.dumps(judged.as_dict()) + "\n")
                print(_line(judged), flush=True)
        except TimeoutError:
            print(f"stuck              {seed}", flush=True)
        except RuntimeError as error:
            print(f"not made           {seed}: {str(error)[-160:]!r}", flush=True)
        except Exception:  # noqa: BLE001 - a pair that cannot be made is not the engine's
            print(f"not made           {seed}: {traceback.format_exc(limit=-2)[-300:]!r}", flush=True)
        finally:
            signal.alarm(0)
    return found


def _line(one: Judged) -> str:
    head = f"{one.failed or 'ok':18} {one.source} {one.seed} {one.reference}→{one.twin} {one.seconds:.0f} s"
    if one.fault is None:
        return f"{head} clean, answered {one.answered} of {one.pairable} {one.unpaired[:4]}" + (
            f"; {one.reason} {one.first} {one.wrong_pairs[:3]}" if one.failed else ""
        )
    cause = "" if one.cause_right else f"; said {one.said}"
    return f"{head} {one.detail}{cause}" + (f"; first {one.first}; {one.reason}" if one.failed else "")


def table(found: Sequence[Judged]) -> str:
    """A row for each source, form of the reference and twin; one for each form; and one for all."""
    lines = [
        "| source | reference | twin | clean pairs | aligned | answered | faults | flagged | located | first cause |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    keys = {(each.source, each.reference, each.twin) for each in found}
    for key in [*sorted(keys), *(("all", form, "all") for form in sorted({form for _, form, _ in keys})), ("all",) * 3]:
        rows = [each for each in found if _in_row(each, key)]
        clean, faulty = [each for each in rows if each.fault is None], [each for each in rows if each.fault is not None]
        answered, pairable = sum(each.answered for each in clean), sum(each.pairable for each in clean)
        cells = (
            *key,
            len(clean),
            sum(each.verdict == "aligned" for each in clean),
            f"{answered} of {pairable}" if pairable else "–",
            len(faulty),
            sum(each.verdict == "diverged" for each in faulty),
            sum(each.exact for each in faulty),
            sum(each.cause_right for each in faulty),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _in_row(one: Judged, key: tuple[str, ...]) -> bool:
    return all(word in {"all", each} for word, each in zip(key, (one.source, one.reference, one.twin), strict=True))


if __name__ == "__main__":
    sys.exit(main())
