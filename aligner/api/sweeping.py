"""sweep(): two models over a set of inputs, opened once; what remains of each input is a few numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from aligner.api.agreement import agreement as agreement_of
from aligner.api.agreement import chosen
from aligner.api.open_models import OpenModels
from aligner.api.options import CompareOptions, check
from aligner.errors import AlignerError, ComparisonError, InputError
from aligner.execution.determinism import undisturbed
from aligner.execution.own_process import in_own_process
from aligner.inputs.samples import Sample, samples_of
from aligner.records.comparison import GUILTY, Comparison, ModelSummary, Pair, Tolerance, output_error
from aligner.records.sweep import Agreement, NodeErrors, SampleResult, SkippedSample, Sweep, distribution

if TYPE_CHECKING:
    from aligner.execution.confinement import Bounds


_NOTHING = InputError("there are no inputs to go through", found="the set is empty", hint="name at least one")
Listener = Callable[[Sweep], None]


@dataclass(frozen=True, slots=True)
class Shard:
    """Which samples of a set are gone through: those with index ≡ ``number`` (mod ``of``)."""

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise ComparisonError(
                f"there is no part {self.number + 1} of {self.of}", hint="parts are counted from 1: --shard 1/4"
            )

    def holds(self, index: int) -> bool:
        """Whether the sample is in this shard."""
        return index % self.of == self.number


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """``compare`` holds for every sample, ``agreement`` names the measures of it, none: what fits each output.

    ``done``: what was gone through before; ``told`` hears of every sample.
    """

    compare: CompareOptions = field(default_factory=CompareOptions)
    skip_bad: bool = False
    shard: Shard = field(default_factory=Shard)
    total: int | None = None
    done: Sweep | None = None
    told: Listener | None = None
    agreement: tuple[str, ...] = ()


def sweep(
    reference: object,
    candidate: object,
    samples: Any,
    *,
    skip_bad: bool = False,
    dask: object = None,
    agreement: str | Sequence[str] | None = None,
    **options: Any,
) -> Sweep:
    """Compare two forms of one model on many inputs.

    ``samples`` is a pattern ("val/*.png"), a folder, a list of paths in a .txt file, or anything that yields what
    ``compare`` takes as inputs. ``options`` are the fields of ``CompareOptions`` (atol, rtol, level, local, …).
    ``dask`` is a client of a running Dask cluster, or its scheduler's address: the workers share the samples.
    ``agreement`` chooses what is told of the outputs beside errors: "argmax,top-5,iou,boxes,cosine,psnr" or some of
    them; by default what fits each output.

    Raises InputError at the first sample that cannot be read unless ``skip_bad``, AlignerError where the models cannot
    be compared.
    """
    measures = () if agreement is None else chosen(agreement)
    how = SweepOptions(CompareOptions(**options), skip_bad, agreement=measures)
    if dask is not None:
        return on_cluster((reference, candidate), list(samples_of(samples)), how, dask)
    return run_sweep(reference, candidate, samples, how)


def in_processes(models: tuple[object, object], samples: Sequence[Sample], options: SweepOptions, jobs: int) -> Sweep:
    """The same sweep by several processes, each with its share of the samples; ``told`` hears of whole shares."""
    own = options.shard
    shares = [Shard(own.number + own.of * number, own.of * jobs) for number in range(jobs)]
    alone = replace(options, told=None, done=None)
    known = _indices(options.done)
    left = [sample for sample in samples if sample.index not in known]
    shares = [share for share in shares if any(share.holds(sample.index) for sample in left)]
    with ThreadPoolExecutor(jobs) as pool:
        parts = [
            pool.submit(in_own_process, run_sweep, models[0], models[1], left, replace(alone, shard=share))
            for share in shares
        ]
        done = [*([options.done] if options.done else []), *(one.result() for one in parts)]
    return reduce(add, done)


def on_cluster(
    models: tuple[object, object],
    samples: Sequence[Sample],
    options: SweepOptions,
    cluster: object,
    bounds: Bounds | None = None,
) -> Sweep:
    """The same sweep by the workers of a Dask cluster, which read files at the same paths.

    ``bounds`` confine the processes that open the models. Raises ComparisonError where a worker has other versions.
    """
    from aligner.execution.cluster import answers, batches, connected

    known = _indices(options.done)
    left = [one for one in samples if options.shard.holds(one.index) and one.index not in known]
    alone = replace(options, told=None, done=None, shard=Shard())
    client, ours = connected(cluster)
    try:
        found = options.done
        for part in answers(client, _batch, [(models, batch, alone) for batch in batches(client, left)], bounds):
            found = part if found is None else _alike(found, part)
            if options.told is not None:
                options.told(found)
    finally:
        if ours:
            client.close()
    if found is None:
        raise _NOTHING
    return found


def _alike(found: Sweep, part: Sweep) -> Sweep:
    """Both, where the same runtimes computed them."""
    for side in ("reference", "candidate"):
        one, other = getattr(found, side).runtime, getattr(part, side).runtime
        if one != other and found.samples and part.samples:
            raise ComparisonError(
                f"workers ran the {side} by different runtimes",
                found=f"{one}, and {other}",
                hint="install the same versions on all workers",
            )
    return found + part


_open: OpenModels | None = None
"""In a process of a cluster's worker: the models, opened once for all of its batches."""


