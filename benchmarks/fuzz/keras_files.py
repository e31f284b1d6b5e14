"""A small Keras model in each of its files; the module to run writes them: TensorFlow does not survive a fork."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def keras_files() -> dict[str, bytes]:
    """Path → content: model.keras, model.h5, and what lies in saved/."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(__file__).parents[2]
        subprocess.run([sys.executable, "-m", __name__, folder], check=True, capture_output=True, cwd=root)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _write(folder: Path) -> None:
    import keras
    from keras import layers

    x = keras.Input((6, 6, 2), name="x")
    y = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv")(x)
    y = layers.BatchNormalization(name="norm")(y)
    model = keras.Model(x, layers.Dense(2, name="dense")(layers.Flatten()(y)), name="net")
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    model.export(str(folder / "saved"), verbose=False)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
