"""A model and its int8 twin: alike in either direction where the twin is good, and the bad tensor found where not."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from marks import requires_tflite  # noqa: E402

import aligner  # noqa: E402

RNG = np.random.default_rng(1)
KERNELS = [(RNG.standard_normal((8, c, 3, 3)) / np.sqrt(9 * c)).astype(np.float32) for c in (3, 8, 8)]
X = RNG.uniform(-1, 1, (1, 3, 14, 14)).astype(np.float32)


def chain(ranges=None):
    """Three convolutions with ReLU; ``ranges``: what the tensors x, r0, r1, r2 are quantised for."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes, weights, source = [], {}, "x"

    def quantised(name, largest):
        weights[f"{name}_s"], weights[f"{name}_z"] = np.float32(largest / 127), np.int8(0)
        operands = [f"{name}_s", f"{name}_z"]
        nodes.append(helper.make_node("QuantizeLinear", [name, *operands], [f"{name}_q"], f"{name}/q"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *operands], [f"{name}_d"], f"{name}/d"))
        return f"{name}_d"

    if ranges is not None:
        source = quantised("x", ranges[0])
    for number, kernel in enumerate(KERNELS):
        weights[f"k{number}"] = kernel
        if ranges is not None:
            step = np.float32(np.abs(kernel).max() / 127)
            weights |= {f"k{number}": np.rint(kernel / step).astype(np.int8), f"k{number}_s": step}
            nodes.append(helper.make_node("DequantizeLinear", [f"k{number}", f"k{number}_s"], [f"k{number}_d"]))
        read = f"k{number}" if ranges is None else f"k{number}_d"
        nodes.append(helper.make_node("Conv", [source, read], [f"c{number}"], f"conv{number}"))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"], f"relu{number}"))
        source = f"r{number}" if ranges is None else quantised(f"r{number}", ranges[number + 1])
    nodes.append(helper.make_node("Flatten", [source], ["y"], "flat"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", floats, X.shape)],
        [helper.make_tensor_value_info("y", floats, None)],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


GOOD = (1.0, 3.0, 2.5, 2.0)


@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
def test_a_good_twin_is_aligned_whichever_side_it_is_on(back):
    sides = (chain(GOOD), chain()) if back else (chain(), chain(GOOD))
    result = aligner.compare(*sides, [X])
    assert result.verdict == "aligned"
    assert "quantisation noise" in result.comparison.reason


@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
def test_a_range_too_small_is_found_whichever_side_it_is_on(back):
    bad = chain((1.0, 3.0, 0.5, 2.0))
    sides = (bad, chain()) if back else (chain(), bad)
    result = aligner.compare(*sides, [X])
    assert result.verdict == "diverged"
    first = result.first_divergence
    assert {"r1", "r1_q", "r1_d", "c1"} & {first.reference.name, first.candidate.name}
    assert len(result.comparison.introduced) == 1


@pytest.mark.parametrize("recorded", [False, True], ids=["live", "recorded"])
@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
def test_tails_that_a_calibration_cuts_off_are_no_fault(back, recorded, tmp_path):
    tails = chain((1.0, 3.0, 1.1, 2.0))
    sides = [tails, chain()] if back else [chain(), tails]
    if recorded:  # the twin in integers: what is asked is the other one, cut off alike
        aligner.capture(tails, tmp_path / "run.npz", [X])
        sides[not back] = tmp_path / "run.npz"
    result = aligner.compare(*sides, [X])
    assert result.verdict == "aligned"
    assert any("cut off" in (pair.note or "") for pair in result.comparison.pairs)


@pytest.mark.parametrize(("share", "guilty"), [(0.0005, False), (0.4, False), (0.6, True)])
def test_a_range_without_the_median_cuts_off_no_tail(share, guilty):
    from types import SimpleNamespace

    from aligner.judgement.pair_facts import PairFacts

    unseen = SimpleNamespace(item=SimpleNamespace(saturated=share, clipping_shows=False))
    assert PairFacts.clips.fget(unseen) is guilty


def test_a_fault_is_found_under_quantisation_noise():
    wrong = chain(GOOD)
    tensor = next(tensor for tensor in wrong.graph.initializer if tensor.name == "k1")
    kernel = onnx.numpy_helper.to_array(tensor).copy()
    kernel[:, :4] *= -1
    tensor.CopyFrom(onnx.numpy_helper.from_array(kernel, "k1"))
    result = aligner.compare(chain(), wrong, [X])
    assert result.verdict == "diverged" and "conv1" in result.first_divergence.candidate_nodes


def test_integers_scaled_as_the_model_runs_are_no_tensors_of_the_model(tmp_path):
    from onnxruntime.quantization import quantize_dynamic

    onnx.save(chain(), tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "dynamic.onnx")
    result = aligner.compare(tmp_path / "float.onnx", tmp_path / "dynamic.onnx", [X])
    assert result.verdict == "aligned"
    assert not any(pair.candidate.op in {"DynamicQuantizeLinear", "ConvInteger"} for pair in result.pairs)
    assert sum(pair.candidate.op == "Relu" for pair in result.pairs) == len(KERNELS)


def test_the_runtimes_own_blocked_channels_are_no_tensors_of_the_model(tmp_path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(chain().SerializeToString(), options, providers=["CPUExecutionProvider"])
    result = aligner.compare(chain(), tmp_path / "optimised.onnx", [X])
    assert result.verdict == "aligned"
    assert all(pair.local.max_abs < 1e-5 for pair in result.pairs if pair.local)


def test_a_table_stored_in_eight_bits_is_no_exact_movement():
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    table = RNG.standard_normal((20, 8)).astype(np.float32)
    step = np.float32(np.abs(table).max() / 127)

    def model(stored):
        weights = {"table": table}
        nodes = [helper.make_node("Gather", ["table", "x"], ["y"], "rows")]
        if stored:
            weights = {"q": np.rint(table / step).astype(np.int8), "s": step}
            nodes.insert(0, helper.make_node("DequantizeLinear", ["q", "s"], ["table"], "d"))
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", onnx.TensorProto.INT64, [4])],
            [helper.make_tensor_value_info("y", floats, None)],
            [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    ids = np.array([3, 1, 19, 7])
    assert aligner.compare(model(False), model(True), [ids]).verdict == "aligned"


def test_a_range_of_other_numbers_is_told_at_the_node_that_codes_them():
    result = aligner.compare(chain(), chain((127.0, *GOOD[1:])), [X])
    assert (result.first_divergence.candidate.name, result.first_divergence.verdict_rule) == ("x_q", "range-too-wide")
    assert (result.causes[0].id, result.causes[0].evidence_class) == ("quantization-calibration", "proven")
    result = aligner.compare(chain((127.0, *GOOD[1:])), chain(), [X])
    assert result.first_divergence.verdict_rule == "range-too-wide"
    assert [(one.id, one.evidence_class) for one in result.causes] == [("quantization-calibration", "proven")]


def test_the_same_bits_on_another_grid_are_another_setting():
    result = aligner.compare(chain(GOOD), chain((1.07, *GOOD[1:])), [X])
    assert (result.first_divergence.candidate.name, result.first_divergence.verdict_rule) == ("x_q", "grids-differ")
    assert (result.causes[0].id, result.causes[0].evidence_class) == ("quantization-scale", "proven")
    near = chain((np.nextafter(np.float32(1), np.float32(2)), *GOOD[1:]))
    assert aligner.compare(chain(GOOD), near, [X]).verdict == "aligned"


def test_models_that_were_calibrated_apart_are_twins():
    apart = chain(tuple(1.07 * largest for largest in GOOD))
    assert aligner.compare(chain(GOOD), apart, [X]).verdict == "aligned"
    wide = aligner.compare(chain(GOOD), chain((127.0, *(1.07 * largest for largest in GOOD[1:]))), [X])
    assert wide.first_divergence.candidate.name == "x_q"


def edited(model, name, edit):
    """The model with one stored array changed."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(edit(onnx.numpy_helper.to_array(tensor).copy()), name))
    return model


def test_between_twins_in_the_same_bits_no_format_excuses_an_error():
    def slightly(kernel):
        kernel[2, :, 1, 1] = np.clip(kernel[2, :, 1, 1].astype(int) + 12, -127, 127)
        return kernel

    result = aligner.compare(chain(GOOD), edited(chain(GOOD), "k1", slightly), [X])
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.name in {"c1", "r1"}
    assert aligner.compare(chain(GOOD), chain(GOOD), [X]).verdict == "aligned"


LITE_X = RNG.integers(-100, 100, (6, 64)).astype(np.int8)
LITE_KERNEL = RNG.integers(-120, 120, (16, 64)).astype(np.int8)
LITE_BIAS = RNG.integers(-5000, 5000, 16).astype(np.int32)


def lite(path, kernel=LITE_KERNEL, bias=LITE_BIAS):
    """A fully connected layer in integers all through, and what comes out as floats."""
    from tflite_models import ModelBuilder

    builder = ModelBuilder()
    x = builder.input("x", LITE_X.shape, "int8", quantized=(0.02, 0, 0))
    weight = builder.constant("kernel", kernel, quantized=(0.01, 0, 0))
    added = builder.constant("bias", bias, quantized=(0.0002, 0, 0))
    y = builder.tensor("y", (6, 16), "int8", quantized=(0.4, 0, 0))
    builder.op("FULLY_CONNECTED", [x, weight, added], [y], builder.schema.FullyConnectedOptionsT())
    z = builder.op("DEQUANTIZE", [y], [builder.tensor("z", (6, 16))], builder.schema.DequantizeOptionsT())
    path.write_bytes(builder.build(z))
    return path


@requires_tflite
def test_twins_in_integers_are_judged_by_steps(tmp_path):
    right = lite(tmp_path / "right.tflite")
    missing = lite(tmp_path / "missing.tflite", bias=np.zeros_like(LITE_BIAS))
    result = aligner.compare(right, missing, {"x": LITE_X})
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.name == "y"
    assert result.causes[0].id == "weights-bias-missing"
    assert aligner.compare(right, lite(tmp_path / "same.tflite"), {"x": LITE_X}).verdict == "aligned"


@requires_tflite
def test_weights_rounded_another_way_make_no_twins(tmp_path):
    dither = np.random.default_rng(5).choice([-1, 0, 0, 1], LITE_KERNEL.shape)
    other = lite(tmp_path / "other.tflite", np.clip(LITE_KERNEL + dither, -127, 127).astype(np.int8))
    result = aligner.compare(lite(tmp_path / "right.tflite"), other, {"x": LITE_X})
    assert result.verdict == "aligned"


def mish(top=None, coded=("m", "softplus", "tanh", "a"), reading=1.0):
    """Two layers with a Mish between them, which the twin computes in pieces; ``top``: where its softplus ends.

    ``coded``: what is held in eight bits; ``reading``: a factor of the scale with which the softplus is read back.
    """
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    rng = np.random.default_rng(0)
    weights = {name: (rng.standard_normal((16, 16)) / 4).astype(np.float32) for name in ("w", "w2")}
    nodes = []

    def node(op, inputs, output):
        nodes.append(helper.make_node(op, inputs, [output], output))
        if top is None or output not in coded:
            return output
        low, high = {"m": (-4, 4), "softplus": (0, top), "tanh": (0, 1), "a": (-0.4, 4)}[output]
        step = np.float32((high - low) / 255)
        weights[f"{output}_s"], weights[f"{output}_z"] = step, np.uint8(round(-low / step))
        weights[f"{output}_r"] = np.float32(step * (reading if output == "softplus" else 1))
        coding = (("QuantizeLinear", output, "_q", "_s"), ("DequantizeLinear", f"{output}_q", "_d", "_r"))
        for word, read, given, scale in coding:
            operands = [read, output + scale, f"{output}_z"]
            nodes.append(helper.make_node(word, operands, [output + given], output + given))
        return f"{output}_d"

    middle = node("MatMul", ["x", "w"], "m")
    if top is None:
        end = node("Mish", [middle], "a")
    else:
        end = node("Mul", [middle, node("Tanh", [node("Softplus", [middle], "softplus")], "tanh")], "a")
    node("MatMul", [end, "w2"], "y")
    ends = [[helper.make_tensor_value_info(name, floats, [8, 16])] for name in ("x", "y")]
    stored = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", *ends, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(("top", "wrong"), [(4.2, False), (2.6, False), (1.5, True)])
def test_a_range_inside_a_region_is_asked_as_well(top, wrong):
    """Nothing of the other side answers a tensor there, and the bound of few bits at the region's end is wide."""
    x = np.random.default_rng(1).standard_normal((8, 16)).astype(np.float32)
    result = aligner.compare(mish(), mish(top), [x])
    if not wrong:
        assert result.verdict == "aligned"
        return
    first = result.first_divergence
    assert (first.verdict_rule, first.within.node) == ("inner-node-errs", "softplus_q")
    assert result.comparison.causes[0].id == "quantization-calibration"


@pytest.mark.parametrize("back", [False, True], ids=["float to int8", "int8 to float"])
@pytest.mark.parametrize(("twin", "wrong"), [({}, False), ({"top": 1.5}, True), ({"reading": 2.0}, True)])
def test_grids_inside_a_region_alone_excuse_as_much_whichever_side_they_are_on(twin, wrong, back):
    """Both ends of the region are floats, so that no step is seen there."""
    x = np.random.default_rng(1).standard_normal((8, 16)).astype(np.float32)
    sides = mish(), mish(**{"top": 4.2, "coded": ("softplus", "tanh"), **twin})
    result = aligner.compare(*(sides[::-1] if back else sides), [x])
    assert result.verdict == ("diverged" if wrong else "aligned")
    if wrong:
        assert {result.first_divergence.reference.name, result.first_divergence.candidate.name} == {"a"}


@pytest.mark.parametrize(("top", "wrong"), [(4.2, False), (2.6, False), (1.5, True)])
def test_a_range_inside_the_references_region_is_asked_as_well(top, wrong):
    x = np.random.default_rng(1).standard_normal((8, 16)).astype(np.float32)
    result = aligner.compare(mish(top), mish(), [x])
    assert result.verdict == ("diverged" if wrong else "aligned")
    if wrong:
        within = result.first_divergence.within
        assert (within.node, within.primitive, within.reference_node) == ("a", "range", "softplus_q")


def heads(path, keys, step):
    """Two heads that look at everything alike, a product for each, in eight bits; ``step``: of the second, turned."""
    from tflite_models import ModelBuilder

    builder = ModelBuilder()
    ops, read = builder.schema, []
    coarse, fine = (1 / 256, -128, 0), (0.01, 0, 0)
    for name, size, grid in (("s", (2, 8, keys), coarse), ("v", (2, keys, 4), fine)):
        given = builder.input(name, size)
        coded = builder.tensor(f"{name}_q", size, "int8", quantized=fine)
        builder.op("QUANTIZE", [given], [coded], ops.QuantizeOptionsT())
        if name == "s":
            scores, coded = coded, builder.tensor("p", size, "int8", quantized=coarse)
            builder.op("SOFTMAX", [scores], [coded], ops.SoftmaxOptionsT(beta=1.0))
        parts = [builder.tensor(f"{name}{n}", size[1:], "int8", quantized=grid) for n in range(2)]
        builder.op("UNPACK", [coded], parts, ops.UnpackOptionsT(num=2))
        read.append(parts)
    order, made = builder.constant("order", np.array([1, 0], np.int32)), []
    for n, grid in enumerate((fine, (step, 0, 0))):
        turned = builder.tensor(f"turned{n}", (4, keys), "int8", quantized=grid)
        builder.op("TRANSPOSE", [read[1][n], order], [turned], ops.TransposeOptionsT())
        made.append(builder.tensor(f"seen{n}", (8, 4), "int8", quantized=fine))
        builder.op("BATCH_MATMUL", [read[0][n], turned], made[-1:], ops.BatchMatMulOptionsT(adjY=True))
    packed = builder.tensor("packed", (2, 8, 4), "int8", quantized=fine)
    builder.op("PACK", made, [packed], ops.PackOptionsT(valuesCount=2))
    end = builder.tensor("y", (2, 8, 4))
    builder.op("DEQUANTIZE", [packed], [end], ops.DequantizeOptionsT())
    path.write_bytes(builder.build(end))
    return path


@requires_tflite
@pytest.mark.parametrize(("keys", "step"), [(192, 0.01), (192, 0.0025), (90, 0.0025)])
def test_a_step_that_moved_codes_are_read_with_is_asked_where_rounding_is_as_large(keys, step, tmp_path):
    """Shares of 1/192 are coded as 1/256: what is seen is off by a quarter, and the bound grows with that."""
    rng = np.random.default_rng(0)
    s = rng.uniform(-0.1, 0.1, (2, 8, keys)).astype(np.float32)
    v = (rng.uniform(0.4, 1, (2, 1, 4)) * [1, -1, 1, -1] * rng.uniform(0.8, 1.2, (2, keys, 4))).astype(np.float32)
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    sizes = {"s": (2, 8, keys), "v": (2, keys, 4), "y": (2, 8, 4)}
    ends = [helper.make_tensor_value_info(name, floats, size) for name, size in sizes.items()]
    nodes = [helper.make_node("Softmax", ["s"], ["p"]), helper.make_node("MatMul", ["p", "v"], ["y"])]
    graph = helper.make_graph(nodes, "g", ends[:2], ends[2:])
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    result = aligner.compare(plain, heads(tmp_path / "heads.tflite", keys, step), {"s": s, "v": v})
    if step == 0.01:
        assert result.verdict == "aligned"
        return
    first = result.first_divergence
    assert first.within.node == "turned1"
    assert first.verdict_rule == ("inner-node-errs" if keys == 192 else "beyond-bound")
    assert keys == 90 or result.causes[0].id == "quantization-scale"


@requires_tflite
@pytest.mark.parametrize("word", ["ADD", "MUL"])
def test_a_step_of_the_sum_that_a_tensor_goes_into_is_no_fault(word, tmp_path):
    """As TensorFlow's converter gives it: x + x³/1000 leaves next to no code to the second addend."""
    from tflite_models import ModelBuilder

    builder, fine = ModelBuilder(), (0.01, 0, 0)
    ops = builder.schema
    x, coded, small = (
        builder.input("x", (4, 16)),
        *(builder.tensor(n, (4, 16), "int8", quantized=(step, 0, 0)) for n, step in (("c", 0.0101), ("m", 0.01))),
    )
    builder.op("QUANTIZE", [x], [coded], ops.QuantizeOptionsT())
    thousandth = builder.constant("k", np.array(127, np.int8), quantized=(0.001 / 127, 0, 0))
    builder.op("MUL", [coded, thousandth], [small], ops.MulOptionsT())
    hundred = builder.constant("h", np.array(100, np.int8), quantized=(1.0, 0, 0))
    end = builder.tensor("e", (4, 16), "int8", quantized=fine)
    reads = [coded, small] if word == "ADD" else [small, hundred]
    builder.op(word, reads, [end], getattr(ops, f"{word.title()}OptionsT")())
    y = builder.op("DEQUANTIZE", [end], [builder.tensor("y", (4, 16))], ops.DequantizeOptionsT())
    (tmp_path / "sum.tflite").write_bytes(builder.build(y))
    helper, ends = onnx.helper, [onnx.helper.make_tensor_value_info(name, 1, (4, 16)) for name in "xy"]
    last = helper.make_node("Add", ["x", "m"], ["y"]) if word == "ADD" else helper.make_node("Mul", ["m", "h"], ["y"])
    nodes = [helper.make_node("Mul", ["x", "k"], ["m"]), last]
    graph = helper.make_graph(
        nodes,
        "g",
        ends[:1],
        ends[1:],
        [onnx.numpy_helper.from_array(np.float32(n), k) for k, n in (("k", 0.001), ("h", 100))],
    )
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (4, 16)).astype(np.float32)
    result = aligner.compare(plain, tmp_path / "sum.tflite", [x])
    assert result.verdict == ("aligned" if word == "ADD" else "diverged")
    assert word == "ADD" or result.first_divergence.verdict_rule == "range-too-wide"


@pytest.mark.parametrize(("factor", "verdict"), [(1.05, "aligned"), (30.0, "diverged")])
def test_few_bits_explain_no_untouched_output_off_by_as_much_as_it_is_large(monkeypatch, factor, verdict):
    from aligner.adapters.onnx_adapter.engine import Engine

    plain_session, plain_run, untouched = Engine.session, Engine.run, set()

    def session(self, model, stubs=None, *, level=None):
        made = plain_session(self, model, stubs, level=level)
        if stubs is None and level is None and self.level == "all":
            untouched.add(made)
        return made

    def run(self, session, outputs, feeds):
        import onnxruntime

        found = plain_run(self, session, outputs, feeds)
        if session not in untouched or session.get_modelmeta().graph_name != "twin":
            return found
        return [onnxruntime.OrtValue.ortvalue_from_numpy(np.float32(factor) * each.numpy()) for each in found]

    twin = chain(GOOD)
    twin.graph.name = "twin"
    monkeypatch.setattr(Engine, "session", session)
    monkeypatch.setattr(Engine, "run", run)
    assert aligner.compare(chain(), twin, [X]).verdict == verdict


def four_bits(matrix, block, form, broken=False):
    """y = x · matrix [in, out], stored in four bits with a scale for each block of a column."""
    helper, (inner, outer) = onnx.helper, matrix.shape
    rows = matrix.T.reshape(outer, -1, block)
    scale = np.abs(rows).max(-1, keepdims=True) / np.float32(7)
    codes = np.rint(rows / scale).astype(np.int8).reshape(outer, inner)
    scale = np.roll(scale[..., 0], 1, 0) if broken else scale[..., 0]
    if form == "packed":
        halves = (codes + 8).astype(np.uint8).reshape(outer, -1, block // 2, 2)
        weights = {"k": halves[..., 0] | halves[..., 1] << 4, "s": scale}
        settings = {"domain": "com.microsoft", "K": inner, "N": outer, "bits": 4, "block_size": block}
        nodes = [helper.make_node("MatMulNBits", ["x", "k", "s"], ["y"], **settings)]
    else:
        weights = {"k": codes.T.astype(helper.tensor_dtype_to_np_dtype(onnx.TensorProto.INT4)), "s": scale.T.copy()}
        nodes = [helper.make_node("DequantizeLinear", ["k", "s"], ["w"], axis=0, block_size=block)]
        nodes.append(helper.make_node("MatMul", ["x", "w"], ["y"]))
    if form == "float":
        weights, nodes = {"w": matrix}, nodes[1:]
    ends = [helper.make_tensor_value_info(name, 1, [4, size]) for name, size in (("x", inner), ("y", outer))]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


@pytest.mark.parametrize("form", ["packed", "blocks"])
def test_what_four_bits_leave_of_a_matrix_is_no_fault_and_scales_of_other_columns_are(form):
    rng = np.random.default_rng(0)
    matrix, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((256, 64), (4, 256)))
    plain = four_bits(matrix, 128, "float")
    assert aligner.compare(plain, four_bits(matrix, 128, form), x).verdict == "aligned"
    broken = four_bits(matrix * np.linspace(1, 4, 64, dtype=np.float32), 128, form, broken=True)
    plain = four_bits(matrix * np.linspace(1, 4, 64, dtype=np.float32), 128, "float")
    found = aligner.compare(plain, broken, x)
    assert found.verdict == "diverged" and found.first_divergence.candidate.kind == "matmul"


def repeated(model, after="Sigmoid"):
    """What a model with one input and one output computes, twice in a loop, then another operation."""
    helper, inner = onnx.helper, model.graph
    ends = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("on", 9), ("go", 9))]
    nodes = [*inner.node, helper.make_node("Tanh", ["y"], ["t"]), helper.make_node("Identity", ["on"], ["go"])]
    state = helper.make_tensor_value_info("t", 1, [4, 128])
    inside = helper.make_graph(nodes, "body", [*ends[:2], *inner.input], [ends[2], state], inner.initializer)
    loop = helper.make_node("Loop", ["n", "", "a"], ["b"], body=inside)
    outer = [helper.make_node("Relu", ["in"], ["a"]), loop, helper.make_node(after, ["b"], ["out"])]
    ends = [[helper.make_tensor_value_info(name, 1, [4, 128])] for name in ("in", "out")]
    graph = helper.make_graph(outer, "g", *ends, [onnx.numpy_helper.from_array(np.array(2, np.int64), "n")])
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


@pytest.mark.parametrize("form", ["packed", "blocks"])
def test_weights_in_four_bits_inside_a_loop_leave_it_open_and_excuse_nothing_else(form):
    rng = np.random.default_rng(0)
    matrix, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((128, 128), (4, 128)))
    matrix /= np.float32(np.sqrt(128))
    plain, coded = repeated(four_bits(matrix, 128, "float")), four_bits(matrix, 128, form)
    found = aligner.compare(plain, repeated(coded), x)
    assert (found.verdict, found.to_json()["rule"]) == ("inconclusive", "coded-body")
    assert aligner.compare(plain, repeated(coded), x, level="outputs").verdict == "diverged"
    assert aligner.compare(repeated(coded), repeated(coded), x).verdict == "aligned"
    fault = aligner.compare(plain, repeated(coded, after="Softplus"), x)
    assert fault.verdict == "diverged" and fault.first_divergence.candidate.name == "out"
    other = repeated(four_bits(matrix * np.float32(1.1), 128, "float"))
    assert aligner.compare(plain, other, x).verdict == "diverged"


