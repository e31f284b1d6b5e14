"""Tiny decoders with caches, as a module and as ONNX files with caches of several kinds."""

from __future__ import annotations

import torch
from torch import nn

HEADS, SIZE, WIDTH, WORDS = 2, 4, 8, 20


class Attention(nn.Module):
    """Rotary attention over what the cache holds and what is new; ``fault`` is wrong only after a cache.

    ``window``: as many positions are seen; ``slides``: no more of them are kept than the next token sees. ``room``: as
    many positions are in the cache at all times, and the new one is written into its place.
    """

    def __init__(self, fault="", window=100, *, slides=False, room=0):
        super().__init__()
        self.window, self.slides, self.room = window, slides, room
        self.qkv, self.out, self.fault = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH), fault

    def projected(self, x):
        return self.qkv(x).split(WIDTH, dim=-1)

    def turned(self, part, angle):
        cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()
        return part * cos + torch.cat([-part[..., 2:], part[..., :2]], -1) * sin

    def forward(self, x, positions, past):
        batch, many, _ = x.shape
        q, k, v = (part.view(batch, many, HEADS, SIZE).transpose(1, 2) for part in self.projected(x))
        angle = positions[:, None, :, None].float() * torch.tensor([1.0, 0.1])
        if self.fault == "positions":
            angle = torch.arange(many)[None, None, :, None].float() * torch.tensor([1.0, 0.1])
        q, k = (self.turned(part, angle) for part in (q, k))
        kept = k, v
        if self.room:
            place = positions + int(self.fault == "place")
            here = (torch.arange(self.room)[None] == place)[:, None, :, None]
            k, v = (torch.where(here, new, before) for new, before in zip(kept, past, strict=True))
        elif past is not None:
            order = (k, past[0]) if self.fault == "order" else (past[0], k)
            k, v = torch.cat(order, 2), torch.cat([past[1], v], 2)
        whole = k.shape[2]
        last = positions[0] if self.room else torch.arange(many) + (whole - many)
        back = last[:, None] - torch.arange(whole)[None]
        seen = (back >= 0) & (back < self.window)
        scores = (q @ k.transpose(-1, -2) / SIZE**0.5).masked_fill(~seen, -1e4)
        found = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, many, WIDTH)
        if self.slides:
            k, v = k[:, :, 1 - self.window :], v[:, :, 1 - self.window :]
        return self.out(found), (kept if self.fault == "new only" else (k, v))


class Paired(Attention):
    """The same with rotary positions in pairs, and rows of the projections of queries and keys in these orders.

    ``reads``: the order in which it takes the channels of its past keys, right as they are.
    """

    RIGHT = 0, 2, 1, 3

    def __init__(self, whole, *, queries=RIGHT, keys=RIGHT, reads=(0, 1, 2, 3)):
        super().__init__()
        self.reads = list(reads)
        self.load_state_dict(whole.state_dict())
        weight = self.qkv.weight.data.view(3, HEADS, SIZE, WIDTH)
        for part, order in enumerate((queries, keys)):
            weight[part] = weight[part, :, list(order)]

    def turned(self, part, angle):
        cos, sin, one, other = angle.cos(), angle.sin(), part[..., ::2], part[..., 1::2]
        return torch.stack([one * cos - other * sin, other * cos + one * sin], -1).flatten(-2)

    def forward(self, x, positions, past):
        return super().forward(x, positions, None if past is None else (past[0][..., self.reads], past[1]))


class Apart(Attention):
    """The same weights in three projections; ``turned``: the key's upside down."""

    def __init__(self, whole, *, turned=False):
        super().__init__()
        parts = whole.qkv.weight.detach().split(WIDTH)
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in parts)
        for one, weight in zip((self.q, self.k, self.v), parts, strict=True):
            one.weight.data = weight.flip(0).clone() if turned and one is self.k else weight.clone()
        self.out = whole.out
        del self.qkv

    def projected(self, x):
        return self.q(x), self.k(x), self.v(x)


class Gated(nn.Module):
    """Attention, then a gated feed-forward with both projections in one matrix."""

    def __init__(self, attention):
        super().__init__()
        self.attention, self.down = attention, nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.gate_up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)

    def gates(self, x):
        return self.gate_up(x).chunk(2, -1)

    def forward(self, x, positions, past):
        more, cache = self.attention(x, positions, past)
        gate, up = self.gates(x + more)
        return more + self.down(nn.functional.silu(gate) * up), cache


