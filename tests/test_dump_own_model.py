"""The model that a dump is of computes for it: as it ran there, with what the device did otherwise."""

from __future__ import annotations

import math

import dump_writers
import numpy as np
import pytest
from marks import requires_onnx

import aligner
from aligner.errors import InputError

pytestmark = requires_onnx
GUILTY = "/c2/Conv_output_0"
FEW = ("/act1/Relu_output_0", "/act2/Relu_output_0", "y")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import dumped_models
    import onnx

    path = tmp_path_factory.mktemp("own")
    for fault in (None, "kernel", "padding"):
        onnx.save(dumped_models.network(fault), path / f"{fault or 'net'}.onnx")
    np.save(path / "x.npy", dumped_models.picture())
    return path


def dumped(path, fault=None, x=None, kept=None, rename=str):
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(fault), dumped_models.picture() if x is None else x)
    del tensors["x"]
    np.savez(path, **{rename(n).lstrip("/"): a for n, a in tensors.items() if kept is None or n in kept})
    return path


@pytest.mark.parametrize("fault", ["kernel", "padding"])
def test_what_was_not_recorded_is_computed_by_the_model_that_ran(folder, tmp_path, fault):
    """Exact though the guilty tensor is not in the dump: the faulty model is at hand."""
    dump = dumped(tmp_path / "few.npz", fault, kept=FEW)
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / f"{fault}.onnx")
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]
    assert any("gives every recorded tensor" in note for note in result.comparison.candidate.notes)


@pytest.mark.parametrize("fault", ["kernel", "padding"])
def test_a_fault_of_the_device_alone(folder, tmp_path, fault):
    """The model is right, and run here it says which recorded tensor it does not give."""
    dump = dumped(tmp_path / "dump.npz", fault)
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    assert [pair.candidate.name for pair in result.comparison.introduced] == [GUILTY]
    assert any(f"before them: {GUILTY}" in note for note in result.comparison.candidate.notes)
    assert all("--ort" not in cause.suggestion for cause in result.causes)  # it ran elsewhere
    assert fault != "kernel" or result.causes[0].evidence_class == "suspected"
    assert result.comparison.certificate is not None


def test_an_output_that_was_not_recorded_is_no_difference_of_the_models(folder, tmp_path):
    dump, net = dumped(tmp_path / "half.npz", kept=FEW[:2]), folder / "net.onnx"
    comparison = aligner.compare(net, dump, folder / "x.npy", dump_of=net).comparison
    assert (comparison.verdict, comparison.causes) == ("inconclusive", ())
    assert any("lacks outputs" in note for note in comparison.candidate.notes)


def test_a_deviation_is_carried_to_other_tensors(folder, tmp_path):
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model

    dump = dumped(tmp_path / "dump.npz", "kernel")
    session = open_model(dump, OpenOptions(dump_of=folder / "net.onnx"))
    feeds = {"x": np.load(folder / "x.npy")}
    graph = session.graph(feeds)
    assert session.capabilities.can_inject
    recorded = {tensor.value: tensor.array for tensor in session.run(feeds)}
    before = "/act1/Relu_output_0"
    for factor in (1, 2):
        inject = {before: factor * recorded[before]}
        found = {tensor.value: tensor.array for tensor in session.run(feeds, [GUILTY, "y"], inject)}
        assert (np.abs(found[GUILTY] - recorded[GUILTY]).max() < 1e-5) == (factor == 1)
        assert (np.abs(found["y"] - recorded["y"]).max() < 1e-5) == (factor == 1)
    assert graph.outputs == ("y",)
    session.close()


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("/c2/Conv + /act2/Relu", FEW[1]),
        ("/c2/Conv + PWN(/act2/Relu)", FEW[1]),
        ("/c2/Conv/WithoutBiases,/c2/Conv,/act2/Relu", FEW[1]),
        ("_c2_Conv_WithoutBiases__c2_Conv__act2_Relu", FEW[1]),
        ("c2_Conv___act2_Relu", FEW[1]),
        ("/c1/Conv||/c2/Conv", GUILTY),
        ("Reformatting CopyNode for /c2/Conv", None),
        ("/c2/Conv + /nothing/Relu", None),
    ],
)
def test_names_of_fused_nodes(folder, name, answers):
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.dumps.dump import DumpedTensor
    from aligner.adapters.dumps.names import match
    from aligner.adapters.registry import open_model

    session = open_model(folder / "net.onnx", OpenOptions())
    found = match([DumpedTensor(name)], session.graph(None))
    assert [*found.places] == ([answers] if answers else [])
    session.close()


