"""What the user asks to be fed, and what comes back; imports no numpy."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from aligner.errors import InputError
from aligner.records.array import Array
from aligner.records.comparison import FedInput
from aligner.records.dataclass import dataclass
from aligner.records.graph import InputSpec, Signature

Role = Literal["reference", "candidate"]
ROLES: tuple[Role, ...] = ("reference", "candidate")
Channels = Literal["first", "last"]
Correspondence = tuple[str, str, tuple[int, ...] | None]
_FORMS = (
    "give a file (face.png, x=face.npy, ids=tokens.json), numbers (sr=16000, ids=[[5,6]]), "
    "or one side's own (reference.x=a.npy, candidate.sr=16000)"
)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes numbers: real = (pixel / 255 · scale − mean) / std.

    ``scale`` multiplies pixels that run from 0 to 1 and is 1 by default; ``mean`` and ``std`` are in the units after
    scaling, one value or one for each channel in the order fed, so that ``scale=255, mean=(127,), std=(128,)`` gives
    (pixel − 127) / 128. ``size`` is (height, width). ``layout`` says how the user's arrays are laid out; for a picture,
    which has no layout of its own, it decides where a model's shape does not. ``dtype`` is fed in place of the declared
    one. ``scaled``: sides that declare no dtype and have refused the pixels that an integer side opposite takes; they
    are fed real values. Arrays are fed as they are: ``size``, ``mean``, ``std``, ``scale`` and ``color`` concern
    pictures only.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale: float | None = None
    color: Literal["rgb", "bgr"] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    dtype: str | None = None
    scaled: tuple[Role, ...] = ()

    def __post_init__(self) -> None:
        numbers = [*(self.mean or ()), *(self.std or ()), 0.0 if self.scale is None else self.scale]
        if not all(math.isfinite(number) for number in numbers):
            raise InputError("--scale, --mean and --std must be finite", found=str(numbers), hint="give plain numbers")
        if any(value == 0 for value in self.std or ()):
            raise InputError("--std must not be zero", found=str(self.std), hint="use 1 to leave a channel as it is")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise InputError("--size must be a height and a width", found=str(self.size), hint="--size 240 320")

    @property
    def rescales(self) -> bool:
        """Whether the user chose the range of the values."""
        return self.scale is not None or self.mean is not None or self.std is not None

    @property
    def channels(self) -> Channels | None:
        """``layout`` in the words of a graph."""
        return None if self.layout is None else "first" if self.layout == "nchw" else "last"


@dataclass(frozen=True, slots=True, eq=False)
class InputItem:
    """One ``--input``: a value, and whom it is for where the user said so."""

    name: str | None
    side: Role | None
    value: Any
    """A Path, an array (numpy, a torch tensor), a PIL image, a number, or a list of them."""
    content: Any = None
    """What stands in the file that ``value`` names, once it was read."""


@dataclass(frozen=True, slots=True, eq=False)
class SideInfo:
    """What feeding has to know of a side.

    ``recorded`` holds the arrays that a recording was made with, by input name: that side is fed nothing else.
    ``names`` lists further names under which an input may be fed; ``turned``: ``channels`` is what convention is not.
    """

    signature: Signature
    channels: Channels = "first"
    framework: str = ""
    recorded: Mapping[str, Array] | None = None
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    turned: bool = False

    def spec(self, name: str) -> InputSpec | None:
        """What is declared of an input; None where there is none of that name."""
        return next((spec for spec in self.signature.inputs if spec.name == name), None)

    def known_as(self, spec: InputSpec) -> tuple[str, ...]:
        """The input's name, then its aliases."""
        return (spec.name, *self.names.get(spec.name, ()))


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFeeds:
    """What both sides are fed; the arrays are C-contiguous and shared with nobody.

    ``correspondence`` lists (reference input, candidate input, axes) with
    ``numpy.transpose(reference, axes)`` equal to the candidate's array up to dtype; axes is None when the orders agree.
    Inputs that were given different data on purpose are not listed.
    """

    reference: dict[str, Array]
    candidate: dict[str, Array] | None
    fed: tuple[FedInput, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    random: bool = False
    correspondence: tuple[Correspondence, ...] = ()


def parse_input(text: str) -> InputItem:
    """Read one ``--input``: "face.png", "x=face.npy", "candidate.sr=16000", "reference.x=a.npy".

    A text that names an existing file is that file, "=" in its name or not.
    Raises InputError when the value is neither a file nor a Python literal.
    """
    if _is_path(text):
        return InputItem(None, None, Path(text).expanduser())
    name, equals, value = text.partition("=")
    if not equals:
        return InputItem(None, None, _value(text, text))
    side, name = split_side(name.strip())
    if not name:
        raise InputError(f"--input {text} names no input", found="nothing before the =", hint=_FORMS)
    return InputItem(name, side, _value(value.strip(), text))


def split_side(name: str) -> tuple[Role | None, str]:
    """Whose input a name means, where it says so, and the input's own name."""
    if name.startswith("reference."):
        return "reference", name.removeprefix("reference.")
    if name.startswith("candidate."):
        return "candidate", name.removeprefix("candidate.")
    return None, name


def _is_path(text: str) -> bool:
    try:
        return bool(text) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a home that does not exist
        return False


def _value(text: str, whole: str) -> Path | bool | int | float | str | list[Any]:
    if _is_path(text):
        return Path(text).expanduser()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        value = None
    if isinstance(value, list | tuple):
        value = _plain_list(value)
    if isinstance(value, bool | int | float | str | list):
        return value
    raise InputError(f"cannot read --input {whole}", found=f"no file {text!r}, and not a number or a list", hint=_FORMS)


def _plain_list(values: Sequence[Any]) -> list[Any] | None:
    plain = [_plain_list(value) if isinstance(value, list | tuple) else value for value in values]
    return plain if all(isinstance(value, bool | int | float | str | list) for value in plain) else None
