"""Runs that were captured elsewhere: files of named tensors that stand for a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aligner.adapters.base import Adapter, Capabilities, OpenOptions, Session
from aligner.adapters.recording_adapter.fed import check_asked, check_fed
from aligner.errors import ModelError, ModelFormatError, ModelNotFoundError, listing
from aligner.records.array import Array
from aligner.records.graph import Graph, InputSpec, Signature
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds, Injection
    from aligner.adapters.dumps.dump import Dump
    from aligner.adapters.recording_adapter.document import Description, RecordedTensor
    from aligner.adapters.recording_adapter.file import ArrayFile


_WEIGHTS = "__weights__/"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


def write_recording(
    path: Path,
    graph: Graph,
    tensors: Iterable[CapturedTensor],
    *,
    runtime: str | None = None,
    release: Callable[[], None] | None = None,
) -> None:
    """Write captured tensors, weights and the graph to a .npz or .safetensors file, one tensor at a time.

    Tensors are stored under the id of their value, weights under "__weights__/" and theirs. The weights belong to the
    recording because tensors are matched across frameworks by them. The file appears whole or not at all; ``release``
    is called before it does, so that a runtime that dies as it is released leaves no recording to trust.
    Raises OutputError where it cannot be written; errors of the run that yields the tensors go through.
    """
    from aligner.adapters.recording_adapter.document import RecordedTensor, write_description
    from aligner.adapters.recording_adapter.file import DOCUMENT
    from aligner.adapters.recording_adapter.writer import new_file

    taken = {DOCUMENT}
    recorded: list[RecordedTensor] = []
    weights: dict[str, str] = {}
    with new_file(path) as file:
        for tensor in tensors:
            suffix = f"@{tensor.occurrence}" if tensor.occurrence else ""
            entry = _entry_name(f"{tensor.value}{suffix}", taken)
            file.add(entry, tensor.array)
            recorded.append(RecordedTensor(entry, tensor.value, tensor.dtype, tensor.quantization, tensor.occurrence))
            del tensor
        for name, weight in graph.weights.items():
            try:
                array = weight.load()
            except ModelError:
                continue
            weights[name] = _entry_name(f"{_WEIGHTS}{name}", taken)
            file.add(weights[name], array)
        file.finish(write_description(graph, recorded, weights, runtime))
        if release is not None:
            release()


def _entry_name(wanted: str, taken: set[str]) -> str:
    """A name that is safe as a path inside an archive and not used yet."""
    parts = [part for part in _UNSAFE.sub("_", wanted).split("/") if part not in {"", ".", ".."}]
    base = "/".join(parts)[:1000] or "tensor"
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}#{count}"
    taken.add(name)
    return name


class RecordingAdapter(Adapter):
    """Recordings of ``align capture``, and any .npz or .safetensors file of named tensors."""

    name: ClassVar[str] = "recording"
    extra: ClassVar[str] = ""
    heeds: ClassVar[frozenset[str] | None] = frozenset()
    modules: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[str] = "*.npz, *.safetensors, dumps of other tools"

    def claims(self, target: object) -> bool:
        """By suffix, or by content: a zip archive of arrays, a folder or file that a tool dumped tensors into."""
        from aligner.adapters.dumps import array_file, formats

        if not isinstance(target, str | Path):
            return False
        path = Path(target)
        return path.suffix.lower() in array_file.SUFFIXES or formats.is_dump(path)

    def open(self, target: object, options: OpenOptions) -> Session:
        """Read the description and every array's header; arrays are read when they are replayed."""
        from aligner.adapters.dumps import array_file, formats

        path = Path(str(target))
        if not path.exists():
            raise ModelNotFoundError("there is no such recording", found=str(path), hint="check the path")
        if path.is_file() and array_file.recognises(path):
            from aligner.adapters.recording_adapter.file import open_file

            file = open_file(path)
            if file.document is None:
                return _dumped(array_file.plain_dump(file), options)
            described = self._described(path, file)
            if options.dump_of is None:
                return described
            return _dumped(array_file.recorded_dump(file, described.recorded), options)
        return _dumped(formats.open_dump(path), options)

    def _described(self, path: Path, file: ArrayFile) -> RecordingSession:
        from aligner.adapters.recording_adapter.document import read_description

        assert file.document is not None
        described = read_description(file.document, file.read)
        listed = {*described.graph.values, *described.graph.weights}
        unknown = [tensor.value for tensor in described.tensors if tensor.value not in listed]
        if unknown:
            raise ModelFormatError(
                f"{path} holds tensors that its graph does not know", found=listing(unknown), hint="record again"
            )
        absent = [tensor.entry for tensor in described.tensors if tensor.entry not in file.entries]
        if absent:
            raise ModelFormatError(
                f"{path} lacks tensors that its description lists", found=listing(absent), hint="record again"
            )
        return RecordingSession(file, described)


