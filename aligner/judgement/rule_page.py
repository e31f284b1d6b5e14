"""``docs/verdicts.md``, made from the rules: ``python -m aligner.judgement.rule_page > docs/verdicts.md``."""

from __future__ import annotations

from collections.abc import Iterable

from aligner.judgement.conclusion import CONTRACT_RULES, WHOLE_RULES
from aligner.judgement.pair_rules import PAIR_RULES
from aligner.judgement.verdicts import GRAPH_RULES

_INTRODUCTION = """# How verdicts are reached

Made from the rules themselves (`python -m aligner.judgement.rule_page`). Rules stand in order; the first that has an
opinion decides, and the report keeps all of them: `rule` and `opinions` of the comparison, `verdict_rule` and
`opinions` of each pair in JSON, each with its margin (the error over its limit). What the limits are is told in
[tolerance.md](tolerance.md).

A verdict is a certificate (`certificate` in JSON, `certified` on the terminal): the outputs before and after the
culprits' tensors were replaced by the reference's in one run of the candidate (*sufficient* where they then agree),
each culprit left as it is while the others are replaced (*necessary* where the outputs then do not agree), both sides'
distances from float64 where they were measured, and how every output stands.

## One pair, by its own numbers
"""
_GRAPH = """
## One pair, by its neighbours

These overrule what the pair's own numbers say.
"""
_REGIONS = """
A *closed region* is judged as one: from a pair that errs, grow forward until everything that leaves the region is
right when the region alone is left to the candidate and every other tensor is the reference's. Then it is another way
to compute the same, whatever its inner tensors hold: a permutation and its undoing, a factor moved into the next
layer, a sum through all blocks in another basis, a wrong pair in the middle. The limit of what leaves it is the summed
rounding of everything inside; a change as large as the difference inside must be seen there, or the region is not
excused. Where the numbers at hand hide it (a Relu that passes nothing), both sides are run on the entry's numbers in
another order and with other signs. Where the fault is in such a region, the reader is named whose error holds nothing
of what the candidate's form changes, with the nodes of the whole region. A tensor whose shape does not fit is the
candidate's in every run and closes no region: it is right where a reader that depends on it is right with it, and other
readers are blamed themselves. Which run answers which question is told in
[architecture.md](architecture.md#how-a-region-is-judged).
"""
_CONTRACT = """
With `--level outputs`, or `--level layers`, the contract of `--atol` and `--rtol` alone decides, whatever rounding or
few bits explain; the nodes are still judged, and named where it is broken:
"""
_WHOLE = """
## The comparison
"""


def page() -> str:
    """The text of the page."""
    pairs = _list((rule.id, rule.doc) for rule in PAIR_RULES)
    graph, whole = _list(GRAPH_RULES.items()), _list((rule.id, rule.doc) for rule in WHOLE_RULES)
    contract = _list((rule.id, rule.doc) for rule in CONTRACT_RULES)
    return f"{_INTRODUCTION}\n{pairs}{_GRAPH}\n{graph}{_REGIONS}{_WHOLE}\n{whole}{_CONTRACT}\n{contract}"


def _list(rules: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{place}. `{name}`: {doc}\n" for place, (name, doc) in enumerate(rules, 1))


if __name__ == "__main__":
    print(page(), end="")
