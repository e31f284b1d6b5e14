"""The models that the command is tried on: one small network in every form, and relatives with faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FACTORIES = '''
import ctypes, os, pathlib, time, warnings
import torch
from torch import nn

print("printed while importing")


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.narrow = nn.Conv2d(4, 2, 1)
        self.head = nn.Linear(2, 5)

    def forward(self, image):
        y = torch.relu(self.norm(self.conv(image)))
        y = self.narrow(y).mean((2, 3))
        return self.head(y)


def net():
    return Net().eval()

def other_seed():
    return Net(seed=1).eval()

def training():
    return Net().train()

def wrong_narrow():
    made = Net().eval()
    with torch.no_grad():
        made.narrow.bias += 0.25
    return made


class Two(nn.Module):
    def forward(self, left, right):
        return left * 2 - right

def two():
    return Two().eval()


class Chatty(Net):
    def forward(self, image):
        print("printed in forward")
        warnings.warn("warned in forward")
        os.system("echo echoed in forward; echo echoed to stderr >&2")
        return super().forward(image)

def chatty():
    return Chatty().eval()


class Raising(Net):
    def forward(self, image):
        raise ValueError("the mask is missing")

def raising():
    return Raising().eval()


class Stateful(nn.Module):
    """An LSTM that keeps its state, and a counter, from call to call."""
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.cell = nn.LSTMCell(6, 6)
        self.register_buffer("calls", torch.zeros(1))
        self.state = None

    def forward(self, x):
        self.state = self.cell(x, self.state)
        self.calls += 1
        return self.state[0] + self.calls

def stateful():
    return Stateful().eval()


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.table = nn.Embedding(20, 3)

    def forward(self, input_ids):
        return self.table(input_ids).sum(1)

def words():
    return Words().eval()


class Crashing(Net):
    end = staticmethod(os.abort)
    def forward(self, image):
        y = self.conv(image)
        self.end()
        return y

class Segfaulting(Crashing):
    end = staticmethod(lambda: ctypes.string_at(0))

def aborting():
    return Crashing().eval()

def segfaulting():
    return Segfaulting().eval()


class Parting(Net):
    def __del__(self):
        os.abort()

def parting():
    return Parting().eval()


class Slow(Net):
    def forward(self, image):
        pathlib.Path("ready").touch()
        time.sleep(60)
        return super().forward(image)

def slow():
    return Slow().eval()

def failing():
    raise KeyError("no such configuration")

def a_number():
    return 3

def random_weights():
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
'''


def write_factories(folder: Path) -> Path:
    """models.py, and a package of the same."""
    path = folder / "models.py"
    path.write_text(FACTORIES, encoding="utf-8")
    (folder / "shelf").mkdir(exist_ok=True)
    (folder / "shelf" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "shelf" / "nets.py").write_text(FACTORIES, encoding="utf-8")
    return path


def write_inputs(folder: Path) -> None:
    rng = np.random.default_rng(5)
    image = rng.random((1, 3, 8, 8), dtype=np.float32)
    np.save(folder / "x.npy", image)
    np.save(folder / "x_nhwc.npy", image.transpose(0, 2, 3, 1))
    np.savez(folder / "x.npz", image=image)
    np.savez(folder / "two.npz", left=image, right=image[..., ::-1].copy())
    np.save(folder / "steps.npy", rng.random((2, 6), dtype=np.float32))
    np.save(folder / "ids.npy", np.array([[1, 2, 3]], np.int64))


def write_picture(folder: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(6).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")


def write_torch(folder: Path) -> None:
    """TorchScript, checkpoints in several wrappings, a pickled module, an exported program, tensors."""
    import torch

    space: dict = {"__name__": "models"}
    exec(compile(FACTORIES, str(folder / "models.py"), "exec"), space)
    net = space["net"]()
    image = torch.from_numpy(np.load(folder / "x.npy"))
    torch.jit.trace(net, image).save(str(folder / "net.ts.pt"))
    torch.jit.trace(space["wrong_narrow"](), image).save(str(folder / "wrong.ts.pt"))
    state = net.state_dict()
    torch.save(state, folder / "state.pth")
    torch.save({"epoch": 3, "params_ema": {f"module.{k}": v for k, v in state.items()}}, folder / "wrapped.pth")
    short = {name: value for name, value in state.items() if not name.startswith("head")} | {
        "tail.weight": state["head.weight"]
    }
    torch.save(short, folder / "short.pth")
    torch.save({**state, "head.weight": torch.zeros(7, 2)}, folder / "mismatched.pth")
    torch.save(image, folder / "x.pt")
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    torch.save(plain.eval(), folder / "pickled.pt")


def write_safetensors(folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"image": np.load(folder / "x.npy")}, folder / "x.safetensors")


def write_onnx(folder: Path, *, wrong: bool = False) -> None:
    """The network as an exporter writes it, BatchNorm folded away or not; ``wrong`` shifts the 1×1 convolution."""
    import onnx
    import torch

    space: dict = {"__name__": "models"}
    exec(compile(FACTORIES, str(folder / "models.py"), "exec"), space)
    net = space["wrong_narrow" if wrong else "net"]()
    path = folder / ("wrong.onnx" if wrong else "net.onnx")
    torch.onnx.export(
        net,
        (torch.zeros(1, 3, 8, 8),),
        str(path),
        dynamo=False,
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "n", 2: "h", 3: "w"}},
    )
    assert onnx.load(path).graph.node


def write_nhwc_onnx(folder: Path) -> None:
    """The same network with NHWC input, as converters from TFLite leave it, and one with uint8 pixels."""
    import onnx
    from onnx import helper

    for name, kind in (("nhwc.onnx", onnx.TensorProto.FLOAT), ("pixels.onnx", onnx.TensorProto.UINT8)):
        model = onnx.load(folder / "net.onnx")
        graph = model.graph
        first = next(node for node in graph.node if "image" in node.input)
        first.input[0] = "moved"
        before = "image"
        added = []
        if kind != onnx.TensorProto.FLOAT:
            added.append(helper.make_node("Cast", ["image"], ["cast"], "cast", to=1))
            before = "cast"
        added.append(helper.make_node("Transpose", [before], ["moved"], "to_nchw", perm=[0, 3, 1, 2]))
        for place, node in enumerate(added):
            graph.node.insert(place, node)
        del graph.input[:]
        graph.input.append(helper.make_tensor_value_info("image", kind, [1, 8, 8, 3]))
        onnx.save(model, folder / name)


def write_refused_onnx(folder: Path) -> None:
    """Graphs that parse and that onnxruntime does not run, or stops running."""
    import onnx
    from onnx_models import model, node, value, weights

    inputs, outputs = [value("x", 1, [1, 4])], [value("y", 1, None)]
    onnx.save(
        model([node("Frobnicate", ["x"], ["y"], "odd", domain="acme")], inputs, outputs, domains=("acme",)),
        folder / "custom.onnx",
    )
    onnx.save(
        model(
            [node("Relu", ["x"], ["r"], "fine"), node("MatMul", ["r", "w"], ["y"], "clash")],
            inputs,
            outputs,
            weights(w=np.ones((3, 2), np.float32)),
        ),
        folder / "clash.onnx",
    )
    onnx.save(
        model(
            [node("Relu", ["x"], ["r"], "fine"), node("Reshape", ["r", "shape"], ["y"], "reshape_at_fault")],
            [value("x", 1, ["n", "k"]), value("shape", 7, [2])],
            outputs,
        ),
        folder / "at_run.onnx",
    )
    onnx.save(
        model([node("Relu", ["x"], ["y"], "empty")], [value("x", 1, [0, 4])], [value("y", 1, [0, 4])]),
        folder / "empty_tensor.onnx",
    )
