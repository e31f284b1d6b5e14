"""Two decoders step by step: the prompt at once, then token after token, each side's caches fed back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aligner.api.open_models import OpenModels
from aligner.api.options import CompareOptions
from aligner.errors import InputError, ModelExecutionError, listing
from aligner.execution import memory
from aligner.execution.side import OpenSide
from aligner.inputs.channel_order import channel_order
from aligner.inputs.conventions import words
from aligner.inputs.decoding import (
    CACHE_RANK,
    Caches,
    Context,
    Roles,
    carried,
    derived,
    is_context,
    key,
    no_room,
    roles,
)
from aligner.inputs.items import InputItem, PreparedFeeds
from aligner.records import progress
from aligner.records.array import Array
from aligner.records.comparison import GUILTY, Comparison, FedInput, Pair, Side, output_error
from aligner.records.steps import ChannelOrder, HandedOn, LayerErrors, Step

_PROMPT = 16
"""Tokens drawn where none are given: more than one, so that a mask shows, and few enough to be quick."""
_DRAWN = 10
"""Token ids drawn where none are given: 0 … 9, which every vocabulary has."""
_LAYER = re.compile(r"(?:^|[./])([A-Za-z_]*[A-Za-z])[._]?(\d+)(?=[./])")


def stepped(reference: object, candidate: object, items: Sequence[InputItem], options: CompareOptions) -> Comparison:
    """The comparison of the first step that diverges, else of the first that stays open, else of the last."""
    sides = (replace(options.reference_options, caches=True), replace(options.candidate_options, caches=True))
    options = replace(options, reference_options=sides[0], candidate_options=sides[1], probe=False, rehearse=False)
    decoding = _Decoding(prompt(items, options.seed), context(items, options.seed), options.steps or 1)
    steps = range((options.steps or 1) + 1)
    first = options.prefill.get("reference", reference), options.prefill.get("candidate", candidate)
    stages = [(first, steps[:1]), ((reference, candidate), steps[1:])]
    with memory.settled():
        for targets, part in stages if options.prefill else [((reference, candidate), steps)]:
            with OpenModels(*targets, options) as models:
                if not decoding.through(models, part):
                    break
        return decoding.told()


def prompt(items: Sequence[InputItem], seed: int) -> Array:
    """The token ids that were given, [batch, positions]; drawn where none were.

    Raises InputError for anything else.
    """
    if not items:
        return np.random.default_rng(seed).integers(0, _DRAWN, (1, _PROMPT))
    named = _by_name(items)
    given = next((named[name] for name in (*_TOKENS, *named) if name in named), None)
    strange = [name for name in named if name and name not in _TOKENS and not is_context(name)]
    several = len(strange) > 1 or (strange and any(name in named for name in _TOKENS))
    array = np.asarray(given) if given is not None else np.zeros(0)
    if several or array.dtype.kind not in "iu" or array.ndim not in (1, 2) or array.shape[-1] < 2:
        what = f"several inputs: {listing(named)}" if several else f"{array.dtype} of shape {list(array.shape)}"
        raise InputError(
            "a decoder's steps start from one list of token ids, two of them at least",
            found=what,
            hint="--input ids.json (or .txt, .npy, .npz with input_ids), or --prompt TEXT --tokenizer tokenizer.json",
        )
    return array.reshape(-1, array.shape[-1]).astype(np.int64)


_TOKENS = ("decoder_input_ids", "input_ids")


def context(items: Sequence[InputItem], seed: int) -> Context:
    """What was given beside the token ids: an encoder's output, a mask of it."""
    return Context({name: np.asarray(one) for name, one in _by_name(items).items() if is_context(name)}, seed)


def _by_name(items: Sequence[InputItem]) -> dict[str, Any]:
    """What stands in files of several arrays by its names there; what has none by its number."""
    found: dict[str, Any] = {}
    for place, item in enumerate(items):
        content = item.value if item.content is None else item.content
        found |= content if isinstance(content, dict) else {item.name or str(place): content}
    return found