def _dumped(dump: Dump, options: OpenOptions) -> Session:
    """A file that says nothing of a graph; the model that it is a dump of may."""
    from aligner.adapters.dumps.session import DumpSession, Model
    from aligner.adapters.registry import open_model

    if not dump.tensors:
        raise ModelFormatError(f"{dump.path} holds no tensors", found="an empty file of tensors", hint="record again")
    if options.dump_of is None:
        return DumpSession(dump, layout=options.dump_layout)
    session = open_model(options.dump_of, replace(options, dump_of=None, dump_layout=None))
    return DumpSession(dump, Model(session, model_name(options.dump_of)), options.dump_layout)


def model_name(target: object) -> str:
    """What a model is called in messages of a dump of it."""
    return Path(target).name if isinstance(target, str | Path) else f"a {type(target).__name__}"


_CHANNELS_LAST = frozenset({"tflite", "keras"})
"""Frameworks that do not say so in what they record."""


class RecordingSession(Session):
    """Replays what was recorded; it cannot compute, so nothing can be injected."""

    framework = "recording"

    def __init__(self, file: ArrayFile, description: Description) -> None:
        self._file = file
        self._description = description
        self._graph = description.graph
        if self._graph.framework != "recording":
            self.framework = f"recording of {self._graph.framework}"  # type: ignore[misc]

    @property
    def capabilities(self) -> Capabilities:
        """Nothing but what was recorded."""
        last = self._graph.channels == "last" or self._graph.framework in _CHANNELS_LAST
        return Capabilities(computes=False, can_inject=False, channels="last" if last else "first")

    @property
    def runtime(self) -> str:
        """The runtime that was recorded."""
        recorded = self._description.runtime
        return f"replay of {recorded}" if recorded else "replay"

    @property
    def notes(self) -> tuple[str, ...]:
        """The recorded model's own notes."""
        return self._graph.notes

    @property
    def signature(self) -> Signature:
        """The recorded inputs; none of them has to be fed again."""
        specs = []
        for name in self._graph.inputs:
            value = self._graph.values.get(name)
            if value is not None:
                specs.append(InputSpec(name, value.shape, value.dtype, False, value.quantization))
        return Signature(tuple(specs), self._graph.outputs)

    @property
    def recorded(self) -> tuple[RecordedTensor, ...]:
        """What the recording holds, as it describes it."""
        return self._description.tensors

    def recorded_feeds(self) -> Mapping[str, Array]:
        """The arrays that the recorded model was fed, by input name."""
        first = {tensor.value: tensor.entry for tensor in reversed(self._description.tensors)}
        return {name: self._file.read(first[name]) for name in self._graph.inputs if name in first}

    def graph(self, feeds: Feeds | None) -> Graph:  # noqa: ARG002 - recorded for what was fed then
        """The recorded graph, whatever is fed."""
        return self._graph

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """The recorded outputs.

        Raises InputError where something else is fed than what was recorded.
        """
        self._check(feeds)
        found = {tensor.value: tensor for tensor in self._replay(frozenset(self._graph.outputs))}
        missing = [name for name in self._graph.outputs if name not in found and name not in self._graph.weights]
        if missing:
            raise ModelFormatError(
                "the recording lacks outputs of its model", found=listing(missing), hint="record again"
            )
        return tuple(found[name] if name in found else self._constant(name) for name in self._graph.outputs)

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Replay in the recorded order."""
        check_asked(self._graph, observe, inject)
        self._check(feeds)
        every = (tensor.value for tensor in self._description.tensors)
        return self._replay(frozenset(every if observe is None else observe))

    def _replay(self, wanted: frozenset[str]) -> Iterator[CapturedTensor]:
        for tensor in self._description.tensors:
            if tensor.value in wanted:
                array = self._file.read(tensor.entry)
                yield CapturedTensor(tensor.value, array, tensor.dtype, tensor.quantization, tensor.occurrence)
                del array

    def _constant(self, name: str) -> CapturedTensor:
        weight = self._graph.weights[name]
        return CapturedTensor(name, weight.load(), weight.dtype, weight.quantization)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _check(self, feeds: Feeds) -> None:
        check_fed(self.recorded_feeds(), self._graph.inputs, feeds)
