"""ExecuTorch's programs: read, run, observed, injected, and compared with the modules they were made of."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
from marks import requires_executorch

import aligner
from aligner.adapters.base import OpenOptions
from aligner.errors import ModelError, ModelFormatError, ModelNotFoundError
from aligner.testing import AdapterConformance
from aligner.testing.operation_conformance import replay_session

pytestmark = requires_executorch


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


PICTURE = draw(1, 3, 8, 8)


def network(scale=1.0):
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.norm = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
            self.second, self.head = torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.Linear(8, 4)
            with torch.no_grad():
                self.second.weight[3] *= scale

        def forward(self, x):
            x = torch.relu(self.norm(self.first(x)))
            y = x + torch.nn.functional.gelu(self.second(x))
            pooled = torch.cat([y, x], 1).mean((2, 3))[:, :8].reshape(-1, 2, 4).reshape(-1, 8)
            return torch.softmax(self.head(pooled), -1)

    return Network().eval()


def convert(module, path, *example, partitioner=None, passes=None, **options):
    """The program that ExecuTorch makes of a module; ``options`` are of torch.export."""
    import torch

    from aligner.adapters.executorch_adapter.library import executorch

    executorch()
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, tuple(torch.from_numpy(one) for one in example), **options)
            lowered = to_edge_transform_and_lower(exported, partitioner=partitioner or [])
            path.write_bytes(lowered.to_executorch(ExecutorchBackendConfig(passes=passes or [])).buffer)
    finally:
        logging.disable(before)
    return path


def opened(path, **options):
    from aligner.adapters.executorch_adapter.adapter import ExecuTorchAdapter

    return ExecuTorchAdapter().open(path, OpenOptions(**options))


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    return convert(network(), tmp_path_factory.mktemp("executorch") / "network.pte", PICTURE)


@pytest.fixture(scope="module")
def delegated(tmp_path_factory):
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    path = tmp_path_factory.mktemp("xnnpack") / "network.pte"
    return convert(network(), path, PICTURE, partitioner=[XnnpackPartitioner()])


class TestConformance(AdapterConformance):
    @property
    def adapter(self):
        from aligner.adapters.executorch_adapter.adapter import ExecuTorchAdapter

        return ExecuTorchAdapter()

    @pytest.fixture(autouse=True)
    def saved(self, converted):
        self.path = converted

    def make_session(self):
        return self.adapter.open(self.path, OpenOptions())

    def make_feeds(self):
        return {"input_0": PICTURE}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.pte"
        path.write_bytes(self.path.read_bytes()[:300])
        return path


class TestDelegates(TestConformance):
    @pytest.fixture(autouse=True)
    def saved(self, delegated):
        self.path = delegated


@pytest.mark.parametrize("back", [False, True])
def test_a_conversion_is_aligned(converted, back):
    sides = [network(), converted]
    found = aligner.compare(*(reversed(sides) if back else sides), PICTURE).comparison
    assert found.verdict == "aligned"
    assert min(found.coverage.reference, found.coverage.candidate) == 1.0
    assert not found.introduced


def everything_replays(session, feeds):
    found = replay_session(session, feeds)
    assert len(found) == len(session.graph(None).nodes)
    assert not [(one.node.op, one.fault or one.opaque) for one in found if one.fault or one.opaque]


def test_delegates_of_xnnpack_are_taken_apart(delegated):
    session, feeds = opened(delegated), {"input_0": PICTURE}
    everything_replays(session, feeds)
    seen = {tensor.value: tensor.array for tensor in session.run(feeds)}
    for tensor in session.predict(feeds):  # of the file as it is, with its delegates whole
        assert np.array_equal(tensor.array, seen[tensor.value])
    found = aligner.compare(network(), delegated, PICTURE).comparison
    assert found.verdict == "aligned" and not session.notes


def test_weights_inside_a_delegate_are_located_and_proven(delegated):
    found = aligner.compare(network(scale=1.5), delegated, PICTURE)
    assert found.verdict == "diverged"
    assert [pair.candidate.name for pair in found.comparison.introduced] == ["XNNConv2d_1"]
    assert [(cause.id, cause.evidence_class) for cause in found.causes] == [("weights-changed", "proven")]


def test_what_xnnpack_computes_replays(tmp_path):
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from torch.nn import functional as F  # noqa: N812

    class Sundry(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first = torch.nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
            self.second = torch.nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
            self.slope, self.dense = torch.nn.PReLU(4), torch.nn.Linear(8, 8)

        def forward(self, x):
            y = F.relu6(self.first(x)) + F.hardswish(self.first(x))
            y = self.slope(self.second(y)) - F.elu(x) * F.leaky_relu(x, 0.2)
            y = torch.cat([F.max_pool2d(y, 2), F.avg_pool2d(x, 2)], 1)
            y = torch.maximum(y, torch.minimum(y.abs(), y * y)) / (y.abs() + 1).sqrt()
            y = F.interpolate(F.pad(y, (1, 0, 0, 1), value=0.5), size=(8, 8), mode="bilinear", align_corners=True)
            flat = F.gelu(y[:, :, 1:5].clamp(-2, 3)).permute(0, 2, 3, 1).reshape(1, 32, 8)
            scores = torch.softmax(torch.bmm(flat, flat.transpose(1, 2)), -1)
            return F.relu(self.dense(torch.bmm(scores, flat))).floor(), y.mean((2, 3), keepdim=True), -y.tanh().exp()

    module, path, x = Sundry().eval(), tmp_path / "sundry.pte", draw(1, 4, 8, 8)
    session = opened(convert(module, path, x, partitioner=[XnnpackPartitioner()]))
    everything_replays(session, {"input_0": x})
    assert sum(node.op.startswith("XNN") for node in session.graph(None).nodes) > 25
    assert aligner.compare(module, path, x).verdict == "aligned"


@pytest.mark.parametrize("whole", [False, True])
def test_delegates_of_several_results_are_told_from_what_they_read(tmp_path, monkeypatch, whole):
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    if whole:
        monkeypatch.setattr("aligner.adapters.executorch_adapter.opening.read_graphs", lambda _: [])
    torch.manual_seed(0)
    module = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0).eval()
    path, x = tmp_path / "encoder.pte", draw(2, 4, 16)
    session = opened(convert(module, path, x, partitioner=[XnnpackPartitioner()]))
    assert ("as a whole: XnnpackBackend" in " ".join(session.notes)) == whole
    assert any(node.kind == "opaque" and len(node.outputs) > 1 for node in session.graph(None).nodes) == whole
    found = aligner.compare(module, path, x).comparison
    assert found.verdict == "aligned" and not found.introduced


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_integers_lie_on_grids(tmp_path, scale):
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    x = torch.from_numpy(PICTURE)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    observed = prepare_pt2e(torch.export.export(network(), (x,)).module(), quantizer)
    observed(x)
    path = convert(convert_pt2e(observed), tmp_path / "integers.pte", PICTURE)
    session = opened(path)
    replayed = replay_session(session, {"input_0": PICTURE})
    assert not [(one.node.op, one.fault or one.opaque) for one in replayed if one.fault or one.opaque]
    kinds = {node.kind for node in session.graph(None).nodes}
    assert {"quantize", "dequantize"} <= kinds and "opaque" not in kinds
    found = aligner.compare(network(scale), path, PICTURE)
    assert found.verdict == ("aligned" if scale == 1.0 else "diverged")


def test_changed_weights_are_located_and_proven(converted):
    found = aligner.compare(network(scale=1.5), converted, PICTURE)
    assert found.verdict == "diverged"
    assert [pair.candidate.name for pair in found.comparison.introduced] == ["convolution_1"]
    assert [(cause.id, cause.evidence_class) for cause in found.causes] == [("weights-changed", "proven")]


def test_every_instruction_replays(converted):
    everything_replays(opened(converted), {"input_0": PICTURE})


def test_a_program_of_doubles_is_nearer_to_the_truth(tmp_path, converted, delegated):
    import torch

    def forward(self, x):
        return (self.dense(x).half().float() + x.to(torch.bfloat16).float()).view(4, 4).exp()

    x = draw(2, 8)
    session = opened(convert(small(forward), tmp_path / "casts.pte", x))
    plain = {tensor.value: tensor.array for tensor in session.run({"input_0": x})}
    wide = {tensor.value: tensor.array for tensor in session.in_float64().run({"input_0": x})}
    assert wide.keys() == plain.keys() and {array.dtype.name for array in wide.values()} == {"float64"}
    with torch.no_grad():
        exact = (small(forward).dense.double()(torch.from_numpy(x).double()) + torch.from_numpy(x)).view(4, 4).exp()
    assert np.abs(list(wide.values())[-1] - exact.numpy()).max() < 1e-12
    with pytest.raises(ModelError, match="float64"):
        opened(delegated).in_float64()


def test_values_that_share_memory_in_the_plan_are_shown_as_they_were_computed(converted):
    import torch

    session = opened(converted)
    values = {tensor.value: tensor.array for tensor in session.run({"input_0": PICTURE})}
    module = network()
    with torch.no_grad():
        first = module.first(torch.from_numpy(PICTURE))
    assert np.abs(values["convolution"] - first.numpy()).max() < 1e-5
    few = {tensor.value: tensor.array for tensor in opened(converted, memory_limit=3000).run({"input_0": PICTURE})}
    assert few.keys() == values.keys()
    assert all(np.array_equal(few[name], values[name]) for name in values)


def small(forward, **buffers):
    import torch

    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.dense = torch.nn.Linear(8, 8).requires_grad_(False)
            for name, array in buffers.items():
                self.register_buffer(name, torch.from_numpy(array.copy()))

    Small.forward = forward
    return Small().eval()


def branching(self, x):
    import torch

    return torch.cond(x.sum() > 0, lambda x: self.dense(x) + 1, torch.relu, (x,))


def remembering(self, x):
    y = self.kept * 2 + self.dense(x)
    self.kept.copy_(y)
    return y.relu()


def keeping():
    from executorch.exir.passes.init_mutable_pass import InitializedMutableBufferPass

    return [InitializedMutableBufferPass(["kept"])]


@pytest.mark.parametrize(
    ("forward", "why", "passes"),
    [(branching, "control flow", list), (remembering, "an earlier run left", keeping)],
    ids=["branch", "state"],
)
def test_what_cannot_be_cut_is_one_step_whose_outputs_are_compared(forward, why, passes, tmp_path):
    state = {"kept": np.ones((2, 8), np.float32)}
    path, x = tmp_path / "whole.pte", draw(2, 8)
    session = opened(convert(small(forward, **state), path, x, passes=passes()))
    assert why in session.notes[0] and "no file" not in session.notes[0]
    first, again = (session.predict({"input_0": x})[0].array for _ in range(2))
    assert np.array_equal(first, again)
    assert aligner.compare(small(forward, **state), path, x).verdict == "aligned"
    assert [node.kind for node in session.graph(None).nodes] == ["opaque"]


def test_state_that_the_file_does_not_begin_with_is_told(tmp_path):
    module = small(remembering, kept=np.ones((2, 8), np.float32))
    session = opened(convert(module, tmp_path / "state.pte", draw(2, 8)))
    assert "no file says what the first one finds" in session.notes[0]


def test_sizes_that_change_are_those_of_the_run(tmp_path):
    import torch

    def forward(self, x):
        turned = self.dense(x).view(x.shape[0], 2, 4).transpose(1, 2)
        return torch.softmax(turned.reshape(x.shape[0], 8) * x.shape[0], -1)

    module, path, x = small(forward), tmp_path / "sizes.pte", draw(2, 8)
    session = opened(
        convert(module, path, draw(3, 8), dynamic_shapes={"x": {0: torch.export.Dim("samples", min=1, max=6)}})
    )
    assert session.graph({"input_0": x}).values["softmax"].shape == (2, 8)
    found = aligner.compare(module, path, x).comparison
    assert found.verdict == "aligned" and not found.introduced


def test_views_of_what_is_fed_and_stored_are_outputs(tmp_path):
    def forward(self, x):
        return x.view(4, 4), x, self.dense.weight.view(4, 16)

    module, path, x = small(forward), tmp_path / "views.pte", draw(2, 8)
    found = aligner.compare(module, convert(module, path, x), x).comparison
    assert found.verdict == "aligned" and len(found.outputs) == 3


def test_results_of_other_types_and_from_lists(tmp_path):
    import torch

    def forward(self, x, y):
        first, second = torch.split(self.dense(x), 4, dim=1)
        values, places = torch.topk(second, 2)
        return torch.where(y > 0, first, first.half().float()), values, places, first.cumsum(1)[:, [0, 2]]

    module, path, fed = small(forward), tmp_path / "types.pte", [draw(2, 8), draw(2, 4)]
    session = opened(convert(module, path, *fed))
    found = replay_session(session, dict(zip(["input_0", "input_1"], fed, strict=True)))
    assert not [(one.node.op, one.fault) for one in found if one.fault]
    assert aligner.compare(module, path, fed).verdict == "aligned"


def test_files_that_are_none_are_refused(tmp_path, converted):
    with pytest.raises(ModelNotFoundError):
        opened(tmp_path / "missing.pte")
    with pytest.raises(ModelError, match="no method backward"):
        opened(converted, signature="backward")
    with pytest.raises(ModelError, match="processor"):
        opened(converted, device="cuda")
    data = converted.read_bytes()
    for at in range(8, 400, 7):
        broken = tmp_path / "broken.pte"
        broken.write_bytes(data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :])
        try:
            opened(broken).graph(None)
        except ModelError:
            continue


def test_a_file_without_an_end_is_told(tmp_path, converted):
    path = tmp_path / "end.pte"
    path.write_bytes(converted.read_bytes()[:2000])
    with pytest.raises(ModelFormatError):
        opened(path)
