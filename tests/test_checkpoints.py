"""Weights without a graph, in safetensors and GGUF: what is known to be done to them, and what is wrong."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("safetensors")

from aligner.adapters.checkpoints.opening import open_checkpoint  # noqa: E402
from aligner.api.weighing import weigh  # noqa: E402
from aligner.errors import ModelFormatError  # noqa: E402
from tests.command import Shell  # noqa: E402

HEADS, KV, SIZE, WIDTH, WORDS, LAYERS = 4, 2, 16, 256, 320, 2


def weights():
    """A tiny Llama as transformers names it."""
    rng = np.random.default_rng(0)
    made = {"model.embed_tokens.weight": (WORDS, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        made |= {
            f"{at}.input_layernorm.weight": (WIDTH,),
            f"{at}.self_attn.q_proj.weight": (HEADS * SIZE, WIDTH),
            f"{at}.self_attn.k_proj.weight": (KV * SIZE, WIDTH),
            f"{at}.self_attn.v_proj.weight": (KV * SIZE, WIDTH),
            f"{at}.self_attn.o_proj.weight": (WIDTH, HEADS * SIZE),
            f"{at}.mlp.gate_proj.weight": (512, WIDTH),
            f"{at}.mlp.up_proj.weight": (512, WIDTH),
            f"{at}.mlp.down_proj.weight": (WIDTH, 512),
        }
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in made.items()}


def save(path, tensors):
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two shards and their index."""
    folder = tmp_path_factory.mktemp("checkpoint")
    names = list(weights())
    parts = {"a.safetensors": names[: len(names) // 2], "b.safetensors": names[len(names) // 2 :]}
    for file, some in parts.items():
        save(folder / file, {name: weights()[name] for name in some})
    places = {name: file for file, some in parts.items() for name in some}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident pages of files are told by Linux alone")
def test_pages_of_a_gguf_file_do_not_stay_in_memory(tmp_path):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "large.gguf", "llama")
    writer.add_tensor("large", np.zeros((1 << 14, 1 << 10), np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()

    def shared():
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE")

    tensor = open_checkpoint(tmp_path / "large.gguf").tensors["large"]
    tensor.rows(0, 1)
    before = shared()
    assert not any(tensor.rows(first, first + 1024).any() for first in range(0, 1 << 14, 1024))
    assert shared() - before < 16 << 20  # of 64 MB


def permuted(weight, heads):
    return weight.reshape(heads, 2, len(weight) // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path, kind, *, permute=True, change=None, architecture="llama", shift=0.0):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, tensor in weights().items():
        if permute and "q_proj" in name:
            tensor = permuted(tensor, HEADS)
        elif permute and "k_proj" in name:
            tensor = permuted(tensor, KV)
        if "norm" in name:
            tensor = tensor + np.float32(shift)
        tensor = change(name, tensor) if change is not None else tensor
        told = gguf.GGMLQuantizationType[kind if tensor.ndim == 2 and tensor.shape[-1] % 32 == 0 else "F32"]
        raw = tensor.astype(np.float32)
        raw = raw if told.name == "F32" else gguf.quants.quantize(raw, told)
        writer.add_tensor(table.get_name(name, try_suffixes=(".weight",)), raw, raw_dtype=told)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def statuses(audit):
    return {match.reference.name: match for match in audit.matches if match.reference is not None}


def test_shards_and_one_file(folder, tmp_path):
    found = weigh(folder, save(tmp_path / "whole.safetensors", weights()))
    assert {match.status for match in found.matches} == {"matched"}
    assert {match.transforms for match in found.matches} == {("same",)}
    half = save(tmp_path / "half.safetensors", {name: one.astype(np.float16) for name, one in weights().items()})
    found = weigh(folder, half)
    assert (found.exit_code, {match.transforms for match in found.matches}) == (0, {("cast",)})


def test_bfloat16(folder, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    save_file({n: torch.from_numpy(one).bfloat16() for n, one in weights().items()}, tmp_path / "b.safetensors")
    found = weigh(folder, tmp_path / "b.safetensors")
    assert (found.exit_code, {match.transforms for match in found.matches}) == (0, {("cast",)})


def test_what_is_wrong_is_named(folder, tmp_path):
    changed = weights()
    q, k = "model.layers.1.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight"
    changed[q] = permuted(changed[q], HEADS)
    changed[k] = changed[k] + 0.01
    del changed["model.layers.0.mlp.up_proj.weight"]
    changed["new.weight"] = np.ones((3, 5), np.float32)
    found = weigh(folder, save(tmp_path / "wrong.safetensors", changed))
    by_name = statuses(found)
    assert by_name[q].status == "changed"
    assert "permuted for RoPE" in by_name[q].transforms[0]
    assert f"heads of {SIZE}" in by_name[q].transforms[0]
    assert by_name[k].status == "changed"
    assert by_name["model.layers.0.mlp.up_proj.weight"].status == "missing"
    assert [found.count(word) for word in ("changed", "missing", "extra")] == [2, 1, 1]
    assert found.exit_code == 1


def test_fused_projections(folder, tmp_path):
    fused = weights()
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        qkv = [fused.pop(f"{at}.self_attn.{one}_proj.weight") for one in "qkv"]
        fused[f"{at}.self_attn.qkv_proj.weight"] = np.concatenate(qkv)
        both = [fused.pop(f"{at}.mlp.{one}_proj.weight") for one in ("gate", "up")]
        fused[f"{at}.mlp.gate_up_proj.weight"] = np.concatenate(both)
    path = save(tmp_path / "fused.safetensors", fused)
    assert weigh(folder, path).exit_code == 0
    assert sum("concatenated" in match.transforms for match in weigh(folder, path).matches) == 5 * LAYERS
    assert weigh(path, folder).exit_code == 0


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_gguf_as_it_should_be(folder, tmp_path, kind):
    found = weigh(folder, write_gguf(tmp_path / "model.gguf", kind))
    wrong = [match for match in found.matches if match.status != "matched"]
    assert (found.exit_code, wrong) == (0, [])
    q = statuses(found)["model.layers.0.self_attn.q_proj.weight"]
    assert any(word.startswith("permuted for RoPE") for word in q.transforms)
    assert ("cast" if kind in ("F16", "BF16") else f"quantised {kind}") in q.transforms


def test_gguf_faults(folder, tmp_path):
    found = statuses(weigh(folder, write_gguf(tmp_path / "plain.gguf", "Q8_0", permute=False)))
    q = found["model.layers.0.self_attn.q_proj.weight"]
    assert (q.status, q.transforms) == ("changed", ("not permuted for RoPE",))
    assert found["model.layers.0.self_attn.v_proj.weight"].status == "matched"

    def one_block(name, tensor):
        if name == "model.layers.1.mlp.down_proj.weight":
            tensor = tensor.copy()
            tensor[3, 64:96] = tensor[3, 64:96][::-1]
        return tensor

    found = statuses(weigh(folder, write_gguf(tmp_path / "block.gguf", "Q4_0", change=one_block)))
    assert [name for name, match in found.items() if match.status != "matched"] == [
        "model.layers.1.mlp.down_proj.weight"
    ]


def test_norms_that_hold_the_one(folder, tmp_path):
    right = write_gguf(tmp_path / "right.gguf", "Q8_0", architecture="gemma", permute=False, shift=1.0)
    found = weigh(folder, right)
    assert found.exit_code == 0
    assert statuses(found)["model.norm.weight"].transforms == ("+1",)
    wrong = write_gguf(tmp_path / "wrong.gguf", "Q8_0", architecture="gemma", permute=False)
    norm = statuses(weigh(folder, wrong))["model.norm.weight"]
    assert (norm.status, norm.transforms) == ("changed", ("without +1",))


def test_a_model_on_one_side(folder, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    layer = torch.nn.Linear(WIDTH, HEADS * SIZE, bias=False)
    name = "model.layers.0.self_attn.q_proj.weight"
    layer.weight.data = torch.from_numpy(weights()[name])
    torch.onnx.export(layer, (torch.zeros(1, 2, WIDTH),), tmp_path / "m.onnx", dynamo=False)
    found = weigh(save(tmp_path / "one.safetensors", {name: weights()[name]}), tmp_path / "m.onnx")
    assert [(match.status, match.transforms) for match in found.matches] == [("matched", ("transposed",))]


@pytest.mark.parametrize(
    ("shape", "order", "status"),
    [
        ((8, 3, 5, 4), (2, 3, 1, 0), "matched"),  # Keras
        ((8, 3, 5, 4), (0, 2, 3, 1), "matched"),  # TFLite
        ((8, 3, 5), (2, 1, 0), "matched"),
        ((8, 3, 5, 4), (1, 0, 2, 3), "changed"),
        ((4, 4, 4, 4), (2, 3, 1, 0), "changed"),  # the shape does not say that it is meant
    ],
)
def test_kernels_as_other_formats_lay_them(tmp_path, shape, order, status):
    kernel = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    left, right = (save(tmp_path / name, {"conv.weight": kernel}) for name in ("left.safetensors", "right.safetensors"))
    save(right, {"conv.weight": kernel.transpose(order)})
    for one, other in ((left, right), (right, left)):
        assert [match.status for match in weigh(str(one), str(other)).matches] == [status]


def between(tmp_path, left, right):
    """Status and words of each of the left file's tensors."""
    files = [save(tmp_path / f"{side}.safetensors", one) for side, one in (("left", left), ("right", right))]
    found = weigh(*map(str, files))
    return found.exit_code, {name: (match.status, *match.transforms) for name, match in statuses(found).items()}


def matrices(*shapes):
    rng = np.random.default_rng(0)
    return {f"{place}.weight": rng.standard_normal(shape).astype(np.float32) for place, shape in enumerate(shapes)}


def test_a_square_matrix_transposed_in_one_format_is_changed(tmp_path):
    left = matrices((16, 16), (16, 16), (8, 16))
    code, found = between(tmp_path, left, left | {"0.weight": left["0.weight"].T})
    assert (code, found["0.weight"], found["1.weight"]) == (1, ("changed", "transposed"), ("matched", "same"))
    code, found = between(tmp_path, left, {name: one.T for name, one in left.items()})  # as Flax and MLX write them
    assert (code, set(found.values())) == (0, {("matched", "transposed")})
    turned = left | {"0.weight": left["0.weight"].T, "2.weight": left["2.weight"].T}
    assert between(tmp_path, left, turned)[0] == 0
    (note,) = weigh(str(tmp_path / "left.safetensors"), str(tmp_path / "right.safetensors")).notes
    assert note.endswith("1.weight")


def test_numbers_in_another_order_are_named(tmp_path):
    left = matrices((16, 12), (16, 12), (16, 12), (12,), (4, 4, 4))
    rolled = [np.roll(left["0.weight"], 1, 0), left["1.weight"][:, [1, 0, *range(2, 12)]]]
    right = left | {"0.weight": rolled[0], "1.weight": rolled[1], "4.weight": left["4.weight"][:, ::-1]}
    flat = left["2.weight"].reshape(-1)
    right["2.weight"] = np.random.default_rng(1).permutation(flat).reshape(16, 12)
    code, found = between(tmp_path, left, right)
    words = ["permuted 16 of 16 rows", "permuted 2 of 12 columns", "permuted", None, "permuted 4 of 4 slices of axis 1"]
    assert code == 1
    assert list(found.values()) == [("changed", word) if word else ("matched", "same") for word in words]


def test_a_few_wrong_numbers_of_many_are_no_permutation(tmp_path):
    left = matrices((1000, 1000))
    wrong = left["0.weight"].copy()
    wrong[3, 0] += 0.01
    assert between(tmp_path, left, {"0.weight": wrong})[1] == {"0.weight": ("changed",)}


def test_two_tensors_exchanged_are_named(tmp_path):
    left = matrices((16, 12), (16, 12), (16, 12))
    first, second = "0.weight", "1.weight"
    code, found = between(tmp_path, left, left | {first: left[second], second: left[first]})
    assert code == 1
    assert found[first] == ("changed", f"holds {second}'s numbers")
    assert found[second] == ("changed", f"holds {first}'s numbers")


def test_a_kernel_of_another_name_that_is_transposed_and_wrong_is_changed(tmp_path):
    left = matrices((16, 12), (8, 16))
    wrong = left["0.weight"].T.copy()
    wrong[3] += 0.5
    code, found = between(tmp_path, left, {"dense/kernel": wrong, "head/kernel": left["1.weight"].T})
    assert code == 1
    assert found == {"0.weight": ("changed", "transposed"), "1.weight": ("matched", "transposed")}


def test_a_state_dict_in_a_container_under_a_prefix(folder, tmp_path):
    torch = pytest.importorskip("torch")
    state = {f"module.{name}": torch.from_numpy(one) for name, one in weights().items()}
    state |= {"module.lost.bias": torch.ones(3), "module.bn.num_batches_tracked": torch.tensor(7)}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"momentum": torch.ones(2)}}, tmp_path / "last.pth")
    found = weigh(tmp_path / "last.pth", folder)
    wrong = [(match.status, match.reference.name) for match in found.matches if match.status != "matched"]
    assert wrong == [("missing", "lost.bias")]
    assert found.reference.framework == "PyTorch checkpoint, its state_dict"


def test_a_lone_number_holds_no_tensor(tmp_path):
    left = save(tmp_path / "left.safetensors", {"bias": np.ones(3, np.float32)})
    right = save(tmp_path / "right.safetensors", {"scale": np.asarray(2.0, np.float32)})
    assert [match.status for match in weigh(left, right).matches] == ["missing", "extra"]


def test_the_command_says_what_was_done_to_what_changed(folder, tmp_path, capfd, monkeypatch):
    plain = write_gguf(tmp_path / "plain.gguf", "Q8_0", permute=False)
    said = Shell(tmp_path, capfd, monkeypatch)("weights", str(folder), str(plain))
    assert said.code == 1
    assert "4 not permuted for RoPE" in said.out


def test_the_command_and_bad_files(folder, tmp_path, capfd, monkeypatch):
    shell = Shell(tmp_path, capfd, monkeypatch)
    save(tmp_path / "whole.safetensors", weights())
    said = shell("weights", folder, "whole.safetensors", "--json", "w.json")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "w.json").read_text())["counts"]["matched"] == len(weights())
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:5000])
    shell.refused("weights", folder, "cut.safetensors", says=("cut off",))
    (tmp_path / "bad.gguf").write_bytes(b"GGUF and nothing else")
    pytest.importorskip("gguf")
    shell.refused("weights", folder, "bad.gguf", says=("GGUF",))
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../whole.safetensors"}}')
    shell.refused("weights", folder, "shards", says=("beside the index",))
    (tmp_path / "shards" / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(ModelFormatError, match="checkpoint"):
        weigh(folder, tmp_path / "shards")


def raw(path, header, numbers=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


def entry(shape, size):
    return {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]}}',
        b"[" * 100_000,
        {"a": entry([1] * 70, 4)},
        {"a": entry(4, 4)},
        [1],
    ],
)
def test_headers_that_no_writer_makes(tmp_path, header):
    path = raw(tmp_path / "odd.safetensors", header, bytes(4))
    with pytest.raises(ModelFormatError):
        weigh(path, path)


