"""The TensorFlow adapter passes the suite that outsiders' adapters pass."""

from __future__ import annotations

import numpy as np
import pytest
from keras_models import image, network, recurrent
from marks import requires_tensorflow

from aligner.adapters.base import OpenOptions
from aligner.adapters.registry import open_model
from aligner.testing import AdapterConformance
from aligner.testing.operation_conformance import replay_session

pytestmark = requires_tensorflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    network().save(place / "network.keras")
    recurrent().export(str(place / "recurrent"), verbose=False)
    return place


class TensorFlowSuite(AdapterConformance):
    @property
    def adapter(self):
        from aligner.adapters.tensorflow_adapter.adapter import TensorFlowAdapter

        return TensorFlowAdapter()

    @pytest.fixture(autouse=True)
    def _folder(self, folder):
        self.folder = folder

    def make_session(self):
        return self.adapter.open(self.target(), OpenOptions(memory_limit=self.limit))

    limit = None


class TestKerasFileInParts(TensorFlowSuite):
    limit = 5000

    def target(self):
        return self.folder / "network.keras"

    def make_feeds(self):
        return {"image": image()}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.keras"
        path.write_bytes((self.folder / "network.keras").read_bytes()[:5000])
        return path


class TestSavedModel(TensorFlowSuite):
    def target(self):
        return self.folder / "recurrent"

    def make_feeds(self):
        return {"words": np.array([[1, 4, 2, 9, 0, 3], [5, 5, 7, 1, 2, 8]], np.int32)}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off"
        path.mkdir()
        (path / "saved_model.pb").write_bytes((self.folder / "recurrent" / "saved_model.pb").read_bytes()[:5000])
        return path


def test_a_live_model_replays_layer_by_layer():
    """Recurrent layers, which TensorFlow runs as loops, are one node each."""
    session = open_model(recurrent(), OpenOptions())
    words = {"words": np.array([[1, 4, 2, 9, 0, 3], [5, 5, 7, 1, 2, 8]], np.int32)}
    graph = session.graph(words)
    assert [node.scope for node in graph.nodes if node.kind == "recurrent"] == [
        "lstm",
        "plain",
        "back",
        "both.forward_turn",
        "both.backward_turn",
    ]
    faults = [(one.node.name, one.fault, one.opaque) for one in replay_session(session, words)]
    assert not [entry for entry in faults if entry[1] or entry[2]]
