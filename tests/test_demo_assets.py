"""The demo's files: small, restoring, deterministic; the candidate comes in seconds and holds no trained weight."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pytest

from aligner.demo import scenario
from aligner.errors import OutputError

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
Image = pytest.importorskip("PIL.Image")
restorer = pytest.importorskip("aligner.demo.restorer")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return scenario.prepare(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def face():
    """[1, 3, 96, 96] in 0..1."""
    pixels = np.asarray(Image.open(scenario.IMAGE).convert("RGB"), dtype=np.float32) / 255
    return pixels.transpose(2, 0, 1)[None]


def restore(model, face):
    with torch.no_grad():
        return model(torch.from_numpy(face)).numpy()


def edges(image):
    """The steepest differences of neighbours: how sharp the picture's edges are."""
    return float(np.percentile(np.abs(np.diff(image, axis=-1)), 99))


def test_the_files_are_small_and_the_checkpoint_is_float32():
    assert restorer.CHECKPOINT.stat().st_size < 400_000
    assert scenario.IMAGE.stat().st_size < 40_000
    checkpoint = torch.load(restorer.CHECKPOINT, weights_only=True)
    assert list(checkpoint) == ["params_ema"]
    assert {weight.dtype for weight in checkpoint["params_ema"].values()} == {torch.float32}


def test_the_reference_restores_the_face(face):
    restored = restore(restorer.trained(), face)
    assert restored.shape == face.shape
    assert abs(restored - face).mean() < 0.05, "it shows the same face"
    assert edges(restored) > 1.05 * edges(face), "with sharper edges"


def test_the_reference_is_deterministic_and_leaves_the_random_state_alone(face):
    state = torch.get_rng_state()
    first, second = (restore(restorer.trained(), face) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


def test_the_pictures_of_every_resolution_end_with_the_result(face):
    with torch.no_grad():
        image, pictures = restorer.trained()(torch.from_numpy(face), return_rgb=True)
    assert [picture.shape[-1] for picture in pictures] == sorted(restorer.CHANNELS)
    assert torch.equal(pictures[-1] * 0.5 + 0.5, image)


def test_the_scenario_names_what_exists(prepared):
    module, factory = prepared.reference.split(":")
    assert isinstance(getattr(import_module(module), factory)(), torch.nn.Module)
    assert prepared.image.is_file()
    assert prepared.candidate.is_file()
    assert dict(prepared.preprocessing) == {}
    assert "params_ema" in prepared.story


def test_the_candidate_is_a_faithful_export_of_the_untrained_network(prepared, face):
    session = ort.InferenceSession(prepared.candidate, providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {"image": face})
    np.testing.assert_allclose(exported, restore(restorer.untrained(), face), atol=1e-5)
    assert abs(exported - restore(restorer.trained(), face)).max() > 0.1


def test_the_candidate_holds_no_trained_weight(prepared):
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(prepared.candidate).graph.initializer}
    trained = restorer.trained().state_dict()
    shared = [name for name in trained if name in stored]
    assert len(shared) > 30
    assert not [name for name in shared if np.array_equal(stored[name], trained[name].numpy())]


def test_the_export_is_quick_quiet_and_needs_neither_onnxscript_nor_transformers(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "for name in ('onnxscript', 'transformers', 'tensorflow'): sys.modules[name] = None\n"
        "from aligner.demo.scenario import prepare\n"
        f"prepare(Path({str(tmp_path)!r}))\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "restorer.onnx").stat().st_size < 600_000
    assert time.perf_counter() - start < 60, "seconds, even where torch takes long to import"


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        scenario.prepare(tmp_path / "absent")


def test_importing_the_demo_loads_no_framework():
    code = "import sys, aligner.demo, aligner.demo.scenario; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