@dataclass(slots=True)
class Decoder:
    """One side: what its inputs are for, what its caches hold."""

    side: OpenSide
    roles: Roles
    caches: Caches
    context: Context
    names: dict[str, str] = field(default_factory=dict)
    """Output name → value."""

    @classmethod
    def of(cls, side: OpenSide, context: Context, *, cached: bool = True) -> Decoder:
        """With caches of its own; of a file for the prompt alone there are none to feed."""
        found = roles(side.session.signature, side.role, cached=cached)
        return cls(side, found, Caches(found.caches), context)

    def feeds(self, tokens: Array, past: int, wanted: Sequence[str]) -> dict[str, Array]:
        """Tokens, what follows from them, and the caches as this side left them."""
        spec = self.roles.tokens
        flat = spec.shape is not None and len(spec.shape) == 1
        if flat and len(tokens) > 1:
            raise InputError(
                f"the {self.side.role} takes one sequence of tokens", found=f"{len(tokens)} rows", hint="give one row"
            )
        made = {spec.name: (tokens[0] if flat else tokens).astype(np.dtype(spec.dtype or "int64"))}
        for one in self.roles.context:
            if one.required or one.name in wanted:
                made[one.name] = self.context.of(one, len(tokens))
        wanted = [*wanted, "position_ids"] if self.caches.has_slid(past) else wanted
        for one in self.roles.derived:
            array = derived(one, tokens, past) if one.required or one.name in wanted else None
            if array is not None:
                made[one.name] = array
        return made | self.caches.held if self.roles.caches else made

    def answers(self) -> dict[str, Array]:
        """What the model answers to what it is fed now, by the outputs' names."""
        found = {tensor.value: np.asarray(tensor.real()) for tensor in self.side.predict()}
        self.names = {name: value for name in self._outputs() if (value := self._value(name)) in found}
        return {name: found[value] for name, value in self.names.items()}

    def take(self, fed: Mapping[str, Array], answers: Mapping[str, Array], past: int, new: int) -> None:
        """Hold what came back for the tokens after ``past``. Raises InputError where the caches had no room."""
        self.caches.check_kept(fed, answers, past, self.side.role)
        self.caches.take(answers, new)

    def _outputs(self) -> Sequence[str]:
        names = list(self.side.session.signature.outputs)
        return sorted(names, key=lambda name: name != "logits")

    def _value(self, name: str) -> str:
        graph = self.side.graph
        known = ((value, graph.values[value]) for value in graph.outputs)
        return next((value for value, one in known if name in (value, one.name, *one.aliases)), "")

    def first(self, tokens: Array, wanted: Sequence[str], example: Sequence[Array]) -> None:
        """Empty caches, and which outputs fill them, which the first run tells."""
        self.caches.check_filled(self.side.session.signature.outputs, self.side.role)
        self.caches.empty(len(tokens), example)
        self.side.read(self.feeds(tokens, 0, wanted))
        answers = self.answers()
        self._link(answers)
        self.example = [answers[source] for source in self.caches.sources.values()]

    def _link(self, answers: Mapping[str, Array]) -> None:
        rest = dict(list(self.names.items())[1:])
        if self.roles.caches:
            self.caches.link(self.side.graph, rest, self.side.role)
        else:  # they go by what the file for the steps calls them, which is asked next
            self.caches.sources = {name: name for name in rest if answers[name].ndim >= CACHE_RANK}

    def go_on(self, before: Decoder, tokens: Array, past: int, wanted: Sequence[str]) -> None:
        """With what another file of the same side, or this one opened before, has left in its caches."""
        if before.roles.caches:
            self.caches = before.caches
            return
        told = any("mask" in words(spec.name) or "cache" in words(spec.name) for spec in self.roles.derived)
        self.caches.adopt(before.caches, self.side.role, told=told)
        self.side.read(self.feeds(tokens, past, wanted))
        self._link(self.answers())

    example: list[Array] = field(default_factory=list)


