"""Two models over many inputs: ``align sweep``, and ``align merge`` for parts that ran elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aligner.cli.guard import decided, resumable, stopped_by_signals
from aligner.cli.options import (
    LEVEL,
    LOCAL,
    REFERENCE_CANDIDATE,
    compare_options,
    input_options,
    json_option,
    runtime_options,
    tolerance_options,
    weights_options,
)
from aligner.cli.targets import FileCommand, limits
from aligner.cli.work import working

if TYPE_CHECKING:
    from aligner.api.options import CompareOptions
    from aligner.api.sweeping import SweepOptions
    from aligner.inputs.samples import Sample, Stream
    from aligner.records.comparison import Comparison
    from aligner.records.preview import Picture
    from aligner.records.sweep import Sweep
    from aligner.report.sweep_page import FullSample

_EVERY = 5.0
"""Seconds between two times that the work so far is written."""
_SHARE = 20
"""… and at least so many times as long as that takes, for a set of many samples."""


def _found(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> tuple[Path, ...] | str:
    """Files by pattern, folder or list, found before anything runs; a factory's name as it is."""
    from aligner.inputs.samples import names_dataset, sample_files

    if len(words) == 1 and names_dataset(words[0]):
        return words[0]
    return tuple(sample_files(words, missing=bool(ctx.params.get("skip_bad")))) if words else ()


class SweepCommand(FileCommand):
    """Takes a factory that --inputs names for one that --dataset does: what it reads, runs and may do is the same."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See above. Raises UsageError where both name one."""
        rest = super().parse_args(ctx, args)
        factory = ctx.params.get("samples")
        if isinstance(factory, str):
            if ctx.params.get("dataset"):
                ctx.fail("the set is given twice, by --inputs and by --dataset: give one of them")
            ctx.params |= {"samples": (), "dataset": factory}
        return rest


def _measures(_: click.Context, __: click.Parameter, words: str | None) -> tuple[str, ...]:
    from aligner.api.agreement import chosen

    return () if words is None else chosen(words)