@pytest.mark.parametrize("told", [True, False])
def test_a_dump_of_another_input_is_recognised(folder, tmp_path, told):
    other = np.random.default_rng(99).random((1, 3, 8, 10), dtype=np.float32)
    dump = dumped(tmp_path / "dump.npz", x=other)
    options = {"dump_of": folder / "net.onnx"} if told else {}
    with pytest.raises(InputError, match="made from another input"):
        aligner.compare(folder / "net.onnx", dump, folder / "x.npy", **options)


def first_node(kind):
    """The network with a fault in its first node."""
    import dumped_models
    from onnx import numpy_helper

    made = dumped_models.network()
    weight, bias = (next(w for w in made.graph.initializer if w.name == name) for name in ("c1.w", "c1.b"))
    array = numpy_helper.to_array(weight)
    if kind == "flip":
        weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array[:, :, ::-1]), "c1.w"))
    elif kind == "bias":
        bias.CopyFrom(numpy_helper.from_array(np.zeros(6, np.float32), "c1.b"))
    else:
        pads = next(entry for entry in made.graph.node[0].attribute if entry.name == "pads")
        pads.ints[:] = [0, 0, 2, 2]
    return made


@pytest.mark.parametrize("kind", ["flip", "bias", "padding"])
def test_a_wrong_first_node_is_no_other_input(folder, tmp_path, kind):
    import dumped_models

    tensors = dumped_models.computed(first_node(kind), dumped_models.picture())
    del tensors["x"]
    np.savez(tmp_path / "dump.npz", **{name.lstrip("/"): array for name, array in tensors.items()})
    result = aligner.compare(folder / "net.onnx", tmp_path / "dump.npz", folder / "x.npy", dump_of=folder / "net.onnx")
    assert [pair.candidate.name for pair in result.comparison.introduced] == ["/c1/Conv_output_0"]


def test_where_the_input_cannot_be_told_the_report_says_so(folder, tmp_path):
    other = np.random.default_rng(99).random((1, 3, 8, 10), dtype=np.float32)
    dump = dumped(tmp_path / "dump.npz", x=other, kept=FEW)
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    assert any("fed another x than the one given" in note for note in result.comparison.notes)


def test_an_input_in_fewer_bits_is_the_same(folder, tmp_path):
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(), dumped_models.picture())
    np.savez(tmp_path / "half.npz", **{name.lstrip("/"): array.astype(np.float16) for name, array in tensors.items()})
    result = aligner.compare(folder / "net.onnx", tmp_path / "half.npz", folder / "x.npy", dump_of=folder / "net.onnx")
    assert result.verdict == "aligned"


