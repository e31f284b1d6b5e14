"""Live functions of TensorFlow."""

from __future__ import annotations

from typing import Any

from aligner.adapters.tensorflow_adapter.program import Program, program_of
from aligner.errors import UnsupportedModelError


def program_of_function(function: Any) -> Program:
    """A tf.function with an input signature, or a concrete function."""
    if hasattr(function, "structured_input_signature"):
        return program_of(function)
    try:
        return program_of(function.get_concrete_function())
    except (TypeError, ValueError) as error:
        raise UnsupportedModelError(
            "a tf.function does not say what it takes",
            found=(str(error).strip().splitlines() or [""])[0][:300],
            hint="give it an input_signature, or pass function.get_concrete_function(tf.TensorSpec(…))",
        ) from error
