"""The results as a Markdown page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

Record = Mapping[str, Any]
HALVES = (("open", "open half"), ("held", "held-out half"))
FORM_WORDS = {
    "eager": "PyTorch, eager",
    "trace": "TorchScript, traced",
    "script": "TorchScript, scripted",
    "onnx": "ONNX, norms kept",
    "folded": "ONNX, norms folded",
    "opset13": "ONNX, opset 13",
    "dynamo": "ONNX, dynamo exporter",
    "slim": "ONNX, simplified",
    "float16": "ONNX, float16",
    "int8": "ONNX, int8",
    "tf2onnx": "Keras → ONNX (tf2onnx)",
    "tf2onnxchw": "Keras → ONNX, fed channels first",
    "tflite": "Keras → TFLite",
    "tflite16": "Keras → TFLite, float16 weights",
    "tflite8": "Keras → TFLite, int8",
    "onnx2tf": "ONNX → TFLite (onnx2tf)",
}
_SHOWN = 100


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    records = results["cases"]
    scored = [record for record in records if record["status"] not in {"no place", "not built"}]
    parts = [
        "# Fault bench",
        _head(results, records, scored),
        _forms(),
        "## Faults found",
        _found(scored),
        "## Clean and benign pairs, and traps",
        _quiet(scored),
        "## The common recipe and other tools on the same pairs",
        _recipes(scored),
        _peers(results),
        "## By the candidate's form",
        _by_form(scored),
        "## By kind",
        _by_kind(scored),
        "## Time and memory",
        _cost(scored),
        "## Wrong answers",
        _wrong(scored),
        _how(),
    ]
    return "\n\n".join(parts) + "\n"


def _head(results: Mapping[str, Any], records: Sequence[Record], scored: Sequence[Record]) -> str:
    broken = Counter(record["status"] for record in records)
    words = ", ".join(f"{count} {status}" for status, count in broken.most_common())
    halves = results["halves"]
    return (
        f"`{results['command']}`, seed {results['seed']}, {results['date']}; {len(scored)} cases ({words}) "
        f"in {results['seconds'] / 60:.1f} minutes.\n\n"
        f"Open half: {', '.join(halves['open'])}. Held out: {', '.join(halves['held'])}.\n\n"
        f"{_makers(results)}"
        "Faults are planted at random depth; the right answer is written down when planting. A case that crashes or "
        "times out counts as wrong. *Exact*: the first divergence is the guilty node's output. *Within one*: that, or "
        "a node beside it. *Flagged*: the pair is called diverged at all."
    )


def _forms() -> str:
    return (
        "Networks of PyTorch are compared eager, traced and scripted, as ONNX by both exporters, simplified, in "
        "float16 and in int8 (with masked scores left in float). Networks of Keras (`keras_…`), each built in a "
        "process of its own, are compared as TFLite, as TFLite with float16 weights, as int8 TFLite, and as ONNX by "
        "tf2onnx, fed channels last or first. `resnet` and `squeeze` are compared as TFLite by onnx2tf too, which "
        "lives in an environment of its own: `--onnx2tf` names it, and without one those cases are left out. Faults "
        "of TFLite candidates are planted in the flatbuffer. TFLite fuses operators, and onnx2tf spells some out: "
        "where a guilty tensor has no counterpart on the other side, by its numbers, the first tensor after it that "
        "has one is right as well."
    )


def _makers(results: Mapping[str, Any]) -> str:
    """What made the forms that are not torch's own, or why there are none."""
    known = results.get("forms", {})
    return "".join(f"{form}: {maker}. " for form, maker in known.items()) + ("\n\n" if known else "")


def _found(scored: Sequence[Record]) -> str:
    """Rows of measures, columns of halves, then both."""
    planted = [record for record in scored if record["group"] in {"fault", "module", "double"}]
    outside = [record for record in scored if record["group"] in {"input", "outputs"}]
    rows: list[tuple[str, Sequence[Record], Callable[[Record], Any]]] = [
        ("located exactly", planted, lambda r: r.get("exact", False)),
        ("located within one node", planted, lambda r: r.get("near", False)),
        ("flagged", planted, lambda r: r.get("flagged", False)),
        ("cause named first", _caused(planted), lambda r: r.get("cause_first", False)),
        ("cause among the first three", _caused(planted), lambda r: r.get("cause_three", False)),
        ("both of two faults listed", [r for r in planted if r["group"] == "double"], _both),
        ("input or output fault: blamed there, no node blamed", outside, lambda r: r.get("exact", False)),
        ("input or output fault: cause named first", _caused(outside), lambda r: r.get("cause_first", False)),
    ]
    lines = [_line("measure", *(title for _, title in HALVES), "all"), _line("---", "---:", "---:", "---:")]
    for title, records, right in rows:
        shares = [_share((r for r in records if r["half"] == half), right) for half, _ in HALVES]
        lines.append(_line(title, *shares, _share(records, right)))
    return "\n".join(lines)


