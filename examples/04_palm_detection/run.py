"""A real detector in three forms: TFLite, its ONNX conversion, and a PyTorch port with a mistake in its heads.

python run.py [FOLDER]                         the face detector beside this script
python run.py FOLDER model.tflite model.onnx   your own pair, for example palm_detection_full of MediaPipe
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from aligner.demo.scenario import IMAGE

HERE = Path(__file__).parent
_FACE = "-i face.png --size 128 --mean 0.5 --std 0.5"
COMMANDS = (
    f"align compare blazeface.tflite blazeface.onnx {_FACE}",
    f"align compare blazeface.tflite detector.py:port {_FACE}",
    f"align compare blazeface.tflite detector.py:corrected {_FACE}",
)


def build(folder: Path) -> None:
    """Copy the models and a face."""
    for name in ("blazeface.tflite", "blazeface.onnx", "detector.py"):
        shutil.copy(HERE / name, folder)
    shutil.copy(IMAGE, folder / "face.png")


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    own = [str(Path(path).absolute()) for path in sys.argv[2:4]]
    if not own:
        build(folder)
    for command in [shlex.join(["align", "compare", *own])] if own else COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
