"""A module declares no shapes: by convention its channels stand first, unless it fails on that."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_torch

import aligner
from aligner.errors import ModelExecutionError
from aligner.inputs import Preprocessing

pytestmark = requires_torch
PIXELS = np.random.default_rng(0).integers(0, 256, (1, 8, 9, 3), dtype=np.uint8)


def module(*, last):
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            x = x.permute(0, 3, 1, 2) if last else x
            return self.conv(x.float() / 255)

    return Network().eval()


def turned(result):
    return [note for note in result.comparison.notes if "does not say where its channels stand" in note]


def test_channels_stand_first_where_that_works():
    result = aligner.compare(module(last=False), module(last=False), PIXELS)
    assert result.verdict == "aligned"
    assert not turned(result)


def test_channels_stand_last_where_a_module_fails_on_first_and_the_report_says_so():
    result = aligner.compare(module(last=True), module(last=True), PIXELS)
    assert result.verdict == "aligned"
    assert [note[:13] for note in turned(result)] == ["the reference", "the candidate"]
    assert {fed.reference.split(" ")[0] for fed in result.comparison.inputs} == {"1×8×9×3"}


@pytest.mark.parametrize("last", [(True, False), (False, True)])
def test_each_side_is_asked_for_itself(last):
    result = aligner.compare(module(last=last[0]), module(last=last[1]), PIXELS)
    assert result.verdict == "aligned"
    assert len(turned(result)) == 1


def test_who_says_how_the_data_lie_is_believed():
    with pytest.raises(ModelExecutionError, match="reference"):
        aligner.compare(module(last=True), module(last=True), PIXELS, preprocessing=Preprocessing(layout="nhwc"))


def test_where_neither_order_works_the_first_error_is_told():
    wrong = np.zeros((1, 8, 9, 4), np.uint8)
    wrong[0, 0, 0, 0] = 1
    with pytest.raises(ModelExecutionError) as raised:
        aligner.compare(module(last=True), module(last=True), wrong)
    assert "1×4×8×9" in str(raised.value)
