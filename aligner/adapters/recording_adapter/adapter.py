"""Runs that were captured elsewhere: files of named tensors that stand for a model."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.errors import InputError, ModelError, ModelFormatError, ModelNotFoundError, listing
from aligner.records.graph import Graph, InputSpec, Node, Signature, Value
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aligner.adapters.base import Feeds, Injection
    from aligner.adapters.recording_adapter.document import Description
    from aligner.adapters.recording_adapter.file import ArrayFile

    Array = NDArray[Any]

_SAME_INPUT = 1e-6
"""Difference up to which a fed array is the recorded one, relative to its largest element."""
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
    modules: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[str] = "*.npz, *.safetensors"

    def claims(self, target: object) -> bool:
        """By suffix, or by content: a zip archive of arrays."""
        if not isinstance(target, str | Path):
            return False
        path = Path(target)
        if path.suffix.lower() in {".npz", ".safetensors"}:
            return True
        try:
            with path.open("rb") as file:
                if file.read(4) != b"PK\x03\x04":
                    return False
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
            return False
        return bool(names) and all(name.endswith(".npy") for name in names)

    def open(self, target: object, options: OpenOptions) -> RecordingSession:  # noqa: ARG002 - nothing to choose
        """Read the description and every array's header; arrays are read when they are replayed."""
        from aligner.adapters.recording_adapter.document import read_description
        from aligner.adapters.recording_adapter.file import open_file

        path = Path(str(target))
        if not path.exists():
            raise ModelNotFoundError("there is no such recording", found=str(path), hint="check the path")
        file = open_file(path)
        if file.document is None:
            return RecordingSession(file, _plain(file))
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


def _plain(file: ArrayFile) -> Description:
    """A file of tensors without a description: one node for each, the last one standing for the output."""
    from aligner.adapters.recording_adapter.document import Description, RecordedTensor

    if not file.entries:
        raise ModelFormatError(f"{file.path} holds no tensors", found="an empty file of tensors", hint="record again")
    dtypes = {name: "string" if entry.dtype.kind == "U" else entry.dtype.name for name, entry in file.entries.items()}
    dtypes.update({name: "bfloat16" for name, entry in file.entries.items() if not entry.wide})
    graph = Graph(
        framework="recording",
        nodes=tuple(Node(n, name, "tensor", "opaque", (), (name,)) for n, name in enumerate(file.entries)),
        values=MappingProxyType(
            {name: Value(name, name, entry.shape, dtypes[name]) for name, entry in file.entries.items()}
        ),
        weights=MappingProxyType({}),
        inputs=(),
        outputs=(list(file.entries)[-1],),
        notes=("The file names tensors and says nothing of a graph: they are taken in the order of the file.",),
    )
    return Description(graph, tuple(RecordedTensor(name, name, dtypes[name]) for name in file.entries), None)


class RecordingSession(Session):
    """Replays what was recorded; it cannot compute, so nothing can be injected."""

    framework = "recording"
    can_inject: ClassVar[bool] = False

    def __init__(self, file: ArrayFile, description: Description) -> None:
        self._file = file
        self._description = description
        self._graph = description.graph
        if self._graph.framework != "recording":
            self.framework = f"recording of {self._graph.framework}"  # type: ignore[misc]

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
        if inject:
            raise InputError(
                "nothing can be injected into a recording",
                found=listing(inject),
                hint="give the model itself to measure local errors",
            )
        self._check(feeds)
        wanted = {tensor.value for tensor in self._description.tensors} if observe is None else set(observe)
        unknown = sorted(wanted - self._graph.values.keys() - self._graph.weights.keys())
        if unknown:
            raise InputError(
                "the recording has no such value", found=listing(unknown), hint="align inspect lists its values"
            )
        return self._replay(frozenset(wanted))

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
        recorded = self.recorded_feeds()
        unknown = [name for name in feeds if name not in self._graph.inputs]
        if unknown:
            raise InputError(
                "the recorded model has no such input",
                found=listing(unknown),
                hint=f"its inputs are {listing(self._graph.inputs) or 'not recorded'}",
            )
        for name, array in feeds.items():
            if name in recorded and not _same(recorded[name], array):
                raise InputError(
                    "the recording was made with another input",
                    found=f'"{name}": {array.dtype} {array.shape} fed, {recorded[name].dtype} '
                    f"{recorded[name].shape} with other values recorded",
                    hint="leave the input out, and both sides are fed what was recorded",
                )


def _same(recorded: Array, fed: Any) -> bool:
    import numpy as np

    fed = np.asarray(fed)
    if recorded.shape != fed.shape:
        return False
    if recorded.dtype.kind not in "fiubc" or fed.dtype.kind not in "fiubc":
        return bool(np.array_equal(recorded.astype(object), fed.astype(object)))
    if recorded.size == 0:
        return True
    wide = np.complex128 if "c" in recorded.dtype.kind + fed.dtype.kind else np.float64
    left, right = recorded.astype(wide), fed.astype(wide)
    finite = np.isfinite(left) & np.isfinite(right)
    scale = np.abs(left[finite]).max(initial=0.0)
    same = np.abs(left[finite] - right[finite]).max(initial=0.0) <= _SAME_INPUT * scale
    return bool(same and np.array_equal(left[~finite], right[~finite], equal_nan=True))
