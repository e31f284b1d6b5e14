"""The formats: a whole file of each, how it is changed, and what reads it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzz import mutators as by
from benchmarks.fuzz import readers as verb
from benchmarks.fuzz import whole_files as whole
from benchmarks.fuzz.dumps import STATISTICS, WRITERS, dump_of
from benchmarks.fuzz.keras_files import keras_files

_DATA = Path(__file__).resolve().parents[2] / "tests" / "data"


@dataclass(frozen=True)
class Subject:
    """``suffix`` of the file, its bytes as they ought to be, and the reader that must answer for any."""

    suffix: str
    whole: bytes
    mutators: tuple[by.Mutator, ...]
    read: Callable[[Path], Any]

    def write(self, folder: Path, random: Random) -> Path:
        """The file, changed."""
        path = folder / f"case{self.suffix}"
        path.write_bytes(random.choice(self.mutators)(self.whole, random))
        return path

    def kept_whole(self) -> Subject:
        """The same, not changed."""
        return replace(self, mutators=(by.nothing_changed,))


@dataclass(frozen=True)
class FolderSubject:
    """A dump of several files, by their paths in it."""

    files: dict[str, bytes]
    read: Callable[[Path], Any]
    changes: int = 1
    suffix: str = ""

    def write(self, folder: Path, random: Random) -> Path:
        """The folder; one of its files is changed, gone, doubled under another name, or a link that leads out."""
        path = folder / "case"
        files = dict(self.files)
        kind = random.randrange(8) if self.changes else 8
        chosen = random.choice(list(files))
        if kind == 0:
            del files[chosen]
        elif kind == 1:
            files[str(Path(chosen).with_name(random.choice(("x", "0", "a" * 200, "=y", "a\x1bb"))))] = files[chosen]
        elif kind < 7:
            files[chosen] = _by_suffix(chosen, random)(files[chosen], random)
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        if kind == 7:
            (path / chosen).unlink()
            (path / chosen).symlink_to(random.choice(("/etc/passwd", "/dev/zero", "../..", chosen)))
        return path

    def kept_whole(self) -> FolderSubject:
        """The same, not changed."""
        return replace(self, changes=0)


def _by_suffix(name: str, random: Random) -> by.Mutator:
    if name.endswith(".json"):
        return random.choice((by.bytes_changed, by.tree_changed, by.tree_changed))
    if name.endswith(".pt"):
        return random.choice((by.bytes_changed, by.members_changed))
    if name.endswith(".xml"):
        return random.choice((by.bytes_changed, by.text_changed, by.numbers_changed))
    if name.endswith(".param"):
        return random.choice((by.bytes_changed, by.numbers_changed, by.numbers_changed, by.numbers_changed))
    if name.endswith(".safetensors"):
        return random.choice((by.bytes_changed, by.numbers_changed))
    return by.bytes_changed


def subjects(wanted: str = "") -> Iterator[tuple[str, Subject | FolderSubject]]:
    """Every format read, by a word for it in which the pattern is found; a file is made where it is asked for."""
    for name, make in _makers().items():
        if re.search(wanted, name):
            yield name, make()


def _makers() -> dict[str, Callable[[], Subject | FolderSubject]]:
    archive = (by.bytes_changed, by.members_changed, by.members_changed)
    proto = (by.bytes_changed, by.proto_changed, by.proto_changed)
    words = (by.bytes_changed, by.words_changed)
    text = (by.bytes_changed, by.text_changed)
    numbers = (by.bytes_changed, by.numbers_changed)
    tree = (by.bytes_changed, by.tree_changed, by.tree_changed)

    def of(suffix: str, whole: Callable[[], bytes], mutators: tuple[by.Mutator, ...], read: Callable[[Path], Any]):
        return lambda: Subject(suffix, whole(), mutators, read)

    made: dict[str, Callable[[], Subject | FolderSubject]] = {
        "onnx": of(".onnx", whole.onnx, proto, verb.inspect),
        "onnx run": of(".onnx", whole.onnx, (by.proto_changed,), verb.capture),
        "onnx instrumented": of(".onnx", whole.onnx, proto, verb.instrument),
        "onnx matched": of(".onnx", whole.onnx, (by.proto_changed,), verb.match),
        "onnx varied": of(".onnx", whole.onnx, (by.proto_changed,), verb.vary),
        "decoder checked": of(".onnx", whole.decoder, (by.proto_changed,), verb.decode),
        "decoder by steps": of(".onnx", whole.decoder, (by.proto_changed,), verb.steps),
        "decoder at sizes": of(".onnx", whole.decoder, (by.proto_changed,), verb.sizes),
        "weights shards": lambda: FolderSubject(whole.shards(), verb.weights_weighed),
        "weights file": of(".safetensors", lambda: whole.shards()["a.safetensors"], numbers, verb.weights_weighed),
        "onnx external data": lambda: FolderSubject(whole.external_onnx(), verb.in_folder(verb.capture, "model.onnx")),
        "torchscript": of(".pt", whole.script, archive, verb.inspect),
        "torchscript run": of(".pt", whole.script, archive, verb.capture_vector),
        "torchscript instrumented": of(".pt", whole.script, archive, verb.instrument),
        "torch export": of(".pt2", whole.exported, archive, verb.inspect),
        "torch export run": of(".pt2", whole.exported, archive, verb.capture),
        "checkpoint": of(".pth", whole.checkpoint, archive, verb.checkpoint_read),
        "script as checkpoint": of(".pt", whole.script, archive, verb.checkpoint_read),
        "tensor": of(".pt", whole.tensors, archive, verb.input),
        "npy": of(".npy", lambda: whole.arrays()["npy"], (by.bytes_changed,), verb.input),
        "npz": of(".npz", lambda: whole.arrays()["npz"], archive, verb.input),
        "numbers json": of(".json", lambda: b'{"ids": [[5, 6], [7, 8]], "x": 1.5}', tree, verb.input),
        "numbers txt": of(".txt", lambda: b"5 6, 7\n8 9 10\n", text, verb.input),
        "recording": of(".npz", lambda: whole.arrays()["npz"], archive, verb.inspect),
        "recording safetensors": of(
            ".safetensors", lambda: whole.arrays()["safetensors"], (by.bytes_changed,), verb.inspect
        ),
        "safetensors": of(".safetensors", lambda: whole.arrays()["safetensors"], (by.bytes_changed,), verb.input),
        "list of samples": of(".txt", lambda: b"case.txt\ncase.txt\n", text, verb.sample_list),
        "mapping yaml": of(".yaml", lambda: b"conv1: conv_1\nrelu: Relu\n", text, verb.mapping),
        "mapping csv": of(".csv", lambda: b'reference,candidate\na, b\n"c",d\n', text, verb.mapping),
        "report": of(".json", whole.report, tree, verb.faces),
        "report to compare again": of(".json", whole.report, tree, verb.again),
        "sweep": of(".json", whole.sweep, tree, verb.sweep_faces),
    }
    made |= {
        f"picture {kind}": of(f".{kind}", partial(whole.picture, kind), (by.bytes_changed,), verb.input)
        for kind in ("png", "jpeg", "bmp", "gif", "tiff", "webp")
    }
    for name in ("float", "int8"):
        read = (_DATA / f"tiny_conv_{name}.tflite").read_bytes
        made[f"tflite {name}"] = of(".tflite", read, words, verb.inspect)
        made[f"tflite {name} run"] = of(".tflite", read, words, verb.capture)
        made[f"tflite {name} instrumented"] = of(".tflite", read, words, verb.instrument)
    if importlib.util.find_spec("openvino"):
        for word, work in (("openvino", verb.inspect), ("openvino run", verb.capture)):
            made[word] = partial(_openvino, verb.in_folder(work, "model.xml"))
    if importlib.util.find_spec("ncnn"):
        for word, work in (("ncnn", verb.inspect), ("ncnn run", verb.capture_small)):
            made[word] = partial(_ncnn, verb.in_folder(work, "model.param"))
    if importlib.util.find_spec("executorch"):
        for word, work in (("executorch", verb.inspect), ("executorch run", verb.capture)):
            made[word] = of(".pte", whole.executorch, words, work)
            made[f"{word} delegated"] = of(".pte", partial(whole.executorch, delegated=True), words, work)
    if importlib.util.find_spec("tokenizers"):
        made["tokenizer"] = of(".json", whole.tokenizer, (*tree, by.numbers_changed), verb.text_fed)
    if importlib.util.find_spec("gguf"):
        made["weights gguf"] = of(".gguf", whole.gguf, words, verb.weights_weighed)
    if importlib.util.find_spec("tensorflow"):
        made["keras"] = of(".keras", lambda: keras_files()["model.keras"], archive, verb.inspect)
        made["keras run"] = of(".keras", lambda: keras_files()["model.keras"], archive, verb.capture)
        made["keras h5"] = of(".h5", lambda: keras_files()["model.h5"], words, verb.inspect)
        made["savedmodel"] = lambda: FolderSubject(_saved(), verb.inspect)
    for name in WRITERS:
        if name not in STATISTICS:
            made[f"dump {name}"] = partial(_dump, name, verb.dump)
        made[f"dump {name} compared"] = partial(_dump, name, verb.dump_compared)
    return made


def _openvino(read: Callable[[Path], Any]) -> FolderSubject:
    return FolderSubject(whole.openvino(), read)


def _ncnn(read: Callable[[Path], Any]) -> FolderSubject:
    return FolderSubject(whole.ncnn(), read)


def _saved() -> dict[str, bytes]:
    return {name.removeprefix("saved/"): data for name, data in keras_files().items() if name.startswith("saved/")}


def _dump(writer: str, read: Callable[[Path], Any]) -> Subject | FolderSubject:
    suffix, written = dump_of(writer)
    if isinstance(written, dict):
        return FolderSubject(written, read)
    return Subject(suffix, written, (by.bytes_changed, *([by.tree_changed] if suffix == ".json" else [])), read)
