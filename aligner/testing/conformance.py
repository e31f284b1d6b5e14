"""The suite that every adapter passes, outsiders' too."""

from __future__ import annotations

from aligner.testing.capture_conformance import CaptureConformance
from aligner.testing.graph_conformance import GraphConformance
from aligner.testing.injection_conformance import InjectionConformance
from aligner.testing.input_conformance import InputConformance
from aligner.testing.operation_conformance import OperationConformance


class AdapterConformance(
    GraphConformance, CaptureConformance, InjectionConformance, InputConformance, OperationConformance
):
    """Subclass it in a test module; the subclass says how a session is made and what it is fed.

    ::

        class TestMyAdapter(AdapterConformance):
            adapter = MyAdapter()

            def make_session(self) -> Session:
                return self.adapter.open(MODEL, OpenOptions())

            def make_feeds(self) -> dict[str, np.ndarray]:
                return {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)}

            def wrong_file(self, tmp_path: Path) -> Path:
                path = tmp_path / "broken.mine"
                path.write_bytes(b"not a model")
                return path

    Choose a small model (a dozen nodes, two kinds of operator, one value with two consumers) and an input without
    symmetries: the suite runs it some forty times.
    """
