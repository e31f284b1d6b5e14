"""What a sweep costs on one worker and on several of a Dask cluster on this machine, and what moves between them.

python -m benchmarks.speed.cluster [--samples 64] [--workers 1 --workers 2]

Wall time tells how it scales where cores are free; CPU time for each sample, workers' processes included, tells on a
busy machine, too: what more of it is spent is what dealing costs.
"""

from __future__ import annotations

import pickle
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from distributed import Client, LocalCluster
from torch import nn

from aligner.api.sweeping import SweepOptions, on_cluster, run_sweep
from aligner.inputs.samples import samples_of
from aligner.report.sweep_document import to_document


class _Blocks(nn.Module):
    """Twelve convolutions; ``limit`` is what one of the two models clips at."""

    def __init__(self, limit: float):
        super().__init__()
        torch.manual_seed(0)
        self.limit = limit
        self.layers = nn.ModuleList(nn.Conv2d(3 if not at else 16, 16, 3, padding=1) for at in range(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x).clamp(0, self.limit)
        return x.mean((2, 3))


@click.command()
@click.option("--samples", "many", default=64, show_default=True)
@click.option("--workers", multiple=True, type=int, default=(1, 2), show_default=True)
def main(many: int, workers: Sequence[int]) -> None:
    """The same sweep by each number of workers; the documents must be the same."""
    with TemporaryDirectory() as name:
        models, files = _made(Path(name), many)
        documents = []
        for count in workers:
            with (
                LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None, silence_logs=50) as local,
                Client(local) as client,
            ):
                on_cluster(models, files[: 2 * count], SweepOptions(total=many), client)  # imports, and opens
                before, start = _cpu(client), time.perf_counter()
                found = on_cluster(models, files, SweepOptions(total=many), client)
                wall, spent = time.perf_counter() - start, _cpu(client) - before
            documents.append(to_document(found))
            print(f"{count} workers: {many / wall:.1f} samples a second, {spent / many * 1000:.0f} ms of CPU for each")
        assert all(one == documents[0] for one in documents)
        _print_moved(models, files, len(found.nodes))


def _made(folder: Path, many: int) -> tuple[tuple[str, str], list]:
    x = torch.zeros(1, 3, 96, 96)
    models = str(folder / "reference.pt"), str(folder / "candidate.onnx")
    torch.jit.trace(_Blocks(6.0).eval(), x).save(models[0])
    torch.onnx.export(_Blocks(6.0).eval(), (x,), models[1], dynamo=False, input_names=["x"])
    for at in range(many):
        drawn = np.random.default_rng(at).standard_normal((1, 3, 96, 96), dtype=np.float32)
        np.save(folder / f"{at:06}.npy", drawn)
    return models, list(samples_of(sorted(folder.glob("*.npy"))))


def _cpu(client: Client) -> float:
    """Seconds of all workers and of their children that are there."""
    return sum(client.run(_used).values())


def _used() -> float:
    import psutil

    own = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    living = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return sum(one.ru_utime + one.ru_stime for one in own) + sum(one.user + one.system for one in living)


def _print_moved(models: tuple[str, str], files: list, pairs: int) -> None:
    """Bytes as they are pickled: of batches of two sizes, so that what each sample adds can be told."""
    few, more = files[:2], files[:10]
    there = [len(pickle.dumps((models, batch, SweepOptions()))) for batch in (few, more)]
    back = [len(pickle.dumps(run_sweep(*models, batch, SweepOptions()))) for batch in (few, more)]
    for word, (one, two) in {"to a worker": there, "back": back}.items():
        each = (two - one) / (len(more) - len(few))
        print(f"{word}: {one - each * len(few):,.0f} bytes a batch of {pairs} pairs, {each:,.0f} more for each sample")


if __name__ == "__main__":
    main()
