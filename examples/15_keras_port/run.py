"""Keras's batch norm adds another ε than PyTorch's: the .keras file against its port, and against the corrected one."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COMMANDS = (
    "align compare classifier.keras classifier.py:ported -i picture.npy",
    "align compare classifier.keras classifier.py:corrected -i picture.npy",
)


def build(folder: Path) -> None:
    """Save the Keras model, copy the port, and draw a picture [1, 32, 32, 3]."""
    import keras
    from classifier import SIZE, WIDTHS, head, weights
    from keras import layers

    image = x = keras.Input((SIZE, SIZE, 3), name="image")
    for number, outs in enumerate(WIDTHS[1:]):
        x = layers.Conv2D(outs, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"act{number}")(layers.BatchNormalization(name=f"norm{number}")(x))
    classes = layers.Dense(5, name="head")(layers.GlobalAveragePooling2D(name="mean")(x))
    model = keras.Model(image, classes, name="classifier")
    for number, block in enumerate(weights()):
        kernel, *norm = block.values()
        model.get_layer(f"conv{number}").set_weights([kernel])
        model.get_layer(f"norm{number}").set_weights(norm)
    model.get_layer("head").set_weights(list(head()))
    model.save(folder / "classifier.keras")
    random = np.random.default_rng(2)
    np.save(folder / "picture.npy", random.random((1, SIZE, SIZE, 3), dtype=np.float32))
    shutil.copy(HERE / "classifier.py", folder)


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
