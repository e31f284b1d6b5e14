"""Decoders step by step: prefill, then tokens with the caches fed back; the first wrong step, layer and node."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402
from aligner.errors import InputError  # noqa: E402
from aligner.execution.output_answers import _on_shared_positions  # noqa: E402
from aligner.inputs.channel_order import channel_order  # noqa: E402
from aligner.inputs.decoding import Caches, key, roles  # noqa: E402
from aligner.records.graph import InputSpec, Signature  # noqa: E402
from aligner.records.tensor import CapturedTensor  # noqa: E402
from tests.command import Shell  # noqa: E402
from tests.decoder_models import (  # noqa: E402
    Apart,
    Decoder,
    Gated,
    GatedApart,
    Paired,
    export,
    export_crossing,
    export_fixed,
    export_prompt,
)


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    return Shell(tmp_path, capfd, monkeypatch)


IDS = np.array([[3, 7, 1, 9, 4]])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoders")
    made = {
        "right": {},
        "order": {"faults": ("", "order")},
        "positions": {"faults": ("positions", "positions")},
        "new only": {"faults": ("new only", "new only")},
    }
    found = {word: export(Decoder(**given), folder / f"{word[:3]}.onnx") for word, given in made.items()}
    found["moved"] = export(Decoder(), folder / "moved.onnx", axes=(0, 2, 1, 3))
    found["own words"] = export(Decoder(), folder / "own.onnx", names=("memory_{}_{}_a", "kept_{}_{}_b"))
    found["unbatched"] = export(Decoder(), folder / "flat.onnx", batched=False)
    return found


@pytest.mark.parametrize("word", ["right", "moved", "own words", "unbatched"])
def test_what_decodes_alike_is_aligned(files, word):
    found = aligner.compare(Decoder().eval(), files[word], IDS, steps=2).comparison
    assert (found.verdict, [step.verdict for step in found.steps]) == ("aligned", ["aligned"] * 3)
    assert [(step.phase, step.past, step.fed) for step in found.steps] == [
        ("prefill", 0, 5),
        ("decode", 5, 1),
        ("decode", 6, 1),
    ]
    assert all(step.same_token for step in found.steps)
    assert [one.layer for one in found.layers if one.layer] == ["layers.0", "layers.1"]


def test_a_fault_that_only_decoding_shows(files):
    assert aligner.compare(Decoder().eval(), files["right"], IDS, steps=1).verdict == "aligned"
    found = aligner.compare(files["right"], files["order"], IDS, steps=3).comparison
    assert [step.verdict for step in found.steps] == ["aligned", "diverged"]
    assert found.steps[1].layer == "layers.1"
    assert "Concat" in found.steps[1].node
    assert found.reason.startswith("step 1 (decode of 1 after 5 tokens)")
    assert found.causes[0].id == "concat-order"


@pytest.mark.parametrize("turned", ["", "k", "up"])
def test_projections_in_one_and_apart(turned, tmp_path):
    whole, parts = Decoder(), Decoder()
    whole.layers = torch.nn.ModuleList(map(Gated, whole.layers))
    parts.layers = torch.nn.ModuleList(
        GatedApart(one, Apart(one.attention, turned=turned == "k" and at == 1), turned=turned == "up" and at == 1)
        for at, one in enumerate(whole.layers)
    )
    found = aligner.compare(whole.eval(), export(parts, tmp_path / "apart.onnx"), IDS, steps=1).comparison
    assert [step.verdict for step in found.steps] == (["diverged"] if turned else ["aligned"] * 2)
    assert not turned or (found.steps[0].layer == "layers.1" and f"/{turned}/" in found.steps[0].node)


@pytest.mark.parametrize(
    ("fault", "verdicts", "sides"),
    [
        ({}, ["aligned"] * 3, "module file"),
        ({}, ["aligned"] * 3, "halves pairs"),
        ({}, ["aligned"] * 3, "pairs halves"),
        ({"queries": (0, 1, 2, 3)}, ["diverged"], "module file"),
        ({"keys": (0, 1, 2, 3)}, ["diverged"], "halves pairs"),
        ({"keys": (2, 0, 3, 1)}, ["diverged"], "module file"),
        ({"reads": (0, 2, 1, 3)}, ["aligned", "diverged"], "module file"),
        ({"reads": (0, 2, 1, 3)}, ["aligned", "diverged"], "halves pairs"),
    ],
)
def test_keys_in_halves_and_in_pairs(fault, verdicts, sides, tmp_path):
    """The keys handed on lie in another order of channels, which is no fault where the queries do too.

    Between two files the tables, of all layers and of other shapes, go by one name.
    """
    turned = Decoder()
    turned.layers = torch.nn.ModuleList(Paired(one, **(fault if at else {})) for at, one in enumerate(turned.layers))
    pairs = export(turned, tmp_path / "pairs.onnx")
    halves = Decoder().eval() if sides == "module file" else export(Decoder(), tmp_path / "halves.onnx")
    models = (pairs, halves) if sides == "pairs halves" else (halves, pairs)
    found = aligner.compare(*models, IDS, steps=2).comparison
    assert [step.verdict for step in found.steps] == verdicts, found.reason
    assert any("another order" in note and ".0" in note for note in found.notes)
    assert verdicts[-1] == "diverged" or max(step.error for step in found.steps) < 1e-5
    assert verdicts[-1] == "aligned" or found.steps[-1].layer == "layers.1"


def test_one_order_of_channels_holds_for_all_heads_and_positions():
    keys = np.random.default_rng(0).normal(size=(1, 3, 5, 8)).astype("f4")
    keys[..., 6:] = 0
    order = np.random.default_rng(1).permutation(8)
    moved = keys[..., order].transpose(0, 2, 1, 3)
    found = channel_order(keys, moved * np.float32(1 + 1e-6))
    assert np.array_equal(found.to_candidate(keys), moved)
    assert np.array_equal(found.to_reference(moved), keys)
    head = keys.copy()
    head[:, 0] = head[:, 0][..., order]
    for other in (keys, keys * np.float32(1 + 1e-6), head, keys[:, :, ::-1], -keys, keys[..., order] * 1.01):
        assert channel_order(keys, other) is None


@pytest.mark.parametrize(
    ("steps_file", "form", "verdicts"),
    [
        ("right", "present.{}.{}", ["aligned"] * 3),
        ("own words", "first_{}_{}_x", ["aligned"] * 3),
        ("order", "present.{}.{}", ["aligned", "diverged"]),
    ],
)
def test_a_file_for_the_prompt_and_one_for_the_steps(steps_file, form, verdicts, files, tmp_path):
    prompt = export_prompt(Decoder(), tmp_path / "prompt.onnx", form=form)
    found = aligner.compare(Decoder().eval(), files[steps_file], IDS, steps=2, prefill=prompt).comparison
    assert [step.verdict for step in found.steps] == verdicts
    assert [(step.past, step.fed) for step in found.steps][:2] == [(0, 5), (5, 1)]


def test_the_command_takes_both_files_of_both_sides(files, shell):
    prompts = [export_prompt(Decoder(), shell.folder / f"{side}.onnx") for side in ("reference", "candidate")]
    (shell.folder / "ids.txt").write_text("3 7 1 9 4")
    words = "-i", "ids.txt", "--steps", "1", "--prefill", f"reference={prompts[0]}", "--prefill"
    said = shell("compare", files["right"], files["right"], *words, prompts[1])
    assert (said.code, "1 decode" in said.out) == (0, True), said.err
    shell.refused("compare", files["right"], files["right"], *words[:2], "--prefill", prompts[1], says=("steps",))
    shell.refused("compare", files["right"], files["right"], *words, f"reference={prompts[1]}", says=("twice",))


@pytest.mark.parametrize(("fault", "verdicts"), [("", ["aligned"] * 3), ("order", ["aligned", "diverged"])])
def test_a_window_that_slides_on_one_side_alone(fault, verdicts, tmp_path):
    """What the reference lets go of is not compared; the candidate keeps all and masks it."""
    path = export(Decoder(("", fault), window=4), tmp_path / "all.onnx")
    found = aligner.compare(Decoder(window=4, slides=True).eval(), path, IDS, steps=2).comparison
    assert [step.verdict for step in found.steps] == verdicts, found.reason
    assert any("caches of two lengths" in note and "(3)" in note for note in found.notes)
    assert not any(cause.id == "operation-missing" for cause in found.causes)
    assert not fault or found.steps[-1].layer == "layers.1"


@pytest.mark.parametrize(("fault", "verdicts"), [("", ["aligned"] * 3), ("swapped", ["aligned", "diverged"])])
def test_what_an_encoder_made_stays_at_every_step(fault, verdicts, tmp_path):
    prompt, steps = export_crossing(tmp_path)
    first, then = export_crossing(tmp_path, fault) if fault else (prompt, steps)
    given = {"reference": prompt, "candidate": first}
    fed = {"input_ids": IDS, "encoder_hidden_states": np.random.default_rng(0).normal(size=(1, 7, 8)).astype("f4")}
    for inputs in (fed, IDS):
        found = aligner.compare(steps, then, inputs, steps=2, prefill=given).comparison
        assert [step.verdict for step in found.steps] == verdicts, found.reason
    with pytest.raises(InputError, match="encoder has made") as told:
        aligner.compare(steps, then, IDS, steps=1)
    assert "--prefill" in told.value.hint


@pytest.mark.parametrize(("fault", "verdicts"), [("", ["aligned"] * 3), ("place", ["aligned", "diverged"])])
def test_caches_of_a_fixed_size_behind_a_prompt(fault, verdicts, tmp_path):
    """What the prompt's file left stands first, room behind it; the reference's own caches grow or are as large."""
    prompt = export_prompt(Decoder(), tmp_path / "prompt.onnx")
    right = export_fixed(Decoder(room=9), tmp_path / "right.onnx", room=9)
    path = export_fixed(Decoder(("", fault), room=9), tmp_path / "steps.onnx", room=9)
    both = {"reference": prompt, "candidate": prompt}
    for reference, first in ((Decoder().eval(), {"candidate": prompt}), (right, both)):
        found = aligner.compare(reference, path, IDS, steps=2, prefill=first).comparison
        assert [step.verdict for step in found.steps] == verdicts, found.reason
        assert not fault or "layers.1" in found.first_divergence.candidate.node
    unsaid = export_fixed(Decoder(room=9), tmp_path / "unsaid.onnx", room=9, place="position_ids")
    with pytest.raises(InputError, match="do not fit") as told:
        aligner.compare(right, unsaid, IDS, steps=1, prefill=both)
    assert "no cache_position tells" in told.value.found


@pytest.mark.parametrize("grows", [True, False])
def test_more_tokens_than_caches_of_a_fixed_size_hold(grows, tmp_path):
    """Five and two fit; both sides drop a third alike, which says nothing of them."""
    prompt = export_prompt(Decoder(), tmp_path / "prompt.onnx")
    path = export_fixed(Decoder(room=7), tmp_path / "steps.onnx", room=7)
    given = {"candidate": prompt} if grows else {"reference": prompt, "candidate": prompt}
    reference = Decoder().eval() if grows else path
    assert aligner.compare(reference, path, IDS, steps=2, prefill=given).verdict == "aligned"
    with pytest.raises(InputError, match="no room for a further token") as told:
        aligner.compare(reference, path, IDS, steps=3, prefill=given)
    assert "7 positions" in told.value.found


@pytest.mark.parametrize(
    ("after", "kept"),
    [([1, 2, 3, 4], False), ([1, 2, 3, 9], False), ([9, 2, 3, 4], True), ([2, 3, 4, 9], True), ([1, 2, 3], True)],
)
def test_full_caches_that_drop_or_clamp_slide_or_begin_again(after, kept):
    caches = Caches([InputSpec("past.key", (1, 2, 4, 8), "float32")], {"past.key": "present.key"})
    fed, answers = (
        {name: np.tile(np.array(row, np.float32)[:, None], (1, 2, 1, 8))}
        for name, row in (("past.key", [1, 2, 3, 4]), ("present.key", after))
    )
    caches.held = dict(fed)
    grown = Caches([InputSpec("past.key", (1, 2, None, 8), "float32")], caches.sources, caches.held)
    for past in (2, 4, 8):  # heads, positions, channels: nothing is full that grows
        grown.check_kept(fed, answers, past, "candidate")
    caches.check_kept(fed, answers, 3, "candidate")
    with nullcontext() if kept else pytest.raises(InputError, match="no room"):
        caches.check_kept(fed, answers, 4, "candidate")


@pytest.mark.parametrize("fault", ["", "place", "number"])
@pytest.mark.parametrize("form", ["window", "room behind", "room before"])
def test_caches_of_two_lengths_are_held_on_what_both_hold(form, fault):
    """Six positions, of which one side has all: the other the last three, or nine places for them."""
    whole = np.random.default_rng(0).normal(size=(1, 2, 6, 4)).astype(np.float32)
    room = np.zeros((1, 2, 3, 4), np.float32)
    wrong = whole + (fault == "number") * (np.arange(6) == 4)[:, None].astype(np.float32)
    wrong = wrong[:, :, [0, 1, 2, 3, 5, 4]] if fault == "place" else wrong
    parts = {"window": [wrong[:, :, 3:]], "room behind": [wrong, room], "room before": [room, wrong]}[form]
    other = np.concatenate(parts, 2)
    kept = tuple({"y": CapturedTensor("y", array, "float32")} for array in (whole, other))
    found = _on_shared_positions("y", "y", kept, (1e-5, 1e-5), 6)
    assert found.shared == (3 if form == "window" else 6)
    assert (found.error.errors.beyond > 0) == bool(fault)


def test_caches_of_integers_are_refused():
    shape = (1, 2, None, 4)
    ins = InputSpec("input_ids", (1, None), "int64"), InputSpec("past_key_values.0.key", shape, "int8")
    with pytest.raises(InputError, match="int8 numbers") as told:
        roles(Signature(ins), "candidate")
    assert "caches of floats" in told.value.hint


def test_positions_that_start_again(files):
    found = aligner.compare(Decoder().eval(), files["positions"], IDS, steps=2).comparison
    assert [step.verdict for step in found.steps] == ["aligned", "diverged"]
    assert found.steps[1].layer in ("layers.0", None)


def test_caches_that_come_back_without_what_was_fed(files):
    """Both give the new part alone: it is put behind what they were fed."""
    found = aligner.compare(Decoder(("new only", "new only")).eval(), files["new only"], IDS, steps=2).comparison
    assert [step.verdict for step in found.steps] == ["aligned"] * 3


def test_the_command(files, shell):
    (shell.folder / "ids.txt").write_text("3 7 1 9 4")
    words = ("-i", "ids.txt", "--steps", "2", "--json", "run.json", "--html", "run.html")
    said = shell("compare", files["right"], files["order"], *words)
    assert said.code == 1, said.err
    assert "1 decode" in said.out
    assert "layers.1" in said.out
    document = json.loads((shell.folder / "run.json").read_text())
    assert [step["verdict"] for step in document["steps"]] == ["aligned", "diverged"]
    assert document["layers"][-1]["pairs"] > 0
    assert "1 decode" in (shell.folder / "run.html").read_text()
    assert "1 decode" in shell("report", "run.json").out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.ones((1, 4), np.float32), "token ids"),
        (np.array([[5]]), "token ids"),
        ([IDS, IDS], "token ids"),
    ],
)
def test_what_are_no_tokens(files, given, words):
    with pytest.raises(InputError, match=words):
        aligner.compare(files["right"], files["right"], given, steps=1)


def test_what_is_no_decoder(files):
    class Plain(torch.nn.Module):
        def forward(self, input_ids):
            return input_ids.float()

    with pytest.raises(InputError, match="no decoder"):
        aligner.compare(Plain(), files["right"], IDS, steps=1)
    with pytest.raises(InputError, match="no decoder") as told:
        aligner.decode(Plain(), IDS)
    assert "--steps" not in told.value.hint


def test_caches_that_nobody_gave_are_fed_step_by_step(files):
    with pytest.raises(InputError, match="no data for input past_key_values") as told:
        aligner.compare(files["right"], files["right"], {"input_ids": IDS})
    assert "--steps" in told.value.hint


def test_a_text_needs_its_tokenizer(files, shell):
    compared = "compare", files["right"], files["right"], "--steps", "1"
    shell.refused(*compared, "--prompt", "a b", says=("--tokenizer",))
    (shell.folder / "bad.json").write_text("{}")
    shell.refused(*compared, "--prompt", "a b", "--tokenizer", "bad.json", says=("no tokenizer",))
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: place for place, word in enumerate("a b c d".split())}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="a"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(shell.folder / "tokenizer.json"))
    said = shell(*compared, "--prompt", "b c d", "--tokenizer", ".")
    assert said.code == 0, said.err
    assert "0 + 3" in said.out
    (shell.folder / "tokenizer.json").unlink()
    (shell.folder / "tokenizer.json").symlink_to("/dev/zero")
    shell.refused(*compared, "--prompt", "b c d", "--tokenizer", ".", says=("not a file",))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("past_key_values.0.key", "present.0.key"),
        ("past_key_3", "present_key_3"),
        ("k_cache_1_in", "k_cache_1_out"),
        ("pastKeyValues.2.value", "presentKeyValues.2.value"),
    ],
)
def test_names_of_one_cache(one, other):
    assert key(one) == key(other) != ()


@pytest.mark.parametrize(("faults", "verdict"), [(("", ""), "aligned"), (("", "order"), "diverged")])
def test_a_module_against_itself(faults, verdict):
    found = aligner.decode(Decoder(faults).eval(), IDS, steps=2)
    assert (found.verdict, found.exit_code) == (verdict, int(verdict == "diverged"))
    if verdict == "diverged":
        assert found.steps[-1].layer == "layers.1"
    else:
        assert found.precise == "float64"
        assert max(step.error for step in found.steps) < 1e-9


def test_what_is_healed_inside_is_no_divergence_from_itself():
    """Namesakes of two branches need not be the same."""

    class Shifted(Decoder):
        def forward(self, input_ids, position_ids=None, past=None):
            scores, caches = super().forward(input_ids, position_ids, past)
            shift = input_ids.shape[1] + torch.zeros(1)
            return scores + shift - shift, caches

    assert aligner.decode(Shifted().eval(), IDS, steps=1).verdict == "aligned"


def test_a_window_that_slides_against_itself():
    """What the cache still holds no longer tells the position."""
    assert aligner.decode(Decoder(window=4, slides=True).eval(), IDS, steps=2).verdict == "aligned"


def test_an_encoder_and_a_decoder_in_one():
    class Both(Decoder):
        def forward(self, input_ids, decoder_input_ids=None, past=None):
            return super().forward(decoder_input_ids, None, past)

    with pytest.raises(InputError, match="an encoder and a decoder in one"):
        aligner.compare(Both(), Both(), IDS, steps=1)


def test_a_file_against_itself(files, shell):
    (shell.folder / "ids.json").write_text("[[3, 7, 1, 9, 4]]")
    said = shell("decode", files["right"], "-i", "ids.json")
    assert (said.code, "ALIGNED" in said.out) == (0, True), said.err
    said, document = shell.json("decode", files["positions"], "-i", "ids.json")
    assert (said.code, document["verdict"]) == (1, "diverged")
    assert document["steps"][-1]["layer"] == "layers.0"
    shell.refused("decode", files["right"], "-i", "x=[[1]]", says=("token ids",))
