from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from marks import requires_safetensors

from aligner.adapters.base import OpenOptions
from aligner.adapters.recording_adapter.adapter import RecordingAdapter, write_recording
from aligner.errors import InputError, ModelExecutionError, ModelFormatError, ModelNotFoundError, OutputError
from aligner.records.graph import Graph, Node, Quantization, Value, Weight
from aligner.records.tensor import CapturedTensor
from aligner.testing import AdapterConformance

SCALE = Quantization((0.5, 0.25), (3, -4), 1)


def sample_graph():
    values = [
        Value("x", "x", (2, 2), "float32", index=0, aliases=("input",)),
        Value("block/conv", "block/conv", (None, 2), "bfloat16"),
        Value("../loop", "../loop", None, "int8", quantization=SCALE),
        Value("words", "words", (2,), "string"),
    ]
    nodes = (
        Node(
            0,
            "conv",
            "Conv",
            "conv",
            ("x", "w", ""),
            ("block/conv",),
            ("w",),
            MappingProxyType({"pads": ((0, 1), (1, 1)), "limit": float("inf"), "mode": "same", "bias": False}),
            "block.conv",
            "net.py:12",
        ),
        Node(4, "loop", "Loop", "control_flow", ("block/conv",), ("../loop", "words")),
    )
    array = np.arange(4, dtype=np.float32).reshape(2, 2)
    return Graph(
        framework="onnx",
        nodes=nodes,
        values=MappingProxyType({value.id: value for value in values}),
        weights=MappingProxyType({"w": Weight("w", (2, 2), "float32", lambda: array, index=9)}),
        inputs=("x",),
        outputs=("words", "block/conv"),
        channels="last",
        notes=("A note.",),
    )


def sample_tensors():
    yield CapturedTensor("x", np.linspace(0, 1, 4, dtype=np.float32).reshape(2, 2), "float32")
    yield CapturedTensor("block/conv", np.full((3, 2), 1.5, np.float32), "bfloat16")
    for turn in range(3):
        yield CapturedTensor("../loop", np.full((turn, 2), turn, np.int8), "int8", SCALE, turn)
    yield CapturedTensor("words", np.array(["é", "bc"], dtype=object), "string")


def numeric(tensors):
    return (tensor for tensor in tensors if tensor.dtype != "string")


def opened(path):
    return RecordingAdapter().open(path, OpenOptions())


@pytest.fixture
def recorded(tmp_path):
    write_recording(tmp_path / "run.npz", sample_graph(), sample_tensors(), runtime="onnxruntime 1.0")
    return tmp_path / "run.npz"


class _Recorded(AdapterConformance):
    """A recording of a small run, replayed."""

    adapter = RecordingAdapter()
    suffix = ".npz"

    @pytest.fixture(autouse=True)
    def written(self, tmp_path):
        self.path = tmp_path / f"conformance{self.suffix}"
        array = picture()
        values = [Value("x", "x", (2, 3)), Value("relu", "relu", (2, 3)), Value("sum", "sum", (3,), "float32")]
        nodes = (
            Node(0, "relu", "Relu", "relu", ("x",), ("relu",)),
            Node(1, "sum", "Sum", "reduce", ("relu", "axes"), ("sum",), ("axes",)),
        )
        graph = Graph(
            "onnx",
            nodes,
            {value.id: value for value in values},
            {"axes": Weight("axes", (1,), "int64", lambda: np.array([0]))},
            ("x",),
            ("sum",),
        )
        tensors = {"x": array, "relu": np.maximum(array, 0), "sum": np.maximum(array, 0).sum(0)}
        write_recording(self.path, graph, (CapturedTensor(name, a, "float32") for name, a in tensors.items()))

    def make_session(self):
        return self.adapter.open(self.path, OpenOptions())

    def make_feeds(self):
        return {"x": picture()}

    def wrong_file(self, tmp_path):
        path = tmp_path / f"cut{self.suffix}"
        path.write_bytes(self.path.read_bytes()[:100])
        return path

    def test_buffers_are_owned_and_read_only(self):
        """A recording cannot be fed anything else, so only the buffers themselves are looked at."""
        with self.session() as session:
            first, second = list(session.run({})), list(session.run({}))
        for one, other in zip(first, second, strict=True):
            assert not one.array.flags.writeable
            assert not np.may_share_memory(one.array, other.array)


class TestNpzConformance(_Recorded):
    pass


class TestSafetensorsConformance(_Recorded):
    suffix = ".safetensors"