def test_a_tensor_of_no_numbers_is_as_long_as_it_likes(tmp_path):
    path = raw(tmp_path / "none.safetensors", {"a": entry([1 << 60, 0], 0), "b": entry([0, 3], 0)})
    assert [match.status for match in weigh(path, path).matches] == ["matched", "matched"]


def test_a_folder_reads_its_own_files_and_those_of_the_hubs_store(tmp_path):
    revision, secret = tmp_path / "models--a" / "snapshots" / "abc", save(tmp_path / "other.safetensors", weights())
    revision.mkdir(parents=True)
    (tmp_path / "models--a" / "blobs").mkdir()
    stored = save(tmp_path / "models--a" / "blobs" / "123", weights())
    (revision / "model.safetensors").symlink_to(stored)
    assert all(match.status == "matched" for match in weigh(revision, secret).matches)
    (revision / "model.safetensors").unlink()
    (revision / "model.safetensors").symlink_to(secret)
    with pytest.raises(ModelFormatError, match="leads out"):
        weigh(revision, secret)
    (revision / "model.safetensors.index.json").symlink_to("/dev/zero")
    with pytest.raises(ModelFormatError, match="leads out"):
        weigh(revision, secret)


def test_a_list_that_a_gguf_file_promises_ends_with_the_file(tmp_path):
    pytest.importorskip("gguf")
    word = struct.pack("<Q", 1) + b"k"
    endless = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + word + struct.pack("<IIQ", 9, 0, 1 << 60)
    (tmp_path / "endless.gguf").write_bytes(endless)
    with pytest.raises(ModelFormatError, match="ends before"):
        weigh(tmp_path / "endless.gguf", tmp_path / "endless.gguf")
