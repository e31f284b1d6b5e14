"""sweep(): two models over a set of inputs, opened once; what remains of each input is a few numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import field, replace
from operator import add
from typing import Any

from aligner.api.agreement import agreement as agreement_of
from aligner.api.agreement import chosen
from aligner.api.open_models import OpenModels
from aligner.api.options import CompareOptions, check, told_settings
from aligner.errors import AlignerError, ComparisonError, InputError
from aligner.execution.confinement import Bounds, restart_clock
from aligner.execution.determinism import OwnDraws, undisturbed
from aligner.inputs.samples import Dataset, Sample, has_places, samples_of
from aligner.records import progress
from aligner.records.comparison import GUILTY, Comparison, ModelSummary, Pair, Tolerance, output_error
from aligner.records.dataclass import dataclass
from aligner.records.sweep import Agreement, NodeErrors, SampleResult, SkippedSample, Sweep, distribution

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
    jobs: int = 1,
    dask: object = None,
    agreement: str | Sequence[str] | None = None,
    **options: Any,
) -> Sweep:
    """Compare two forms of one model on many inputs.

    ``samples`` is a pattern ("val/*.png"), a folder, a list of paths in a .txt file, or anything that yields what
    ``compare`` takes as inputs. ``options`` are the fields of ``CompareOptions`` (atol, rtol, level, local, …).
    ``jobs`` processes share the samples, to which models and inputs are handed over (files, or what pickle takes).
    ``dask`` is a client of a running Dask cluster, or its scheduler's address: the workers share the samples.
    ``agreement`` chooses what is told of the outputs beside errors: "argmax,top-5,iou,boxes,cosine,psnr" or some of
    them; by default what fits each output.

    Raises InputError at the first sample that cannot be read unless ``skip_bad``, AlignerError where the models cannot
    be compared.
    """
    measures = () if agreement is None else chosen(agreement)
    if has_places(samples) and not isinstance(samples, (list, tuple)):
        samples = Dataset(samples)  # of which one sample can be bad
    how = SweepOptions(CompareOptions(**options), skip_bad, agreement=measures)
    if dask is not None:
        return on_cluster((reference, candidate), samples, how, dask)
    if jobs > 1:
        return in_processes((reference, candidate), samples, how, jobs)
    return run_sweep(reference, candidate, samples, how)


def in_processes(
    models: tuple[object, object],
    samples: Any,
    options: SweepOptions,
    jobs: int,
    bounds: Bounds | None = None,
) -> Sweep:
    """The same sweep by several processes, each of which takes the next sample as soon as it is free.

    ``bounds`` confine them. What dies with a process is done again by another, once.
    """
    from aligner.execution.workers import Workers

    restart_clock(stop=True)  # no model is opened here
    progress.enter("", f"by {jobs} processes")
    alone = replace(options, told=None, done=None, shard=Shard())
    with Workers(jobs, (_keep_open, (models, alone)), bounds) as workers:
        calls = ((None, [sample], alone) for sample in _left(samples, options))
        return _added_up(workers.answers(_batch, calls), options, add)


def on_cluster(
    models: tuple[object, object],
    samples: Any,
    options: SweepOptions,
    cluster: object,
    bounds: Bounds | None = None,
) -> Sweep:
    """The same sweep by the workers of a Dask cluster, which read files at the same paths.

    ``bounds`` confine the processes that open the models. Raises ComparisonError where a worker has other versions.
    """
    from aligner.execution.cluster import answers, batches, connected

    restart_clock(stop=True)  # no model is opened here
    progress.enter("", "by the workers of the cluster")
    left = list(_left(samples, options))
    alone = replace(options, told=None, done=None, shard=Shard())
    client, ours = connected(cluster)
    try:
        calls = [(models, batch, alone) for batch in batches(client, left)]
        with closing(answers(client, _batch, calls, bounds)) as parts:
            return _added_up(parts, options, _alike)
    finally:
        if ours:
            client.close()


def _added_up(parts: Iterable[Sweep], options: SweepOptions, added: Callable[[Sweep, Sweep], Sweep]) -> Sweep:
    """What was done before and the parts as they come; whoever listens hears of each."""
    found = options.done
    for part in parts:
        found = part if found is None else added(found, part)
        if options.told is not None:
            options.told(found)
    if found is None:
        raise _NOTHING
    return found


def _left(samples: Any, options: SweepOptions) -> Iterator[Sample]:
    """Those of this shard that were not gone through before."""
    known = _indices(options.done)

    def wanted(index: int) -> bool:
        return options.shard.holds(index) and index not in known

    if isinstance(samples, Dataset):
        return samples.each(wanted, skip_bad=options.skip_bad)
    return (one for one in samples_of(samples) if wanted(one.index))


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
"""In a process that works for others: the models, opened once for all of its batches."""


def _keep_open(models: tuple[object, object], options: SweepOptions) -> None:
    global _open
    if _open is None:
        check(_plain(options))
        _open = OpenModels(*models, _plain(options)).__enter__()


def _batch(models: tuple[object, object] | None, samples: Sequence[Sample], options: SweepOptions) -> Sweep:
    """``models`` are None where they are open already."""
    if models is not None:
        _keep_open(models, options)
    assert _open is not None
    return _added_up(_gone_through(samples, _open, options), options, add)


@undisturbed()
def run_sweep(reference: object, candidate: object, samples: Any, options: SweepOptions) -> Sweep:
    """The sweep itself; each sample is judged by itself, whatever came before it."""
    check(_plain(options))
    draws = OwnDraws()
    with OpenModels(reference, candidate, _plain(options)) as models:
        parts = _gone_through(_drawn(_left(samples, options), draws), models, options)
        return _added_up(parts, options, add)


def _drawn(samples: Iterator[Sample], draws: OwnDraws) -> Iterator[Sample]:
    """The samples; what their code draws at random is not what it drew for the one before."""
    while True:
        with draws.resumed():
            sample = next(samples, None)
        if sample is None:
            return
        yield sample


def _plain(options: SweepOptions) -> CompareOptions:
    return replace(options.compare, explain=False, probe=False, rehearse=False)


def _indices(sweep: Sweep | None) -> Collection[int]:
    if sweep is None:
        return set()
    return {one.index for one in sweep.samples} | {one.index for one in sweep.skipped}


def _gone_through(samples: Iterable[Sample], models: OpenModels, options: SweepOptions) -> Iterator[Sweep]:
    """What comes of each sample, by itself."""
    for sample in samples:
        progress.about(sample.name)
        try:
            part = _one(models, sample, options)
        finally:
            progress.about("")
        yield part
        restart_clock()


def _one(models: OpenModels, sample: Sample, options: SweepOptions) -> Sweep:
    try:
        if sample.unread is not None:
            raise sample.unread
        comparison = models.compare(sample.inputs)
    except InputError as error:
        if not options.skip_bad:
            raise type(error)(f"{sample.name}: {error.what}", found=error.found, hint=error.hint) from error
        return _skipped(sample, error, options)
    except AlignerError as error:
        raise type(error)(f"{sample.name}: {error.what}", found=error.found, hint=error.hint) from error
    layout = models.sides[0].graph.channels
    agreements = tuple(agreement_of(*output, layout, options.agreement) for output in models.outputs())
    return _summary(comparison, sample, agreements, options)


def _skipped(sample: Sample, error: InputError, options: SweepOptions) -> Sweep:
    why = f"{error.what}: {error.found}" if error.found else error.what
    nobody = ModelSummary("", "", "", 0)
    limits = Tolerance(options.compare.atol, options.compare.rtol, "")
    skipped, told = (SkippedSample(sample.index, sample.name, why),), told_settings(options.compare)
    return Sweep(nobody, nobody, limits, options.total or 0, options.agreement, skipped=skipped, settings=told)


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
        settings=told_settings(options.compare),
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

    def __init__(self, total: int | None, done: int = 0) -> None:
        self._total, self._before, self._start = total, done, time.monotonic()

    def words(self, done: int) -> str:
        """ "12 of 400 samples, 3.1 a second, 2 min left"; of a set of unknown length "12 samples, 3.1 a second"."""
        rate = (done - self._before) / max(time.monotonic() - self._start, 1e-9)
        pace = f"{rate:.1f} a second" if rate >= 1 else f"{1 / rate:.1f} s each" if rate else "…"
        if self._total is None:
            return f"{done} samples, {pace}"
        left = (self._total - done) / rate if rate else 0.0
        size = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min" if left < 7200 else f"{left / 3600:.0f} h"
        return f"{done} of {self._total} samples, {pace}, {size} left"
