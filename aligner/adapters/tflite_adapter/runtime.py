"""The native TFLite interpreter: which one is installed, one invocation, its errors in our words."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any

import numpy as np

from aligner.adapters.tflite_adapter.constants import numpy_dtype
from aligner.adapters.tflite_adapter.flatbuffer import damaged
from aligner.adapters.tflite_adapter.schema import Model
from aligner.errors import MissingFrameworkError, ModelError, ModelExecutionError, UnsupportedModelError, listing
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_FLEX = "Flex"
_RESOLVERS = {
    "reference": "BUILTIN_REF",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "delegates": "BUILTIN",
}
"""Which kernels run, the plainest first → the interpreter's word."""
_NODE = re.compile(r"Node number (\d+) \((\S+?)\) failed")
_UNRESOLVED = re.compile(r"unresolved custom op: ([^\s.]+)")
_MISSING_BUILTIN = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")


@dataclass(frozen=True, slots=True)
class Runtime:
    """An importable interpreter."""

    name: str
    interpreter: Callable[..., Any]
    without_delegates: Any
    """The op resolver type that runs plain kernels only."""
    flex: tuple[str, ...] = ()
    """The TensorFlow operators that the model holds."""
    kernels: Any = None
    """The op resolver type that runs are made with; None: the interpreter's own choice, delegates and all."""
    threads: int = min(4, os.cpu_count() or 1)
    refused: list[str] = field(default_factory=list, compare=False)
    """Why the interpreter's own choice of kernels did not run the model, where plain ones do."""

    def execute(
        self,
        content: bytes,
        feeds: Mapping[int, Array],
        outputs: tuple[int, ...],
        *,
        operator_names: Callable[[int], str],
        delegates: bool = True,
    ) -> Iterator[tuple[int, Array]]:
        """Run once in a fresh interpreter; yield (tensor index, owned read-only array) for ``outputs`` in order.

        ``operator_names`` describes the n-th operator of ``content``, for error messages.
        """
        try:
            interpreter = self._accepted(content, feeds, delegates)
        except (RuntimeError, ValueError, TypeError) as error:
            raise self._translated(error, operator_names) from error
        for index in outputs:
            try:
                array = _taken(interpreter, index)
            except (RuntimeError, ValueError) as error:
                raise self._translated(error, operator_names) from error
            yield index, owned(array)
            del array

    def _accepted(self, content: bytes, feeds: Mapping[int, Array], delegates: bool) -> Any:
        """An invoked interpreter; without delegates where they refuse the model, which also tells which operator."""
        if not delegates or self.refused:
            return self._invoked(content, feeds, False)
        try:
            return self._invoked(content, feeds, True)
        except (RuntimeError, ValueError, TypeError) as error:
            if "elegate" not in str(error):
                raise
            interpreter = self._invoked(content, feeds, False)
            self.refused.append(" ".join(str(error).split()))
            return interpreter

    def _invoked(self, content: bytes, feeds: Mapping[int, Array], delegates: bool) -> Any:
        kernels = self.kernels if delegates else self.without_delegates
        options = {} if kernels is None else {"experimental_op_resolver_type": kernels}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interpreter = self.interpreter(model_content=content, num_threads=self.threads, **options)
        for index, array in feeds.items():
            interpreter.resize_tensor_input(index, array.shape)  # does nothing where the shape is the same
        interpreter.allocate_tensors()
        for index, array in feeds.items():
            if array.size:
                interpreter.set_tensor(index, _named_type(array))
        interpreter.invoke()
        return interpreter

    def switches(self) -> dict[str, tuple[str, ...]]:
        """What the interpreter lets a model be run with."""
        return {"optimization": tuple(_RESOLVERS), "threads": ("1", str(max(os.cpu_count() or 1, 2)))}

    def switched(self, switch: str, setting: str) -> Runtime:
        """The same interpreter under one of them."""
        if switch == "threads":
            return replace(self, threads=int(setting))
        return replace(self, kernels=getattr(type(self.without_delegates), _RESOLVERS[setting]))

    def _translated(self, error: Exception, operator_names: Callable[[int], str]) -> ModelError:
        text = " ".join(str(error).split())
        if isinstance(error, UnicodeError):
            return damaged(f"a name is not UTF-8 ({text})")
        unresolved = _UNRESOLVED.findall(text)
        if self.flex and ("Select TensorFlow op" in text or any(name.startswith(_FLEX) for name in unresolved)):
            return _flex_error(self.flex)
        if unresolved:
            return UnsupportedModelError(
                "the model holds a custom operator that no TFLite interpreter here knows",
                found=listing(unresolved),
                hint="convert the model again without this operator, or compare a part that ends before it",
            )
        missing = _MISSING_BUILTIN.findall(text)
        if missing:
            return UnsupportedModelError(
                "the model needs a newer TFLite interpreter than the one installed",
                found=listing(f"{op} version {version}" for op, version in missing),
                hint="pip install --upgrade ai-edge-litert",
            )
        if "data is null" in text:
            return ModelExecutionError(
                "TFLite gave nothing for a value of the model",
                found=text,
                hint="an operator lists it as its output without computing it; the file may be damaged",
            )
        where = [operator_names(int(number)) for number, _ in _NODE.findall(text)]
        found = "; ".join([*(name for name in where if name), text])
        return ModelExecutionError(
            "TFLite could not run the model", found=found, hint="check the shapes and types of the inputs that were fed"
        )


