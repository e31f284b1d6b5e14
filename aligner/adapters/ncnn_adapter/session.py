"""An ncnn network as a session: any blob is extracted, and any is given to what reads it."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aligner.adapters.base import Capabilities, ChosenPrecision, Feeds, Injection, Session
from aligner.adapters.border import no_such_value
from aligner.adapters.fed import check_injected, check_names
from aligner.adapters.ncnn_adapter.graph import Program
from aligner.adapters.ncnn_adapter.param_file import Layer, axes_read
from aligner.adapters.ncnn_adapter.weights import Stored
from aligner.errors import InputError, ModelExecutionError, ModelFormatError, listing
from aligner.records.array import Array
from aligner.records.graph import Graph, InputSpec, Signature
from aligner.records.tensor import CapturedTensor

_REDUCED = ("use_fp16", "use_bf16")
"""What the options begin with that let layers compute, and keep blobs, in fewer bits."""
_PLAIN = ("use_winograd", "use_sgemm", "use_packing")
"""Options of quicker algorithms."""
_HIGHEST = 5
"""Axes of a blob with that of the samples: ncnn::Mat has four at most."""


class NcnnSession(Session):
    """One network; every run is an extractor of its own. ``options`` are ncnn's own, by name."""

    framework: ClassVar[str] = "ncnn"
    capabilities = Capabilities(predicts_aside=True)

    def __init__(
        self, path: Path, layers: Sequence[Layer], stored: Stored, options: Mapping[str, bool | int] | None = None
    ) -> None:
        self._path, self._layers, self._stored, self._options = path, tuple(layers), stored, dict(options or {})
        self._program = Program(layers, stored)
        self._makers = {blob: layer for layer in self._program.layers for blob in layer.writes}
        self._graphs: dict[tuple[tuple[int, ...], ...], Graph] = {}
        self._samples: dict[tuple[tuple[int, ...], ...], bool] = {}
        self._starting = threading.Lock()

    @cached_property
    def _library(self) -> Any:
        import ncnn

        return ncnn

    @cached_property
    def _net(self) -> Any:
        net = self._library.Net()
        net.opt.use_vulkan_compute = False
        for name, value in self._options.items():
            setattr(net.opt, name, value)
        # Checked before; what fails here are layers that this build does not have.
        if net.load_param(str(self._path)) or net.load_model(str(self._path.with_suffix(".bin"))):
            raise ModelFormatError(
                f"ncnn cannot load {self._path}",
                found=f"{len(self._layers)} layers: {listing({layer.type for layer in self._layers})}",
                hint="--verbose shows which layer; it may need a newer ncnn, or a layer of your own",
            )
        return net

    def _loaded(self) -> Any:
        with self._starting:
            return self._net

    @property
    def runtime(self) -> str:
        """ "ncnn 1.0.20261020 (cpu)", with the precision where it chose one."""
        chosen = self.chosen_precision
        return f"ncnn {self._library.__version__} (cpu{f', {chosen.word}' if chosen else ''})"

    @property
    def chosen_precision(self) -> ChosenPrecision | None:
        """float16 on processors that have it, unless that is switched off: by itself ncnn stores dense layers so."""
        asked = any(getattr(self._loaded().opt, name) for name in _reduced(self._library) if "bf16" not in name)
        if not (asked and (self._library.cpu_support_x86_avx2() or self._library.cpu_support_arm_asimdhp())):
            return None
        return ChosenPrecision(
            "float16",
            "set net.opt.use_fp16_storage, _packed and _arithmetic to False before loading (here: --setting "
            "precision=float32)",
        )

    def in_declared_precision(self) -> Session:
        """The same network, computed in float32."""
        return self._with(dict.fromkeys(_reduced(self._library), False))

    def switches(self) -> Mapping[str, tuple[str, ...]]:
        """Quicker algorithms, fewer bits, threads."""
        return {
            "optimization": ("plain", "all"),
            "precision": ("float32", "float16"),
            "threads": ("1", str(max(os.cpu_count() or 1, 2))),
        }

    def switched(self, switch: str, setting: str) -> Session:
        """The same files under one of them."""
        if switch == "threads":
            return self._with({"num_threads": int(setting)})
        names = _reduced(self._library) if switch == "precision" else _options(self._library, _PLAIN)
        return self._with(dict.fromkeys((n for n in names if "bf16" not in n), setting in ("all", "float16")))

    def _with(self, options: Mapping[str, bool | int]) -> NcnnSession:
        return NcnnSession(self._path, self._layers, self._stored, {**self._options, **options})

    @property
    def signature(self) -> Signature:
        """Files do not say what shapes they take."""
        specs = (InputSpec(name, None, self._program.dtype(name)) for name in self._program.inputs)
        return Signature(tuple(specs), self._program.outputs)

    @property
    def notes(self) -> tuple[str, ...]:
        """Weights that could not be read."""
        return (f"no weights are compared: {self._stored.unread}",) if self._stored.unread else ()

    def graph(self, feeds: Feeds | None) -> Graph:
        """The layers; with feeds, every blob has the shape that a run shows."""
        if feeds is None:
            return self._program.graph({})
        fed = self._bound(feeds)
        key = tuple(array.shape for array in fed.values())
        if key not in self._graphs:
            shapes = {tensor.value: tensor.array.shape for tensor in self._plain(fed, list(self._program.blobs))}
            self._graphs = {key: self._program.graph(shapes)}
        return self._graphs[key]

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        extractor, kept = self._extractor(self._bound(feeds), light=True)
        found = tuple(self._shown(extractor, name) for name in self._program.outputs)
        del kept
        return found

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        fed = self._bound(feeds)
        known = self._program.blobs
        wanted = set(known) if observe is None else {self._checked(name, "observe") for name in observe}
        order = [name for name in known if name in wanted]
        if inject is None:
            return self._plain(fed, order)
        for name in inject:
            self._checked(name, "inject")
        return self._stepped(fed, frozenset(order), inject)

    def _plain(self, fed: Mapping[str, Array], order: Sequence[str]) -> Iterator[CapturedTensor]:
        extractor, kept = self._extractor(fed, light=False)
        for name in order:
            yield self._captured(name, fed[name]) if name in fed else self._shown(extractor, name)
        del kept

    def _stepped(self, fed: Mapping[str, Array], wanted: frozenset[str], inject: Injection) -> Iterator[CapturedTensor]:
        """Layer by layer: each reads what those before it computed, or what is injected there."""
        program, flows = self._program, dict[str, Any]()
        needed = program.graph({}).ancestors(wanted)
        for name in program.inputs:
            if name in wanted:
                yield self._captured(name, fed[name])
            flows[name] = self._mat(self._injected(name, inject, fed[name]))
        for layer in program.layers:
            if not needed.intersection(layer.writes):
                continue
            extractor = self._fresh(light=False)
            for blob in layer.reads:
                if (real := program.real(blob)) in flows:
                    extractor.input(blob, flows[real])
            for blob in layer.writes:
                tensor = self._shown(extractor, blob)
                if blob in wanted:
                    yield tensor
                flows[blob] = self._mat(self._injected(blob, inject, tensor.array))

    @staticmethod
    def _injected(name: str, inject: Injection, computed: Array) -> Array:
        try:
            given = np.asarray(inject[name]) if name in inject else computed
        except KeyError:  # the injection offers it and has none for this run
            return computed
        wanted = f"{computed.dtype} {list(computed.shape)}"
        check_injected(name, given, fits=given.shape == computed.shape, wanted=wanted)
        return given.astype(computed.dtype, copy=False)

    def _extractor(self, fed: Mapping[str, Array], *, light: bool) -> tuple[Any, list[Any]]:
        """With its inputs, whose memory has to outlive it."""
        extractor, kept = self._fresh(light=light), [self._mat(array) for array in fed.values()]
        for name, mat in zip(fed, kept, strict=True):
            extractor.input(name, mat)
        return extractor, kept

    def _fresh(self, *, light: bool) -> Any:
        extractor = self._loaded().create_extractor()
        extractor.set_light_mode(light)
        return extractor

    def _mat(self, array: Array) -> Any:
        """A copy that ncnn owns: a Mat of a numpy array does not keep it alive."""
        return self._library.Mat(np.ascontiguousarray(array), batch_index=0).clone()

    def _shown(self, extractor: Any, name: str) -> CapturedTensor:
        """A blob; an empty one, which numpy would crash on, is an error."""
        code, mat = extractor.extract(name)
        if code or mat.empty():
            layer = self._makers[name]
            raise ModelExecutionError(
                f"ncnn could not compute {name}, of layer {layer.name} ({layer.type})",
                found=f"code {code}",
                hint="check the shapes of the inputs: files do not say what they take",
            )
        return self._captured(name, mat.numpy(batch_index=0))

    def _captured(self, name: str, array: Array) -> CapturedTensor:
        owned = np.array(array, order="C")
        owned.flags.writeable = False
        return CapturedTensor(name, owned, self._program.dtype(name))

    def _checked(self, name: str, verb: str) -> str:
        if name not in self._program.blobs:
            raise no_such_value(name, verb)
        return name

    def _bound(self, feeds: Feeds) -> dict[str, Array]:
        """The arrays in the order of the inputs, samples first."""
        names = self._program.inputs
        check_names(self.signature.inputs, feeds)
        fed = {name: np.asarray(feeds[name]) for name in names}
        for name, array in fed.items():
            if array.dtype != self._program.dtype(name) or not 2 <= array.ndim <= _HIGHEST or not array.size:
                raise InputError(
                    f"input {name!r} cannot be fed to ncnn",
                    found=f"{array.dtype} {list(array.shape)}",
                    hint=f"feed {self._program.dtype(name)} of 2 to {_HIGHEST} axes, the first of them the samples",
                )
        key = tuple(array.shape for array in fed.values())
        if key not in self._samples:
            self._samples[key] = self._has_samples(fed)
        return fed if self._samples[key] else {name: array[None] for name, array in fed.items()}

    def _has_samples(self, fed: Mapping[str, Array]) -> bool:
        """Whether the first axis is that of the samples: pnnx may have found none, and then every axis is a blob's.

        That shows where a layer reads an axis that a sample alone does not have.
        """
        ranks = [(self._program.real(blob), rank) for blob, rank in axes_read(self._layers)]
        if not ranks or max(array.ndim for array in fed.values()) == _HIGHEST:
            return True
        try:
            shown = self._plain(fed, list(dict.fromkeys(blob for blob, _ in ranks)))
            found = {tensor.value: tensor.array.ndim - 1 for tensor in shown}
        except ModelExecutionError:
            return False
        return all(found[blob] >= rank for blob, rank in ranks)

    def close(self) -> None:
        self.__dict__.pop("_net", None)


def _options(library: Any, beginnings: tuple[str, ...]) -> list[str]:
    return [name for name in dir(library.Option) if name.startswith(beginnings)]


def _reduced(library: Any) -> list[str]:
    return _options(library, _REDUCED)
