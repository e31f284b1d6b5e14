"""Two decoders step by step: the prompt at once, then token after token, each side's caches fed back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from aligner.api.open_models import OpenModels
from aligner.api.options import CompareOptions
from aligner.errors import InputError, listing
from aligner.execution import memory
from aligner.execution.side import OpenSide
from aligner.inputs.decoding import Caches, Roles, carried, derived, roles
from aligner.inputs.items import InputItem, PreparedFeeds
from aligner.records import progress
from aligner.records.array import Array
from aligner.records.comparison import GUILTY, Comparison, FedInput, Pair, Side, output_error
from aligner.records.steps import LayerErrors, Step

_PROMPT = 16
"""Tokens drawn where none are given: more than one, so that a mask shows, and few enough to be quick."""
_DRAWN = 10
"""Token ids drawn where none are given: 0 … 9, which every vocabulary has."""
_LAYER = re.compile(r"(?:^|[./])([A-Za-z_]*[A-Za-z])[._]?(\d+)(?=[./])")


def stepped(reference: object, candidate: object, items: Sequence[InputItem], options: CompareOptions) -> Comparison:
    """The comparison of the first step that diverges, else of the first that stays open, else of the last."""
    sides = (replace(options.reference_options, caches=True), replace(options.candidate_options, caches=True))
    options = replace(options, reference_options=sides[0], candidate_options=sides[1], probe=False, rehearse=False)
    tokens = prompt(items, options.seed)
    with memory.settled(), OpenModels(reference, candidate, options) as models:
        return _Decoding(models, tokens).through(options.steps or 1)


def prompt(items: Sequence[InputItem], seed: int) -> Array:
    """The token ids that were given, [batch, positions]; drawn where none were.

    Raises InputError for anything else.
    """
    if not items:
        return np.random.default_rng(seed).integers(0, _DRAWN, (1, _PROMPT))
    found = [item.value if item.content is None else item.content for item in items]
    given = found[0]
    if isinstance(given, dict):
        given = given.get("input_ids", next(iter(given.values())) if len(given) == 1 else None)
    array = np.asarray(given) if given is not None else np.zeros(0)
    if len(found) > 1 or array.dtype.kind not in "iu" or array.ndim not in (1, 2) or array.shape[-1] < 2:
        what = "several inputs" if len(found) > 1 else f"{array.dtype} of shape {list(array.shape)}"
        raise InputError(
            "a decoder's steps start from one list of token ids, two of them at least",
            found=what,
            hint="--input ids.json (or .txt, .npy, .npz with input_ids), or --prompt TEXT --tokenizer tokenizer.json",
        )
    return array.reshape(-1, array.shape[-1]).astype(np.int64)


@dataclass(slots=True)
class Decoder:
    """One side: what its inputs are for, what its caches hold."""

    side: OpenSide
    roles: Roles
    caches: Caches
    names: dict[str, str] = field(default_factory=dict)
    """Output name → value."""

    @classmethod
    def of(cls, side: OpenSide) -> Decoder:
        found = roles(side.session.signature, side.role)
        return cls(side, found, Caches(found.caches))

    def feeds(self, tokens: Array, past: int, wanted: Sequence[str]) -> dict[str, Array]:
        """Tokens, what follows from them, and the caches as this side left them."""
        spec = self.roles.tokens
        flat = spec.shape is not None and len(spec.shape) == 1
        if flat and len(tokens) > 1:
            raise InputError(
                f"the {self.side.role} takes one sequence of tokens", found=f"{len(tokens)} rows", hint="give one row"
            )
        made = {spec.name: (tokens[0] if flat else tokens).astype(np.dtype(spec.dtype or "int64"))}
        for one in self.roles.derived:
            array = derived(one, tokens, past) if one.required or one.name in wanted else None
            if array is not None:
                made[one.name] = array
        return made | self.caches.held

    def answers(self) -> dict[str, Array]:
        """What the model answers to what it is fed now, by the outputs' names."""
        found = {tensor.value: np.asarray(tensor.real()) for tensor in self.side.predict()}
        self.names = {name: value for name in self._outputs() if (value := self._value(name)) in found}
        return {name: found[value] for name, value in self.names.items()}

    def _outputs(self) -> Sequence[str]:
        names = list(self.side.session.signature.outputs)
        return sorted(names, key=lambda name: name != "logits")

    def _value(self, name: str) -> str:
        graph = self.side.graph
        known = ((value, graph.values[value]) for value in graph.outputs)
        return next((value for value, one in known if name in (value, one.name, *one.aliases)), "")

    def first(self, tokens: Array, wanted: Sequence[str], example: Sequence[Array]) -> None:
        """Empty caches, and which outputs fill them, which the first run tells."""
        self.caches.empty(len(tokens), example)
        self.side.read(self.feeds(tokens, 0, wanted))
        answers = self.answers()
        rest = dict(list(self.names.items())[1:])
        self.caches.link(self.side.graph, rest, self.side.role)
        self.example = [answers[source] for source in self.caches.sources.values()]

    example: list[Array] = field(default_factory=list)


class _Decoding:
    """Both sides through the steps."""

    def __init__(self, models: OpenModels, tokens: Array) -> None:
        self._models, self._tokens = models, tokens
        self._decoders = tuple(Decoder.of(side) for side in models.sides)
        names = [[spec.name for spec in one.roles.derived] for one in self._decoders]
        self._wanted = [name for name in names[0] if name in names[1]]
        self._steps: list[Step] = []
        self._relaid = False
        """Whether some cache has another order of axes on either side."""

    def through(self, many: int) -> Comparison:
        """Prefill and that many steps; the first divergence ends it."""
        self._begin()
        past, fed, kept = 0, self._tokens, None
        for index in range(many + 1):
            progress.headline(f"step {index} of {many}")
            comparison = self._models.compare(self._feeds(fed, past), relaid=self._relaid)
            fed = self._record(index, comparison, past, fed)
            past += self._steps[-1].fed
            if kept is None or kept.verdict == "aligned":
                kept = comparison
            if comparison.verdict == "diverged":
                kept = comparison
                break
        assert kept is not None
        return self._told(kept)

    def _begin(self) -> None:
        """The side that needs no empty cache runs first: its caches tell sizes that a file leaves open."""
        ready = sorted(self._decoders, key=lambda one: any(spec.required for spec in one.roles.caches))
        ready.sort(key=lambda one: any(spec.required and spec.shape is None for spec in one.roles.caches))
        example: list[Array] = []
        for one in ready:
            one.first(self._tokens, self._wanted, example)
            example = one.example
        left, right = self._decoders
        kept = [dict(zip(one.caches.sources, one.example, strict=True)) for one in self._decoders]
        orders = (carried(kept[0][one], kept[1][other]) for one, other in _cache_pairs(left.caches, right.caches))
        self._relaid = any(axes is not None and axes != tuple(sorted(axes)) for axes in orders)

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
            if axes is not None:
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

    def _record(self, index: int, comparison: Comparison, past: int, fed: Array) -> Array:
        """Remember the step and its caches; the next token, as the reference has it."""
        answers = [one.answers() for one in self._decoders]
        for one, answer in zip(self._decoders, answers, strict=True):
            one.caches.take(answer, fed.shape[-1])
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

    def _told(self, comparison: Comparison) -> Comparison:
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
    from aligner.inputs.decoding import key

    ours, theirs = list(left.sources), list(right.sources)
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
