"""What a decoder's inputs are: tokens, masks, positions and the caches that one step hands to the next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import permutations
from typing import Any

import numpy as np

from aligner.errors import InputError, listing
from aligner.inputs.conventions import derivable_kind, is_tokens, words
from aligner.operations.kinds import MOVES_DATA
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, InputSpec, Signature

_HOLDING = frozenset("past cache caches kv mem mems memory state states".split())
_WAYS = frozenset("past present presents cache caches in out input output new old next updated".split())
"""Words that say which way a cache goes, and not whose it is."""
CACHE_RANK = 3
"""Fewest axes of a cache: batch or heads, positions, channels."""
_DRAWN = 16
"""Positions of an encoder's output where none is given."""
_CROSSING = frozenset("encoder cross".split())
"""Words of caches that hold what was made of the encoder's output: they are filled once, and need not come back."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The inputs of one side, by what they are for. ``caches`` may be names of arguments that hold many tensors;
    ``context`` is what an encoder has made, the same at every step."""

    tokens: InputSpec
    derived: tuple[InputSpec, ...]
    caches: tuple[InputSpec, ...]
    context: tuple[InputSpec, ...] = ()


def roles(signature: Signature, whose: str, *, cached: bool = True) -> Roles:
    """What each input is for. Raises InputError where no input takes token ids, or, if ``cached``, none a cache."""
    tokens = [spec for spec in signature.inputs if is_tokens(spec)]
    if {"input_ids", "decoder_input_ids"} <= {spec.name for spec in tokens}:
        raise InputError(
            f"the {whose} is an encoder and a decoder in one",
            found="it takes the tokens of both, input_ids and decoder_input_ids",
            hint="compare the decoder alone: a module that takes input_ids, encoder_hidden_states and its caches",
        )
    whole = [spec for spec in signature.inputs if spec.dtype in ("int32", "int64") and derivable_kind(spec) is None]
    tokens = tokens or [spec for spec in whole if not set(words(spec.name)) & {"cache", "position", "length", "len"}]
    tokens = tokens or [spec for spec in signature.inputs if spec.dtype is None and spec.required][:1]
    context = [spec for spec in signature.inputs if spec not in tokens and is_context(spec.name)]
    derived = [spec for spec in signature.inputs if spec not in (*tokens, *context) and _is_derived(spec)]
    caches = [spec for spec in signature.inputs if spec not in (*tokens, *context, *derived) and _is_cache(spec)]
    coded = [one for one in derived if one.shape is not None and len(one.shape) >= CACHE_RANK and _holds(one)]
    if cached and coded:
        raise InputError(
            f"the {whose}'s caches hold {coded[0].dtype} numbers, which cannot be handed on from step to step",
            found=listing(one.name for one in coded),
            hint="export it with caches of floats for --steps, or compare one pass: without --steps, caches as --input",
        )
    if not tokens or (cached and not caches):
        missing = "token ids" if not tokens else "a cache of keys and values"
        raise InputError(
            f"the {whose} is no decoder that goes step by step: no input takes {missing}",
            found=f"inputs: {listing(spec.name for spec in signature.inputs) or 'none'}",
            hint="export it with its cache as inputs and outputs (past_key_values.0.key → present.0.key), or compare "
            "it as it is, without steps",
        )
    return Roles(tokens[0], tuple(derived), tuple(caches), tuple(context))


def is_context(name: str) -> bool:
    """Whether an input of that name takes what an encoder gave, or a mask of it."""
    found = set(words(name))
    return "encoder" in found and not found & {"past", "cache", "kv", "key", "keys", "value", "values"}


def _is_derived(spec: InputSpec) -> bool:
    found = set(words(spec.name))
    return (
        derivable_kind(spec) in ("ones", "range", "zeros")
        or {"cache", "position"} <= found
        or ("mask" in found and bool(found & {"attention", "causal", "attn"}))
        or spec.name == "use_cache_branch"
        or (spec.required and spec.dtype is not None and "int" in spec.dtype)
    )


def _is_cache(spec: InputSpec) -> bool:
    if spec.dtype is not None and "float" not in spec.dtype:
        return False
    if spec.shape is not None:
        return len(spec.shape) >= CACHE_RANK and "embeds" not in words(spec.name)
    return _holds(spec) or (spec.required and not is_tokens(spec))


def _holds(spec: InputSpec) -> bool:
    return bool(set(words(spec.name)) & _HOLDING) and "mask" not in words(spec.name)


