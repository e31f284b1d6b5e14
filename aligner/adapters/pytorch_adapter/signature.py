"""The inputs that a module's ``forward`` declares, and how arrays are put into them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aligner.adapters.fed import check_missing, check_unknown
from aligner.adapters.pytorch_adapter.caches import nested
from aligner.records.dataclass import dataclass
from aligner.records.graph import InputSpec

_TENSOR_WORDS = {
    "LongTensor": "int64",
    "IntTensor": "int32",
    "BoolTensor": "bool",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "ByteTensor": "uint8",
}
_SCALARS = {"int": "int64", "float": "float32", "bool": "bool"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of ``forward``; ``scalar`` ones are given as Python numbers, ``placed`` ones without their name."""

    spec: InputSpec
    declared: bool
    scalar: bool = False
    placed: bool = False
    annotation: str = ""


@dataclass(frozen=True, slots=True)
class ForwardSignature:
    """What ``forward`` takes; ``open`` means that it takes any keyword."""

    parameters: Mapping[str, Parameter]
    open: bool

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """The tensor inputs, those without a default first marked required."""
        return tuple(parameter.spec for parameter in self.parameters.values() if parameter.declared)

    def check(self, names: Mapping[str, object]) -> None:
        """Raise InputError for names that do not exist and for required ones that are absent."""
        taken = [name for name, parameter in self.parameters.items() if parameter.spec.variadic]
        unknown = [
            name
            for name in names
            if name not in self.parameters
            and not self.open
            and self._holder(name) is None
            and not any(_numbered(name, base) for base in taken)
        ]
        check_unknown(self.inputs, names, unknown)
        missing = [spec.name for spec in self.inputs if spec.required and spec.name not in names]
        missing = [name for name in missing if not any(given.startswith(f"{name}.") for given in names)]
        check_missing(self.inputs, names, missing)

    def call(self, tensors: Mapping[str, Any], module: Any = None) -> tuple[list[Any], dict[str, Any]]:
        """Sort tensors into positional and keyword arguments; those called "past.0.key" are parts of one."""
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        held = {name: holder for name in tensors if (holder := self._holder(name)) is not None}
        whole = {name: tensor for name, tensor in tensors.items() if name not in held}
        for holder in dict.fromkeys(held.values()):
            parts = {name: tensors[name] for name in held if held[name] == holder}
            whole[holder] = nested(holder, parts, self.parameters[holder].annotation, module)
        for name, tensor in whole.items():
            parameter = self.parameters.get(name)
            if parameter is None and any(_numbered(name, base) for base in self.parameters):
                positional.append((int(name.rsplit(".", 1)[1]), tensor))
            elif parameter is not None and parameter.spec.variadic:
                positional.append((0, tensor))
            elif parameter is not None and parameter.placed:
                positional.append((list(self.parameters).index(name), tensor))
            else:
                keywords[name] = tensor.item() if parameter is not None and parameter.scalar else tensor
        return [tensor for _, tensor in sorted(positional, key=lambda entry: entry[0])], keywords

    def _holder(self, name: str) -> str | None:
        """The argument that a tensor is a part of, by its name."""
        base = name.partition(".")[0]
        parameter = self.parameters.get(base) if base != name else None
        return None if parameter is None or parameter.spec.variadic or name in self.parameters else base


def _numbered(name: str, base: str) -> bool:
    return name.startswith(f"{base}.") and name[len(base) + 1 :].isdigit()


def read_signature(module: Any, *, caches: bool = False) -> ForwardSignature:
    """Read ``forward``; an input has a dtype only where its annotation or an example says so.

    ``caches``: objects that hold what a decoder hands to its next step are inputs too.
    ``*args`` count only where nothing else is declared; they are fed as "args" or "args.0", "args.1", ….
    """
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return ForwardSignature({}, open=True)
    named = [entry for entry in parameters if entry.kind not in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD)]
    found = {entry.name: _read(entry, module) for entry in named}
    for name, parameter in found.items():
        if caches and "Cache" in parameter.annotation:
            found[name] = replace(parameter, declared=True)
    exported = _exported_keywords(module)
    for entry in named:
        if entry.kind is entry.POSITIONAL_ONLY or (exported is not None and entry.name not in exported):
            found[entry.name] = replace(found[entry.name], placed=True)
    for entry in parameters:
        if entry.kind is entry.VAR_POSITIONAL and not named:
            found[entry.name] = Parameter(InputSpec(entry.name, variadic=True), declared=True)
    return ForwardSignature(found, open=any(entry.kind is entry.VAR_KEYWORD for entry in parameters))


def _exported_keywords(module: Any) -> frozenset[str] | None:
    """The arguments that torch.export saw by name, which its module must be given by name; None for other modules."""
    spec = getattr(module, "_in_spec", None)
    calls = getattr(spec, "children", None) or getattr(spec, "children_specs", None)  # the latter: torch < 2.10
    calls = calls() if callable(calls) else calls
    return frozenset(map(str, calls[1].context or ())) if isinstance(calls, list) and len(calls) == 2 else None


def _read(entry: inspect.Parameter, module: Any) -> Parameter:
    """A tensor without a telling annotation has no declared dtype: it may be a picture or token ids.

    ``main_input_name`` and ``dummy_inputs`` are how some libraries say which optional argument must be given, and
    what an input looks like.
    """
    note = entry.annotation
    text = "" if note is entry.empty else note if isinstance(note, str) else inspect.formatannotation(note)
    required = entry.default is entry.empty or getattr(module, "main_input_name", None) == entry.name
    bare = text.replace("Optional[", "").replace("typing.", "").strip("[] ").split("|")[0].strip()
    if bare in _SCALARS:
        spec = InputSpec(entry.name, (), _SCALARS[bare], required)
        return Parameter(spec, declared=required or bare != "bool", scalar=True)
    told = next((dtype for word, dtype in _TENSOR_WORDS.items() if word in text), _example_dtype(module, entry.name))
    tensor_like = "Tensor" in text or (not text and (required or entry.default is None))
    scalar = not text and isinstance(entry.default, bool | int | float)
    spec = InputSpec(entry.name, None, told, required)
    return Parameter(spec, declared=required or tensor_like, scalar=scalar, annotation=text)


def _example_dtype(module: Any, name: str) -> str | None:
    try:
        examples = getattr(module, "dummy_inputs", None)
    except Exception:  # noqa: BLE001 - a property of the model's own
        return None
    example = examples.get(name) if isinstance(examples, dict) else None
    return str(example.dtype).removeprefix("torch.") if example is not None and hasattr(example, "dtype") else None