def _named_type(array: Array) -> Array:
    """The same bytes as the numpy type of that width: C has two types for 64-bit integers, and TFLite knows one."""
    return array.view(array.dtype.name) if array.dtype.kind in "iu" else array


def _taken(interpreter: Any, index: int) -> Array:
    try:
        return np.asarray(interpreter.get_tensor(index))  # scalars come as numpy scalars
    except ValueError:
        detail = next(detail for detail in interpreter.get_output_details() if detail["index"] == index)
        if 0 not in detail["shape"]:
            raise
        return np.empty(detail["shape"], detail["dtype"])  # nothing is allocated for it, so there is nothing to get


def owned(array: Array) -> Array:
    """The array with strings decoded, its buffer its own, read-only."""
    if array.dtype.kind in "OSU":
        texts = [t.decode("utf-8", errors="replace") if isinstance(t, bytes) else str(t) for t in array.ravel()]
        decoded = np.empty(len(texts), dtype=object)
        decoded[:] = texts
        array = decoded.reshape(array.shape)
    if array.base is not None or not array.flags.c_contiguous:
        array = array.copy()
    array.flags.writeable = False
    return array


def observable(word: str) -> bool:
    """Whether the interpreter hands out tensors of this type."""
    narrow = {"int4", "uint4", "int2", "bfloat16"}
    return word not in narrow and numpy_dtype(word) is not None


def find_runtime(model: Model) -> Runtime:
    """The interpreter for this model; TensorFlow's own where the model holds TensorFlow's operators.

    Raises UnsupportedModelError where those are needed and TensorFlow is missing.
    """
    flex = flex_operators(model)
    if flex:
        if importlib.util.find_spec("tensorflow") is None:
            raise _flex_error(flex)
        return _tensorflow(flex)
    if importlib.util.find_spec("ai_edge_litert") is not None:
        module = importlib.import_module("ai_edge_litert.interpreter")
        version = importlib.metadata.version("ai-edge-litert")
        resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        return Runtime(f"ai-edge-litert {version}", module.Interpreter, resolver)
    if importlib.util.find_spec("tensorflow") is not None:
        return _tensorflow(())
    raise _no_interpreter("neither ai-edge-litert nor tensorflow")


def _no_interpreter(found: str) -> MissingFrameworkError:
    return MissingFrameworkError(
        "no TFLite interpreter is installed", found=found, hint='pip install "aligner[tflite]"'
    )


def _tensorflow(flex: tuple[str, ...]) -> Runtime:
    module = importlib.import_module("tensorflow")
    lite = getattr(module, "lite", None)
    if lite is None:
        raise _flex_error(flex) if flex else _no_interpreter(f"tensorflow {module.__version__} without tf.lite")
    resolver = lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return Runtime(f"tensorflow {module.__version__} (tf.lite.Interpreter)", lite.Interpreter, resolver, flex)


def flex_operators(model: Model) -> tuple[str, ...]:
    """The TensorFlow operators (Select TF) that the model holds, in any subgraph."""
    found = {o.op: None for s in model.subgraphs for o in s.operators if o.custom and o.op.startswith(_FLEX)}
    return tuple(found)


def _flex_error(operators: tuple[str, ...]) -> UnsupportedModelError:
    return UnsupportedModelError(
        "the model holds TensorFlow operators (Select TF), which this TFLite interpreter does not have",
        found=listing(operators),
        hint="TensorFlow up to 2.19 brings them: pip install 'aligner[tensorflow]' 'tensorflow<2.20'; "
        "or convert the model again without SELECT_TF_OPS",
    )