def derived(spec: InputSpec, tokens: Array, past: int) -> Array | None:
    """A mask, positions or a flag for these tokens after ``past`` others; None for an optional one of another kind."""
    batch, many = (1, *tokens.shape)[-2:]
    found, dtype = set(words(spec.name)), np.dtype(spec.dtype or "int64")
    rank = 2 if spec.shape is None else len(spec.shape)
    if spec.name == "use_cache_branch":
        return np.full((1,) * rank, past > 0)
    if "mask" in found:
        return _mask(spec, dtype, (batch, many, past), rank)
    if {"token", "type"} <= found:
        return np.zeros(tokens.shape, dtype)
    if found & {"position", "positions"}:
        rank = 1 if "cache" in found and spec.shape is None else rank
        row: Array = np.arange(past, past + many).astype(dtype)
        return np.asarray(row[-1]) if rank == 0 else row if rank == 1 else np.repeat(row[None], batch, 0)
    if not spec.required:
        return None
    return np.asarray(past if "past" in found or "start" in found else past + many, dtype).reshape((1,) * rank)


def _mask(spec: InputSpec, dtype: np.dtype[Any], sizes: tuple[int, int, int], rank: int) -> Array:
    """Ones up to the last token; of four axes what each token may see, added to the scores where it is of floats."""
    batch, many, past = sizes
    declared = None if spec.shape is None else spec.shape[-1]
    total = past + many if declared is None else declared
    if rank <= 2:
        row = (np.arange(total) < past + many).astype(dtype)
        return row if rank == 1 else np.repeat(row[None], batch, 0)
    seen = np.arange(total)[None] <= np.arange(past, past + many)[:, None]
    mask = seen if dtype.kind != "f" else np.where(seen, 0, np.finfo(dtype).min)  # type: ignore[type-var]
    return np.array(np.broadcast_to(mask.astype(dtype), (batch, *((1,) * (rank - 3)), many, total)))


@dataclass(slots=True)
class Context:
    """What an encoder has made, for both sides and every step: as ``given`` by name, else drawn."""

    given: Mapping[str, Array] = field(default_factory=dict)
    seed: int = 0
    made: dict[str, Array] = field(default_factory=dict)

    def of(self, spec: InputSpec, batch: int) -> Array:
        """Numbers [batch, positions, channels], or ones for a mask of them.

        Raises InputError where the model does not say how many channels there are.
        """
        if spec.name not in self.made:
            found = self.given.get(spec.name)
            self.made[spec.name] = self._drawn(spec, batch) if found is None else found
        return self.made[spec.name]

    def _drawn(self, spec: InputSpec, batch: int) -> Array:
        is_mask = "mask" in words(spec.name)
        many = next((one.shape[1] for one in {**self.given, **self.made}.values() if one.ndim >= CACHE_RANK), _DRAWN)
        shape = (None, None) if spec.shape is None and is_mask else spec.shape
        if shape is None or any(size is None for size in shape[2:]):
            raise InputError(
                f"what the encoder gives for {spec.name} cannot be drawn",
                found="the model does not say how many channels it has",
                hint=f"give it beside the tokens: --input FILE.npz with input_ids and {spec.name}",
            )
        sizes = [given or default for given, default in zip(shape, (batch, many, *shape[2:]), strict=False)]
        dtype = np.dtype(spec.dtype or ("int64" if is_mask else "float32"))
        drawn = np.random.default_rng(self.seed).standard_normal([size or 1 for size in sizes])
        return np.ones(drawn.shape, dtype) if is_mask else drawn.astype(dtype)