class GatedApart(Gated):
    """The same weights in two projections; ``turned``: the second one upside down."""

    def __init__(self, whole, attention, *, turned=False):
        super().__init__(attention)
        self.gate, self.up = (nn.Linear(WIDTH, 2 * WIDTH, bias=False) for _ in range(2))
        parts = whole.gate_up.weight.detach().chunk(2)
        self.gate.weight.data, self.up.weight.data = (
            parts[0].clone(),
            (parts[1].flip(0) if turned else parts[1]).clone(),
        )
        self.down = whole.down
        del self.gate_up

    def gates(self, x):
        return self.gate(x), self.up(x)


class Decoder(nn.Module):
    """Scores and a tuple of (key, value) for each layer; ``past`` is what the last step gave."""

    def __init__(self, faults=("", ""), window=100, *, slides=False, room=0):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS, bias=False)
        self.layers = nn.ModuleList(Attention(fault, window, slides=slides, room=room) for fault in faults)

    def forward(self, input_ids, position_ids=None, past=None):
        before = 0 if past is None else past[0][0].shape[2]
        if position_ids is None:
            position_ids = torch.arange(before, before + input_ids.shape[1])[None]
        x, caches = self.embed(input_ids), []
        for number, layer in enumerate(self.layers):
            more, cache = layer(x, position_ids, None if past is None else past[number])
            x = x + more
            caches.append(cache)
        return self.head(x), tuple(caches)


class Flat(nn.Module):
    """The same with each cache as an argument of its own, ``axes`` in another order."""

    def __init__(self, decoder, axes=(0, 1, 2, 3)):
        super().__init__()
        self.decoder, self.axes = decoder, axes
        self.back = tuple(axes.index(axis) for axis in range(4))

    def forward(self, input_ids, position_ids, *caches):
        past = [cache.permute(self.back) for cache in caches]
        scores, found = self.decoder(input_ids, position_ids, tuple(zip(past[::2], past[1::2], strict=True)))
        return scores, *(part.permute(self.axes) for cache in found for part in cache)


class Unbatched(Flat):
    """Tokens and scores without an axis for the batch: [tokens], [tokens, words]."""

    def forward(self, input_ids, position_ids, *caches):
        scores, *found = super().forward(input_ids[None], position_ids[None], *caches)
        return scores[0], *found


