"""A Keras model as a program: one trace of its call, and its layers by their paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aligner.adapters.tensorflow_adapter.program import Program, program_of
from aligner.errors import UnsupportedModelError


def program_of_model(model: Any) -> Program:
    """The model in inference. Raises UnsupportedModelError for one that does not say what it takes."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise UnsupportedModelError(
            "this Keras computes with another framework than TensorFlow",
            found=f"backend {keras.backend.backend()}",
            hint="set KERAS_BACKEND=tensorflow before Keras is imported",
        )
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise UnsupportedModelError(
            "the Keras model does not say what it takes",
            found=f"{type(model).__name__}, subclassed or not built yet",
            hint="pass tf.function(model, input_signature=[tf.TensorSpec(…)]) instead, or call it once on an Input",
        )
    specs = [tf.TensorSpec(one.shape, one.dtype, name=_spec_name(one.name)) for one in inputs]
    names = [one.name for one in inputs]
    by_name = isinstance(getattr(model, "_inputs_struct", None), dict)

    def call(*tensors: Any) -> Any:
        given: Any = list(tensors) if len(tensors) > 1 else tensors[0]
        if by_name:
            given = dict(zip(names, tensors, strict=True))
        return model(given, training=False)

    try:
        concrete = tf.function(call, autograph=False).get_concrete_function(*specs)
    except Exception as error:
        raise UnsupportedModelError(
            "the Keras model cannot be traced",
            found=f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}",
            hint="call the model once on arrays to see what is wrong with it",
        ) from error
    names = [str(name) for name in getattr(model, "output_names", ())]
    program = program_of(concrete, layers=dict(_layers(model, "")), keras=str(keras.__version__))
    unnamed = not any(program.output_names) and len(names) == len(program.outputs)
    return replace(program, output_names=tuple(names)) if unnamed else program


def _spec_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_.-/" else "_" for letter in name)


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, what the layer is), of layers inside others too."""
    for layer in getattr(model, "_layers", ()):
        path = f"{prefix}{layer.name}"
        yield path, {"class_name": type(layer).__name__, "config": _config(layer)}
        yield from _layers(layer, f"{path}/")


def _config(layer: Any) -> dict[str, Any]:
    try:
        return dict(layer.get_config())
    except Exception:  # noqa: BLE001 - a user's layer may not know its config
        return {}
