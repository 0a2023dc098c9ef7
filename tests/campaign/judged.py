"""What a command may answer of a damaged chain: the same, or what is wrong, never another number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.campaign.chains import CHAIN

if TYPE_CHECKING:
    from tests.campaign.damage import Answer, Bench, Outcome


def judge(bench: Bench, outcome: Outcome, name: str, answer: Answer) -> str:
    """How a command took the damage; a fault is noted with the outcome."""
    whole = bench.expected[name]
    if answer.code == 0:
        if (answer.out, answer.written) == (whole.out, whole.written):
            return "same"
        gone = outcome.case.way == "folder deleted" and "/blocks/" in outcome.case.place
        if told := honest(name, answer, whole, gone=gone):
            outcome.noticed |= told == "told" and name in ("status", "plan", "verify")
            return told
        outcome.faults.append(f"{name}: exit 0 and {difference(whole, answer)}")
        return "wrong"
    if answer.code in (2, 3) and "Traceback" not in answer.said and named(answer.said):
        outcome.noticed |= name in ("status", "plan", "verify")
        return "named"
    first = answer.said.strip().splitlines()
    outcome.faults.append(f"{name}: exit {answer.code}, {first[-1][:300] if first else 'not a word'}")
    return "crash"


def named(said: str) -> bool:
    """Whether a refusal is one sentence that says where."""
    lines = [line for line in said.strip().splitlines() if line.startswith("jko: ")]
    return len(lines) == 1 and (CHAIN in lines[0] or "block" in lines[0])


def honest(name: str, answer: Answer, whole: Answer, *, gone: bool) -> str:
    """Whether another output says of itself that something is missing, and every figure in it is true.

    Args:
        name: of the command.
        answer: what it said.
        whole: what it says of the undamaged chain.
        gone: whether a block is gone without trace, as if it had never been trained.
    """
    try:
        found, wanted = json.loads(answer.out), json.loads(whole.out)
    except ValueError:
        return ""
    if name == "plan":
        actions = [part["action"] for part in (*found["blocks"], *found["then"])]
        known = all(block["measured"] for block in found["blocks"][1:])
        return "told" if {*actions} - {"done"} or not known else ""
    if name == "verify":  # what is not there is not checked
        checks = {check["name"]: check for check in wanted}
        return "told" if all(checks.get(one["name"]) == one for one in found) else ""
    if name == "certify":  # made again, perhaps of fewer blocks where one is gone
        fewer = gone and found["blocks"] == wanted["blocks"][: len(found["blocks"])]
        return "same" if found == wanted else "told" if fewer else ""
    if name == "compare" and gone:  # a chain in training, whose last block is another
        return "told" if found["runs"][0]["state"] == "partial" else ""
    if name == "compare":
        found, wanted = found["runs"][0], wanted["runs"][0]
    return "told" if not other_figures(found, wanted) else ""


#: keys whose values say in words what is missing
WORDS = ("state", "damaged", "source", "name")


def other_figures(found: Any, whole: Any) -> list[str]:
    """Numbers that are shown and differ; what is absent, null or empty says nothing."""
    if isinstance(found, dict):
        if not isinstance(whole, dict):
            return ["another shape"] if found else []
        return [
            one for key, value in found.items() if key not in WORDS
            for one in other_figures(value, whole.get(key))
        ]  # fmt: skip
    if isinstance(found, list) and isinstance(whole, list) and len(found) <= len(whole):
        return [one for own, other in zip(found, whole, strict=False) for one in other_figures(own, other)]
    return [] if found == whole or found in (None, "", [], {}) else [f"{found} for {whole}"]


def difference(whole: Answer, answer: Answer) -> str:
    """The first line in which two outputs differ."""
    old = (whole.out + (whole.written or b"").decode()).splitlines()
    new = (answer.out + (answer.written or b"").decode()).splitlines()
    for one, other in zip(old, new, strict=False):
        if one != other:
            return f"{other.strip()[:80]!r} for {one.strip()[:80]!r}"
    return f"{len(new)} lines for {len(old)}"


# --- which cases ---
