"""What a user of an output would notice: by the measures that fit it, or by those that are chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

np = pytest.importorskip("numpy")

from aligner.api.agreement import agreement, chosen  # noqa: E402
from aligner.diff import boxes  # noqa: E402
from aligner.errors import ComparisonError  # noqa: E402
from aligner.records.comparison import ModelSummary, Tolerance  # noqa: E402
from aligner.records.sweep import Agreement, SampleResult, Sweep  # noqa: E402
from aligner.report.sweep_document import to_document  # noqa: E402
from aligner.report.sweep_table import agreement_words, headline  # noqa: E402


def told(left, right, *measures, layout="first"):
    return agreement("y", np.asarray(left), np.asarray(right), layout, measures).measures


def detections(many, seed=0):
    """Boxes of ten by ten, each in a cell of its own of a grid, as corners."""
    places = np.arange(many)[:, None] // [1, 8] % [8, many] * 20.0
    low = places + np.random.default_rng(seed).uniform(0, 5, (many, 2))
    return np.concatenate([low, low + 10], 1).astype(np.float32)


def test_how_regions_of_labels_overlap():
    """Of scores with the classes as channels, first or last, of labels themselves, of one mask: 3 of 4 places agree."""
    labels, others = np.array([[[0, 0], [1, 1]]]), np.array([[[0, 0], [1, 0]]])
    scores, moved = (np.eye(2, dtype=np.float32)[one] for one in (labels, others))
    mean = pytest.approx((2 / 3 + 1 / 2) / 2)
    forms = [(scores, moved, "last"), (labels, others, "first"), (labels > 0, others > 0, "first")]
    forms.append((*(one.transpose(0, 3, 1, 2) for one in (scores, moved)), "first"))
    for left, right, layout in forms:
        found = told(left, right, layout=layout)
        assert (found["iou"], found["argmax"]) == (mean, 0.75)
    one = told(*(mask[..., None].astype(np.float32) for mask in (labels, others)), layout="last")
    assert one["iou"] == mean
    assert "argmax" not in one
    assert "iou" not in told(np.eye(3), np.eye(3))


def test_labels_of_pictures_and_tokens_are_held_as_they_are():
    assert told([3, 5, 2, 1], [3, 5, 2, 0])["argmax"] == 0.75
    assert told([[3, 5], [2, 1]], [[3, 5], [2, 0]]) == told(
        [[3, 5], [2, 1]], [[3, 5], [2, 0]], "argmax", "cosine", "psnr"
    )
    assert told(np.int8([[3, 5, 4]]), np.int8([[3, 4, 5]]))["argmax"] == 0  # scores in few bits


def test_what_is_chosen_alone_is_told():
    rng = np.random.default_rng(0)
    left = rng.standard_normal((4, 9))
    right = left + 0.1 * rng.standard_normal((4, 9))
    assert list(told(left, right)) == ["argmax", "top-5", "cosine", "psnr"]
    found = told(left, right, *chosen("top-3, argmax,argmax"))
    assert set(found) == {"argmax", "top-3"}
    order = np.arange(9.0)[None]
    assert told(order, order[:, [0, 1, 2, 3, 4, 6, 5, 7, 8]], "top-3")["top-3"] == pytest.approx(2 / 3)
    assert told(left, right, "iou", "top-9") == {}
    assert chosen(["psnr", "boxes=xyxy"]) == chosen("boxes,psnr") == ("boxes", "psnr")


@pytest.mark.parametrize(
    "words", ["", "top", "top-0", "top-x", "top-03", "mAP", "boxes=yolo", "boxes,boxes=xywh", "iou=3", ()]
)
def test_there_is_no_other_measure(words):
    with pytest.raises(ComparisonError) as told:
        chosen(words)
    assert told.value.exit_code == 2
    assert "name one" in told.value.hint or "cxcywh" in told.value.hint


def test_boxes_are_matched_whatever_their_order():
    left = detections(20)
    moved = left + np.float32([1, 0, 1, 0])  # each overlaps its own by 9 of 11 parts
    shuffled = moved[np.random.default_rng(1).permutation(20)]
    for one, other in ((left, moved), (left, shuffled), (left[None], shuffled[None])):
        assert told(one, other)["boxes"] == pytest.approx(9 / 11)
    assert told(left, shuffled[:15], "boxes")["boxes"] == pytest.approx(9 / 11 * 15 / 20)
    fewer = agreement("y", left, shuffled[:15], "first")
    assert (list(fewer.measures), fewer.without) == (["boxes"], "of another shape")
    padded = [np.concatenate([one, np.zeros((80, 4), np.float32)]) for one in (left, shuffled)]
    assert told(*padded)["boxes"] == pytest.approx(9 / 11)
    assert told(left, left[:0], "boxes")["boxes"] == 0
    assert told(left[:0], left[:0], "boxes") == {}


def test_boxes_in_each_format():
    left, size = detections(20), np.float32([10, 10])
    right = left + np.float32([1, 0, 1, 0])
    scores = np.ones((20, 2), np.float32)
    for form, first in (("xywh", 0), ("cxcywh", 5)):
        pair = [np.concatenate([side[:, :2] + first, np.broadcast_to(size, (20, 2))], 1) for side in (left, right)]
        assert told(*pair, f"boxes={form}")["boxes"] == pytest.approx(9 / 11)
        scored = [np.concatenate([side, scores], 1) for side in pair]
        assert told(*scored, f"boxes={form}")["boxes"] == pytest.approx(9 / 11)


def test_boxes_before_scores_of_classes_on_either_axis():
    """[1, boxes, 4 + classes] and [1, 4 + classes, boxes], as heads of detectors give them."""
    left = detections(200)
    sides = [
        np.concatenate([side, np.ones((200, 80), np.float32)], 1)[None]
        for side in (left, left + np.float32([1, 0, 1, 0]))
    ]
    turned = [side.swapaxes(1, 2) for side in sides]
    assert told(*sides, "boxes")["boxes"] == told(*turned, "boxes")["boxes"] == pytest.approx(9 / 11)
    assert "boxes" not in told(*sides)
    assert told(sides[0][0, :, 4:], sides[1][0, :, 4:], "boxes") == {}


def test_four_scores_are_no_boxes():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((1, 64, 4))
    assert "boxes" not in told(scores, scores)
    assert "boxes" not in told(detections(7), detections(7))  # too few to be sure
    assert told(rng.standard_normal((3, 6)), rng.standard_normal((3, 6)), "boxes") == {}


def test_a_head_of_many_rows_answers_row_by_row(monkeypatch):
    left, right = detections(20), detections(20) + np.float32([1, 0, 1, 0])
    monkeypatch.setattr(boxes, "_MATCHED", 10)
    assert told(left, right, "boxes")["boxes"] == pytest.approx(9 / 11)
    assert told(left, right[::-1], "boxes")["boxes"] == 0
    assert told(left, right[:15], "boxes") == {}


def test_the_words_name_the_worst_sample_and_what_is_not_told():
    first = Agreement("y", {"argmax": 1.0, "cosine": 0.5})
    second = Agreement("y", {"argmax": 0.5, "cosine": 0.25})
    samples = [SampleResult(at, "", "aligned", agreements=(one,)) for at, one in enumerate([first, second])]
    samples.append(SampleResult(2, "", "diverged", agreements=(Agreement("y", without="of another shape"),)))
    samples.append(SampleResult(3, "", "diverged"))
    nobody = ModelSummary("", "", "", 0)
    made = Sweep(nobody, nobody, Tolerance(0, 0, ""), 4, ("argmax", "cosine", "iou"), tuple(samples))
    assert agreement_words(made) == [
        "y: largest element the same 75% (50% on #1), least cosine 0.25 (#1), of another shape on 1 sample, "
        "without a pair on 1",
        "iou: fits no output",
    ]
    several = SampleResult(0, "a.npy", "inconclusive", "a constant input"), samples[0]
    opened = replace(made, total=2, samples=several)
    assert headline(opened) == "INCONCLUSIVE on 1 of 2 samples — on a.npy: a constant input"
    assert to_document(made)["agreement"] == ["argmax", "cosine", "iou"]
    unknown = Agreement("y", {"new-3": 0.5})
    assert agreement_words(replace(made, samples=(SampleResult(0, "", "aligned", agreements=(unknown,)),)))
