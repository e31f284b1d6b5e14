"""Programs of torch.export: what is seen, what is fed, and what a file may not do."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from marks import requires_onnx, requires_onnxscript, requires_torch

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.export_adapter.expression import is_size
from aligner.adapters.registry import find_adapter, open_model, translator
from aligner.errors import InputError, ModelFormatError, UnsupportedModelError, UntrustedFileError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

pytestmark = requires_torch

IMAGE = np.random.default_rng(3).normal(size=(2, 3, 8, 8)).astype(np.float32)


class Network(nn.Module):
    def __init__(self, momentum=1.0):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.shared = nn.Conv2d(4, 4, 1)
        self.classes = nn.Linear(4, 3)
        self.register_buffer("scale", torch.full((4,), momentum))

    def forward(self, image, offset=None):
        stem = F.silu(self.norm(self.stem(image)))
        twice = self.shared(torch.relu(self.shared(stem))) * self.scale.view(1, 4, 1, 1)
        upper, lower = (stem + twice).chunk(2, dim=1)
        return {"classes": torch.softmax(self.classes(twice.mean((2, 3))), -1), "upper": upper, "lower": lower}


def network(**changes):
    torch.manual_seed(0)
    module = Network(**changes).eval()
    nn.init.normal_(module.norm.running_mean)  # fresh statistics do next to nothing
    nn.init.uniform_(module.norm.running_var, 0.5, 2)
    return module


def exported(module=None, **options):
    return torch.export.export(module or network(), (torch.from_numpy(IMAGE),), **options)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "network.pt2"
    torch.export.save(exported(), path)
    return path


def test_nodes_have_the_program_s_names_modules_lines_and_weights(saved):
    session = open_model(saved, OpenOptions())
    graph = session.graph(None)
    names = [node.name for node in exported().graph.nodes if node.op == "call_function" and "getitem" not in node.name]
    assert [node.name for node in graph.nodes] == names
    stem = graph.nodes[0]
    assert stem.inputs == ("image", "stem.weight", "stem.bias")
    assert stem.scope == "stem" and stem.source.startswith("test_export_adapter.py:")
    assert graph.values["conv2d"].aliases == ("stem",)
    assert [node.scope for node in graph.nodes if node.op == "conv2d"] == ["stem", "shared", "shared"]
    chunk = next(node for node in graph.nodes if node.op == "chunk")
    assert chunk.outputs == ("getitem", "getitem_1")
    assert graph.outputs == ("softmax", "getitem", "getitem_1")
    assert graph.values["getitem"].aliases == ("upper",)
    assert "torch.export" in session.runtime


def test_sizes_that_vary_are_not_declared(tmp_path):
    path = tmp_path / "batch.pt2"
    torch.export.save(exported(dynamic_shapes=({0: torch.export.Dim("batch")},)), path)
    session = open_model(path, OpenOptions())
    assert session.signature.inputs[0].shape == (None, 3, 8, 8)
    assert session.predict({"image": IMAGE[:1].repeat(5, axis=0)})[0].array.shape == (5, 3)


def test_nested_and_constant_arguments():
    class Nested(nn.Module):
        def forward(self, pair, *, table, factor, flag=None):
            return pair[0] - pair[1] * table["x"] * factor

    x = torch.arange(3.0)
    program = torch.export.export(Nested(), ((x + 1, x * 2),), {"table": {"x": x}, "factor": 3})
    session = open_model(program, OpenOptions())
    names = [spec.name for spec in session.signature.inputs]
    feeds = {name: np.full(3, value, np.float32) for name, value in zip(names, (5, 1, 2), strict=True)}
    np.testing.assert_array_equal(session.predict(feeds)[0].array, [-1, -1, -1])
    assert list(session.run(feeds))[-1].array.tolist() == [-1, -1, -1]
    with pytest.raises(InputError):
        session.predict({"pair": feeds[names[0]]})


def test_branches_and_blocks_without_gradients_are_looked_into():
    class Branching(nn.Module):
        def forward(self, x):
            with torch.no_grad():
                y = x * 2
            return torch.cond(y.sum() > 0, lambda t: (t.sin() + 1,), lambda t: (t.cos() - 1,), (y,))[0] * 3

    program = torch.export.export(Branching(), (torch.ones(3),))
    for sign, branch in ((1, "cond/sin"), (-1, "cond/cos")):
        session = open_model(program, OpenOptions())
        feeds = {"x": np.full(3, sign, np.float32)}
        seen = {tensor.value: tensor.array for tensor in session.run(feeds)}
        assert branch in seen
        ended = list(session.run(feeds, inject={branch: np.zeros(3, np.float32)}))[-1].array
        np.testing.assert_array_equal(ended, np.full(3, 3.0 if sign > 0 else -3.0))


def test_a_write_into_part_of_a_tensor_is_seen_by_its_readers():
    class Writing(nn.Module):
        def forward(self, x):
            y = x + 0
            y[:, 0] = 7
            return y * 2

    session = open_model(torch.export.export(Writing(), (torch.zeros(2, 3),)), OpenOptions())
    feeds = {"x": np.zeros((2, 3), np.float32)}
    graph = session.graph(feeds)
    assert graph.nodes[-1].inputs != ("add",)
    injected = {"add": np.ones((2, 3), np.float32)}
    np.testing.assert_array_equal(list(session.run(feeds, inject=injected))[-1].array, [[14, 2, 2]] * 2)


@pytest.mark.parametrize("decomposed", [False, True])
def test_it_answers_to_the_module_and_to_its_trace(saved, tmp_path, decomposed):
    program = exported().run_decompositions() if decomposed else saved
    traced = tmp_path / "traced.pt"
    torch.jit.trace(network(), torch.from_numpy(IMAGE), strict=False).save(str(traced))
    for reference in (network(), traced):
        result = aligner.compare(reference, program, {"image": IMAGE})
        assert result.verdict == "aligned"
        assert result.comparison.coverage.reference == 1.0


@requires_onnx
@requires_onnxscript
def test_it_answers_to_its_onnx_file(saved, tmp_path):
    path = tmp_path / "network.onnx"
    torch.onnx.export(exported(), f=str(path), dynamo=True, verbose=False)
    result = aligner.compare(saved, path, {"image": IMAGE})
    assert result.verdict == "aligned"
    assert result.comparison.coverage.reference == 1.0


@pytest.mark.parametrize("back", [False, True])
def test_a_fault_is_named_at_its_node(saved, tmp_path, back):
    wrong = exported(network(momentum=1.25))
    sides = (wrong, saved) if back else (saved, wrong)
    result = aligner.compare(*sides, {"image": IMAGE})
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.name in ("view", "mul")
    assert any("scale" in cause.evidence for cause in result.comparison.causes)


def test_float64(saved):
    wide = open_model(saved, OpenOptions()).in_float64()
    assert {tensor.dtype for tensor in wide.run({"image": IMAGE})} == {"float64"}


def test_every_node_replays(saved):
    from aligner.testing.operation_conformance import replay_session

    for program in (saved, exported().run_decompositions()):
        session = open_model(program, OpenOptions())
        replays = replay_session(session, {"image": IMAGE}, translator("torch-export"))
        assert replays and not [one for one in replays if one.fault or one.opaque]


# files ---------------------------------------------------------------------------------------------------------------


def rewritten(path, change, members=None):
    """The archive with its program, or some members, changed."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(content)).split("/")[0]
    program = json.loads(content[f"{root}/models/model.json"])
    change(program)
    content[f"{root}/models/model.json"] = json.dumps(program).encode()
    content.update({f"{root}/{name}": data for name, data in (members or {}).items()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def nodes(program):
    return program["graph_module"]["graph"]["nodes"]


def evil_pickle(tmp_path):
    import io

    class Evil:
        def __reduce__(self):
            import pathlib

            return pathlib.Path.touch, (tmp_path / "executed",)

    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    return buffer.getvalue()


def _evaluated_size(program, mark):
    values = program["graph_module"]["graph"]["tensor_values"]
    next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": f"open({str(mark)!r}, 'w')", "hint": None}}


HOSTILE = {
    "operator": lambda program, _: nodes(program)[0].update(target="torch.hub.load"),
    "file": lambda program, _: nodes(program)[0].update(target="torch.ops.aten.from_file.default"),
    "size": _evaluated_size,
    "name": lambda program, _: nodes(program)[0]["outputs"][0]["as_tensor"].update(name="x=__import__('os')"),
    "attribute": lambda program, _: program["graph_module"]["graph"]["inputs"][0]["as_tensor"].update(name="a.b"),
    "keyword": lambda program, _: nodes(program)[0]["inputs"][0].update(name="x=open('y')", kind=2),
    "nesting": lambda program, _: program["graph_module"]["module_call_graph"][0]["signature"].update(
        in_spec=json.dumps([1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}])
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_program_that_would_execute_code_is_refused(saved, tmp_path, kind):
    mark = tmp_path / "executed"
    path = rewritten(saved, lambda program: HOSTILE[kind](program, mark))
    with pytest.raises(UntrustedFileError) as caught:
        open_model(path, OpenOptions())
    assert "--trust" in caught.value.hint and not mark.exists()


def test_conditions_on_inputs_are_not_evaluated(saved, tmp_path):
    mark = tmp_path / "executed"

    def change(program):
        program["guards_code"] = [f"open({str(mark)!r}, 'w')"]

    session = open_model(rewritten(saved, change), OpenOptions())
    session.predict({"image": IMAGE})
    assert not mark.exists()


@pytest.mark.parametrize("member", ["data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt"])
def test_pickles_that_call_functions_are_refused(saved, tmp_path, member):
    path = rewritten(saved, lambda _: None, {member: evil_pickle(tmp_path)})
    with pytest.raises(UntrustedFileError):
        open_model(path, OpenOptions())
    assert not (tmp_path / "executed").exists()


def test_a_compiled_library_is_refused(saved):
    path = rewritten(saved, lambda _: None, {"data/aotinductor/model/library.so": b"\x7fELF"})
    with pytest.raises(UntrustedFileError):
        open_model(path, OpenOptions())


def test_an_archive_without_a_program_says_what_it_holds(tmp_path):
    for member, kind in (("data/aotinductor/m/x.so", UnsupportedModelError), ("version", UntrustedFileError)):
        path = tmp_path / "other.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other/archive_format", "pt2")
            archive.writestr(f"other/{member}", "x")
        with pytest.raises(kind):
            open_model(path, OpenOptions())


def test_damaged_archives(saved, tmp_path):
    whole = saved.read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "text": b"no archive", "head": whole[:64]}.items():
        path = tmp_path / f"{name}.pt2"
        path.write_bytes(content)
        with pytest.raises(ModelFormatError):
            open_model(path, OpenOptions())
    path = rewritten(saved, lambda program: nodes(program)[0].update(target="torch.ops.aten.absent.default"))
    with pytest.raises(ModelFormatError):
        open_model(path, OpenOptions())


def test_who_reads_it(saved):
    assert find_adapter(saved).name == "torch-export"
    assert find_adapter(exported()).name == "torch-export"
    assert find_adapter(exported().module()).name == "pytorch"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Symbol('s40', positive=True, integer=True)", True),
        ("2*s0 + 1", True),
        ("Or(LessThan(Symbol('u0', integer=True), Integer(12)), Not(StrictGreaterThan(u1, 3)))", True),
        ("FloorDiv(Symbol('s1', integer=True), Integer(2))", True),
        ("Pow(Symbol('s1', integer=True), Integer(2))", True),
        ("Max(1, s3//2) - s0**2", True),
        ("9**9**9", False),
        ("Pow(Pow(9, 9), 9)", False),
        ("9**99999", False),
        ("__import__('os')", False),
        ("s0.__class__", False),
        ("(lambda: 1)()", False),
        ("[s0 for s0 in s1]", False),
        ("Symbol('x y')", False),
        ("s0 +", False),
    ],
)
def test_sizes_are_arithmetic(text, plain):
    assert is_size(text) is plain


class Mapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return torch.relu(torch.vmap(self.layer)(x) - 0.1)


def test_what_runs_inside_of_vmap_is_one_node():
    module, x = Mapped().eval(), torch.randn(4, 2, 6)
    result = aligner.compare(module, torch.export.export(module, (x,)), x.numpy())
    assert result.verdict == "aligned" and result.coverage.candidate == 1
    made = result.pairs[1].candidate
    assert made.name == "_remove_batch_dim" and made.kind == "opaque"
    assert torch._C._functorch.peek_interpreter_stack() is None


def test_a_program_that_raises_inside_of_vmap_leaves_nothing_behind():
    module, x = Mapped().eval(), torch.randn(4, 2, 6)
    program = torch.export.export(module, (x,), strict=False)
    node = next(node for node in program.graph.nodes if node.name == "linear")
    node.args = (node.args[0], node.args[2], node.args[2])
    with pytest.raises(aligner.AlignerError):
        aligner.compare(module, program, x.numpy())
    assert torch._C._functorch.peek_interpreter_stack() is None