@pytest.mark.parametrize("where", ["storage", "device", "output"])
def test_numbers_too_large_for_the_dumps_type(tmp_path, where):
    """Written as infinite: the device went on from what it had, or from infinities; or it is all that is known."""
    from onnx_models import model, node, value, weights

    x = np.full((1, 4), 300, np.float32) + np.arange(4, dtype=np.float32)
    nodes = [
        node("Mul", ["x", "large"], ["a"], "a"),
        node("Relu", ["a"], ["b"], "b"),
        node("Mul", ["b", "small"], ["c"], "c"),
        node("Add", ["c", "small"], ["y"], "y"),
    ]
    arrays = weights(large=np.float32([1, 2, 300, -300]), small=np.float32([1e-3, 2e-3, 1e-3, 1e-3]))
    path = tmp_path / "net.onnx"
    path.write_bytes(model(nodes, [value("x", 1, [1, 4])], [value("y", 1, [1, 4])], arrays).SerializeToString())
    a = x * np.float32([1, 2, 300, -300])
    b = np.maximum(a, 0)
    with np.errstate(over="ignore"):
        if where == "device":
            b = b.astype(np.float16).astype(np.float32)
        c = b * np.float32([1e-3, 2e-3, 1e-3, 1e-3])
        y = c + np.float32([1e-3, 2e-3, 1e-3, 1e-3])
        if where == "output":
            y = y * np.float32([1, 1, np.inf, 1])
        tensors = {name: array.astype(np.float16) for name, array in {"a": a, "b": b, "c": c, "y": y}.items()}
    np.savez(tmp_path / "dump.npz", **tensors)
    np.save(tmp_path / "x.npy", x)
    result = aligner.compare(path, tmp_path / "dump.npz", tmp_path / "x.npy", dump_of=path)
    assert result.verdict == ("aligned" if where == "storage" else "diverged"), result.comparison.reason
    told = any("too large for the dump's float16" in note for note in result.comparison.candidate.notes)
    assert told == (where != "device")


@pytest.mark.parametrize("fault", [None, "kernel"])
@pytest.mark.parametrize("memory", ["written over", "never written"])
def test_memory_that_was_used_again(folder, tmp_path, memory, fault):
    """What the device went on from is not what lay there later: such tensors are the model's, and a fault is not."""
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(fault), dumped_models.picture())
    gone = ("/c1/Conv_output_0", FEW[0]) if fault is None else (FEW[1],)
    for name in gone:
        left = np.full(tensors[name].size, 0 if name in FEW else np.nan, np.float32)
        left = tensors["/head/Gemm_output_0"].ravel() if memory == "written over" else left
        tensors[name] = np.concatenate([left, tensors[name].ravel()[left.size :]]).reshape(tensors[name].shape)
    np.savez(tmp_path / "dump.npz", **{name.lstrip("/"): array for name, array in tensors.items()})
    result = aligner.compare(folder / "net.onnx", tmp_path / "dump.npz", dump_of=folder / "net.onnx")
    assert result.verdict == ("diverged" if fault else "aligned"), result.comparison.reason
    assert [pair.candidate.name for pair in result.introduced] == ([GUILTY] if fault else [])
    told = next(note for note in result.comparison.candidate.notes if "did not go on from" in note)
    assert all(name in told for name in gone) and GUILTY not in told


@pytest.mark.parametrize("fault", [None, "kernel"])
def test_codes_that_were_written_as_numbers(folder, tmp_path, fault):
    """A device of int8 whose tools write float32: each tensor is multiples of its step."""
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(fault), dumped_models.picture())
    del tensors["x"]
    steps = {name: np.float32(np.abs(array).max() / 127) for name, array in tensors.items()}
    coded = {name.lstrip("/"): np.rint(array / steps[name]) * steps[name] for name, array in tensors.items()}
    np.savez(tmp_path / "dump.npz", **coded)
    result = aligner.compare(folder / "net.onnx", tmp_path / "dump.npz", folder / "x.npy", dump_of=folder / "net.onnx")
    assert result.verdict == ("diverged" if fault else "aligned"), result.comparison.reason
    assert [pair.candidate.name for pair in result.introduced][:1] == ([GUILTY] if fault else [])
    assert any("judged as its codes" in note for note in result.comparison.candidate.notes)


