from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import onnx_models as models
import pytest
from command import Shell
from graph_factory import GraphBuilder, conv_net, shuffled
from marks import requires_onnx, requires_torch

from aligner.alignment.engine import align
from aligner.alignment.weight_audit import audit, unfolded
from aligner.parameters.fingerprint import fingerprint
from aligner.parameters.initialised import looks_initialised
from aligner.parameters.relation import Numbers, relate
from aligner.records.graph import Quantization, Weight


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    return Shell(tmp_path, capfd, monkeypatch)


def audited(reference, candidate, **more):
    inputs = list(zip(reference.inputs, candidate.inputs, strict=True))
    return audit(reference, candidate, align(reference, candidate, inputs=inputs), **more)


def statuses(matches):
    return sorted({match.status for match in matches})


def with_weight(graph, name, array, **changes):
    """The same graph with other numbers in one weight."""
    array = np.asarray(array)
    weight = replace(graph.weights[name], load=lambda: array, dtype=str(array.dtype), shape=array.shape, **changes)
    return replace(graph, weights={**graph.weights, name: weight})


def trained(*shape, seed=0):
    """Numbers with heavy tails, as training leaves them."""
    return np.random.default_rng(seed).standard_t(3, size=shape).astype(np.float32)


def linear_net(prefix, arrays, shared=False):
    """x·W₀·W₁…, or x·W₀·W₀ with ``shared``."""
    builder = GraphBuilder(prefix=prefix)
    value = builder.input(f"{prefix}x", (1, arrays[0].shape[0]))
    names = [builder.weight(array) for array in arrays]
    for array, name in zip(arrays, names[:1] * len(arrays) if shared else names, strict=True):
        value = builder.node("matmul", [value, name], (1, array.shape[1]))
        value = builder.node("relu", [value], (1, array.shape[1]))
    return builder.graph(value)


# graphs without a framework


def test_equal_weights_match_whatever_they_are_called():
    graph = conv_net(blocks=4)
    other, _ = shuffled(graph, 5)
    matches = audited(graph, other)
    assert statuses(matches) == ["matched"]
    assert {match.transforms for match in matches} == {("same",)}
    assert len(matches) == len(graph.weights)


def test_without_an_alignment_numbers_and_order_do():
    graph = conv_net(blocks=4)
    assert statuses(audit(graph, shuffled(graph, 6)[0])) == ["matched"]


@pytest.mark.parametrize("channels", ["first", "last"])
def test_a_folded_normalisation_is_found_in_its_convolution(channels):
    matches = audited(conv_net("r"), conv_net("c", folded=True, channels=channels))
    assert statuses(matches) == ["matched"]
    assert len(matches) == 15  # every weight of the reference, five in each block
    kernels = [match for match in matches if len(match.reference.shape) == 4]
    words = ("BN-folded",) if channels == "first" else ("BN-folded", "transposed")
    assert {match.transforms for match in kernels} == {words}
    assert {match.axes for match in kernels} == {None if channels == "first" else (0, 2, 3, 1)}


def test_unfolding_is_found_too():
    assert statuses(audited(conv_net("r", folded=True), conv_net("c"))) == ["matched"]


def test_a_normalisation_behind_a_bias_in_a_node_of_its_own_is_folded_too():
    """As Keras has a convolution with a bias before a batch norm, and every converter folds the three."""
    kernel, bias = trained(4, 3, 3, 3), trained(4, seed=1)
    scale, shift, mean, variance = np.abs(trained(4, 4, seed=2)) + 0.1
    factor = scale / np.sqrt(variance + 1e-5)

    def network(prefix, folded):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 3, 8, 8))
        if folded:
            arrays = [kernel * factor[:, None, None, None], (bias - mean) * factor + shift]
            return builder.graph(builder.node("conv", [x, *map(builder.weight, arrays)], (1, 4, 8, 8)))
        h = builder.node("conv", [x, builder.weight(kernel)], (1, 4, 8, 8))
        h = builder.node("add", [h, builder.weight(bias[None, :, None, None])], (1, 4, 8, 8))
        vectors = map(builder.weight, (scale, shift, mean, variance))
        return builder.graph(builder.node("norm", [h, *vectors], (1, 4, 8, 8), epsilon=1e-5))

    for sides in ((False, True), (True, False)):
        matches = audited(network("r", sides[0]), network("c", sides[1]))
        assert {(match.status, match.transforms) for match in matches} == {("matched", ("BN-folded",))}