def _caused(records: Iterable[Record]) -> list[Record]:
    """Cases whose cause is scored; a case without an answer counts."""
    return [record for record in records if record.get("cause_first", False) is not None]


def _both(record: Record) -> bool:
    return bool(record.get("second")) and bool(record.get("exact"))


def _quiet(scored: Sequence[Record]) -> str:
    lines = [_line("measure", *(title for _, title in HALVES), "all"), _line("---", "---:", "---:", "---:")]
    for group, title in (("clean", "clean pairs"), ("trap", "traps")):
        records = [record for record in scored if record["group"] == group]
        for text, right in (
            (f"{title}: no false alarm", lambda r: r.get("false_alarm") is False),
            (f"{title}: called aligned", lambda r: r.get("verdict") == "aligned"),
        ):
            shares = [_share((r for r in records if r["half"] == half), right) for half, _ in HALVES]
            lines.append(_line(text, *shares, _share(records, right)))
    exact = [record for record in scored if record["group"] == "clean" and not _lossy(record)]
    lines.append(_line("float32 clean pairs: values of pairs agree", *_pair_shares(exact)))
    lines.append(_line("tensors paired, median over clean pairs (candidate)", *_coverages(scored)))
    return "\n".join(lines)


def _lossy(record: Record) -> bool:
    forms = {record.get("reference_form"), record.get("candidate_form")}
    return bool(forms & {"int8", "float16", "tflite8", "tflite16"}) or record.get("architecture") == "sharp"


def _pair_shares(records: Sequence[Record]) -> list[str]:
    shares = []
    for half in ("open", "held", None):
        counts = [r["pairs_right"] for r in records if r.get("pairs_right") and half in {None, r["half"]}]
        right, judged = (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0)
        shares.append(f"{100 * right / judged:.1f} % of {judged}" if judged else "–")
    return shares


def _coverages(scored: Sequence[Record]) -> list[str]:
    found = []
    for half in ("open", "held", None):
        values = [
            r["coverage"][1]
            for r in scored
            if r["group"] == "clean" and r.get("coverage") and half in {None, r["half"]}
        ]
        found.append(f"{100 * median(values):.0f} %" if values else "–")
    return found


def _recipes(scored: Sequence[Record]) -> str:
    judged = [record for record in scored if record["group"] in {"fault", "module", "double", "clean", "trap"}]
    names = list(dict.fromkeys(name for record in scored for name in record.get("baselines", {})))
    lines = [
        _line("who", "pairs", "exact", "within one", "flagged", "silent on clean pairs and traps"),
        _line("---", "---:", "---:", "---:", "---:", "---:"),
        _answers("**aligner**", judged, lambda record: record),
    ]
    for name in names:
        had = [record for record in judged if name in record.get("baselines", {})]
        lines.append(_answers(name, had, lambda record, name=name: record["baselines"][name]))
        if len(had) < len(judged):
            lines.append(_answers("**aligner** on those pairs", had, lambda record: record))
    return "\n".join(lines)


def _answers(who: str, records: Sequence[Record], said: Callable[[Record], Record]) -> str:
    """One row; ``said`` is the answer to a case."""
    planted = [record for record in records if record["group"] not in {"clean", "trap"}]
    clean = [record for record in records if record["group"] in {"clean", "trap"}]
    shares = [_share(planted, lambda r, key=key: said(r).get(key, False)) for key in ("exact", "near", "flagged")]
    return _line(who, str(len(records)), *shares, _share(clean, lambda r: said(r).get("false_alarm") is False))


def _peers(results: Mapping[str, Any]) -> str:
    states = "\n".join(f"- {name}: {state}" for name, state in results["peers"].items())
    return f"Peers, each on the pairs it can take:\n\n{states}"


