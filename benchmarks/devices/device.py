"""A device as a dump shows it: how it names, fuses, lays out, rounds, leaves out and writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

Names = Literal["true", "mangled", "bare", "nodes", "numbered", "suffixed", "prefixed", "cut", "hashed"]
Precision = Literal["float32", "float16", "bfloat16", "int8", "coded"]
Packing = Literal["", "pad16", "pad32", "c4", "c16", "flat"]

GROUPS = ("fault", "module", "clean", "double")
"""Groups of the fault bench whose faults lie in nodes."""
WRITERS = ("npy", "npz", "safetensors", "raw", "manifest", "polygraphy", "trtexec")
_NAMES: tuple[Names, ...] = ("true", "mangled", "bare", "nodes", "numbered", "suffixed", "prefixed", "cut")
_PACKINGS: tuple[Packing, ...] = ("pad16", "pad32", "c4", "c16", "flat")
_PRECISIONS: tuple[Precision, ...] = ("float16", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class Device:
    """``names``: the model's, foreign characters as "_", without what leads, the nodes' in place of the tensors', with
    a number or words before or behind, cut at a length, or a hash of the name.

    ``fused``: what follows a convolution or product is one tensor with it, "a + b". ``last``: channels stand last.
    ``batched``: False where an axis of one sample is left out. ``share`` of the tensors is dumped; ``fed``: the input
    too. ``packing``: pictures have channels in whole blocks ("c4": N, C/4, H, W, 4), or no axes. ``doubled``: tensors
    of other things, and a second copy of some, lie between.
    ``reused``: some tensors are what lay in their memory later. ``precision`` "coded": multiples of a step of int8,
    written as float32. ``told``: the user names the model; ``right``: the one without the fault, which is the device's
    own then.
    """

    names: Names = "true"
    fused: bool = False
    last: bool = False
    batched: bool = True
    precision: Precision = "float32"
    share: float = 1.0
    fed: bool = True
    packing: Packing = ""
    doubled: bool = False
    reused: bool = False
    writer: str = "npz"
    told: bool = True
    right: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def spoken(self) -> str:
        """The device in a word or two for each of its ways."""
        words = [
            self.writer,
            self.names,
            "fused" if self.fused else "",
            "last" if self.last else "",
            "" if self.batched else "no batch",
            "" if self.precision == "float32" else self.precision,
            self.packing,
            "doubled" if self.doubled else "",
            "memory used again" if self.reused else "",
            "" if self.share == 1 else f"{self.share:.0%}",
            "" if self.fed else "no input",
            "" if self.told else "not told",
            "right model" if self.right else "",
        ]
        return ", ".join(word for word in words if word)


def drawn(rng: np.random.Generator, *, may_guess: bool, may_err: bool = False) -> Device:
    """A device of a seed; ``may_guess``: the other side has the names, so the model may go without saying.

    ``may_err``: the model without its fault is there, so that the fault may be the device's.
    """

    def often(share: float) -> bool:
        return bool(rng.random() < share)

    names = _NAMES[int(rng.integers(len(_NAMES)))]
    told = not (may_guess and often(0.3))
    device = Device(
        names=names,
        fused=often(0.4),
        last=often(0.4),
        batched=not often(0.3),
        precision=_PRECISIONS[int(rng.integers(len(_PRECISIONS)))] if often(0.3) else "float32",
        packing=_PACKINGS[int(rng.integers(len(_PACKINGS)))] if often(0.3) else "",
        doubled=often(0.2),
        share=float(rng.choice([1.0, 0.5, 0.25])) if often(0.5) else 1.0,
        fed=not often(0.4),
        writer=WRITERS[int(rng.integers(len(WRITERS)))],
        told=told,
        right=told and may_err and often(0.5),
    )
    return replace(
        device,
        names="hashed" if told and often(0.15) else device.names,
        reused=told and often(0.2),
        precision="coded" if device.precision == "float32" and often(0.1) else device.precision,
    )