def test_what_is_left_of_a_normalisation_is_folded_too():
    kernel, bias, scale = trained(4, 3, 3, 3), trained(4, seed=1), np.abs(trained(4, seed=2)) + 0.1

    def network(prefix, folded):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 3, 8, 8))
        if folded:
            arrays = [kernel * scale[:, None, None, None], bias * scale]
            return builder.graph(builder.node("conv", [x, *map(builder.weight, arrays)], (1, 4, 8, 8)))
        h = builder.node("conv", [x, builder.weight(kernel), builder.weight(bias)], (1, 4, 8, 8))
        return builder.graph(builder.node("mul", [h, builder.weight(scale[None, :, None, None])], (1, 4, 8, 8)))

    matches = audited(network("r", False), network("c", True))
    assert [(match.status, match.transforms) for match in matches] == [("matched", ("scale-folded",))] * 3


@pytest.mark.parametrize("wrong", [False, True])
def test_a_normalisation_in_parts_is_folded_too(wrong):
    """As Keras 3 writes one down: a product and a sum with what nodes compute from its four vectors."""
    kernel, (bias, gamma, inverse, beta, mean) = trained(4, 3, 3, 3), trained(5, 4, seed=1)
    factor = gamma * inverse

    def network(prefix, folded):
        builder = GraphBuilder("onnx", prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 3, 8, 8))
        if folded:
            arrays = [kernel * factor[:, None, None, None], (bias - mean) * factor + beta]
            arrays[0][2] *= 1.5 if wrong else 1
            return builder.graph(builder.node("conv", [x, *map(builder.weight, arrays)], (1, 4, 8, 8)))
        g, i, b, m = (builder.weight(vector[None, :, None, None]) for vector in (gamma, inverse, beta, mean))
        h = builder.node("conv", [x, builder.weight(kernel), builder.weight(bias)], (1, 4, 8, 8))
        scale = builder.node("mul", [i, g], (1, 4, 1, 1), op="Mul")
        h = builder.node("mul", [h, scale], (1, 4, 8, 8))
        moved = builder.node("mul", [m, scale], (1, 4, 1, 1), op="Mul")
        shift = builder.node("sub", [b, moved], (1, 4, 1, 1), op="Sub")
        return builder.graph(builder.node("add", [h, shift], (1, 4, 8, 8)))

    matches = audited(network("r", False), network("c", True))
    statuses_by_target = {(len(match.candidate.shape), match.status, match.transforms[0]) for match in matches}
    kernel_status = "changed" if wrong else "matched"
    assert statuses_by_target == {(4, kernel_status, "BN-folded"), (1, "matched", "BN-folded")}
    assert len(matches) == 6


def test_a_fold_applied_twice_is_a_change():
    reference, candidate = conv_net("r"), conv_net("c")
    gamma, variance = (candidate.weights[name].load() for name in ("cw1", "cw4"))
    scale = (gamma / np.sqrt(variance + 1e-5)).reshape(-1, 1, 1, 1)
    candidate = with_weight(candidate, "cw0", candidate.weights["cw0"].load() * scale)
    changed = [match for match in audited(reference, candidate) if match.status != "matched"]
    assert [(match.status, match.reference.id) for match in changed] == [("changed", "rw0")]