def _batch(models: tuple[object, object], samples: Sequence[Sample], options: SweepOptions) -> Sweep:
    global _open
    check(_plain(options))
    if _open is None:
        _open = OpenModels(*models, _plain(options)).__enter__()
    return _Going(options).over(samples, _open)


@undisturbed()
def run_sweep(reference: object, candidate: object, samples: Any, options: SweepOptions) -> Sweep:
    """The sweep itself; each sample is judged by itself, whatever came before it."""
    check(_plain(options))
    going = _Going(options)
    left = going.left(samples_of(samples))
    with OpenModels(reference, candidate, _plain(options)) as models:
        return going.over(left, models)


def _plain(options: SweepOptions) -> CompareOptions:
    return replace(options.compare, explain=False, probe=False, rehearse=False)


def _indices(sweep: Sweep | None) -> Collection[int]:
    if sweep is None:
        return set()
    return {one.index for one in sweep.samples} | {one.index for one in sweep.skipped}


class _Going:
    """One process's way through the samples."""

    def __init__(self, options: SweepOptions) -> None:
        self._options, self._sweep = options, options.done

    def left(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Those of this shard that were not gone through before."""
        for sample in samples:
            if self._options.shard.holds(sample.index) and sample.index not in self._known():
                yield sample

    def _known(self) -> Collection[int]:
        return _indices(self._sweep)

    def over(self, samples: Iterable[Sample], models: OpenModels) -> Sweep:
        """Compare on each sample and add it up."""
        for sample in samples:
            self._add(self._one(models, sample))
        if self._sweep is None:
            raise _NOTHING
        return self._sweep

    def _one(self, models: OpenModels, sample: Sample) -> Sweep:
        try:
            comparison = models.compare(sample.inputs)
        except InputError as error:
            if not self._options.skip_bad:
                raise type(error)(f"{sample.name}: {error.what}", found=error.found, hint=error.hint) from error
            return self._skipped(sample, error)
        except AlignerError as error:
            raise type(error)(f"{sample.name}: {error.what}", found=error.found, hint=error.hint) from error
        layout = models.sides[0].graph.channels
        measures = self._options.agreement
        agreements = tuple(agreement_of(*output, layout, measures) for output in models.outputs())
        return _summary(comparison, sample, agreements, self._options)

    def _skipped(self, sample: Sample, error: InputError) -> Sweep:
        why = f"{error.what}: {error.found}" if error.found else error.what
        nobody = ModelSummary("", "", "", 0)
        limits = Tolerance(self._options.compare.atol, self._options.compare.rtol, "")
        skipped = (SkippedSample(sample.index, sample.name, why),)
        return Sweep(nobody, nobody, limits, self._options.total or 0, self._options.agreement, skipped=skipped)

    def _add(self, part: Sweep) -> None:
        self._sweep = part if self._sweep is None else self._sweep + part
        if self._options.told is not None:
            self._options.told(self._sweep)


def _summary(comparison: Comparison, sample: Sample, agreements: tuple[Agreement, ...], options: SweepOptions) -> Sweep:
    first = comparison.first_divergence
    result = SampleResult(
        sample.index,
        sample.name,
        comparison.verdict,
        comparison.reason,
        output_error(comparison),
        first.candidate.node if first is not None else None,
        agreements,
    )
    nodes = tuple(_node(place, pair, sample.index) for place, pair in enumerate(comparison.pairs))
    return Sweep(
        replace(comparison.reference, notes=()),  # what is said of one input is not said of the set
        replace(comparison.candidate, notes=()),
        comparison.tolerance,
        options.total or 0,
        options.agreement,
        samples=(result,),
        nodes=nodes,
    )


def _node(place: int, pair: Pair, sample: int) -> NodeErrors:
    errors = pair.local or pair.accumulated
    found = [] if errors is None else [errors.max_abs]
    return NodeErrors(
        pair.reference.name,
        pair.candidate.name,
        pair.candidate.op,
        place,
        distribution(found),
        introduced=int(pair.verdict in GUILTY),
        worst=max(found, default=0.0),
        worst_sample=sample,
    )


class Pace:
    """How fast a sweep goes, for whoever waits."""

    def __init__(self, total: int, done: int = 0) -> None:
        self._total, self._before, self._start = total, done, time.monotonic()

    def words(self, done: int) -> str:
        """ "12 of 400, 3.1 a second, 2 min left"."""
        rate = (done - self._before) / max(time.monotonic() - self._start, 1e-9)
        left = (self._total - done) / rate if rate else 0.0
        size = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min" if left < 7200 else f"{left / 3600:.0f} h"
        pace = f"{rate:.1f} a second" if rate >= 1 else f"{1 / rate:.1f} s each" if rate else "…"
        return f"{done} of {self._total} samples, {pace}, {size} left"