def _by_kind(scored: Sequence[Record]) -> str:
    lines = [
        _line("kind", "cases", "exact", "within one", "flagged", "cause first", "cause in three"),
        _line("---", "---:", "---:", "---:", "---:", "---:", "---:"),
    ]
    faults = [r for r in scored if r["group"] not in {"clean", "trap", "double"}]
    for key in dict.fromkeys(map(_kind, faults)):
        records = [r for r in faults if _kind(r) == key]
        marks = [
            "".join({True: "●", False: "○", None: "·"}[r.get(key, False)] for r in records)
            for key in ("exact", "near", "flagged", "cause_first", "cause_three")
        ]
        lines.append(_line(key, str(len(records)), *marks))
    return "\n".join(lines)


def _kind(record: Record) -> str:
    """The fault, and the candidate's form where it is a deployed one."""
    return f"{record['kind']} ({record['form']})" if record.get("form") else str(record["kind"])


def _by_form(scored: Sequence[Record]) -> str:
    """Rows of the candidate's form; faults on the left, clean pairs on the right."""
    lines = [
        _line("candidate", "faults", "exact", "within one", "flagged", "cause first", "clean pairs", "no false alarm"),
        _line("---", "---:", "---:", "---:", "---:", "---:", "---:", "---:"),
    ]
    for form, words in FORM_WORDS.items():
        records = [r for r in scored if r.get("candidate_form") == form]
        planted = [r for r in records if r["group"] in {"fault", "module", "double"}]
        clean = [r for r in records if r["group"] in {"clean", "trap"}]
        marks = [_share(planted, lambda r, key=key: r.get(key, False)) for key in ("exact", "near", "flagged")]
        cause = _share(_caused(planted), lambda r: r.get("cause_first", False))
        quiet = _share(clean, lambda r: r.get("false_alarm") is False)
        if records:
            lines.append(_line(words, str(len(planted)), *marks, cause, str(len(clean)), quiet))
    return "\n".join(lines)


def _cost(scored: Sequence[Record]) -> str:
    ran = [record for record in scored if record.get("status") == "scored"]
    if not ran:
        return "Nothing ran."
    seconds = sorted(record["seconds"] for record in ran)
    grown = sorted(record["grown_mb"] for record in ran)
    at = int(0.95 * (len(ran) - 1))
    return (
        f"One comparison: median {median(seconds):.2f} s, 95th percentile {seconds[at]:.2f} s, longest "
        f"{seconds[-1]:.2f} s. Memory on top of the imported frameworks: median {median(grown):.0f} MB, longest tail "
        f"{grown[-1]:.0f} MB."
    )


def _wrong(scored: Sequence[Record]) -> str:
    bad = [record for record in scored if not record.get("exact", False)]
    lines = [_line("case", "pair", "planted", "answer"), _line("---", "---", "---", "---")]
    for record in bad[:_SHOWN]:
        pair = f"{record.get('architecture', '–')}: {record.get('reference_form')} → {record.get('candidate_form')}"
        lines.append(_line(record["name"], pair, str(record.get("planted", "")), answer(record)))
    if len(bad) > _SHOWN:
        lines.append(_line(f"… and {len(bad) - _SHOWN} more", "", "", ""))
    return "\n".join(lines)


def answer(record: Record) -> str:
    """What the tool said, in a cell."""
    if record["status"] != "scored":
        return f"{record['status']}: {str(record.get('error', '')).strip().splitlines()[-1][:160]}"
    place = f" at {record['first']}" if record["first"] else ""
    beside = " (one node beside)" if record["near"] and record["blame"] == "node" else ""
    causes = f"; {', '.join(record['causes'][:2])}" if record["causes"] else ""
    return f"{record['verdict']}{place}{beside}{causes}"


def _how() -> str:
    return (
        "## Run it\n\n"
        "```\n"
        "python -m benchmarks.faults run --out results.json     # builds, compares, prints this page\n"
        "python -m benchmarks.faults run --quick                # a sample, in a minute or two\n"
        "python -m benchmarks.faults run --peers                # other tools too, where installed (pip install "
        "polygraphy onnx-diagnostic scipy)\n"
        "python -m benchmarks.faults run --onnx2tf PYTHON       # ONNX → TFLite too, by the onnx2tf of that Python\n"
        "python -m benchmarks.faults case NAME                  # the tool's own report on one case\n"
        "python -m benchmarks.faults table results.json         # this page again\n"
        "```"
    )


def _share(records: Iterable[Record], right: Callable[[Record], Any]) -> str:
    every = list(records)
    if not every:
        return "–"
    count = sum(bool(right(record)) for record in every)
    return f"{100 * count / len(every):.0f} % ({count}/{len(every)})"


def _line(*cells: str) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"