class _Decoding:
    """Both sides through the steps."""

    def __init__(self, tokens: Array, context: Context, many: int) -> None:
        self._fed, self._context, self._many, self._past = tokens, context, many, 0
        self._decoders: tuple[Decoder, ...] = ()
        self._kept: Comparison | None = None
        self._steps: list[Step] = []
        self._relaid = False
        """Whether some cache has another order of axes on either side."""
        self._orders: dict[tuple[str, ...], ChannelOrder] = {}
        """By whose they are, caches whose channels lie in another order on either side."""

    def through(self, models: OpenModels, part: Sequence[int]) -> bool:
        """These steps, by these models; False at the first divergence, which ends it."""
        self._open(models, prompt_alone=len(part) == 1)
        for index in part:
            progress.headline(f"step {index} of {self._many}")
            feeds = self._feeds(self._fed, self._past)
            comparison = self._compared(models, feeds)
            self._fed = self._record(index, comparison, self._past, feeds)
            self._past += self._steps[-1].fed
            if self._kept is None or self._kept.verdict == "aligned" or comparison.verdict == "diverged":
                self._kept = comparison
            if comparison.verdict == "diverged":
                return False
        return True

    def _compared(self, models: OpenModels, feeds: PreparedFeeds) -> Comparison:
        """One step. Raises InputError where a runtime fails as it writes beyond the end of its caches."""
        try:
            return models.compare(feeds, relaid=self._relaid, caches=self._handed_on())
        except ModelExecutionError as error:
            full = [one.side.role for one in self._decoders if one.caches.full(self._past)]
            if full:
                raise no_room(full[0], self._past) from error
            raise

    def _open(self, models: OpenModels, *, prompt_alone: bool) -> None:
        before = self._decoders
        cached = not prompt_alone or bool(before)
        self._decoders = tuple(Decoder.of(side, self._context, cached=cached) for side in models.sides)
        names = [[spec.name for spec in (*one.roles.derived, *one.roles.context)] for one in self._decoders]
        self._wanted = [name for name in names[0] if name in names[1]]
        if not before:
            self._begin()
        for one, former in zip(self._decoders, before, strict=False):
            one.go_on(former, self._fed, self._past, self._wanted)

    def _begin(self) -> None:
        """The side that needs no empty cache runs first: its caches tell sizes that a file leaves open."""
        ready = sorted(self._decoders, key=lambda one: any(spec.required for spec in one.roles.caches))
        ready.sort(key=lambda one: any(spec.required and spec.shape is None for spec in one.roles.caches))
        example: list[Array] = []
        for one in ready:
            one.first(self._fed, self._wanted, example)
            example = one.example
        left, right = self._decoders
        kept = [dict(zip(one.caches.sources, one.example, strict=True)) for one in self._decoders]
        pairs = _cache_pairs(left.caches, right.caches)
        orders = [carried(kept[0][one], kept[1][two]) for one, two in pairs if one in kept[0] and two in kept[1]]
        self._relaid = any(axes is not None and axes != tuple(sorted(axes)) for axes in orders)
        channels = {key(one): channel_order(kept[0][one], kept[1][two]) for one, two in pairs if one in kept[0]}
        self._orders = {whose: order for whose, order in channels.items() if order is not None}

    def _feeds(self, tokens: Array, past: int) -> PreparedFeeds:
        """The same for both: the reference's caches too, where an order of axes makes them the candidate's."""
        left, right = self._decoders
        ours, theirs = (one.feeds(tokens, past, self._wanted) for one in self._decoders)
        pairs: list[tuple[str, str, tuple[int, ...] | None]] = [
            (name, name, None) for name in ours if name in theirs and ours[name].shape == theirs[name].shape
        ]
        tokens_of = left.roles.tokens.name, right.roles.tokens.name
        if tokens_of[0] != tokens_of[1] and ours[tokens_of[0]].ndim == theirs[tokens_of[1]].ndim:
            pairs.append((*tokens_of, None))
        for one, other in _cache_pairs(left.caches, right.caches):
            axes = carried(ours[one], theirs[other]) if one in ours and other in theirs else None
            order = self._orders.get(key(one))
            if axes is not None and order is not None:
                theirs[other] = np.ascontiguousarray(order.to_candidate(ours[one]).astype(theirs[other].dtype))
                pairs = [pair for pair in pairs if one != pair[0] and other != pair[1]]
            elif axes is not None:
                theirs[other] = ours[one].transpose(axes).astype(theirs[other].dtype).copy()
                plain = axes == tuple(range(len(axes)))
                pairs = [pair for pair in pairs if one != pair[0] and other != pair[1]]
                pairs.append((one, other, None if plain else axes))
        names = {pair[0]: pair[1] for pair in pairs}
        rows = tuple(
            FedInput(name, _words(array), _words(theirs[names[name]]) if name in names else None, "decoding")
            for name, array in ours.items()
        )
        return PreparedFeeds(ours, theirs, rows, correspondence=tuple(pairs))

    def _handed_on(self) -> HandedOn:
        """The outputs of both sides that fill caches which answer each other."""
        left, right = (one.caches for one in self._decoders)
        pairs = [pair for pair in _cache_pairs(left, right) if pair[0] in left.sources and pair[1] in right.sources]
        found = tuple((left.sources[one], right.sources[other]) for one, other in pairs)
        orders = {right.sources[other]: self._orders[key(one)] for one, other in pairs if key(one) in self._orders}
        return HandedOn(found, self._past + self._fed.shape[-1], orders)

    def _record(self, index: int, comparison: Comparison, past: int, feeds: PreparedFeeds) -> Array:
        """Remember the step and its caches; the next token, as the reference has it."""
        fed, answers = self._fed, [one.answers() for one in self._decoders]
        for one, given, answer in zip(self._decoders, (feeds.reference, feeds.candidate), answers, strict=True):
            one.take(given or {}, answer, past, fed.shape[-1])
        scores = [next(iter(answer.values())) for answer in answers]
        best = [one.reshape(len(fed), -1, one.shape[-1])[:, -1].argmax(-1) for one in scores]
        first = comparison.first_divergence
        self._steps.append(
            Step(
                index,
                "decode" if index else "prefill",
                past,
                int(fed.shape[-1]),
                comparison.verdict,
                int(best[0][0]),
                bool((best[0] == best[1]).all()),
                None if first is None else layer_of(first) or None,
                None if first is None else first.candidate.node,
                output_error(comparison),
            )
        )
        return np.asarray(best[0][:, None], np.int64)

    def told(self) -> Comparison:
        """The comparison that is kept, and the steps."""
        comparison = self._kept
        assert comparison is not None
        step = next(
            (one for one in self._steps if one.verdict == comparison.verdict and one.verdict != "aligned"),
            self._steps[-1],
        )
        told = f"step {step.index} ({step.phase} of {step.fed} after {step.past} tokens)"
        reason = f"{told}: {comparison.reason}" if comparison.verdict != "aligned" else comparison.reason
        shown = f"prefill and {len(self._steps) - 1} steps were compared; what follows is of {told}"
        apart = [one.side.role for one in self._decoders if not one.caches.sources]
        notes = (shown, *((f"no cache of {listing(apart)} answers the other side's",) if apart else ()))
        layers = layers_of(comparison.pairs)
        return replace(
            comparison, reason=reason, steps=tuple(self._steps), layers=layers, notes=(*notes, *comparison.notes)
        )


