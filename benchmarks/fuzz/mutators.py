"""Changes to a file: of its bytes, and of what its format holds."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from copy import deepcopy
from random import Random

ODD_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 65535, 1 << 31, (1 << 31) - 1, -(1 << 31), (1 << 63) - 1, -(1 << 63))
ODD_TEXTS = ("", "\x1b[31m", "=cmd|' /C x'!A0", "../../etc/passwd", "/etc/passwd", "a" * 5000, "\u202e", "\0", "NaN")
ODD_VALUES = (*ODD_NUMBERS, *ODD_TEXTS, None, True, [], {}, [[[]]], 1e308, -0.0, 10**400, 0.5)

_IN_TEXT = (*ODD_NUMBERS, 3, 1000, 0.5, "1e400", "nan", "9" * 30)

Mutator = Callable[[bytes, Random], bytes]


def nothing_changed(data: bytes, _: Random) -> bytes:
    """The file as it ought to be."""
    return data


def bytes_changed(data: bytes, random: Random) -> bytes:
    """Bits flipped, a run zeroed, cut, doubled or moved, a word made extreme."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at, length = random.randrange(len(changed) or 1), random.choice((1, 2, 4, 8, 64))
        kind = random.randrange(6)
        if kind == 0 and changed:
            changed[at % len(changed)] ^= 1 << random.randrange(8)
        elif kind == 1:
            changed[at : at + length] = bytes(length)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at : at + 8] = struct.pack("<q", random.choice(ODD_NUMBERS))
        else:
            changed = changed[:at] or changed
    return bytes(changed)


def words_changed(data: bytes, random: Random) -> bytes:
    """Aligned 32-bit numbers, as a flatbuffer's offsets and lengths are, made extreme or exchanged."""
    changed = bytearray(data[: len(data) // 4 * 4])
    for _ in range(random.choice((1, 2, 4))):
        at, other = (random.randrange(len(changed) // 4) * 4 for _ in range(2))
        word = random.choice((changed[other : other + 4], struct.pack("<I", random.choice(ODD_NUMBERS) & 0xFFFFFFFF)))
        changed[at : at + 4] = word
    return bytes(changed)


def members_changed(data: bytes, random: Random) -> bytes:
    """A zip archive with a member changed, dropped, renamed, doubled or compressed."""
    source = zipfile.ZipFile(io.BytesIO(data))
    chosen, kind = random.choice(source.namelist()), random.randrange(6)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in source.namelist():
            content = source.read(name)
            if name != chosen:
                archive.writestr(name, content)
            elif kind in (0, 1):
                archive.writestr(name, _member_changed(name, content, random))
            elif kind == 2:
                archive.writestr(random.choice((name + "x", "../" + name, "/" + name, name.upper())), content)
            elif kind == 3:
                archive.writestr(name, content)
                archive.writestr(name, bytes_changed(content, random))
            elif kind == 4:
                archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _member_changed(name: str, content: bytes, random: Random) -> bytes:
    change = tree_changed if name.endswith(".json") and random.random() < 0.7 else bytes_changed
    return change(content, random)


def tree_changed(data: bytes, random: Random) -> bytes:
    """JSON with a leaf or a branch replaced, dropped or doubled."""
    document = json.loads(data)
    for _ in range(random.choice((1, 1, 3))):
        branch = document
        while True:
            keys = list(branch) if isinstance(branch, dict) else range(len(branch))
            if not keys:
                break
            key = random.choice(list(keys))
            if isinstance(branch[key], (dict, list)) and branch[key] and random.random() < 0.85:
                branch = branch[key]
                continue
            if random.random() < 0.2:
                del branch[key]
            else:
                branch[key] = deepcopy(random.choice(ODD_VALUES))
            break
    return json.dumps(document).encode()


def proto_changed(data: bytes, random: Random) -> bytes:
    """A ModelProto with a field, at any depth, made extreme, dropped or doubled."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        message = model
        while True:
            fields = [field for field, _ in message.ListFields()]
            if not fields:
                break
            field = random.choice(fields)
            value = getattr(message, field.name)
            several = hasattr(value, "append")
            inner = random.choice(list(value)) if several and len(value) else value
            if hasattr(inner, "ListFields") and random.random() < 0.85:
                message = inner
                continue
            _change_field(message, field, value, several, random)
            break
    return model.SerializeToString()


def _change_field(message, field, value, several: bool, random: Random) -> None:
    kind = random.randrange(4)
    if kind == 0:
        message.ClearField(field.name)
    elif several and len(value):
        place = random.randrange(len(value))
        if kind == 1:
            del value[place]
        elif hasattr(value[place], "ListFields"):
            value.add().CopyFrom(value[place])
        else:
            value[place] = _odd(value[place], random)
    elif field.enum_type is not None:
        setattr(message, field.name, random.choice(list(field.enum_type.values_by_number)))
    elif not hasattr(value, "ListFields"):
        setattr(message, field.name, _odd(value, random))


def _odd(value, random: Random):
    if isinstance(value, str):
        return random.choice([text for text in ODD_TEXTS if "\u202e" not in text])
    if isinstance(value, bytes):
        return bytes_changed(value or b"x", random)
    if isinstance(value, float):
        return random.choice((0.0, -1.0, 1e38, float("inf"), float("nan")))
    return random.choice([number for number in ODD_NUMBERS if abs(number) < 1 << 31])


def text_changed(data: bytes, random: Random) -> bytes:
    """A text with words of YAML and CSV put between its own."""
    words = data.decode().split(" ")
    for _ in range(random.choice((1, 2, 5))):
        odd = (
            "&a",
            "*a",
            "<<:",
            "- ",
            "{",
            "[",
            '"',
            "'",
            "\t",
            "!!python/object:os.system",
            "---",
            ":",
            ",",
            "2020-99-99",
        )
        words.insert(random.randrange(len(words) + 1), random.choice((*odd, *ODD_TEXTS)))
    return " ".join(words).encode("utf-8", "replace")


_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")


def numbers_changed(data: bytes, random: Random) -> bytes:
    """A text with numbers made extreme or exchanged, a word or a line dropped or doubled."""
    for _ in range(random.choice((1, 1, 2, 4))):
        kind, found = random.randrange(8), list(_NUMBER.finditer(data))
        if kind < 6 and found:
            at = random.choice(found)
            other = random.choice(found).group() if kind == 0 else str(random.choice(_IN_TEXT)).encode()
            data = data[: at.start()] + other + data[at.end() :]
            continue
        parts = re.split(rb"(\n)" if kind == 6 else rb"([ \n])", data)
        place = random.randrange(len(parts))
        parts[place] *= random.choice((0, 2))
        data = b"".join(parts)
    return data