class Prompt(nn.Module):
    """What reads the prompt alone: no cache goes in, all of them come out."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, input_ids, position_ids):
        scores, found = self.decoder(input_ids, position_ids)
        return scores, *(part for cache in found for part in cache)


def export_prompt(decoder, path, *, form="present.{}.{}"):
    """An ONNX file for the prompt, as of a decoder that is exported into two."""
    outs = [form.format(number, part) for number in range(len(decoder.layers)) for part in ("key", "value")]
    words, grown = {0: "batch", 1: "seq"}, {0: "batch", 2: "seq"}
    torch.onnx.export(
        Prompt(decoder.eval()),
        (torch.zeros(1, 2, dtype=torch.long), torch.arange(2)[None]),
        path,
        dynamo=False,
        input_names=["input_ids", "position_ids"],
        output_names=["logits", *outs],
        dynamic_axes=dict.fromkeys(["input_ids", "position_ids"], words) | dict.fromkeys(outs, grown),
    )
    return str(path)


def export(decoder, path, *, names=("past_key_values.{}.{}", "present.{}.{}"), axes=(0, 1, 2, 3), batched=True):
    """An ONNX file that takes caches and gives them back."""
    caches = [torch.zeros(1, HEADS, 3, SIZE).permute(axes).contiguous() for _ in range(2 * len(decoder.layers))]
    parts = [(number, part) for number in range(len(decoder.layers)) for part in ("key", "value")]
    ins, outs = ([form.format(*part) for part in parts] for form in names)
    open_ = {0: "batch", axes.index(2): "past"}
    tokens = torch.zeros(1, 2, dtype=torch.long), torch.arange(3, 5)[None]
    words = {0: "batch", 1: "seq"} if batched else {0: "seq"}
    torch.onnx.export(
        (Flat if batched else Unbatched)(decoder.eval(), axes),
        (*(one if batched else one[0] for one in tokens), *caches),
        path,
        dynamo=False,
        input_names=["input_ids", "position_ids", *ins],
        output_names=["logits", *outs],
        dynamic_axes=dict.fromkeys(["input_ids", "position_ids"], words) | dict.fromkeys([*ins, *outs], open_),
    )
    return str(path)


class InPlace(Flat):
    """One token and its place in caches of a fixed size."""

    def forward(self, input_ids, cache_position, *caches):
        return super().forward(input_ids, cache_position[None], *caches)


def export_fixed(decoder, path, *, room, place="cache_position"):
    """An ONNX file whose caches always hold ``room`` positions, fed one token at a time and its ``place``."""
    parts = [f"{number}.{part}" for number in range(len(decoder.layers)) for part in ("key", "value")]
    torch.onnx.export(
        InPlace(decoder.eval()),
        (torch.zeros(1, 1, dtype=torch.long), torch.arange(1), *(torch.zeros(1, HEADS, room, SIZE) for _ in parts)),
        path,
        dynamo=False,
        input_names=["input_ids", place, *(f"past_key_values.{part}" for part in parts)],
        output_names=["logits", *(f"present.{part}" for part in parts)],
    )
    return str(path)


class Crossing(nn.Module):
    """A decoder's layer over its own cache and over what an encoder gave, whose keys and values are made once.

    ``fault`` is wrong where the latter come from a cache.
    """

    def __init__(self, fault=""):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS, bias=False)
        self.own, self.fault = Attention(), fault
        self.query, self.kv, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def made_once(self, states):
        batch, many, _ = states.shape
        return tuple(part.view(batch, many, HEADS, SIZE).transpose(1, 2) for part in self.kv(states).chunk(2, -1))

    def forward(self, input_ids, position_ids, mask, past, made):
        x = self.embed(input_ids)
        more, kept = self.own(x, position_ids, past)
        x = x + more
        batch, many, _ = x.shape
        query = self.query(x).view(batch, many, HEADS, SIZE).transpose(1, 2)
        k, v = (made[1], made[0]) if self.fault == "swapped" and past is not None else made
        scores = (query @ k.transpose(-1, -2) / SIZE**0.5).masked_fill(mask[:, None, None, :] == 0, -1e4)
        found = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, many, WIDTH)
        return self.head(x + self.out(found)), kept


class CrossingPrompt(nn.Module):
    """Reads the prompt, and makes what the encoder's output becomes."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, input_ids, position_ids, encoder_attention_mask, encoder_hidden_states):
        made = self.decoder.made_once(encoder_hidden_states)
        scores, kept = self.decoder(input_ids, position_ids, encoder_attention_mask, None, made)
        return scores, *kept, *made


class CrossingSteps(nn.Module):
    """Goes on; what was made of the encoder's output is not given back."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, input_ids, position_ids, encoder_attention_mask, *caches):
        scores, kept = self.decoder(input_ids, position_ids, encoder_attention_mask, caches[:2], caches[2:])
        return scores, *kept


def export_crossing(folder, fault=""):
    """(file for the prompt, file for the steps), with the names of Optimum."""
    decoder = Crossing(fault).eval()
    own, made = ([f"{{}}.0.{whose}.{part}" for part in ("key", "value")] for whose in ("decoder", "encoder"))
    words, grown, read = {0: "batch", 1: "seq"}, {0: "batch", 2: "past"}, {0: "batch", 1: "read"}
    axes = {"input_ids": words, "position_ids": words, "encoder_attention_mask": read, "encoder_hidden_states": read}
    caches = {form.format(whole): grown for form in own + made for whole in ("past_key_values", "present")}
    tokens = torch.zeros(1, 2, dtype=torch.long), torch.arange(2)[None], torch.ones(1, 5, dtype=torch.long)
    past = [torch.zeros(1, HEADS, many, SIZE) for many in (3, 3, 5, 5)]
    given = {
        "prompt": (CrossingPrompt, (torch.zeros(1, 5, WIDTH),), ["encoder_hidden_states"], own + made),
        "steps": (CrossingSteps, past, [form.format("past_key_values") for form in own + made], own),
    }
    paths = []
    for word, (kind, more, names, back) in given.items():
        names = [*list(axes)[:3], *names]
        outs = [form.format("present") for form in back]
        paths.append(str(folder / f"{word}{fault}.onnx"))
        torch.onnx.export(
            kind(decoder),
            (*tokens, *more),
            paths[-1],
            dynamo=False,
            input_names=names,
            output_names=["logits", *outs],
            dynamic_axes={name: found for name, found in (axes | caches).items() if name in (*names, *outs)},
        )
    return paths
