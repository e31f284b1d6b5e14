"""Every built-in adapter passes the suite that outsiders' adapters pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from marks import requires_onnx, requires_tflite, requires_torch

from aligner.adapters.base import OpenOptions
from aligner.testing import AdapterConformance

DATA = Path(__file__).parent / "data"


def picture(*shape, dtype=np.float32):
    """Numbers without symmetry, both signs, the same at each call."""
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(dtype)


def conv_network():
    """Convolution, norm, in-place op, skip connection, a view and two outputs."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.deep = nn.Conv2d(4, 4, 3, padding=1, groups=4)
            self.classes = nn.Linear(4, 3)

        def forward(self, image):
            stem = self.norm(self.stem(image)).relu_()
            skip = stem + self.deep(stem)
            mean = skip.mean((2, 3)).view(-1, 4)
            return torch.softmax(self.classes(mean), dim=-1), skip

    torch.manual_seed(0)
    return Network().eval()


def recurrent_network():
    """One module called twice, an index, an LSTM, writing into a slice, a dictionary as output, an optional input."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(10, 6)
            self.shared = nn.Linear(6, 6)
            self.memory = nn.LSTM(6, 5, batch_first=True)

        def forward(self, tokens, scale=None, offset=None):
            words = self.shared(torch.tanh(self.shared(self.words(tokens))))
            if scale is not None:
                words = words * scale
            words[:, 0] = words[:, 0] + 1
            states, (hidden, cell) = self.memory(words)
            first, second = states.chunk(2, dim=1)
            return {"states": states, "sum": (first + second, hidden), "cell": cell}

    torch.manual_seed(0)
    return Network().eval()


def branching_network():
    """A loop whose values are computed several times, and a branch."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.step = nn.Linear(4, 4)

        def forward(self, x, h):
            for _ in range(3):
                h = torch.tanh(self.step(x) + h)
            if float(h.sum()) > 100.0:
                h = h * 2
            return h, x - h

    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="class")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("network")


class InFile:
    """A network in a file that the tests of a class share."""

    @pytest.fixture(autouse=True)
    def _folder(self, folder):
        self.folder = folder

    @property
    def path(self):
        return self.folder / self.file


class TorchSuite(AdapterConformance):
    network = staticmethod(conv_network)

    def make_feeds(self):
        return {"image": picture(1, 3, 8, 8)}


class PyTorchSuite(TorchSuite):
    @property
    def adapter(self):
        from aligner.adapters.pytorch_adapter.adapter import PyTorchAdapter

        return PyTorchAdapter()

    def make_session(self):
        return self.adapter.open(self.network(), OpenOptions())

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.pt"
        path.write_bytes(b"PK\x03\x04 and then nothing")
        return path


@requires_torch
class TestPyTorch(PyTorchSuite):
    pass


def compiled_network():
    import torch

    return torch.compile(conv_network(), backend="eager")


@requires_torch
class TestCompiled(PyTorchSuite):
    network = staticmethod(compiled_network)


def integer_network():
    """A convolution, what follows it and a dense layer in eight bits, as torch.ao converts them."""
    import torch
    from torch import nn
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)).eval()
    given = torch.from_numpy(picture(1, 3, 8, 8))
    prepared = prepare_fx(network, get_default_qconfig_mapping("x86"), (given,))
    prepared(given)
    return convert_fx(prepared)


@requires_torch
class TestIntegers(PyTorchSuite):
    network = staticmethod(integer_network)

    def make_feeds(self):
        return {"input": picture(1, 3, 8, 8)}


@requires_torch
class TestPyTorchRecurrent(PyTorchSuite):
    network = staticmethod(recurrent_network)

    def make_feeds(self):
        return {"tokens": np.array([[1, 5, 3, 2]]), "scale": picture(1, 4, 6)}


@requires_torch
class TestPyTorchBranching(PyTorchSuite):
    network = staticmethod(branching_network)

    def make_feeds(self):
        return {"x": picture(2, 4), "h": picture(2, 4) / 2}


