"""``python -m benchmarks.fixes.picture DEMO``: the demo's face before and after ``align fix``, as docs/images/fix.png.

DEMO is the folder that ``align demo --keep DEMO`` and its last line made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_ZOOM, _GAP = 3, 4
_FILES = ("restorer.onnx", "fixed.onnx")


@click.command()
@click.argument("demo", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs/images/fix.png"), show_default=True)
def main(demo: Path, out: Path) -> None:
    """Input, what the exported file makes of it, what the file that was put right makes of it."""
    import numpy as np
    from PIL import Image

    face = np.asarray(Image.open(demo / "face.png").convert("RGB"))
    shown = [face, *(_restored(demo / name, face) for name in _FILES)]
    gap = np.full((face.shape[0], _GAP, 3), 255, np.uint8)
    row = np.concatenate([part for each in shown for part in (each, gap)][:-1], axis=1)
    picture = Image.fromarray(row)
    picture.resize((picture.width * _ZOOM, picture.height * _ZOOM), Image.Resampling.NEAREST).save(out, optimize=True)


def _restored(model: Path, face: Any) -> Any:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    fed = (face.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    made = session.run(None, {session.get_inputs()[0].name: fed})[0][0].transpose(1, 2, 0)
    return (made.clip(0, 1) * 255).round().astype(np.uint8)


if __name__ == "__main__":
    main()