def island(form):
    """Convolutions in floats whose best places are picked; at the end two halves are joined, in floats or in codes."""
    helper, node = onnx.helper, onnx.helper.make_node
    weights = {f"k{at}": kernel for at, kernel in enumerate(KERNELS)} | {"best": np.array([5])}
    weights |= {"one": np.float32(0.5), "fine": np.float32(0.004), "wide": np.float32(0.008), "mid": np.uint8(128)}
    weights |= {"joint": np.float32(0.0081), "last": np.float32(0.011 if form == "another scale" else 0.0081)}
    nodes, source = [], "x"
    for at in range(len(KERNELS)):
        nodes += [node("Conv", [source, f"k{at}"], [f"c{at}"]), node("Tanh", [f"c{at}"], [f"t{at}"])]
        nodes.append(node("Mul", [f"t{at}", "one"], [source := f"m{at}"]))
    nodes.append(node("TopK", [source, "best"], ["top", "places"], axis=3))
    nodes += [node("Neg", ["top"], ["low"]), node("Sin", ["low"], ["left"]), node("Cos", ["low"], ["right"])]
    grids = {"left": "fine", "right": "wide", "y": "last"}
    code = {name: node("QuantizeLinear", [name, grids[name], "mid"], [f"{name}8"]) for name in ("left", "right")}
    if form == "floats":
        nodes.append(node("Concat", ["left", "right"], ["y"], axis=1))
    elif form == "one tensor taken back":
        nodes += [code["left"], node("Slice", ["left8", "from", "to"], ["cut8"], "cut")]
        nodes.append(node("DequantizeLinear", ["cut8", "fine", "mid"], ["back"], "back"))
        nodes.append(node("Concat", ["back", "right"], ["y"], axis=1))
        weights |= {"from": np.zeros(4, np.int64), "to": np.full(4, 99)}
    else:
        operands = ["joint", "mid", "left8", "fine", "mid", "right8", "wide", "mid"]
        nodes += [*code.values(), node("QLinearConcat", operands, ["y8"], "join", domain="com.microsoft", axis=1)]
        nodes.append(node("DequantizeLinear", ["y8", "last", "mid"], ["y"], "back"))
    read = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items() if n in read],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize(
    ("form", "verdict"),
    [("a joint in codes", "aligned"), ("another scale", "diverged"), ("one tensor taken back", "diverged")],
)
def test_a_single_kernel_on_integers_is_meant_and_a_tensor_taken_back_is_not(form, verdict):
    assert aligner.compare(island("floats"), island(form), [X]).verdict == verdict


