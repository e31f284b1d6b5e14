"""Figures of the runs: live, as plain dumps, as dumps of devices, and by each way of a device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.devices.device import Device

Answer = dict[str, Any]


def right(answer: Answer) -> bool:
    """Whether a fault was located exactly, or a clean pair called aligned."""
    if "error" in answer:
        return False
    clean = answer["false_alarm"] is not None
    return bool(answer["verdict"] == "aligned" if clean else answer["exact"] and answer["verdict"] == "diverged")


def line(record: dict[str, Any]) -> str:
    """One case in a line, and a line for each answer that is worse than the live one."""
    if record["status"] != "scored":
        return f"{record['name']}: {record['status']}"
    answers = record["answers"]
    marks = "".join("●" if right(answer) else "○" for answer in answers)
    text = f"{record['name']} ({record['form']}) {marks}"
    for answer in answers:
        if not right(answer):
            said = answer.get("error", "").strip().splitlines()[-1:] or [
                f"{answer['verdict']}, first {answer['introduced'][:2]}, wanted {list(answer['wanted'])[:4]}; "
                f"{answer['reason'][:200]}"
            ]
            text += f"\n    {_device(answer)}: {said[0]}"
    return text


def _device(answer: Answer) -> str:
    return "live" if answer["device"] is None else Device(**answer["device"]).spoken()


def render(records: Iterable[dict[str, Any]]) -> str:
    """Shares of right answers; those of dumps beside the live ones of the same cases."""
    cases = [record for record in records if record["status"] == "scored"]
    rows = []
    for title, clean in (("faults located exactly", False), ("clean pairs aligned", True)):
        chosen = [case for case in cases if (case["group"] == "clean") == clean]
        rows.append(f"{title}, {len(chosen)} cases")
        kinds = {
            "live": [case["answers"][0] for case in chosen],
            "plain dumps": [case["answers"][1] for case in chosen],
            "dumps of devices": [answer for case in chosen for answer in case["answers"][2:]],
        }
        rows += [f"  {name}: {_share(answers)}" for name, answers in kinds.items()]
        found = [case for case in chosen if right(case["answers"][0])]
        rest = [answer for case in found for answer in case["answers"][2:]]
        rows.append(f"  dumps of devices, where live is right: {_share(rest)}")
        for field, value in _ways(rest):
            rows.append(f"    {field} {value}: {_share(a for a in rest if a['device'][field] == value)}")
    return "\n".join(rows)


def _ways(answers: list[Answer]) -> list[tuple[str, Any]]:
    return sorted({(field, value) for answer in answers for field, value in answer["device"].items()}, key=str)


def _share(answers: Iterable[Answer]) -> str:
    marks = [right(answer) for answer in answers]
    return f"{sum(marks)}/{len(marks)}" + (f" ({sum(marks) / len(marks):.1%})" if marks else "")