class ShardOption(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """A part of the set: "3/8" is the third of eight; "slurm" takes it from the job array."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        text = str(value)
        if text == "slurm":
            task, first = os.environ.get("SLURM_ARRAY_TASK_ID", ""), os.environ.get("SLURM_ARRAY_TASK_MIN", "0")
            many = os.environ.get("SLURM_ARRAY_TASK_COUNT", "")
            if not (task.isdigit() and many.isdigit()):
                self.fail("this is no task of a Slurm array: SLURM_ARRAY_TASK_ID and _COUNT are not set", param, ctx)
            apart = int(os.environ.get("SLURM_ARRAY_TASK_STEP", "1")) or 1  # --array=0-6:2
            text = f"{(int(task) - int(first)) // apart + 1}/{many}"
        part, slash, of = text.partition("/")
        if not (slash and part.isdigit() and of.isdigit() and 1 <= int(part) <= int(of)):
            self.fail(f"{text!r} is no part such as 1/4, counted from 1", param, ctx)
        return int(part) - 1, int(of)


@click.command(cls=SweepCommand, short_help="Compare two models on many inputs.")
@REFERENCE_CANDIDATE
@click.option(
    "--inputs",
    "samples",
    callback=_found,
    multiple=True,
    metavar="PATTERN|FOLDER|LIST.txt|FILE.py:FACTORY",
    help="The set: a pattern in quotes ('val/*.png'), a folder, a list of paths; repeat for several. Or a --dataset.",
)
@click.option("--dataset", metavar="FILE.py:FACTORY", help="Your own code, whose factory yields the inputs.")
@click.option("--skip-bad", is_flag=True, is_eager=True, help="Leave out inputs that cannot be read, and list them.")
@click.option("--shard", type=ShardOption(), default=(0, 1), help="Go through one part of the set: 1/4, or slurm.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes side by side.")
@click.option("--dask", metavar="ADDRESS", help="Workers of a running Dask cluster: tcp://host:8786, or its file.")
@click.option("--resume", is_flag=True, help="Go on with what --json FILE holds already.")
@click.option("--json", "json_file", metavar="FILE", help="Write JSON, now and then while it runs; - for stdout alone.")
@click.option("--html", "html_file", metavar="FILE", help="Write one HTML page that opens offline.")
@click.option("--worst", "worst_folder", metavar="FOLDER", help="Compare the three worst samples in full, into pages.")
@click.option(
    "--agreement",
    callback=_measures,
    metavar="NAMES",
    help="Measures of the outputs: argmax,top-5,iou,boxes=xyxy|xywh|cxcywh,cosine,psnr. By default what fits each.",
)
@tolerance_options
@LEVEL
@LOCAL
@weights_options
@click.option("--full", is_flag=True, help="Show every sample and every node.")
@input_options
@runtime_options
def sweep(reference: str, candidate: str, **given: Any) -> int:
    """Compare two forms of one model on many inputs: which samples break, which nodes err, how often.

    The models are opened once. The answer is the same for any --shard and --jobs.
    """
    from aligner.api.sweeping import Shard, SweepOptions

    if given["dask"] and given["jobs"] > 1:
        raise click.UsageError("--jobs and --dask both say who works: give one of them")
    samples = _samples(given)
    options = SweepOptions(
        compare_options(given),
        given["skip_bad"],
        Shard(*given["shard"]),
        total=_many_of(samples),
        done=_done(given),
        agreement=given["agreement"],
    )
    with working(given["verbose"]) as work:
        found = _gone_through((reference, candidate), samples, options, given)
        decided(found.exit_code)
        if given["json_file"]:
            from aligner.report.sweep_document import write_sweep

            write_sweep(found, work.target(given["json_file"]))
        full = _worst((reference, candidate), samples, found, options, given)
        _shown(found, given, work, full)
        for one in full.values():
            work.print(f"wrote {one.page}")
            work.print(f"wrote {one.page.with_suffix('.npz')}")
    return found.exit_code


@click.command(cls=FileCommand, short_help="Add up the parts of a sweep.")
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option()
@click.option("--html", "html_file", metavar="FILE", help="Write one HTML page that opens offline.")
@click.option("--full", is_flag=True, help="Show every sample and every node.")
def merge(parts: tuple[Path, ...], **given: Any) -> int:
    """Add up the parts of one sweep, made with --shard; one part alone is shown as it is.

    Exit codes as of the sweep, but 3 where no sample diverged and parts of the set are missing.
    """
    from aligner.records.comparison import EXIT_CODES
    from aligner.report.sweep_document import merged, write_sweep

    found = merged(parts)
    code = found.exit_code or (EXIT_CODES["inconclusive"] if found.left else 0)
    decided(code)
    with working(verbose=False) as work:
        if given["json_file"]:
            write_sweep(found, work.target(given["json_file"]))
        _shown(found, given, work)
    return code


def _shown(found: Sweep, given: dict[str, Any], work: working, full: Mapping[int, FullSample] | None = None) -> None:
    if given["html_file"]:
        from aligner.report.sweep_page import write_sweep_html

        write_sweep_html(found, work.target(given["html_file"]), full)
    if "-" not in (given["json_file"], given["html_file"]):
        from aligner.report.sweep_table import print_sweep

        print_sweep(found, work.console, full=given["full"])


def _samples(given: dict[str, Any]) -> Sequence[Sample] | Stream:
    """The set, in its order; what --input feeds is fed with each. What must be dealt out or gone back to is read."""
    from aligner.errors import InputError
    from aligner.inputs.samples import Sample, Stream, dataset, samples_of

    if given["dataset"] and given["samples"]:
        raise InputError("the set is given twice", found="--inputs and --dataset", hint="give one of them")
    if given["dataset"]:
        found = dataset(given["dataset"])
        again = given["dask"] or given["worst_folder"]
        return list(found) if isinstance(found, Stream) and again else found
    paths = given["samples"]
    if not paths:
        raise InputError("there are no inputs to go through", found="no --inputs", hint="--inputs 'val/*.png'")
    if not given["inputs"]:
        return list(samples_of(paths))
    return [Sample(index, str(path), [*given["inputs"], str(path)]) for index, path in enumerate(paths)]


def _many_of(samples: Sequence[Sample] | Stream) -> int | None:
    return len(samples) if isinstance(samples, Sequence) else None


def _done(given: dict[str, Any]) -> Sweep | None:
    from aligner.errors import OutputError
    from aligner.report.sweep_document import read_sweep

    if not given["resume"]:
        return None
    if not given["json_file"] or given["json_file"] == "-":
        raise OutputError("--resume needs --json FILE", found="no file to go on with", hint="name the same file")
    path = Path(given["json_file"])
    return read_sweep(path) if path.exists() else None


def _gone_through(
    models: tuple[str, str], samples: Sequence[Sample] | Stream, options: SweepOptions, given: dict[str, Any]
) -> Sweep:
    from aligner.api.sweeping import in_processes, on_cluster, run_sweep

    if options.done is not None:
        _check_resumed(options.done, models, samples, options)
    by_others = bool(given["dask"]) or given["jobs"] > 1
    keeping, own = _Keeping(given["json_file"], options, samples, by_others=by_others), limits()
    options = replace(options, told=keeping)
    try:
        with stopped_by_signals():
            if given["dask"]:
                found = on_cluster(models, samples, options, given["dask"], own)
            elif given["jobs"] > 1:  # they are confined as this process is
                timed = own and replace(own, files=False, network=False, writes=())
                found = in_processes(models, samples, options, given["jobs"], timed)
            else:
                found = run_sweep(*models, samples, options)
        return keeping.whole(found)
    except BaseException:  # Ctrl-C above all: --resume goes on from here
        keeping.write()
        raise


def _check_resumed(
    done: Sweep, models: tuple[str, str], samples: Sequence[Sample] | Stream, options: SweepOptions
) -> None:
    from aligner.api.options import told_settings
    from aligner.errors import OutputError
    from aligner.inputs.samples import Dataset

    limits = options.compare.atol, options.compare.rtol
    gone = {one.index: one.name for one in done.samples} | {one.index: one.name for one in done.skipped}
    total = _many_of(samples)
    if isinstance(samples, Dataset):
        names = {one.index: one.name for one in samples.each(gone.__contains__, skip_bad=True)}
    else:  # what only yields is not to be gone through twice, and names its samples by their places
        names = gone if total is None else {sample.index: sample.name for sample in samples}
    moved = [index for index, name in gone.items() if names.get(index) != name]
    paths = done.reference.path, done.candidate.path
    if (
        moved
        or total not in (None, done.total)
        or done.agreement != options.agreement
        or dict(done.settings) != told_settings(options.compare)
        or (done.tolerance.atol, done.tolerance.rtol) != limits
        or (done.samples and paths != models)
    ):
        found = (
            f"sample {moved[0]} was {gone[moved[0]]}"
            if moved
            else "other models, tolerances, measures, settings or samples"
        )
        raise OutputError("what --json FILE holds is of another sweep", found=found, hint="name another file")


class _Keeping:
    """Writes the work so far now and then, so that a process that dies loses seconds; tells how fast it goes."""

    def __init__(
        self, json_file: str | None, options: SweepOptions, samples: Sequence[Sample] | Stream, *, by_others: bool
    ) -> None:
        from aligner.api.sweeping import Pace

        self._by_others, self._samples, total = by_others, samples, _many_of(samples)
        self._target = None if json_file in (None, "-") else Path(json_file or "")
        shard = options.shard
        before = options.done
        self._total = None if total is None else len(range(shard.number, total, shard.of))
        self._pace = Pace(self._total, _many(before) if before is not None else 0)
        self._next = time.monotonic() + _EVERY
        self._sofar: Sweep | None = None

    def __call__(self, sweep: Sweep) -> None:
        from aligner.records import progress

        if self._by_others:  # whose phases are not seen here
            progress.advance(_many(sweep), self._total or 0)
        progress.headline(self._pace.words(_many(sweep)))
        self._sofar = sweep
        if time.monotonic() > self._next:
            self.write()

    def write(self) -> None:
        """Write what there is, where a file was named."""
        if self._target is None or self._sofar is None:
            return
        from aligner.report.sweep_document import write_sweep

        start = time.monotonic()
        write_sweep(self.whole(self._sofar), self._target)
        end = time.monotonic()
        self._next = end + max(_EVERY, _SHARE * (end - start))
        resumable(f"run it again with --resume: it goes on with what {self._target} holds")

    def whole(self, sweep: Sweep) -> Sweep:
        """With the number of samples in the set, or the least that it can be."""
        return sweep if isinstance(self._samples, Sequence) else replace(sweep, total=self._samples.fewest)


def _many(sweep: Sweep) -> int:
    return len(sweep.samples) + len(sweep.skipped)


def _worst(
    models: tuple[str, str],
    samples: Sequence[Sample] | Stream,
    found: Sweep,
    options: SweepOptions,
    given: dict[str, Any],
) -> dict[int, FullSample]:
    """Pages of the worst samples, each compared in full, and beside each what was fed, to compare again."""
    if not given["worst_folder"] or not found.breaking or not isinstance(samples, Sequence):
        return {}
    from aligner.execution.own_process import in_own_process
    from aligner.report.html import write_html
    from aligner.report.sweep_page import FullSample

    folder = Path(given["worst_folder"])
    folder.mkdir(parents=True, exist_ok=True)
    worst = [samples[sample.index] for sample in found.breaking[:3]]
    asked = models, options.compare, worst, folder
    # a process that talks to a cluster opens no model itself
    compared = in_own_process(_in_full, *asked, bounds=limits()) if given["dask"] else _in_full(*asked)
    full = {}
    for sample, (comparison, picture) in zip(worst, compared, strict=True):
        full[sample.index] = FullSample(folder / f"sample_{sample.index}.html", picture)
        write_html(comparison, full[sample.index].page)
    return full


def _in_full(
    models: tuple[str, str], options: CompareOptions, samples: Sequence[Sample], folder: Path
) -> list[tuple[Comparison, Picture | None]]:
    """The comparison of each sample, and what was fed as a picture; the numbers fed are written."""
    import numpy as np

    from aligner.api.open_models import OpenModels
    from aligner.errors import OutputError
    from aligner.execution.confinement import restart_clock

    found = []
    with OpenModels(*models, options) as opened:
        for sample in samples:
            restart_clock()
            comparison = opened.compare(sample.inputs)
            found.append((comparison, _drawn(opened.sides[0].feeds)))
            fed = folder / f"sample_{sample.index}.npz"
            try:
                np.savez(fed, **dict[str, Any](opened.sides[0].feeds))
            except OSError as error:
                hint = "name a folder with room"
                raise OutputError(f"{fed} cannot be written", found=str(error), hint=hint) from error
    return found


def _drawn(feeds: Mapping[str, Any]) -> Picture | None:
    """The first input that has rows and columns, a tile for each channel."""
    from aligner.diff.preview import preview

    drawn = (preview(array, array, pair=0, error="accumulated", channels="first") for array in feeds.values())
    return next((one.reference for one in drawn if one is not None), None)
