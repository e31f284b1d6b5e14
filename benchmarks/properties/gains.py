"""How much larger half precision leaves a tensor as a whole: what ``scaled-as-a-whole`` is no fault of.

python -m benchmarks.properties.gains --seeds A:B

Clean random pairs: networks rewritten at random, the candidate stored and run in float16 by onnxruntime; networks of
layers in float16 and bfloat16 by PyTorch. For each pair of tensors: its gain over the bound; and what was diverged.
"""

from __future__ import annotations

import argparse
import copy
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

import aligner
from aligner.errors import AlignerError
from aligner.judgement.pair_facts import PairFacts
from benchmarks.causes.network import around, given, size, trained
from benchmarks.converters.case import case
from benchmarks.converters.graph import to_proto


def _files(seed: int, folder: Path) -> tuple[Any, Any, Any] | None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made = case(seed, faulty=False)
    if made is None:
        return None
    for name, graph in (("reference", made.reference), ("candidate", made.candidate)):
        (folder / f"{name}.onnx").write_bytes(to_proto(graph).SerializeToString())
    plain = onnx.load(folder / "candidate.onnx")
    onnx.save(convert_float_to_float16(plain, keep_io_types=True), folder / "half.onnx")
    return folder / "reference.onnx", folder / "half.onnx", dict(made.reference.feeds)


def _modules(seed: int) -> tuple[Any, Any, Any]:
    draw = random.Random(f"gain/{seed}")
    domain = draw.choice(("image", "tokens"))
    of = size(draw, square=False)
    before, after = around(domain, of, "middle", draw)
    x, network = given(domain, of, "middle", draw), nn.Sequential(before, after).eval()
    with torch.no_grad():
        network(x)
    trained(network, draw)
    dtype = draw.choice((torch.float16, torch.bfloat16))
    x = x.to(dtype).float()

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = copy.deepcopy(network).to(dtype)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.inner(x.to(dtype)).float()
            return out

    return network, Narrow().eval(), {"input": x.numpy()}


def compared(seed: int) -> Iterator[tuple[str, list[float]]]:
    """The verdict on each pair of a seed, and its tensors' gains over their bounds."""
    for make in (_files, lambda seed, _: _modules(seed)):
        gains: list[float] = []
        own = PairFacts.gain.func  # type: ignore[attr-defined]

        def noted(facts: PairFacts, own: Any = own, gains: list[float] = gains) -> float:
            gains.append(own(facts))
            return float(gains[-1])

        PairFacts.gain.func = noted  # type: ignore[attr-defined]
        try:
            with tempfile.TemporaryDirectory() as folder:
                made = make(seed, Path(folder))
                if made is not None:
                    yield aligner.compare(*made).verdict, gains
        except AlignerError as error:
            yield "refused: " + str(error).splitlines()[0][:80], gains
        except Exception as error:  # noqa: BLE001 - a model that has no form in half precision makes no pair
            yield "no pair: " + str(error).splitlines()[0][:80], gains
        finally:
            PairFacts.gain.func = own  # type: ignore[attr-defined]


def _apart(seed: int) -> list[tuple[str, list[float]]]:
    """In a process of its own: onnxruntime dies of some models in float16."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_both, seed).result()
        except BrokenProcessPool:
            return [("no pair: the runtime crashed", [])]


def _both(seed: int) -> list[tuple[str, list[float]]]:
    return list(compared(seed))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.properties.gains", description=__doc__)
    parser.add_argument("--seeds", default="0:60", help="A:B, B not included")
    first, _, last = parser.parse_args(arguments).seeds.partition(":")
    found = [(seed, *one) for seed in range(int(first), int(last)) for one in _apart(seed)]
    ratios = sorted(ratio for _, _, gains in found for ratio in gains if ratio > 0)
    for seed, verdict, gains in found:
        if verdict != "aligned" or max(gains, default=0.0) > 1:
            print(f"{seed}: {verdict}, largest gain {max(gains, default=0.0):.2f} of its bound")
    print(f"{len(found)} pairs, {len(ratios)} tensors whose gain was asked for; of its bound at most:")
    for share in (0.5, 0.9, 0.99, 0.999, 1.0) if ratios else ():
        print(f"  {share:.1%} of them {ratios[max(int(share * len(ratios)) - 1, 0)]:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