@pytest.mark.parametrize("levels", [40, 255, 65535])
def test_a_step_is_told_by_the_numbers(levels):
    from aligner.numerics.coded_steps import step_of, step_of_few

    rng = np.random.default_rng(levels)
    for real in (rng.standard_normal(4000), rng.random(600), np.maximum(rng.standard_normal(9000), 0)):
        step = np.float32(np.abs(real).max() / (levels // 2))
        found = step_of(np.rint(real / step).astype(np.float32) * step)
        assert found is not None and abs(found / step - 1) < 1e-6
        assert step_of(real.astype(np.float32)) is None
    assert step_of(np.full(50, 3, np.float32)) is None
    assert step_of_few(np.float32([0, 7, 127, -31]) * np.float32(0.3)) == pytest.approx(0.3)
    assert step_of_few(rng.standard_normal(7).astype(np.float32)) is None


@pytest.mark.parametrize("last", ["Transpose", "Relu"])
def test_an_output_that_is_a_view_of_a_recorded_tensor_is_recorded(tmp_path, last):
    """Devices do not write what they do not compute."""
    from onnx_models import model, node, value, weights

    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    nodes = [node("Mul", ["x", "two"], ["a"], "a"), node(last, ["a"], ["y"], "y")]
    path = tmp_path / "net.onnx"
    shape = [3, 2] if last == "Transpose" else [2, 3]
    made = model(nodes, [value("x", 1, [2, 3])], [value("y", 1, shape)], weights(two=np.float32([2])))
    path.write_bytes(made.SerializeToString())
    np.savez(tmp_path / "dump.npz", x=x, a=2 * x)
    result = aligner.compare(path, tmp_path / "dump.npz", dump_of=path)
    assert result.verdict == ("aligned" if last == "Transpose" else "inconclusive")


@pytest.mark.parametrize("fault", [None, "kernel"])
def test_rows_that_are_filled_up(folder, tmp_path, fault):
    """Raw files of a DSP: each row of a picture takes whole vectors, with anything behind the numbers."""
    import dumped_models

    path = tmp_path / "dump"
    path.mkdir()
    for name, array in dumped_models.computed(dumped_models.network(fault), dumped_models.picture()).items():
        more = -array.shape[-1] % 16 if array.ndim == 4 else 0
        filled = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, more)], constant_values=7)
        filled.tofile(path / f"{name.replace('/', '_')}.bin")
    made = tmp_path / "device.onnx"
    made.write_bytes(dumped_models.network(fault).SerializeToString())
    result = aligner.compare(folder / "net.onnx", path, folder / "x.npy", dump_of=made)
    assert result.verdict == ("diverged" if fault else "aligned"), result.comparison.reason
    assert [pair.candidate.name for pair in result.introduced][:1] == ([GUILTY] if fault else [])
    assert any("rows of pictures" in note for note in result.comparison.candidate.notes)


def test_single_tensors_that_lie_otherwise_are_read_so(folder, tmp_path):
    """Raw files tell no shapes, and a device turns only what is a picture for it."""
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(), dumped_models.picture())
    del tensors["x"]
    path = tmp_path / "dump"
    path.mkdir()
    for name, array in tensors.items():
        turned = array.ndim == 4 and name != GUILTY
        (array.transpose(0, 2, 3, 1) if turned else array).tofile(path / f"{name.replace('/', '_')}.raw")
    result = aligner.compare(folder / "net.onnx", path, folder / "x.npy", dump_of=folder / "net.onnx")
    assert result.verdict == "aligned", result.comparison.reason
    notes = " ".join(result.comparison.candidate.notes)
    assert "channels last" in notes and f"as net.onnx gives them: {GUILTY}" in notes


