"""Keras, SavedModels and functions of TensorFlow: what is read, what it answers to, and what a file may not do."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from keras_models import image, network, recurrent
from marks import requires_onnx, requires_tensorflow, requires_tf2onnx, requires_tflite, requires_torch

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.registry import open_model
from aligner.errors import ModelError, ModelFormatError, UnsupportedModelError, UntrustedFileError
from benchmarks.runtimes.network import feeds

pytestmark = requires_tensorflow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(form, fault, folder) → the bench's network in that form, made once."""
    from benchmarks.runtimes.outcome import made

    folder = tmp_path_factory.mktemp("forms")
    made.folder = folder
    return made


def test_layers_and_variables_have_keras_names():
    graph = open_model(network(), OpenOptions()).graph(None)
    stem = graph.nodes[0]
    assert (stem.op, stem.kind, stem.scope) == ("Conv2D", "conv", "stem")
    assert stem.inputs == ("image", "stem/kernel") and stem.weights == ("stem/kernel",)
    assert stem.attributes["pads"] == ((0, 1), (0, 1))
    assert graph.weights["stem/bias"].shape == (8,)
    norm = next(node for node in graph.nodes if node.kind == "norm")
    assert norm.scope == "norm" and norm.inputs[1:] == tuple(
        f"norm/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    assert "stem" in graph.values[next(node.outputs[0] for node in graph.nodes if node.op == "Relu")].aliases
    assert [graph.values[name].aliases[0] for name in graph.outputs] == ["classes", "picture"]


def test_a_model_of_several_inputs_and_a_nested_one():
    import keras
    from keras import layers

    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="first"), layers.ReLU()], name="inner")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    out = layers.Subtract(name="apart")([inner(left), inner(right)])
    session = open_model(keras.Model({"left": left, "right": right}, out), OpenOptions())
    given = {"left": np.ones((2, 4), np.float32), "right": np.arange(8, dtype=np.float32).reshape(2, 4)}
    graph = session.graph(given)
    assert {node.scope for node in graph.nodes if node.kind == "matmul"} == {"inner.first"}
    shown = {tensor.value: tensor.array for tensor in session.run(given)}
    np.testing.assert_array_equal(session.predict(given)[0].array, shown[graph.outputs[0]])
    assert graph.values[graph.outputs[0]].shape == (2, 3)


def test_functions_of_tensorflow():
    import tensorflow as tf

    table = tf.Variable(np.arange(12, dtype=np.float32).reshape(4, 3), name="table")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="rows")])
    def rows(rows):
        found = tf.gather(table, rows)
        return {"found": found, "sum": tf.reduce_sum(found, axis=1)}

    given = {"rows": np.array([2, 0], np.int32)}
    for target in (rows, rows.get_concrete_function()):
        session = open_model(target, OpenOptions())
        graph = session.graph(given)
        assert "table" in graph.weights
        assert [tensor.array.shape for tensor in session.predict(given)] == [(2, 3), (2,)]
        zero = {graph.outputs[0]: np.zeros((2, 3), np.float32)}
        assert not list(session.run(given, inject=zero))[-1].array.any()
    with pytest.raises(UnsupportedModelError, match="does not say what it takes"):
        open_model(tf.function(lambda x: x), OpenOptions())


def test_an_input_and_a_tensor_given_twice_are_outputs():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([2], name="x")])
    def several(x):
        y = x * 2
        return {"a": y, "b": y, "c": x, "d": tf.constant([1.0])}

    session = open_model(several, OpenOptions())
    given = {"x": np.array([1, 3], np.float32)}
    arrays = [tensor.array.tolist() for tensor in session.predict(given)]
    assert arrays == [[2, 6], [2, 6], [1, 3], [1]]
    shown = {tensor.value: tensor.array.tolist() for tensor in session.run(given)}
    assert [shown[name] for name in session.graph(given).outputs] == arrays


def test_signatures_are_chosen_by_name(tmp_path):
    import tensorflow as tf

    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([2], name="x")])
        def twice(self, x):
            return {"y": x * 2}

        @tf.function(input_signature=[tf.TensorSpec([2], name="x")])
        def thrice(self, x):
            return {"y": x * 3}

    module = Two()
    tf.saved_model.save(module, str(tmp_path / "two"), signatures={"twice": module.twice, "thrice": module.thrice})
    with pytest.raises(ModelError, match="has several signatures") as caught:
        open_model(tmp_path / "two", OpenOptions())
    assert caught.value.found == "thrice, twice"
    session = open_model(tmp_path / "two", OpenOptions(signature="thrice"))
    assert session.predict({"x": np.ones(2, np.float32)})[0].array.tolist() == [3, 3]
    with pytest.raises(ModelError, match="no signature quice"):
        open_model(tmp_path / "two", OpenOptions(signature="quice"))