del _Recorded


def picture():
    return np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def test_everything_comes_back(recorded):
    session, graph = opened(recorded), sample_graph()
    replayed = session.graph(None)
    assert replayed == graph
    np.testing.assert_array_equal(replayed.weights["w"].load(), graph.weights["w"].load())
    assert session.framework == "recording of onnx"
    assert session.runtime == "replay of onnxruntime 1.0"
    assert session.notes == ("A note.",)
    assert not session.capabilities.can_inject
    for one, other in zip(sample_tensors(), session.run({}), strict=True):
        assert (one.value, one.dtype, one.quantization, one.occurrence) == (
            other.value,
            other.dtype,
            other.quantization,
            other.occurrence,
        )
        assert one.array.dtype == other.array.dtype
        np.testing.assert_array_equal(one.array, other.array)
        assert not other.array.flags.writeable
    assert [tensor.value for tensor in session.predict({})] == ["words", "block/conv"]


@requires_safetensors
def test_safetensors_files_are_readable_by_others(tmp_path):
    from safetensors.numpy import load_file

    path = tmp_path / "run.safetensors"
    graph = sample_graph()
    write_recording(path, graph, numeric(sample_tensors()))
    plain = load_file(path)
    np.testing.assert_array_equal(plain["block/conv"], np.full((3, 2), 1.5, np.float32))
    assert opened(path).graph(None) == graph
    replayed = list(opened(path).run({}))
    assert [tensor.occurrence for tensor in replayed] == [0, 0, 0, 1, 2]
    np.testing.assert_array_equal(replayed[-1].array, np.full((2, 2), 2, np.int8))


@requires_safetensors
def test_safetensors_files_of_others_are_read(tmp_path):
    from safetensors.numpy import save_file

    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(True), "c": np.zeros((0, 2), np.int64)}
    save_file(arrays, tmp_path / "plain.safetensors")
    replayed = {tensor.value: tensor.array for tensor in opened(tmp_path / "plain.safetensors").run({})}
    assert replayed.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(replayed[name], array)


def test_bfloat16_of_others_is_read_as_float32(tmp_path):
    values = np.array([1.5, -2.0, 0.0, 3e38], np.float32)
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"t": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "b.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    tensor = next(iter(opened(path).run({})))
    assert tensor.dtype == "bfloat16"
    np.testing.assert_allclose(tensor.array, values, rtol=1e-2)


def test_names_stay_and_archives_are_safe(recorded):
    with np.load(recorded, allow_pickle=False) as arrays:
        assert arrays.files == [
            "x",
            "block/conv",
            "loop",
            "loop@1",
            "loop@2",
            "words",
            "__weights__/w",
            "__aligner__",
        ]
        np.testing.assert_array_equal(arrays["block/conv"], np.full((3, 2), 1.5, np.float32))
        document = json.loads(arrays["__aligner__"][()])
    assert document["format"] == "aligner.capture/1"
    assert document["framework"] == "onnx"
    assert document["nodes"][0]["source"] == "net.py:12"
    assert not any(".." in name or name.startswith("/") for name in zipfile.ZipFile(recorded).namelist())


def test_plain_files_are_tensors_in_order(tmp_path):
    path = tmp_path / "dump.npz"
    np.savez(path, second=np.zeros((2, 3), np.float32), first=np.asfortranarray(np.arange(6).reshape(2, 3)))
    session = opened(path)
    graph = session.graph(None)
    assert [(node.name, node.kind, node.outputs) for node in graph.nodes] == [
        ("second", "opaque", ("second",)),
        ("first", "opaque", ("first",)),
    ]
    assert graph.outputs == ("first",)
    assert graph.values["second"].shape == (2, 3)
    assert session.framework == "recording"
    assert session.recorded_feeds() == {}
    np.testing.assert_array_equal(next(iter(session.run({}, ["first"]))).array, np.arange(6).reshape(2, 3))


def test_the_recorded_input_is_kept_and_checked(recorded):
    session = opened(recorded)
    fed = np.linspace(0, 1, 4, dtype=np.float32).reshape(2, 2)
    np.testing.assert_array_equal(session.recorded_feeds()["x"], fed)
    assert not session.signature.inputs[0].required
    list(session.run({"x": fed * np.float32(1 + 1e-7)}))
    for other in (fed + np.float32(1e-3), fed.T, fed[:1], np.where(fed > 0.5, np.nan, fed)):
        for verb in (session.predict, session.run):
            with pytest.raises(InputError, match="another input"):
                verb({"x": other})
    with pytest.raises(InputError, match="no such input"):
        session.run({"y": fed})