class TorchScriptSuite(InFile, TorchSuite):
    file = "network.pt"

    @property
    def adapter(self):
        from aligner.adapters.torchscript_adapter.adapter import TorchScriptAdapter

        return TorchScriptAdapter()

    def make_session(self):
        if not self.path.exists():
            self.script().save(str(self.path))
        return self.adapter.open(self.path, OpenOptions())

    def wrong_file(self, tmp_path):
        import zipfile

        path = tmp_path / "cut_off.pt"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("network/constants.pkl", b"\x80")
            archive.writestr("network/code/__torch__.py", b"not code")
        return path


@requires_torch
class TestTraced(TorchScriptSuite):
    def script(self):
        import torch

        return torch.jit.trace(self.network(), torch.from_numpy(picture(1, 3, 8, 8)))


@requires_torch
class TestScripted(TorchScriptSuite):
    network = staticmethod(branching_network)

    def make_feeds(self):
        return {"x": picture(2, 4), "h": picture(2, 4) / 2}

    def script(self):
        import torch

        return torch.jit.script(self.network())


class ExportedSuite(InFile, TorchSuite):
    file = "network.pt2"
    decomposed = False

    @property
    def adapter(self):
        from aligner.adapters.export_adapter.adapter import ExportAdapter

        return ExportAdapter()

    def make_session(self):
        import torch

        if not self.path.exists():
            feeds = {name: torch.from_numpy(array) for name, array in self.make_feeds().items()}
            program = torch.export.export(self.network(), (), feeds)
            torch.export.save(program.run_decompositions() if self.decomposed else program, self.path)
        return self.adapter.open(self.path, OpenOptions())

    def wrong_file(self, tmp_path):
        import zipfile

        path = tmp_path / "cut_off.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("network/archive_format", "pt2")
            archive.writestr("network/models/model.json", "{")
        return path


@requires_torch
class TestExported(ExportedSuite):
    pass


@requires_torch
class TestExportedAndDecomposed(ExportedSuite):
    decomposed = True


@requires_torch
class TestExportedRecurrent(ExportedSuite):
    network = staticmethod(recurrent_network)

    def make_feeds(self):
        return {"tokens": np.array([[1, 5, 3, 2]]), "scale": picture(1, 4, 6)}


