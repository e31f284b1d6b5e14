"""A comparison whose every text is one that a model file could choose to harm a reader."""

from __future__ import annotations

from dataclasses import replace

import comparison_factory as factory

from aligner.records.comparison import Comparison, FedInput, Finding
from aligner.records.dissection import Dissection, RegionNode, Setting, WeightComparison, WeightFacts

SCRIPT = "<script>window.harmed=1</script>"
EVIL = (
    f"{SCRIPT}</script><!--<script>\"'><img src=x onerror=window.harmed=1>&lt;\\u003c{{{{7*7}}}}`|]]>"
    "\x00\x1b[31m\r\n::error::x%0A\u202e\u2028\ud800\ufffe@all #1 [a](javascript:x)"
)


def _dissection() -> Dissection:
    node = RegionNode(EVIL, EVIL, EVIL, EVIL, EVIL, {EVIL: EVIL}, (EVIL,))
    facts = WeightFacts(EVIL, (2, 2), 0.0, 1.0, -1.0, 1.0)
    setting = Setting((EVIL, EVIL), EVIL, EVIL, None, True)
    weight = WeightComparison((EVIL, EVIL), EVIL, facts, facts, 1.0, 1.0, 0.0, True)
    return Dissection(0, (node,), (node, node), (setting,), (weight,))


def hostile() -> Comparison:
    """Evil names, notes, causes, paths, words; everything else is a plain divergence."""
    comparison = factory.diverged()
    pair = comparison.pairs[5]
    sides = {
        side: replace(
            getattr(pair, side), name=EVIL, node=EVIL, op=EVIL, kind=EVIL, scope=EVIL, source=EVIL, names=(EVIL,) * 3
        )
        for side in ("reference", "candidate")
    }
    evil = replace(pair, rule=EVIL, note=EVIL, **sides)
    model = replace(comparison.reference, path=EVIL, framework=EVIL, runtime=EVIL, notes=(EVIL,))
    return factory.diverged(
        reason=EVIL,
        reference=model,
        candidate=model,
        first_divergence=evil,
        introduced=(evil,),
        pairs=(evil, *comparison.pairs[:3]),
        outputs=(evil,),
        causes=(Finding(EVIL, EVIL, 0.5, EVIL, None, EVIL),) * 2,
        notes=(EVIL,),
        inputs=(FedInput(EVIL, EVIL, None, EVIL),),
        unpaired_reference=tuple(replace(item, reason=EVIL) for item in comparison.unpaired_reference),
        command=EVIL,
        dissections=(_dissection(),),
    )
