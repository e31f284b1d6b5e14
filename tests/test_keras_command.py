"""A command on a Keras file: the user's own Keras settings are neither needed nor read."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from keras_models import image, network
from marks import requires_tensorflow

pytestmark = requires_tensorflow


@pytest.mark.slow
def test_keras_settings_of_the_user_are_out_of_the_way(tmp_path):
    settings = tmp_path / "home" / ".keras" / "keras.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '{"floatx": "float16", "epsilon": 1e-3, "backend": "jax", "image_data_format": "channels_first"}'
    )
    network().save(tmp_path / "network.keras")
    np.save(tmp_path / "image.npy", image())
    command = [
        sys.executable,
        "-m",
        "aligner",
        "compare",
        "network.keras",
        "network.keras",
        "-i",
        "image.npy",
        "--quiet",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_HOME"}
    done = subprocess.run(
        command, cwd=tmp_path, env={**environment, "HOME": str(tmp_path / "home")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ALIGNED")
