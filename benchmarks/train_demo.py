"""Train the demo's restorer on the photographs of a folder, and write its checkpoint and its picture.

    python benchmarks/train_demo.py PHOTOGRAPHS --minutes 3 --face astronaut.png:4,128,196

Whoever runs it gets another checkpoint than the bundled one; the demo works with either.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from aligner.demo.restorer import CHECKPOINT, FOLDER, SIZE, untrained

BATCH = 12


def photographs(folder):
    """Every picture of the folder as [3, H, W] in 0..1."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    if not paths:
        raise SystemExit(f"no .png or .jpg in {folder}")
    return [_pixels(Image.open(path)) for path in paths]


def _pixels(image):
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255).permute(2, 0, 1)


def sample(pictures, generator):
    """A batch of clean crops: random place, size, flip, brightness and tint."""
    batch = []
    for _ in range(BATCH):
        picture = pictures[int(torch.randint(len(pictures), (1,), generator=generator))]
        side = int(torch.randint(SIZE, min(3 * SIZE, *picture.shape[1:]), (1,), generator=generator))
        top = int(torch.randint(picture.shape[1] - side + 1, (1,), generator=generator))
        left = int(torch.randint(picture.shape[2] - side + 1, (1,), generator=generator))
        crop = picture[None, :, top : top + side, left : left + side]
        crop = F.interpolate(crop, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)[0]
        if torch.rand(1, generator=generator) < 0.5:
            crop = crop.flip(2)
        tint = 1 + 0.3 * (torch.rand(3, 1, 1, generator=generator) - 0.5)
        batch.append((crop * tint).clamp(0, 1))
    return torch.stack(batch)


def degrade(clean, generator, low=None, noise=None):
    """Lose resolution, add noise: what the network learns to undo."""
    low = low or int(torch.randint(SIZE // 4, SIZE // 2 + 1, (1,), generator=generator))
    noise = noise if noise is not None else 0.03 * float(torch.rand(1, generator=generator))
    small = F.interpolate(clean, size=(low, low), mode="bilinear", align_corners=False, antialias=True)
    small = small + noise * torch.randn(small.shape, generator=generator)
    return F.interpolate(small, size=(SIZE, SIZE), mode="bicubic", align_corners=False).clamp(0, 1)


def _edges(picture):
    """Differences of neighbours, to the right and downwards."""
    across = picture[..., :-1, 1:] - picture[..., :-1, :-1]
    down = picture[..., 1:, :-1] - picture[..., :-1, :-1]
    return torch.cat([across, down], dim=1)


def train(pictures, minutes):
    """Adam, L1 on the picture and on its edges and (weaker) on the pictures below; returns the averaged weights."""
    generator = torch.Generator().manual_seed(1)
    model = untrained(seed=1).train()
    average = untrained(seed=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.99))
    start, step, shown = time.monotonic(), 0, 0.0
    while (elapsed := time.monotonic() - start) < 60 * minutes:
        left = 1 - elapsed / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * max(left, 0.02)
        clean = sample(pictures, generator)
        restored, rgbs = model(degrade(clean, generator), return_rgb=True)
        loss = F.l1_loss(restored, clean) + F.l1_loss(_edges(restored), _edges(clean))
        for rgb in rgbs[:-1]:
            target = F.interpolate(clean, size=rgb.shape[2:], mode="area")
            loss = loss + 0.1 * F.l1_loss(rgb * 0.5 + 0.5, target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(0.995, step / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        if elapsed - shown > 15:
            shown = elapsed
            print(f"step {step:5d}  loss {loss.item():.4f}  {elapsed:.0f} s", flush=True)
    return average


def face(folder, place):
    """The demo's picture: a square of a photograph (``FILE:TOP,LEFT,SIDE``), at half the network's resolution."""
    name, numbers = place.rsplit(":", 1)
    top, left, side = map(int, numbers.split(","))
    crop = _pixels(Image.open(folder / name))[None, :, top : top + side, left : left + side]
    clean = F.interpolate(crop, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
    return clean, degrade(clean, torch.Generator().manual_seed(3), low=SIZE // 2, noise=0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--face", metavar="FILE:TOP,LEFT,SIDE", help="also write the demo's picture")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where to write (default: the package)")
    options = parser.parse_args()
    model = train(photographs(options.folder), options.minutes)
    torch.save({"params_ema": model.state_dict()}, options.output / CHECKPOINT.name)
    if options.face:
        clean, degraded = face(options.folder, options.face)
        Image.fromarray((degraded[0].permute(1, 2, 0) * 255).round().byte().numpy()).save(
            options.output / "face.png", optimize=True
        )
        with torch.no_grad():
            restored = model(degraded)
        for what, picture in (("degraded", degraded), ("restored", restored)):
            print(f"{what}: {-10 * torch.log10(F.mse_loss(picture, clean)).item():.1f} dB against the clean picture")


if __name__ == "__main__":
    main()