def chosen(coded, largest=1):
    """The rows of a layer that score most: as floats, or by weights and rows in eight bits."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    rng = np.random.default_rng(0)
    kernel, score = (rng.standard_normal(shape).astype(np.float32) / 6 for shape in ((32, 48), (48, 1)))
    step = np.float32(np.abs(kernel).max() / 127)
    weights = {"v": score, "k": np.array([30]), "n": np.array([-1])}
    if coded:
        weights |= {"w": np.rint(kernel / step).astype(np.int8), "s": step}
    else:
        weights["w"] = kernel
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["w_d"], "w/d")] if coded else []
    nodes += [
        helper.make_node("MatMul", ["x", "w_d" if coded else "w"], ["h"], "hidden"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "v"], ["c"], "score"),
        helper.make_node("Reshape", ["c", "n"], ["f"], "flat"),
        helper.make_node("TopK", ["f", "k"], ["t", "i"], "topk", axis=0, largest=largest),
        helper.make_node("Gather", ["r", "i"], ["y"], "gather", axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", floats, [64, 32])],
        [helper.make_tensor_value_info("y", floats, [30, 48])],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_choices_that_fall_otherwise_by_quantisation_noise_are_told_with_what_they_explain():
    rows = np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)
    result = aligner.compare(chosen(False), chosen(True), rows)
    assert (result.verdict, result.comparison.rule) == ("aligned", "choices-flip")
    words = result.comparison.reason
    assert "at i" in words
    assert "of 30 choices fall otherwise, between numbers that lie at most" in words
    assert "with the reference's choices put in" in words


def test_an_order_the_wrong_way_round_is_no_choice_that_noise_flips():
    rows = np.random.default_rng(1).standard_normal((64, 32)).astype(np.float32)
    result = aligner.compare(chosen(False), chosen(True, largest=0), rows)
    assert result.verdict == "diverged"
    assert "topk" in result.first_divergence.candidate_nodes