@dataclass(slots=True)
class Caches:
    """What one side's caches hold; ``sources`` says which output fills which input."""

    specs: Sequence[InputSpec]
    sources: dict[str, str] = field(default_factory=dict)
    """Name of a cache, as it is fed → name of the output that answers it."""
    held: dict[str, Array] = field(default_factory=dict)

    def link(self, graph: Graph, outputs: Mapping[str, str], whose: str) -> None:
        """Find the output that answers each input: by name, by the flow of data, else in order; ``outputs`` are names
        and values after the one with the scores. Raises InputError where there are not as many.
        """
        opened = [spec.name for spec in self.specs if spec.shape is not None or spec.required]
        kept = self._kept(outputs)
        opened = [name for name in opened if name not in kept]
        if not opened:  # an argument that holds them all
            self.sources = _inside(self.specs, list(outputs))
        elif len(opened) <= len(outputs):
            self.sources = _by_name(opened, outputs) or _by_flow(opened, outputs, graph)
            self.sources = self.sources or dict(zip(opened, outputs, strict=False))
        if not self.sources:
            raise InputError(
                f"the {whose} gives no cache back that could be fed again",
                found=f"caches: {listing(opened or [spec.name for spec in self.specs])}; outputs: "
                f"{listing(outputs) or 'the scores alone'}",
                hint="export it with its caches as outputs too, or set use_cache in its configuration",
            )

    def _kept(self, outputs: Iterable[str]) -> list[str]:
        """Those that do not come back: what was made of the encoder's output stays as the prompt's file has left it."""
        answered = {key(name) for name in outputs}
        return [one.name for one in self.specs if _CROSSING & set(words(one.name)) and key(one.name) not in answered]

    def check_filled(self, outputs: Sequence[str], whose: str) -> None:
        """Raise InputError where nothing fills what is never given back."""
        if outputs and (kept := self._kept(outputs)):
            raise InputError(
                f"the {whose} does not fill the caches that hold what the encoder has made",
                found=f"no output answers {listing(kept)}",
                hint="--prefill names the file that reads the prompt (decoder_model.onnx)",
            )

    def has_slid(self, past: int) -> bool:
        """Whether a cache in an object has let go of positions, so that it no longer tells how many there were."""
        free = tuple(f"{spec.name}." for spec in self.specs if spec.shape is None)
        return any(
            name.startswith(free) and array.ndim >= CACHE_RANK and array.shape[-2] < past
            for name, array in self.held.items()
        )

    def empty(self, batch: int, example: Sequence[Array]) -> None:
        """Caches before the first token: no positions, or zeros where the file says how many there are.

        ``example``: the other side's caches after a step, which tell sizes that are left open here.
        """
        for place, spec in enumerate(self.specs):
            if spec.shape is None:
                if spec.required and place < len(example):
                    self.held[spec.name] = np.zeros_like(example[place])[..., :0, :]
                continue
            sizes = [batch if axis == 0 and size is None else size for axis, size in enumerate(spec.shape)]
            open_ = [axis for axis, size in enumerate(sizes) if size is None]
            known = example[place].shape if place < len(example) and example[place].ndim == len(sizes) else None
            for axis in open_[:-1] if len(open_) > 1 and known is None else ():
                raise InputError(
                    f"how large the empty cache {spec.name} is cannot be told",
                    found=f"several sizes are open: {list(spec.shape)}, axis {axis}",
                    hint="export it with the number of heads and channels written in",
                )
            for axis in open_:
                sizes[axis] = known[axis] if known is not None and axis != _growing(open_, len(sizes)) else 0
            self.held[spec.name] = np.zeros([size or 0 for size in sizes], np.dtype(spec.dtype or "float32"))

    def adopt(self, others: Caches, whose: str, *, told: bool) -> None:
        """Hold what caches of other names hold: by layer and kind where the names tell, else in order. ``told``: it
        knows which positions hold something, so that more may stand behind. Raises InputError where they do not fit.
        """
        names, given = [spec.name for spec in self.specs], others.held
        named = {key(name): array for name, array in given.items()}
        if all(key(name) in named for name in names):
            self.held = {name: named[key(name)] for name in names}
        elif len(names) == len(given):
            self.held = dict(zip(names, given.values(), strict=True))
        else:
            raise InputError(
                f"the {whose}'s file for the prompt does not fill the caches of that for the steps",
                found=f"outputs: {listing(given) or 'the scores alone'}; caches: {listing(names)}",
                hint="--prefill names the file that was exported beside it (decoder_model.onnx)",
            )
        self.held = {spec.name: _fitted(self.held[spec.name], spec, whose, told=told) for spec in self.specs}

    def full(self, past: int) -> dict[str, int]:
        """Caches of a fixed size that so many positions fill, up to the last, each with the axis that counts them."""
        return {
            spec.name: spec.shape.index(past, 1)
            for spec in self.specs
            if spec.name in self.sources and spec.shape is not None and past in spec.shape[1:]
            if None not in spec.shape[1:] and self.held[spec.name].size
            if all(self.held[spec.name].take(-1, axis).any() for axis in range(1, len(spec.shape)))
        }

    def check_kept(self, fed: Mapping[str, Array], answers: Mapping[str, Array], past: int, whose: str) -> None:
        """Raise InputError where full caches came back without the new token (dropped), or with it in the last place
        (clamped). Those that slide or begin again are right."""
        full, older = self.full(past), range(past - 1)
        pairs = [(fed[name], answers[self.sources[name]], axis) for name, axis in full.items() if name in fed]
        if pairs and all(
            before.shape == after.shape and np.array_equal(before.take(older, axis), after.take(older, axis), True)
            for before, after, axis in pairs
        ):
            raise no_room(whose, past)

    def take(self, answers: Mapping[str, Array], new: int) -> None:
        """What a step has given back: caches grown by its tokens, or the new part alone, which is put behind."""
        for name, source in self.sources.items():
            before, found = self.held.get(name), answers[source]
            if not found.size and before is not None and before.size:
                continue  # a branch that reads the encoder's part and gives none back
            axis = _only_new(before, found, new) if before is not None else None
            whole = found if axis is None or before is None else np.concatenate([before, found], axis)
            self.held[name] = np.ascontiguousarray(whole)