@pytest.mark.parametrize("fault", [None, "kernel"])
@pytest.mark.parametrize("way", ["numbered", "raw", "few names"])
def test_tensors_without_names_are_known_by_what_they_hold(folder, tmp_path, fault, way):
    """Numbered files in the order of the run, with axes or without; or half of the names are missing."""
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(fault), dumped_models.picture())
    path = tmp_path / "dump"
    path.mkdir()
    for number, (name, array) in enumerate(tensors.items()):
        known = way == "few names" and number % 2
        file = path / (name.replace("/", "_") if known else f"layer_{number * 5}")
        if way == "raw":
            np.ascontiguousarray(array.transpose(0, 2, 3, 1) if array.ndim == 4 else array).tofile(f"{file}.raw")
        else:
            np.save(f"{file}.npy", array)
    made = folder / ("device.onnx" if fault else "net.onnx")
    if fault:
        made.write_bytes(dumped_models.network(fault).SerializeToString())
    result = aligner.compare(folder / "net.onnx", path, folder / "x.npy", dump_of=made)
    assert result.verdict == ("diverged" if fault else "aligned"), result.comparison.reason
    assert [pair.candidate.name for pair in result.introduced][:1] == ([GUILTY] if fault else [])
    assert any("named as nothing" in note for note in result.comparison.candidate.notes)


def test_tensors_that_were_written_twice(folder, tmp_path):
    """Nothing is left to be known once the copies are."""
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(), dumped_models.picture())
    del tensors["x"]
    twice = {f"{name.lstrip('/')}{end}": array for name, array in tensors.items() for end in ("", "_dup")}
    np.savez(tmp_path / "dump.npz", **twice)
    result = aligner.compare(folder / "net.onnx", tmp_path / "dump.npz", folder / "x.npy", dump_of=folder / "net.onnx")
    assert result.verdict == "aligned", result.comparison.reason


def test_numbered_tensors_of_another_model_are_refused(folder, tmp_path):
    import dumped_models

    rng = np.random.default_rng(3)
    tensors = dumped_models.computed(dumped_models.network(), dumped_models.picture())
    arrays = {f"t{n}": rng.standard_normal(array.shape) for n, array in enumerate(tensors.values())}
    np.savez(tmp_path / "dump.npz", **arrays)
    with pytest.raises(aligner.AlignerError, match="is no dump of"):
        aligner.compare(folder / "net.onnx", tmp_path / "dump.npz", folder / "x.npy", dump_of=folder / "net.onnx")


@pytest.mark.parametrize("written", ["Conv__64_0", "Conv__64", "Conv__64:0", "conv_64_0"])
def test_tensorflows_first_outputs(written):
    from aligner.adapters.dumps.dump import DumpedTensor
    from aligner.adapters.dumps.names import match
    from aligner.records.graph import Graph, Node, Value

    values = {name: Value(name, name, (2,)) for name in ("Conv__64:0", "Conv__65:0")}
    nodes = tuple(Node(n, f"n{n}", "Conv", "conv", (), (name,)) for n, name in enumerate(values))
    found = match([DumpedTensor(written, (2,))], Graph("onnx", nodes, values, {}, (), ()))
    assert dict(found.places) == {"Conv__64:0": 0}


@pytest.mark.parametrize("cut_off", [1, 2])
def test_names_that_count_something_else_are_no_decorated_ones(cut_off):
    """Another compiler numbers its kernels of one kind by itself: no more than one of another size was cut off."""
    from aligner.adapters.dumps.dump import DumpedTensor
    from aligner.adapters.dumps.names import match
    from aligner.records.graph import Graph, Node, Value

    values = {f"add_{n}": Value(f"add_{n}", f"add_{n}", (n + 2,)) for n in range(6)}
    nodes = tuple(Node(n, f"n{n}", "Add", "add", (), (name,)) for n, name in enumerate(values))
    sizes = [value.shape if n >= cut_off else (90,) for n, value in enumerate(values.values())]
    dumped = [DumpedTensor(f"fused_nn_{name}", size) for name, size in zip(values, sizes, strict=True)]
    found = match(dumped, Graph("onnx", nodes, values, {}, (), ()))
    assert len(found.places) == (5 if cut_off == 1 else 0)
    assert len(found.left) == (0 if cut_off == 1 else 6)