def test_a_changed_weight_says_by_how_much():
    reference, candidate = conv_net("r"), conv_net("c")
    kernel = candidate.weights["cw5"].load()
    candidate = with_weight(candidate, "cw5", kernel + 0.01 * np.abs(kernel).max() * trained(*kernel.shape, seed=9))
    (match,) = [match for match in audited(reference, candidate) if match.status != "matched"]
    assert (match.status, match.reference.id, match.candidate.id) == ("changed", "rw5", "cw5")
    assert 1e-3 < match.relative < 0.2
    assert not match.fresh


def test_swapped_operands_of_a_normalisation_are_changed():
    reference, candidate = conv_net("r"), conv_net("c")
    gamma, beta = (candidate.weights[name].load() for name in ("cw1", "cw2"))
    candidate = with_weight(with_weight(candidate, "cw1", beta), "cw2", gamma)
    changed = {match.reference.id for match in audited(reference, candidate) if match.status == "changed"}
    assert changed == {"rw1", "rw2"}


def test_a_network_that_was_never_loaded_looks_fresh():
    rng = np.random.default_rng(1)
    reference = linear_net("r", [trained(24, 24, seed=i) for i in range(3)])
    candidate = linear_net("c", [rng.uniform(-0.2, 0.2, (24, 24)) for _ in range(3)])
    matches = audited(reference, candidate)
    assert [(match.status, match.fresh) for match in matches] == [("changed", True)] * 3


def test_looks_initialised_knows_trained_kernels():
    rng = np.random.default_rng(0)
    assert looks_initialised(rng.uniform(-0.1, 0.1, (64, 64)))
    assert looks_initialised(rng.normal(size=(64, 64)))
    assert looks_initialised(np.zeros(7))
    assert not looks_initialised(trained(64, 64))
    assert not looks_initialised(rng.normal(size=4096))


def test_missing_and_extra_weights():
    arrays = [trained(8, 8, seed=i) for i in range(3)]
    found = audited(linear_net("r", arrays), linear_net("c", arrays[:2]))
    assert [match.status for match in found] == ["matched", "matched", "missing"]
    found = audited(linear_net("r", arrays[:2]), linear_net("c", arrays))
    assert [match.status for match in found] == ["matched", "matched", "extra"]


def test_weights_stored_once_or_for_each_use():
    array = trained(8, 8)
    matches = audited(linear_net("r", [array, array], shared=True), linear_net("c", [array, array.copy()]))
    assert [(match.status, match.transforms) for match in matches] == [("matched", ("same",)), ("matched", ("shared",))]
    edited = audited(linear_net("r", [array, array], shared=True), linear_net("c", [array, array * 1.5]))
    assert [match.status for match in edited] == ["matched", "changed"]
    assert edited[1].transforms == ("scaled ×1.5",)


def test_queries_keys_and_values_stored_as_one():
    parts = [trained(6, 6, seed=i) for i in range(3)]

    def attention(prefix, joined):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 5, 6))
        if joined:
            whole = builder.node("matmul", [x, builder.weight(np.concatenate(parts, 1))], (1, 5, 18))
            q, k, v = (builder.node("slice", [whole], (1, 5, 6), start=6 * i) for i in range(3))
        else:
            q, k, v = (builder.node("matmul", [x, builder.weight(part)], (1, 5, 6)) for part in parts)
        scores = builder.node("matmul", [q, k], (1, 5, 5))
        return builder.graph(builder.node("matmul", [scores, v], (1, 5, 6)))

    assert {m.transforms for m in audited(attention("r", False), attention("c", True))} == {("concatenated",)}
    assert {m.transforms for m in audited(attention("r", True), attention("c", False))} == {("split",)}


