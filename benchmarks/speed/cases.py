"""Everything that is measured: what is built, what runs plainly, what of ours runs beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.measuring import Program, align, python

GROUPS = ("restorer", "cold", "tflite", "depth", "width", "nodes", "big", "decoder", "startup", "peers")
NETWORKS = ("resnet18", "resnet50", "mobilenetv2", "vit_b", "bert_base")
_LITTLE = 64 << 20
_WIDE = 256
_MOST_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the cases are made."""

    blocks: tuple[int, ...] = (50, 100, 200, 400)
    side: int = 1024
    nodes: tuple[int, ...] = (1_000, 2_000, 5_000, 10_000)
    parameters: int = 1_000_000_000
    networks: tuple[str, ...] = NETWORKS
    decoders: tuple[str, ...] = ("tenth", "half")


QUICK = Sizes((10, 20), 512, (200, 1_000), 100_000_000, NETWORKS[:1], ("tenth",))


@dataclass(frozen=True, slots=True)
class Case:
    """``build`` is a module and its words after the folder; ``tensor`` the bytes of the one that memory is told in."""

    group: str
    name: str
    folder: Path
    build: tuple[object, ...]
    plain: Program
    ours: Mapping[str, Program]
    tensor: int = 0
    least_repeats: int = 1


def cases(work: Path, sizes: Sizes, *, peers: bool) -> Iterator[Case]:
    """All of them, in the order of the tables."""
    yield from _restorer(work)
    for name in sizes.networks:
        folder = work / name
        yield _cold("cold", name, folder, ("networks", name), folder / "a.pt", folder / "b.onnx")
    lite = work / "lite"
    onnx, built = lite / "b.onnx", ("lite",)
    yield _cold("tflite", "MobileNetV2, float TFLite ↔ ONNX", lite, built, lite / "float.tflite", onnx)
    yield _cold("tflite", "MobileNetV2, ONNX ↔ int8 TFLite", lite, built, onnx, lite / "int8.tflite")
    yield from _depth(work, sizes)
    yield _wide(work, sizes.side)
    yield from _nodes(work, sizes)
    yield from _big(work, sizes.parameters)
    yield from _decoders(work, sizes)
    yield from _startup(work)
    if peers:
        yield _peer(work)


def _plain(folder: Path, *models: object, inside: bool = True) -> Program:
    return Program(
        python("-m", "benchmarks.speed.plain", *["--inside"] * inside, folder / "x.npy", *models), inside=inside
    )


def _compare(folder: Path, reference: object, candidate: object, **keywords: object) -> Program:
    words = ("-m", "benchmarks.speed.compare", reference, candidate, folder / "x.npy", json.dumps(keywords))
    return Program(python(*words), inside=True)


def _restorer(work: Path) -> Iterator[Case]:
    folder = work / "restorer"
    forms = {"TorchScript": folder / "a.pt", "eager": "benchmarks.speed.networks:restorer"}
    for form, reference in forms.items():
        both = reference, folder / "b.onnx"
        ours = {
            "accumulated errors only": _compare(folder, *both, local="never"),
            "with local errors": _compare(folder, *both),
        }
        yield Case("restorer", f"{form} ↔ ONNX", folder, ("networks", "restorer"), _plain(folder, *both), ours)


def _cold(group: str, name: str, folder: Path, build: tuple[object, ...], *both: Path) -> Case:
    report = folder / "report.json"
    words = align("compare", *both, "--input", folder / "x.npy", "--json", report)
    ours = {"": Program(words, report=report)}
    return Case(group, name, folder, build, _plain(folder, *both, inside=False), ours)


def _depth(work: Path, sizes: Sizes) -> Iterator[Case]:
    for blocks in sizes.blocks:
        folder = work / f"chain{blocks}"
        both = folder / "a.pt", folder / "b.onnx"
        ours = {"": _compare(folder, *both), "64 MiB": _compare(folder, *both, memory_limit=_LITTLE)}
        build = ("networks", "chain", blocks)
        yield Case("depth", f"{blocks} blocks", folder, build, _plain(folder, *both), ours)


def _wide(work: Path, side: int) -> Case:
    folder, size = work / f"wide{side}", _WIDE * side * side * 4
    both = folder / "a.pt", folder / "b.onnx"
    ours = {"": _compare(folder, *both)}
    name = f"one tensor of {size >> 20:,} MiB"
    return Case("width", name, folder, ("networks", "wide", side), _plain(folder, *both), ours, size)


def _nodes(work: Path, sizes: Sizes) -> Iterator[Case]:
    for count in sizes.nodes:
        folder = work / f"nodes{count}"
        both = folder / "a.onnx", folder / "b.onnx"
        match = {"`align match`": Program(align("match", *both, "--json", folder / "match.json"))}
        cold = _plain(folder, *both, inside=False)
        yield Case("nodes", f"{count:,} nodes", folder, ("nodes", count), cold, match)
        compare = {"`compare`": _compare(folder, *both)}
        yield Case("nodes", f"{count:,} nodes", folder, ("nodes", count), _plain(folder, *both), compare)


def _big(work: Path, parameters: int) -> Iterator[Case]:
    for dtype in ("float16", "float32"):
        folder = work / f"big-{dtype}-{parameters}"
        both, weights = (folder / "a.onnx", folder / "b.onnx"), folder / "weights.bin"
        build = ("big", parameters, dtype)
        name = f"{parameters / 1e9:.2g} B parameters, {dtype}"
        bare = f"import onnx; onnx.load({str(both[0])!r}, load_external_data=False)"
        inspect = {"`align inspect`": Program(align("inspect", both[0], "--json", folder / "graph.json"))}
        yield Case("big", name, folder, build, Program(python("-c", bare)), inspect)
        read = Program(python("-m", "benchmarks.speed.read", weights, weights))
        match = {"`align match`": Program(align("match", *both, "--json", folder / "match.json"))}
        yield Case("big", name, folder, build, read, match)


def _decoders(work: Path, sizes: Sizes) -> Iterator[Case]:
    for size in sizes.decoders:
        folder = work / f"decoder-{size}"
        for dtype, ending in (("float32", ""), ("bfloat16", "_brain")):
            both = f"benchmarks.speed.decoder:{size}{ending}", folder / "b.onnx"
            name = f"a {size} of a billion parameters, {dtype}"
            ours = {"": _compare(folder, *both)}
            yield Case("decoder", name, folder, ("decoder", size), _plain(folder, *both), ours)


def _startup(work: Path) -> Iterator[Case]:
    folder, build = work / "small", ("nodes", 20)
    for name, base, ours in (
        ("`import aligner` / `pass`", "pass", python("-c", "import aligner")),
        ("`align --help` / `pass`", "pass", align("--help")),
        ("`align inspect small.onnx` / `import onnx`", "import onnx", align("inspect", folder / "a.onnx")),
    ):
        plain = Program(python("-c", base))
        yield Case("startup", name, folder, build, plain, {"": Program(ours)}, least_repeats=_MOST_REPEATS)


def _peer(work: Path) -> Case:
    folder = work / "resnet18"
    both = folder / "a.pt", folder / "b.onnx"
    theirs = Program(python("-m", "benchmarks.speed.peer", "resnet18"), inside=True)
    ours = {"aligner": _compare(folder, *both), "torch verify_onnx_program, intermediates": theirs}
    return Case("peers", "resnet18", folder, ("networks", "resnet18"), _plain(folder, *both), ours)