def onnx_network():
    """Initializers, a constant node, an absent optional input, a value with three consumers, an integer output."""
    from onnx import TensorProto, helper, numpy_helper

    weights = {"kernel": picture(4, 3, 3, 3), "bias": picture(4), "high": np.float32(0.8), "matrix": picture(4, 3)}
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["conv"], "conv_0", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Constant", [], ["half"], "half_0", value=numpy_helper.from_array(np.float32(0.5))),
        helper.make_node("Mul", ["conv", "half"], ["scaled"], "mul_0"),
        helper.make_node("Clip", ["conv", "", "high"], ["clipped"], "clip_0"),
        helper.make_node("Add", ["scaled", "clipped"], ["skip"], "add_0"),
        helper.make_node("GlobalAveragePool", ["skip"], ["mean"], "pool_0"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten_0"),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"], "matmul_0"),
        helper.make_node("Softmax", ["logits"], ["classes"], "softmax_0", axis=-1),
        helper.make_node("ArgMax", ["logits"], ["best"], "argmax_0", axis=-1, keepdims=0),
        helper.make_node("Split", ["skip"], ["upper", "lower"], "split_0", axis=1, num_outputs=2),
        helper.make_node("Sub", ["upper", "lower"], ["contrast"], "sub_0"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "small",
        [value("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [
            value("classes", TensorProto.FLOAT, ["batch", 3]),
            value("best", TensorProto.INT64, ["batch"]),
            value("contrast", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def branching_onnx_network():
    """An If that reads values of the graph around it."""
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    out = [value("taken", TensorProto.FLOAT, None)]
    then = helper.make_graph([helper.make_node("Add", ["doubled", "x"], ["taken"], "then_add")], "then", [], out)
    other = [value("other", TensorProto.FLOAT, None)]
    otherwise = helper.make_graph([helper.make_node("Neg", ["doubled"], ["other"], "else_neg")], "else", [], other)
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["doubled"], "mul"),
        helper.make_node("If", ["flag"], ["chosen"], "if", then_branch=then, else_branch=otherwise),
        helper.make_node("Tanh", ["chosen"], ["y"], "tanh"),
    ]
    inputs = [value("x", TensorProto.FLOAT, [3]), value("flag", TensorProto.BOOL, [])]
    weights = [numpy_helper.from_array(np.float32(2), "two")]
    graph = helper.make_graph(nodes, "branching", inputs, [value("y", TensorProto.FLOAT, None)], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def looping_onnx_network():
    """A Loop that carries a state and collects one slice for each turn; half precision."""
    from onnx import TensorProto, helper, numpy_helper

    half, value = TensorProto.FLOAT16, helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["state", "rate"], ["slower"], "slow"),
            helper.make_node("Add", ["slower", "x"], ["next"], "step"),
            helper.make_node("Identity", ["go"], ["again"], "again"),
            helper.make_node("Neg", ["next"], ["turn"], "turn"),
        ],
        "body",
        [value("count", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("state", half, [3])],
        [value("again", TensorProto.BOOL, []), value("next", half, [3]), value("turn", half, [3])],
    )
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["start"], "sigmoid"),
        helper.make_node("Loop", ["turns", "yes", "start"], ["last", "all"], "loop", body=body),
        helper.make_node("ReduceMax", ["all"], ["peak"], "peak", keepdims=0),
        helper.make_node("Cast", ["last"], ["y"], "cast", to=TensorProto.FLOAT),
    ]
    weights = {"turns": np.array(4), "yes": np.array(True), "rate": np.float16(0.5)}
    graph = helper.make_graph(
        nodes,
        "looping",
        [value("x", half, [3])],
        [value("y", TensorProto.FLOAT, [3]), value("peak", half, [])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


class OnnxSuite(InFile, AdapterConformance):
    file = "network.onnx"
    network = staticmethod(onnx_network)

    @property
    def adapter(self):
        from aligner.adapters.onnx_adapter.adapter import OnnxAdapter

        return OnnxAdapter()

    def make_session(self):
        if not self.path.exists():
            self.path.write_bytes(self.network().SerializeToString())
        return self.adapter.open(self.path, OpenOptions())

    def make_feeds(self):
        return {"image": picture(2, 3, 8, 8)}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.onnx"
        path.write_bytes(self.network().SerializeToString()[:200])
        return path


@requires_onnx
class TestOnnx(OnnxSuite):
    pass


@requires_onnx
class TestOnnxBranching(OnnxSuite):
    network = staticmethod(branching_onnx_network)

    def make_feeds(self):
        return {"x": picture(3), "flag": np.array(True)}


@requires_onnx
class TestOnnxLooping(OnnxSuite):
    network = staticmethod(looping_onnx_network)

    def make_feeds(self):
        return {"x": picture(3, dtype=np.float16)}


class TFLiteSuite(AdapterConformance):
    file = "tiny_conv_float.tflite"

    @property
    def adapter(self):
        from aligner.adapters.tflite_adapter.adapter import TFLiteAdapter

        return TFLiteAdapter()

    def make_session(self):
        return self.adapter.open(DATA / self.file, OpenOptions())

    def feed(self):
        return picture(1, 8, 8, 3)

    def make_feeds(self):
        with self.session() as session:
            return {session.signature.inputs[0].name: self.feed()}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.tflite"
        path.write_bytes((DATA / self.file).read_bytes()[:300])
        return path


@requires_tflite
class TestTFLite(TFLiteSuite):
    pass


@requires_tflite
class TestTFLiteQuantised(TFLiteSuite):
    file = "tiny_conv_int8.tflite"

    def feed(self):
        return (picture(1, 8, 8, 3) * 127).astype(np.int8)


@requires_tflite
class TestTFLiteDense(TFLiteSuite):
    file = "keypoint_classifier.tflite"

    def feed(self):
        return picture(1, 42)