def test_what_a_shape_says_is_for_each_tensor_and_weights_have_no_say():
    from aligner.adapters.dumps.layout import FIRST, LAST, laid, says, settled

    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    turned = array.transpose(0, 2, 3, 1)
    for dumped in (FIRST, LAST):
        np.testing.assert_array_equal(laid(array, (2, 3, 4, 5), "first", dumped), array)
        np.testing.assert_array_equal(laid(turned, (2, 3, 4, 5), "first", dumped), array)
    assert says((2, 4, 4, 4), (2, 4, 4, 4), "first") is None
    assert settled([(LAST, 3), (LAST, 8), (FIRST, 8)]) == LAST
    assert settled([(LAST, 3), (FIRST, 8)]) is None
    assert settled([(LAST, 4), (4, 8), (4, 12)]) == 4  # a block that holds all channels has them last


def test_a_model_that_cannot_take_the_tensors_says_why(folder, tmp_path):
    """A device whose strides were others: the shapes do not fit its model, and the reference's nodes judge."""
    import dumped_models

    tensors = dumped_models.computed(dumped_models.network(), dumped_models.picture())
    del tensors["x"]
    tensors[GUILTY] = np.concatenate([tensors[GUILTY]] * 2, axis=3)
    dump = dump_writers.raw_manifest(tmp_path / "dump", tensors)
    result = aligner.compare(folder / "net.onnx", dump, folder / "x.npy", dump_of=folder / "net.onnx")
    assert any("cannot be run here" in note for note in result.comparison.candidate.notes)


@requires_onnx
def quantised(folder):
    """tanh and erf, plain and with codes between: net.onnx, device.onnx."""
    import onnx
    from onnx_models import model, node, value, weights

    inner = [node("Tanh", ["x"], ["t"], "tanh"), node("Erf", ["t"], ["y"], "erf")]
    steps = [
        node("Tanh", ["x"], ["t"], "tanh"),
        node("QuantizeLinear", ["t", "s", "z"], ["q"], "quantize"),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], "dequantize"),
        node("Erf", ["d"], ["y"], "erf"),
    ]
    ends = [value("x", 1, [2, 16])], [value("y", 1, [2, 16])]
    onnx.save(model(inner, *ends, weights(), opset=17), folder / "net.onnx")
    stored = weights(s=np.float32(1 / 64), z=np.int8(0))
    onnx.save(model(steps, *ends, stored, opset=17), folder / "device.onnx")
    return np.random.default_rng(0).standard_normal((2, 16)).astype(np.float32)


def test_what_is_read_behind_a_quantised_tensor_is_what_the_reference_is_fed(tmp_path):
    """A recording without a model that runs: of a tensor, its codes and its numbers again the last ones are read on."""
    x = quantised(tmp_path)
    aligner.capture(tmp_path / "device.onnx", tmp_path / "run.npz", {"x": x})
    result = aligner.compare(tmp_path / "net.onnx", tmp_path / "run.npz", {"x": x})
    (pair,) = [pair for pair in result.pairs if pair.candidate.name == "y"]
    assert pair.local is not None and pair.local.max_abs < 1e-6


@pytest.mark.parametrize("wrong", [False, True])
def test_codes_take_the_models_own_scale(tmp_path, wrong):
    """A device that dumps int8 bytes of what its model has as numbers, coded behind."""
    x = quantised(tmp_path)
    numbers = np.tanh(x) * (0.5 if wrong else 1)
    dump = tmp_path / "dump"
    dump.mkdir()
    codes = np.clip(np.rint(numbers * 64), -128, 127).astype(np.int8)
    codes.tofile(dump / "t.raw")
    codes.tofile(dump / "d.raw")
    exact = np.vectorize(math.erf)(codes / 64).astype(np.float32)
    exact.tofile(dump / "y.raw")
    result = aligner.compare(tmp_path / "net.onnx", dump, {"x": x}, dump_of=tmp_path / "device.onnx")
    assert result.verdict == ("diverged" if wrong else "aligned"), result.comparison.reason
    if wrong:
        assert result.first_divergence.candidate.name == "t"