CLEAN = [
    pytest.param("tflite", marks=requires_tflite),
    pytest.param("tflite-int8", marks=requires_tflite),
    pytest.param("onnx", marks=[requires_onnx, requires_tf2onnx]),
    pytest.param("torch", marks=requires_torch),
    "savedmodel",
    "h5",
]


@pytest.mark.parametrize("form", CLEAN)
def test_it_answers_to_what_is_made_of_it(made, form):
    from aligner.inputs import Preprocessing

    nhwc = Preprocessing(layout="nhwc") if form == "torch" else None
    for sides in (("keras", form), (form, "keras")):
        models = [made(side, None, made.folder) for side in sides]
        result = aligner.compare(*models, feeds(seed=1), preprocessing=nhwc)
        assert result.verdict == "aligned", (sides, result.comparison.reason)
        assert min(result.comparison.coverage.reference, result.comparison.coverage.candidate) > 0.9


@requires_tflite
@pytest.mark.parametrize("fault", ["padding", "epsilon", "statistics", "kernel-flipped", "concat-order", "resize"])
@pytest.mark.parametrize("turned", [False, True])
def test_faults_are_located_and_named(made, fault, turned):
    from benchmarks.runtimes.outcome import compared

    sides = ("tflite", "keras") if turned else ("keras", "tflite")
    outcome = compared(*sides, fault, made.folder)
    assert outcome.right and outcome.located and outcome.named, outcome


@requires_tflite
@pytest.mark.parametrize("fault", ["bias-missing", "epsilon", "resize"])
def test_faults_that_eight_bits_of_the_reference_do_not_hide(made, fault):
    from benchmarks.runtimes.outcome import compared

    outcome = compared("tflite-int8", "keras", fault, made.folder)
    assert outcome.right and outcome.located and outcome.named, outcome


def test_recurrent_layers_replay_their_settings(tmp_path):
    """A GRU that resets before its product, against one that resets after it with the same numbers."""
    import keras
    from keras import layers

    def model(after):
        x = keras.Input((5, 4), name="x")
        made = keras.Model(x, layers.GRU(3, reset_after=after, return_sequences=True, name="gru")(x))
        rng = np.random.default_rng(0)
        kernel, own = rng.normal(size=(4, 9)), rng.normal(size=(3, 9))
        made.set_weights([kernel, own, np.zeros((2, 9) if after else 9)])
        return made

    x = np.random.default_rng(1).normal(size=(2, 5, 4)).astype(np.float32)
    result = aligner.compare(model(True), model(False), {"x": x})
    assert result.first_divergence.reference.scope == "gru"
    assert result.causes[0].id == "gru-reset-after" and result.causes[0].explained > 0.9


# --------------------------------------------------------------------------------------------------- what files may do


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.keras"
    recurrent().save(path)
    return path


def rewritten(path, change, name="changed.keras"):
    """A copy of the file with another configuration."""
    other = path.with_name(name)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config)
            new.writestr(member, content)
    return other


def test_code_in_a_keras_file_needs_trust(saved, tmp_path):
    import keras

    x = keras.Input((3,))
    keras.Model(x, keras.layers.Lambda(lambda y: y * 2)(x)).save(tmp_path / "lambda.keras")
    keras.Model(x, keras.layers.Lambda(lambda y: y * 2)(x)).save(tmp_path / "lambda.h5")
    for name in ("lambda.keras", "lambda.h5"):
        with pytest.raises(UntrustedFileError, match="code of their own"):
            open_model(tmp_path / name, OpenOptions())
    session = open_model(tmp_path / "lambda.keras", OpenOptions(trust=True))
    assert session.predict({session.signature.inputs[0].name: np.ones((1, 3), np.float32)})[0].array.sum() == 6


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("keras.utils", "get_file"), ("keras.src.saving.saving_lib", "load"), ("keras", "function")],
)
def test_classes_of_other_modules_need_trust(saved, module, name):
    def planted(config):
        config["config"]["layers"][1].update({"module": module, "class_name": name})

    with pytest.raises(UntrustedFileError):
        open_model(rewritten(saved, planted), OpenOptions())