def test_nothing_can_be_injected(recorded):
    with pytest.raises(InputError, match="nothing can be injected"):
        opened(recorded).run({}, None, {"x": np.zeros((2, 2), np.float32)})
    with pytest.raises(InputError, match="no such value"):
        opened(recorded).run({}, ["nowhere"])


def test_claims(tmp_path, recorded):
    adapter = RecordingAdapter()
    renamed = tmp_path / "run.dat"
    renamed.write_bytes(recorded.read_bytes())
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"")
    assert adapter.claims(recorded)
    assert adapter.claims(renamed)
    assert adapter.claims("absent.safetensors")
    assert not adapter.claims(tmp_path / "model.pt")
    assert not adapter.claims(tmp_path)
    assert not adapter.claims(object())


def _npz_with(tmp_path, **entries):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return path


def _npy(array):
    import io

    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a": b"no array"}, "magic"),
        ({"a": _npy(np.zeros(50))[:-8]}, "header says otherwise"),
        ({"a": _npy(np.array([{}], dtype=object))}, "unpickling"),
        ({"__aligner__": _npy("{}")}, "unknown format"),
        ({"__aligner__": _npy("{")}, "damaged"),
        ({"__aligner__": _npy('{"format": "aligner.capture/1"}')}, "damaged"),
        ({"__aligner__": _npy('{"format": "aligner.capture/9"}')}, "unknown format"),
        ({"__aligner__": _npy("[" * 100_000)}, "damaged"),
    ],
)
def test_damaged_archives_are_our_error(tmp_path, entries, words):
    with pytest.raises(ModelFormatError, match=words) as caught:
        opened(_npz_with(tmp_path, **entries))
    assert caught.value.found
    assert caught.value.hint


def test_a_tensor_that_is_listed_must_be_there(tmp_path, recorded):
    path = tmp_path / "less.npz"
    with zipfile.ZipFile(recorded) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if name != "words.npy":
                new.writestr(name, old.read(name))
    with pytest.raises(ModelFormatError, match="words"):
        opened(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"\xff" * 40, struct.pack("<Q", 4) + b"[12]", struct.pack("<Q", 2) + b"{}"],
)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_that_are_none(tmp_path, content, suffix):
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError):
        opened(path)


@pytest.mark.parametrize(
    "described",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]},
        {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]},
        {"dtype": "F32", "shape": [-1, -4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]},
        {"dtype": "F3", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": "F32"},
        7,
    ],
)
def test_damaged_safetensors_are_our_error(tmp_path, described):
    header = json.dumps({"t": described}).encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    with pytest.raises(ModelFormatError):
        opened(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="absent"):
        opened(tmp_path / "absent.npz")
    with pytest.raises(ModelFormatError):
        opened(tmp_path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_run_that_fails_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    path.write_bytes(b"old")

    def failing():
        yield next(sample_tensors())
        raise ModelExecutionError("the model broke", found="here", hint="there")

    with pytest.raises(ModelExecutionError):
        write_recording(path, sample_graph(), failing())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_our_error(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for path in (tmp_path / "no" / "run.npz", tmp_path / "folder.npz", tmp_path / "run.txt", Path("nul\0.npz")):
        with pytest.raises(OutputError, match="cannot write") as caught:
            write_recording(path, sample_graph(), sample_tensors())
        assert caught.value.found
        assert caught.value.hint
    with pytest.raises(OutputError, match="safetensors cannot hold"):
        write_recording(tmp_path / "run.safetensors", sample_graph(), sample_tensors())
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.npz"]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "real" / "run.npz")
    write_recording(link, sample_graph(), sample_tensors())
    assert link.is_symlink()
    assert (tmp_path / "real" / "run.npz").stat().st_size > 0


def test_repeated_and_odd_names_get_entries_of_their_own(tmp_path):
    names = ["a", "a\n", "a_", "/a", "./a", "__aligner__", "...", ""]
    graph = Graph("x", (), {name: Value(name, name) for name in names}, {}, (), ())
    tensors = [CapturedTensor(name, np.full(2, n), "int64") for n, name in enumerate(names)]
    write_recording(tmp_path / "odd.npz", graph, tensors)
    replayed = {tensor.value: int(tensor.array[0]) for tensor in opened(tmp_path / "odd.npz").run({})}
    assert replayed == {name: n for n, name in enumerate(names)}