def test_what_constants_are_folded_to_is_found_once_a_run_has_shown_it():
    table, head = trained(10, 4), trained(4, 4, seed=1)

    def network(prefix, folded):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 3, 4))
        looked_up = table[None, 2:5]
        position = builder.weight(looked_up if folded else table)
        if not folded:
            position = builder.node("slice", [position], (1, 3, 4), start=2)
        h = builder.node("add", [x, position], (1, 3, 4))
        return builder.graph(builder.node("matmul", [h, builder.weight(head)], (1, 3, 4)))

    reference, candidate = network("r", False), network("c", True)
    assert statuses(audited(reference, candidate)) == ["extra", "matched", "missing"]
    (value,) = unfolded(reference)
    matches = audited(reference, candidate, reference_constants={value: fingerprint(table[None, 2:5])})
    assert [(match.status, match.transforms) for match in matches] == [
        ("matched", ("constant-folded",)),
        ("matched", ("same",)),
    ]


def test_numbers_written_into_the_model_are_nobodys_loss():
    def network(prefix, masked):
        builder = GraphBuilder(prefix=prefix)
        x = builder.input(f"{prefix}x", (1, 4))
        if masked:
            x = builder.node("add", [x, builder.weight(np.array([[0, 0, -1e9, -1e9]]))], (1, 4))
            x = builder.node("mul", [x, builder.weight(np.float32(0.5))], (1, 4))
        return builder.graph(builder.node("matmul", [x, builder.weight(trained(4, 4))], (1, 4)))

    assert statuses(audited(network("r", False), network("c", True))) == ["matched"]
    assert statuses(audited(network("r", True), network("c", False))) == ["matched"]


# two arrays


def numbers(array, dtype="float32", quantization=None):
    return Numbers(np.asarray(array), dtype, quantization)


def test_moves_have_names():
    kernel = trained(4, 3, 5, 5)

    def moved(other):
        found = relate(numbers(kernel), numbers(other), numbers_agree=True)
        assert found.matched
        return found.transforms, found.axes

    assert moved(kernel) == (("same",), None)
    assert moved(kernel.transpose(0, 2, 3, 1)) == (("transposed",), (0, 2, 3, 1))
    assert moved(kernel.reshape(12, 25)) == (("reshaped",), None)
    assert moved(kernel[:, :, ::-1, ::-1]) == (("flipped",), None)
    assert moved(np.random.default_rng(0).permutation(kernel.reshape(-1)).reshape(kernel.shape))[0] == ("permuted",)


