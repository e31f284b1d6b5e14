"""A restorer in LibTorch C++ with a preprocessing of its own: instrument it, run it there, compare what it recorded."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from aligner.api.instrumenting import instrument, write_recorders
from aligner.demo.restorer import trained
from aligner.demo.scenario import IMAGE

HERE = Path(__file__).parent
SIZE = 96
_PREPROCESSING = f"--input reference.x=face.png --size {SIZE} --mean 0.5 --std 0.5"
COMMANDS = (
    f"align compare restorer.pt wrong.safetensors --dump-of restorer.pt {_PREPROCESSING}",
    f"align compare restorer.pt right.safetensors --dump-of restorer.pt {_PREPROCESSING}",
)


def build(folder: Path) -> None:
    """Trace the network, instrument the file, compile the program, and run it with its mistake and without."""
    network = trained().eval()
    with torch.no_grad():
        torch.jit.trace(network, torch.zeros(1, 3, SIZE, SIZE), check_trace=False).save(str(folder / "restorer.pt"))
    instrument(folder / "restorer.pt", folder / "tapped.pt")
    write_recorders(folder)
    shutil.copy(HERE / "main.cpp", folder)
    shutil.copy(IMAGE, folder / "face.png")
    picture = Image.open(IMAGE).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    picture.save(folder / "face.png")
    (folder / "face.rgb").write_bytes(picture.tobytes())
    subprocess.run([*compiler(), "main.cpp", "-o", "restore", *libraries()], cwd=folder, check=True)
    for name, flags in (("wrong", ["--opencv"]), ("right", [])):
        words = ["./restore", "tapped.pt", "face.rgb", str(SIZE), f"{name}.safetensors", *flags]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def compiler() -> list[str]:
    """g++ with the headers inside the torch wheel."""
    inside = Path(torch.__file__).parent
    abi = int(torch.compiled_with_cxx11_abi())
    headers = [f"-I{inside / 'include'}", f"-I{inside / 'include/torch/csrc/api/include'}"]
    return ["g++", "-std=c++20", "-O0", f"-D_GLIBCXX_USE_CXX11_ABI={abi}", *headers]


def libraries() -> list[str]:
    """The libraries of the torch wheel."""
    place = Path(torch.__file__).parent / "lib"
    return [f"-L{place}", f"-Wl,-rpath,{place}", "-Wl,--no-as-needed", "-ltorch", "-ltorch_cpu", "-lc10"]


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp())
    build(folder)
    for command in COMMANDS:
        print(f"$ {command}", flush=True)
        subprocess.run(shlex.split(command), cwd=folder, check=False)


if __name__ == "__main__":
    main()
