"""Chains that an earlier state of the code made: nothing of them is trained again, or the plan says why."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jko.disk.layout import Layout
from tests.campaign.asked import run
from tests.campaign.chains import CHAIN, KINDS, bring_up, resumed
from tests.fixtures.make import VERSIONS, answers, archive_of

#: kinds that are gone on with in ``make test``
QUICK = ("conditional", "moons")
#: other processors and libraries round otherwise
ROUNDING = {"rtol": 1e-3, "atol": 1e-3}


@pytest.fixture(params=sorted(KINDS))
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A project with a kept chain as working directory; what it said when it was made."""
    shutil.unpack_archive(archive_of(request.param), tmp_path)
    monkeypatch.chdir(tmp_path)
    return json.loads(Path("expected.json").read_text())


def asked(*words: str, code: int = 0) -> Any:
    """The JSON answer of a command."""
    found, out, said = run(*words, "--json")
    assert found == code, said
    return json.loads(out)


def as_before(kept: dict[str, Any], *names: str) -> bool:
    """Whether these versions are still those that the chain was made with."""
    return all(kept["versions"].get(name) == VERSIONS[name] for name in names)


def test_the_plan_has_nothing_to_train_or_says_why(kept: dict[str, Any]) -> None:
    plan = asked("plan", CHAIN)
    for block in plan["blocks"]:
        assert block["action"] == "done" or (block["reason"] and not as_before(kept, "numerics"))
        measured = block["measured"] or block["index"] == 0
        assert measured or not as_before(kept, "measures", "certificate")
    stages = {stage["stage"]: stage for stage in plan["then"]}
    assert stages["report"]["action"] == "make"  # it is not kept
    for name in ("certificate", "evaluation"):
        changed = not as_before(kept, "numerics", "measures", "bracket", name)
        assert stages[name]["action"] == "done" or (stages[name]["reason"] and changed)
    if as_before(kept, "numerics"):
        assert plan["digest"] == kept["status"]["digest"]


def test_every_check_of_it_holds(kept: dict[str, Any]) -> None:
    if as_before(kept, "measures", "certificate", "bracket", "evaluation"):
        assert [check for check in asked("verify", CHAIN) if not check["holds"]] == []
    else:  # what was measured by other code is called so
        failed = [check["name"] for check in asked("verify", CHAIN, code=2) if not check["holds"]]
        assert all(name.startswith(("measures", "certificate", "evaluation", "metrics")) for name in failed)


def test_scores_and_samples_are_those_of_before(kept: dict[str, Any]) -> None:
    found = answers()
    for name in ("scores", "samples"):
        own, before = (pd.read_csv(io.StringIO(text)) for text in (found[name], kept[name]))
        assert list(own) == list(before)
        np.testing.assert_allclose(own, before, **ROUNDING)
    assert found["status"]["digest"] == kept["status"]["digest"]
    assert found["status"]["state"] == "complete"
    digests = [[block["weights_digest"] for block in own["status"]["blocks"]] for own in (found, kept)]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "kept",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(KINDS)],
    indirect=True,
)
def test_going_on_keeps_every_block(kept: dict[str, Any]) -> None:
    """Only the report is made; then there is nothing to do."""
    layout = Layout(Path(CHAIN))
    blocks = {path: path.read_bytes() for path in (layout.chain / "blocks").rglob("*") if path.is_file()}
    job = resumed(KINDS["moons"])
    assert bring_up(job).reason == ""
    assert bring_up(job).reason
    if as_before(kept, "numerics"):
        after = {path: path.read_bytes() for path in (layout.chain / "blocks").rglob("*") if path.is_file()}
        assert {path: after.get(path) for path in blocks} == blocks
        assert not layout.superseded.exists()


def test_other_settings_are_named(kept: dict[str, Any]) -> None:
    """A plan that does train says which setting it was."""
    manifest = json.loads((Path(CHAIN) / "chain.json").read_text())
    count = len(manifest["fingerprints"]) - 1
    kept_settings = json.dumps(manifest["config"])
    code, out, said = run(
        "plan",
        "--chain",
        CHAIN,
        "--preset",
        "smoke",
        "--set",
        "data.rows=161",
        "--set",
        f"steps.count={count}",
        "--json",
    )
    assert code == 0, said
    assert all(block["action"] != "done" and block["reason"] for block in json.loads(out)["blocks"])
    assert json.dumps(json.loads((Path(CHAIN) / "chain.json").read_text())["config"]) == kept_settings