def no_room(whose: str, past: int) -> InputError:
    """That caches of a fixed size are full."""
    return InputError(
        f"the {whose}'s caches have no room for a further token",
        found=f"they are of a fixed size, {past} positions, and all are filled",
        hint="ask for fewer --steps or give a shorter prompt: together they may have as many tokens as the caches",
    )


def _fitted(array: Array, spec: InputSpec, whose: str, *, told: bool) -> Array:
    """The cache with zeros behind it where the next file has room for more positions."""
    if spec.shape is None or len(spec.shape) != array.ndim:
        return array
    room = [0 if size is None else size - have for size, have in zip(spec.shape, array.shape, strict=True)]
    if not any(room):
        return array
    if not told or min(room) < 0 or sum(map(bool, room)) > 1:
        raise InputError(
            f"the {whose}'s file for the prompt leaves caches that do not fit that for the steps",
            found=f"{list(array.shape)} for {spec.name}, which takes {list(spec.shape)}"
            + ("" if told else "; no mask and no cache_position tells which of them hold something"),
            hint="give a prompt as long as its caches, or export both files for the same sizes",
        )
    return np.pad(array, [(0, more) for more in room])


def _growing(open_: Sequence[int], rank: int) -> int:
    """The open axis that counts positions: the one before the channels where it is open, else the last."""
    return rank - 2 if rank - 2 in open_ else open_[-1]


def _only_new(before: Array, found: Array, new: int) -> int | None:
    """The axis along which an answer holds the new positions alone; None where it holds all."""
    if before.ndim != found.ndim:
        return None
    differing = [axis for axis, sizes in enumerate(zip(before.shape, found.shape, strict=True)) if len({*sizes}) > 1]
    if len(differing) != 1:
        return None
    axis = differing[0]
    return axis if found.shape[axis] == new and before.shape[axis] and before.shape[axis] != new else None


def _inside(specs: Sequence[InputSpec], outputs: Sequence[str]) -> dict[str, str]:
    """Parts of arguments that hold many tensors: "output.1.0.key" fills "past.0.key"."""
    found: dict[str, str] = {}
    for spec in specs:
        own = [name for name in outputs if name.startswith(f"{spec.name}.")]
        found.update((name, name) for name in own)
    if found or len(specs) != 1 or not outputs:
        return found
    split = [name.split(".") for name in outputs]
    shared = 0
    while all(len(parts) > shared + 1 and parts[shared] == split[0][shared] for parts in split):
        shared += 1
    shared = min(shared, 2 if split[0][0] == "output" else 1)
    return {".".join([specs[0].name, *parts[shared:]]): name for parts, name in zip(split, outputs, strict=True)}


def key(name: str) -> tuple[str, ...]:
    """Whose cache a name means: its numbers and words but for those that say which way it goes."""
    parts = re.findall(r"\d+|[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
    kept = [part.removesuffix("s") if part in ("keys", "values") else part for part in parts if part not in _WAYS]
    while kept[:2] == ["key", "value"]:  # past_key_values is a name of the whole
        kept = kept[2:]
    return tuple(kept)


def _by_name(inputs: Sequence[str], outputs: Iterable[str]) -> dict[str, str]:
    named = {key(name): name for name in outputs}
    found = {name: named[key(name)] for name in inputs if key(name) in named}
    return found if len({*found.values()}) == len(inputs) else {}


def _by_flow(inputs: Sequence[str], outputs: Mapping[str, str], graph: Graph) -> dict[str, str]:
    """The output that is nothing but an input with more behind it: only nodes that move numbers stand between."""
    found = {}
    for name in inputs:
        reached = _moved(graph, name)
        ends = [output for output, value in outputs.items() if value in reached]
        if len(ends) != 1:
            return {}
        found[name] = ends[0]
    return found if len({*found.values()}) == len(inputs) else {}


def _moved(graph: Graph, name: str) -> set[str]:
    reached = {value for value in graph.inputs if name in (value, graph.values[value].name)}
    for node in graph.nodes:
        if node.kind in MOVES_DATA and reached & {*node.inputs}:
            reached |= {*node.outputs}
    return reached


def carried(reference: Array, candidate: Array) -> tuple[int, ...] | None:
    """The axes that bring one side's cache into the other's order; None where no order of axes does."""
    if reference.ndim != candidate.ndim or reference.size != candidate.size:
        return None
    fits = [
        axes
        for axes in permutations(range(reference.ndim))
        if tuple(reference.shape[axis] for axis in axes) == candidate.shape
    ]
    if not fits:
        return None
    wide = candidate.astype(np.float64)
    return min(fits, key=lambda axes: float(np.abs(reference.transpose(axes) - wide).sum()) if wide.size else 0.0)