def test_a_transposed_square_matrix_is_not_the_same():
    matrix = trained(8, 8)
    assert relate(numbers(matrix), numbers(matrix.T), numbers_agree=True).transforms == ("transposed",)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_cast_weight_matches(dtype):
    array = trained(16, 16)
    stored = array.astype(np.float16)
    if dtype == "bfloat16":
        stored = (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert relate(numbers(array), numbers(stored, dtype), numbers_agree=False).transforms == ("same", "cast")


def test_rounded_in_float32_is_cast_and_noise_is_not():
    array = trained(16, 16)
    rounded = array.astype(np.float16).astype(np.float32)
    assert relate(numbers(array), numbers(rounded), numbers_agree=False).transforms == ("same", "cast")
    noisy = array * (1 + 1e-4 * trained(16, 16, seed=3))
    assert not relate(numbers(array), numbers(noisy), numbers_agree=False).matched


def test_dequantised_by_channel_in_another_axis_order():
    kernel = trained(6, 3, 3, 3)
    scale = np.abs(kernel).reshape(6, -1).max(1) / 127
    stored = np.rint(kernel / scale[:, None, None, None]).astype(np.int8).transpose(1, 2, 3, 0)
    meaning = Quantization(tuple(scale), (0,) * 6, 3)
    right = Numbers(meaning.dequantize(stored), "int8", meaning)
    found = relate(numbers(kernel), right, numbers_agree=False)
    assert (found.matched, found.transforms, found.axes) == (True, ("transposed", "dequantised"), (1, 2, 3, 0))
    other = relate(numbers(kernel * 1.1), right, numbers_agree=False)
    assert not other.matched


def test_weights_are_not_copied_whole(tmp_path):
    """Two mapped weights of 64 MB are compared in far less."""
    array = np.memmap(tmp_path / "w.bin", np.float32, "w+", shape=(4096, 4096))
    array[:] = np.random.default_rng(0).standard_normal((4096, 1), dtype=np.float32)
    other = np.memmap(tmp_path / "v.bin", np.float32, "w+", shape=(4096, 4096))
    other[:] = array.T
    tracemalloc.start()
    try:
        assert relate(numbers(array), numbers(other), numbers_agree=True).transforms == ("transposed",)
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_one_weight_at_a_time():
    """No more than a weight of each side is alive while graphs are audited."""
    alive = []

    def graph(prefix):
        builder = GraphBuilder(prefix=prefix)
        value = builder.input(f"{prefix}x", (1, 500))
        for seed in range(8):
            name = builder.weight(np.zeros((500, 500)))

            def load(seed=seed):
                array = np.random.default_rng(seed).standard_normal((500, 500)).astype(np.float32)
                alive.append(tracemalloc.get_traced_memory()[0])
                return array

            builder.weights[name] = Weight(name, (500, 500), "float32", load)
            value = builder.node("matmul", [value, name], (1, 500))
        return builder.graph(value)

    reference, candidate = graph("r"), graph("c")
    audit(reference, candidate)  # what is imported on the way is no weight
    alive.clear()
    tracemalloc.start()
    try:
        assert statuses(audit(reference, candidate)) == ["matched"]
    finally:
        tracemalloc.stop()
    assert max(alive) < 3 * 4 * 500 * 500


# the command


@pytest.fixture
def network(tmp_path):
    """save(name, edit) writes a two-layer ONNX network whose initializers ``edit`` may change."""
    arrays = {"first": trained(8, 8), "bias": trained(8, seed=1), "second": trained(8, 4, seed=2)}

    def save(name, edit=lambda arrays: None):
        import onnx

        own = dict(arrays)
        edit(own)
        nodes = [
            models.node("MatMul", ["x", "first"], ["m"], "first_layer"),
            models.node("Add", ["m", "bias"], ["a"], "add_bias"),
            models.node("Relu", ["a"], ["r"], "relu"),
            models.node("MatMul", ["r", "second"], ["y"], "second_layer"),
        ]
        model = models.model(
            nodes, [models.value("x", 1, [1, 8])], [models.value("y", 1, [1, 4])], models.weights(**own)
        )
        onnx.save(model, tmp_path / name)
        return name

    return save


@requires_onnx
def test_command_on_equal_models(shell, network):
    outcome = shell("weights", network("a.onnx"), network("b.onnx"))
    assert outcome.code == 0
    assert outcome.out.startswith("matched 3, changed 0, missing 0, fresh 0")


@requires_onnx
def test_command_names_what_changed(shell, network):
    edited = network("b.onnx", lambda own: own.update(second=own["second"] * np.float32(1.25)))
    outcome = shell("weights", network("a.onnx"), edited)
    assert outcome.code == 1
    assert "matched 2, changed 1, missing 0, fresh 0" in outcome.out
    assert "second_layer" in outcome.out
    assert "scaled ×1.25" in outcome.out


@requires_onnx
def test_command_writes_json(shell, network):
    edited = network("b.onnx", lambda own: own.update(second=np.zeros((8, 4), np.float32)))
    outcome = shell("weights", network("a.onnx"), edited, "--json", "-")
    document = json.loads(outcome.out)
    assert outcome.code == 1
    assert document["format"] == "aligner.weights/1"
    assert document["counts"] == {"matched": 2, "changed": 1, "missing": 0, "extra": 0, "fresh": 1}
    (changed,) = [weight for weight in document["weights"] if weight["status"] == "changed"]
    assert (changed["reference"]["name"], changed["relative"], changed["fresh"]) == ("second", 1.0, True)


TURNED = {
    "transposed": lambda own: own.update(first=own["first"].T.copy()),
    "flipped": lambda own: own.update(first=own["first"][:, ::-1].copy()),
    "permuted": lambda own: own.update(first=own["first"][:, [3, 1, 0, 2, 7, 6, 5, 4]]),
}


@requires_onnx
@pytest.mark.parametrize("word", TURNED)
def test_numbers_in_another_order_are_a_finding(shell, network, word):
    outcome = shell("weights", network("a.onnx"), network("b.onnx", TURNED[word]), "--json", "-")
    document = json.loads(outcome.out)
    assert outcome.code == 1
    (changed,) = [weight for weight in document["weights"] if weight["status"] == "changed"]
    assert changed["reference"]["name"] == "first"
    assert set(changed["transforms"]) <= {"flipped", "permuted"} if word == "flipped" else [word]
    assert changed["relative"] > 0.1
    assert "an order that the graph does not undo: first (" in document["notes"][0]


@requires_onnx
def test_an_order_that_the_next_layer_undoes_is_none(shell, network):
    order = [3, 1, 0, 2, 7, 6, 5, 4]

    def shuffle(own):
        own.update(first=own["first"][:, order], bias=own["bias"][order], second=own["second"][order])

    outcome = shell("weights", network("a.onnx"), network("b.onnx", shuffle))
    assert outcome.code == 0, outcome.out
    assert outcome.out.startswith("matched 3, changed 0, missing 0, fresh 0")
    assert "both models compute the same" in " ".join(outcome.out.split())


@pytest.fixture
def linear(tmp_path):
    """linear(name, op, matrix, **attributes) writes one product with a stored square matrix."""
    import onnx

    def save(name, op, matrix, **attributes):
        nodes = [models.node(op, ["x", "w"], ["y"], "layer", **attributes)]
        graph = nodes, [models.value("x", 1, [1, 8])], [models.value("y", 1, [1, 8])], models.weights(w=matrix)
        onnx.save(models.model(*graph), tmp_path / name)
        return name

    return save


@requires_onnx
def test_a_layout_that_the_operation_defines_is_no_finding(shell, linear):
    matrix = trained(8, 8)
    reference = linear("a.onnx", "MatMul", matrix)
    assert shell("weights", reference, linear("b.onnx", "Gemm", matrix.T.copy(), transB=1)).code == 0
    assert shell("weights", reference, linear("c.onnx", "Gemm", matrix)).code == 0
    for name, stored, attributes in (("d.onnx", matrix, {"transB": 1}), ("e.onnx", matrix.T.copy(), {})):
        outcome = shell("weights", reference, linear(name, "Gemm", stored, **attributes))
        assert outcome.code == 1
        assert "changed 1" in outcome.out


def flattening(channels, kernel, table):
    """conv → flatten → product, channels first or last; the table's rows as the reference flattens."""
    nodes = [models.node("Conv", ["x", "kernel"], ["h"], "conv")]
    if channels == "last":
        nodes.append(models.node("Transpose", ["h"], ["t"], "to_last", perm=[0, 2, 3, 1]))
        table = table.reshape(3, 16, 5).transpose(1, 0, 2).reshape(48, 5)
    nodes += [
        models.node("Flatten", ["t" if channels == "last" else "h"], ["f"], "flatten"),
        models.node("MatMul", ["f", "table"], ["y"], "product"),
    ]
    weights = models.weights(kernel=kernel, table=table)
    return models.model(nodes, [models.value("x", 1, [1, 3, 4, 4])], [models.value("y", 1, [1, 5])], weights)


@requires_onnx
def test_another_flattening_is_undone_and_not_blamed_for_another_fault(tmp_path):
    import onnx

    from aligner.api.weighing import weigh

    kernel, table = trained(3, 3, 1, 1), trained(48, 5, seed=1)
    made = {
        "first": flattening("first", kernel, table),
        "last": flattening("last", kernel, table),
        "wrong": flattening("last", kernel[[1, 2, 0]], table),
        "flat": flattening("first", kernel, table.reshape(3, 16, 5).transpose(1, 0, 2).reshape(48, 5)),
    }
    for name, model in made.items():
        onnx.save(model, tmp_path / f"{name}.onnx")
    changed = {
        name: [
            m.reference.name
            for m in weigh(tmp_path / "first.onnx", tmp_path / f"{name}.onnx").matches
            if m.status != "matched"
        ]
        for name in made
    }
    assert changed == {"first": [], "last": [], "wrong": ["kernel"], "flat": ["table"]}


@requires_torch
@requires_onnx
def test_kernels_in_another_order_are_found_through_a_fold(tmp_path):
    import torch

    from aligner.api.weighing import weigh

    def build(order):
        torch.manual_seed(0)
        layers = torch.nn.Conv2d(3, 6, 3), torch.nn.BatchNorm2d(6), torch.nn.Conv2d(6, 6, 3)
        layers[0].weight.data = layers[0].weight.data[order]
        layers[1].running_var.data = torch.rand(6) + 0.5
        return torch.nn.Sequential(*layers).eval()

    x = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    for name, order in (("plain", range(6)), ("moved", [1, 0, 2, 5, 4, 3])):
        model = build(list(order))
        torch.onnx.export(model, (torch.from_numpy(x),), str(tmp_path / f"{name}.onnx"), dynamo=False)
    assert weigh(build(list(range(6))), tmp_path / "plain.onnx", x).exit_code == 0
    found = weigh(build(list(range(6))), tmp_path / "moved.onnx", x)
    assert found.exit_code == 1
    changed = {match.reference.name for match in found.matches if match.status == "changed"}
    assert "0.weight" in changed
    assert not changed & {"2.weight", "2.bias"}


@requires_onnx
def test_command_refuses_what_is_no_model(shell, network, tmp_path):
    tmp_path.joinpath("no.onnx").write_bytes(b"nothing")
    outcome = shell("weights", network("a.onnx"), "no.onnx")
    assert outcome.code == 2
    assert "no.onnx" in outcome.err


@requires_torch
@requires_onnx
def test_command_reads_a_live_module(shell, tmp_path):
    tmp_path.joinpath("net.py").write_text(
        "import torch\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.BatchNorm2d(6), torch.nn.ReLU(),\n"
        "                               torch.nn.Conv2d(6, 4, 1)).eval()\n"
    )
    import sys

    import torch

    sys.path.insert(0, str(tmp_path))
    try:
        import net
    finally:
        sys.path.remove(str(tmp_path))
    torch.onnx.export(net.build(), (torch.rand(1, 3, 8, 8),), str(tmp_path / "net.onnx"), dynamo=False)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32))
    outcome = shell("weights", "net.py:build", "net.onnx", "--input", "x.npy", "--full")
    assert outcome.code == 0, outcome.out + outcome.err
    assert "matched 8, changed 0, missing 0, fresh 0" in outcome.out
    assert "BN-folded" in outcome.out


@requires_torch
def test_a_comparison_that_diverges_says_what_became_of_the_weights(tmp_path):
    import torch

    import aligner
    from aligner.report.json_document import from_document, to_document

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8)).eval()
    other = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8)).eval()
    other.load_state_dict(model.state_dict())
    x = torch.rand(2, 4).numpy()
    assert aligner.compare(model, other, x).comparison.weights is None
    turned = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8)).eval()
    turned.load_state_dict({**model.state_dict(), "2.weight": model[2].weight.T})
    assert aligner.compare(model, turned, x).comparison.weights.changed == ("2.weight",)
    other[2].weight.data.mul_(1.5)
    found = aligner.compare(model, other, x).comparison
    assert found.weights is not None
    assert (found.weights.matched, found.weights.changed, found.weights.missing) == (3, ("2.weight",), ())
    assert from_document(to_document(found)).weights == found.weights