def _cache_pairs(left: Caches, right: Caches) -> list[tuple[str, str]]:
    """Caches that answer each other: by layer and kind where the names tell, else in order."""
    ours, theirs = ([*one.sources, *(one.held.keys() - one.sources.keys())] for one in (left, right))
    named = {key(name): name for name in theirs}
    if len(named) == len(theirs) and all(key(name) in named for name in ours):
        return [(name, named[key(name)]) for name in ours]
    return list(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else []


def _words(array: Array) -> str:
    return f"{'×'.join(map(str, array.shape)) or 'one'} {array.dtype}"


def layer_of(pair: Pair) -> str:
    """The repeated part that a pair stands in, "layers.3"; "" for what stands outside of any."""
    return next(filter(None, map(_layer, (pair.reference, pair.candidate))), "")


def _layer(side: Side) -> str:
    return "" if side.kind == "input" else layer_name(side.scope, side.node)


def layer_name(scope: str | None, node: str) -> str:
    """By the module's path, else by a node's name that is one; what a name ends with only counts."""
    found = _LAYER.search(f"{scope}." if scope else node)
    return f"{found[1]}.{found[2]}" if found is not None else ""


def layers_of(pairs: Sequence[Pair]) -> tuple[LayerErrors, ...]:
    """Each layer's pairs in short, in the candidate's order."""
    grouped: dict[str, list[Pair]] = {}
    for pair in pairs:
        grouped.setdefault(layer_of(pair), []).append(pair)
    return tuple(
        LayerErrors(
            layer,
            len(several),
            sum(pair.verdict in GUILTY for pair in several),
            max((pair.local.max_abs for pair in several if pair.local is not None), default=None),
            max((pair.accumulated.max_abs for pair in several if pair.accumulated is not None), default=None),
        )
        for layer, several in grouped.items()
    )