def test_operations_that_reach_outside_need_trust(tmp_path):
    import tensorflow as tf

    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1], name="x")])
        def __call__(self, x):
            tf.io.write_file(str(tmp_path / "planted"), "x")
            return {"y": x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)}

    module = Reader()
    tf.saved_model.save(module, str(tmp_path / "reader"), signatures=module.__call__)
    with pytest.raises(UntrustedFileError) as caught:
        open_model(tmp_path / "reader", OpenOptions())
    assert "ReadFile" in caught.value.found and "WriteFile" in caught.value.found
    assert not (tmp_path / "planted").exists()


def test_links_that_lead_out_of_a_folder_need_trust(tmp_path):
    network().export(str(tmp_path / "net"), verbose=False)
    index = tmp_path / "net" / "variables" / "variables.index"
    index.rename(tmp_path / "elsewhere")
    index.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UntrustedFileError, match="links that lead out"):
        open_model(tmp_path / "net", OpenOptions())
    assert open_model(tmp_path / "net", OpenOptions(trust=True)).signature.inputs


def test_files_that_are_not_what_they_claim(saved, tmp_path):
    content = saved.read_bytes()
    broken = {
        "cut.keras": content[: len(content) // 2],
        "pickle.keras": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
        "empty.h5": b"\x89HDF\r\n\x1a\n",
        "noise.h5": bytes(range(256)) * 8,
        "no_suffix": b"\x89HDF\r\n\x1a\n" + bytes(1000),
    }
    for name, damaged in broken.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ModelFormatError):
            open_model(tmp_path / name, OpenOptions())
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(50 << 20))
    with pytest.raises(ModelFormatError, match="no file that Keras would write"):
        open_model(bomb, OpenOptions())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "saved_model.pb").write_bytes(b"\x0a\x00\xff\xff")
    with pytest.raises(ModelFormatError, match="no SavedModel"):
        open_model(tmp_path / "folder", OpenOptions())


def test_tensors_of_other_files_are_refused(tmp_path):
    import h5py

    network().save(tmp_path / "net.h5")
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file["model_weights"].create_dataset("outside", (4,), "f4", external=[(str(tmp_path / "secret.bin"), 0, 16)])
    with pytest.raises(ModelFormatError, match="no file that Keras would write") as caught:
        open_model(tmp_path / "net.h5", OpenOptions())
    assert "secret.bin" in caught.value.found
    with h5py.File(tmp_path / "net.h5", "a") as file:
        del file["model_weights/outside"]
        file["model_weights/outside"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(ModelFormatError, match="no file that Keras would write"):
        open_model(tmp_path / "net.h5", OpenOptions())
    with h5py.File(tmp_path / "net.h5", "a") as file:
        del file["model_weights/outside"]
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
        file["model_weights"].create_virtual_dataset("outside", layout)
    with pytest.raises(ModelFormatError, match="no file that Keras would write") as caught:
        open_model(tmp_path / "net.h5", OpenOptions())
    assert "other.h5" in caught.value.found


def test_groups_that_hold_themselves(tmp_path):
    import h5py

    network().save(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file["model_weights/again"] = file["model_weights"]
    with pytest.raises(ModelFormatError, match="no file that Keras would write") as caught:
        open_model(tmp_path / "net.h5", OpenOptions())
    assert "second name" in caught.value.found


def test_weights_alone_and_models_of_old_keras(tmp_path):
    import h5py

    model = network()
    model.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ModelFormatError, match="holds weights alone"):
        open_model(tmp_path / "net.weights.h5", OpenOptions())
    model.save(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][2]["class_name"] = "TFOpLambda"
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.15.0"
    with pytest.raises(UnsupportedModelError, match=r"was written by Keras 2\.15\.0") as caught:
        open_model(tmp_path / "old.h5", OpenOptions())
    assert "tf_keras" in caught.value.hint


def test_inputs_are_checked():
    session = open_model(network(), OpenOptions())
    for wrong in ({}, {"picture": image()}, {"image": image()[..., :2]}, {"image": image().astype(np.float64)}):
        with pytest.raises(aligner.AlignerError) as caught:
            session.predict(wrong)
        assert caught.value.hint


def test_bounds_too_wide_where_a_region_is_left_excuse_no_fault_in_it(tmp_path):
    """Clean, another pair of few bits is rightly excused: the mean of a softmax forgets it."""
    pytest.importorskip("torch")
    from benchmarks.runtimes.outcome import compared

    assert compared("keras", "torch-int8", None, tmp_path).verdict == "aligned"
    wrong = compared("keras", "torch-int8", "kernel-flipped", tmp_path)
    assert wrong.verdict == "diverged" and wrong.located