def cut_off(array, bits=10):
    """What a matrix unit reads of float32 numbers that it takes without rounding them."""
    return (np.ascontiguousarray(array).view(np.uint32) & np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)).view("f4")


def rounded(array, bits=10):
    mantissa, exponent = np.frexp(array)  # 0.5 ≤ |mantissa| < 1
    return np.ldexp(np.rint(np.ldexp(mantissa, bits + 1)), exponent - bits - 1).astype(np.float32)


@pytest.fixture(scope="module")
def perceptron(tmp_path_factory):
    """Six products with rectifiers between: (the file, its matrices, an input)."""
    import onnx
    from onnx_models import model, node, value, weights

    path, rng = tmp_path_factory.mktemp("products"), np.random.default_rng(3)
    matrices = [(rng.standard_normal((32, 32)) / 4).astype(np.float32) for _ in range(6)]
    nodes = []
    for at in range(6):
        nodes += [
            node("MatMul", [f"r{at}", f"w{at}"], [f"p{at}"], f"product{at}"),
            node("Relu", [f"p{at}"], [f"r{at + 1}"]),
        ]
    named = {f"w{at}": one for at, one in enumerate(matrices)}
    made = model(nodes, [value("r0", 1, [8, 32])], [value("r6", 1, [8, 32])], weights(**named), opset=17)
    onnx.save(made, path / "net.onnx")
    return path / "net.onnx", matrices, rng.standard_normal((8, 32)).astype(np.float32)


def multiplied(path, matrices, x, narrow, every=True):
    """A dump of a device that multiplies what ``narrow`` leaves of its operands; or its third product alone does."""
    tensors = {}
    for at, matrix in enumerate(matrices):
        fewer = narrow if every or at == 2 else np.asarray
        tensors[f"p{at}"] = (fewer(x).astype(np.float64) @ fewer(matrix).astype(np.float64)).astype(np.float32)
        x = tensors[f"r{at + 1}"] = np.maximum(tensors[f"p{at}"], 0)
    np.savez(path, **tensors)
    return path


@pytest.mark.parametrize(
    ("narrow", "word"), [(rounded, "float16"), (cut_off, "float16"), (lambda a: rounded(a, 7), "bfloat16")]
)
def test_matrix_units_that_round_their_operands(perceptron, tmp_path, narrow, word):
    """A GPU in TF32 writes float32: its own rounding is no fault, and one behind it is."""
    net, matrices, x = perceptron
    dump = multiplied(tmp_path / "clean.npz", matrices, x, narrow)
    comparison = aligner.compare(net, dump, {"r0": x}, dump_of=net).comparison
    assert comparison.verdict == "aligned"
    assert any(f"to the bits of {word}" in note for note in comparison.candidate.notes)
    others = [np.roll(one, 1, 1) if at == 3 else one for at, one in enumerate(matrices)]
    comparison = aligner.compare(
        net, multiplied(tmp_path / "other.npz", others, x, narrow), {"r0": x}, dump_of=net
    ).comparison
    assert [pair.candidate.name for pair in comparison.introduced] == ["p3"]


def test_other_errors_are_no_rounding_of_operands(perceptron, tmp_path):
    """Weights that are all a little off, and one product alone in fewer bits."""
    net, matrices, x = perceptron
    rng = np.random.default_rng(4)
    others = [one * (1 + 2e-3 * rng.standard_normal(one.shape)).astype(np.float32) for one in matrices]
    for made in (
        multiplied(tmp_path / "trained on.npz", others, x, np.asarray),
        multiplied(tmp_path / "in TF32.npz", others, x, rounded),
        multiplied(tmp_path / "one product.npz", matrices, x, rounded, every=False),
    ):
        comparison = aligner.compare(net, made, {"r0": x}, dump_of=net).comparison
        assert comparison.verdict == "diverged"
        assert comparison.introduced[0].candidate.name == ("p2" if made.stem == "one product" else "p0")
