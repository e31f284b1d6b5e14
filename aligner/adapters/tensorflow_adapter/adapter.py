"""TensorFlow: Keras models, SavedModels and functions, run as graphs of operations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.adapters.target import first_bytes

if TYPE_CHECKING:
    from aligner.adapters.tensorflow_adapter.program import Program

_KERAS = frozenset({".keras", ".h5", ".hdf5"})
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAVED = ("saved_model.pb", "saved_model.pbtxt")


class TensorFlowAdapter(Adapter):
    """Files of Keras, folders of SavedModels, live models and functions."""

    name: ClassVar[str] = "tensorflow"
    extra: ClassVar[str] = "tensorflow"
    heeds: ClassVar[frozenset[str] | None] = frozenset({"signature"})
    modules: ClassVar[tuple[str, ...]] = ("tensorflow", "keras", "flatbuffers")
    reads: ClassVar[str] = "*.keras, *.h5 (Keras), SavedModel folders, keras.Model, tf.function"
    translation: ClassVar[str] = "aligner.adapters.tensorflow_adapter.translation"
    wording: ClassVar[str] = "aligner.adapters.tensorflow_adapter.wording"

    def claims(self, target: object) -> bool:
        """By suffix or content of a file, by what a folder holds, or by type."""
        if isinstance(target, str | Path):
            path = Path(target)
            if path.is_dir():
                return any((path / name).is_file() for name in _SAVED)
            return path.suffix.lower() in _KERAS or path.name in _SAVED or _is_hdf5(path)
        return _is_model(target) or _is_function(target)

    def open(self, target: object, options: OpenOptions) -> Session:
        """Load the model and freeze its variables."""
        from aligner.adapters.tensorflow_adapter.session import TensorFlowSession

        return TensorFlowSession(_program(target, options), options)


def _program(target: object, options: OpenOptions) -> Program:
    from aligner.adapters.tensorflow_adapter.functions import program_of_function
    from aligner.adapters.tensorflow_adapter.keras_model import program_of_model

    if not isinstance(target, str | Path):
        return program_of_function(target) if _is_function(target) else program_of_model(target)
    path = Path(target)
    if path.is_dir() or path.name in _SAVED:
        from aligner.adapters.tensorflow_adapter.saved_model import program_of_folder

        return program_of_folder(path if path.is_dir() else path.parent, options)
    from aligner.adapters.tensorflow_adapter.keras_file import load_model

    return program_of_model(load_model(path, trust=options.trust))


def _is_hdf5(path: Path) -> bool:
    try:
        return path.is_file() and first_bytes(path).startswith(_HDF5)
    except OSError:
        return False


def _is_model(target: object) -> bool:
    keras: Any = sys.modules.get("keras")
    kind = getattr(keras, "Model", None)
    return isinstance(kind, type) and isinstance(target, kind)


def _is_function(target: object) -> bool:
    """A tf.function, or one of its traces."""
    own = type(target).__module__.startswith("tensorflow.")
    return own and (hasattr(target, "get_concrete_function") or hasattr(target, "structured_input_signature"))
