"""Chains brought up in parts: stopped, extended, trained again, taken from another, pruned, verified."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jko.disk.commit import SAMPLES
from tests.commands import command
from tests.projects import ROUGH

SMALL = (
    "--preset", "smoke", "--set", "data.rows=400", "--set", "training.flow_matching_iterations=30",
    "--set", "training.iterations=6", "--set", "evaluation.samples=50",
    "--set", "evaluation.mixture_components=[1]", *ROUGH,
)  # fmt: skip


def jko(folder: Path, *words: str, code: int = 0) -> str:
    """Run the command line; returns what it printed, errors included."""
    done = command(folder, *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def answer(folder: Path, *words: str) -> Any:
    done = command(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def digest(folder: Path, chain: str) -> str | None:
    return answer(folder, "status", chain)["digest"]


def actions(found: dict[str, Any]) -> list[str]:
    return [block["action"] for block in found["blocks"]]


def samples_of(folder: Path, chain: str) -> list[bool]:
    blocks = sorted((folder / chain / "blocks").iterdir(), key=lambda path: int(path.name.split("-")[0]))
    return [(block / SAMPLES).exists() for block in blocks]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with a chain ``whole`` of four blocks, trained in one go."""
    folder = tmp_path_factory.mktemp("partial")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    jko(folder, "train", *SMALL, "--set", "steps.count=4", "--chain", "whole")
    return folder


def copied(folder: Path, chain: str) -> None:
    """The chain ``whole`` once more under another name, to be changed."""
    for path in folder.glob("whole*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, folder / path.name.replace("whole", chain, 1))


def test_a_chain_in_parts_is_the_chain_in_one_go(workshop: Path) -> None:
    planned = answer(workshop, "plan", *SMALL, "--chain", "parts")
    assert actions(planned) == ["train"] * 4
    assert not (workshop / "parts").exists(), "a plan must write nothing"
    said = jko(workshop, "train", *SMALL, "--chain", "parts", "--stop-after", "2")
    assert "to go on: jko resume parts" in said
    assert answer(workshop, "status", "parts")["state"] == "partial"
    assert actions(answer(workshop, "plan", "parts")) == ["done", "done", "done", "train"]
    assert "nothing to do" in jko(workshop, "resume", "parts", "--stop-after", "1")
    jko(workshop, "resume", "parts", "--stop-after", "3")
    assert digest(workshop, "parts") not in (None, digest(workshop, "whole"))
    said = jko(workshop, "resume", "parts", "--extend", "1", "--stop-after", "4")
    assert "kept: blocks 1..3" in said
    assert digest(workshop, "parts") == digest(workshop, "whole")


def test_the_plan_says_which_setting_makes_a_block_train_again(workshop: Path) -> None:
    found = answer(
        workshop, "plan", *SMALL, "--set", "steps.count=4", "--set", "blocks.3.iterations=7",
        "--chain", "whole",
    )  # fmt: skip
    assert actions(found) == ["done", "done", "done", "retrain", "retrain"]
    assert "training.iterations 6 → 7" in found["blocks"][3]["reason"]
    assert found["blocks"][4]["reason"] == "follows block 3"
    assert {stage["action"] for stage in found["then"]} == {"make"}
    done = answer(workshop, "plan", "whole")
    assert done["complete"]
    assert {stage["action"] for stage in done["then"]} == {"done"}


def test_blocks_of_equal_settings_are_taken_from_another_chain(workshop: Path) -> None:
    said = jko(
        workshop, "train", *SMALL, "--set", "steps.count=4", "--set", "blocks.4.iterations=9",
        "--chain", "branch", "--from", "whole", "--stop-after", "3",
    )  # fmt: skip
    assert "taken from whole: blocks 1..3" in said
    assert "(committed earlier)" in said
    one, other = (
        (workshop / name / "blocks").glob("1-*/weights.safetensors") for name in ("whole", "branch")
    )
    assert next(one).stat().st_ino == next(other).stat().st_ino
    before = digest(workshop, "whole")
    jko(workshop, "resume", "branch", "--from-block", "2", "--stop-after", "3")
    assert digest(workshop, "whole") == before


def test_blocks_trained_again_are_compared_with_what_they_were(workshop: Path) -> None:
    copied(workshop, "again")
    said = jko(workshop, "resume", "again", "--from-block", "3", "--stop-after", "4")
    assert "kept: blocks 1..2," in said
    for k in (3, 4):
        assert f"block {k}, trained again, is bit for bit as before" in said
    assert not list((workshop / "again.run" / "superseded").iterdir())


@pytest.mark.slow
def test_dropped_samples_come_back_bit_for_bit(workshop: Path) -> None:
    copied(workshop, "thin")
    whole = digest(workshop, "thin")
    refused = jko(workshop, "prune", "thin", "--samples", code=2)
    assert "say so with --yes" in refused
    assert all(samples_of(workshop, "thin"))
    assert "removed" not in jko(workshop, "prune", "thin", "--samples", "--dry-run")
    jko(workshop, "prune", "thin", "--samples", "--yes")
    assert samples_of(workshop, "thin") == [True, False, False, False, True]
    assert digest(workshop, "thin") == whole
    assert "nothing to do" in jko(workshop, "resume", "thin")
    jko(workshop, "resume", "thin", "--from-block", "4")
    assert samples_of(workshop, "thin") == [True, True, True, True, True]
    assert digest(workshop, "thin") == whole
    assert all(check["holds"] for check in answer(workshop, "verify", "thin"))


@pytest.mark.slow
def test_replaced_blocks_are_pruned_and_others_kept(workshop: Path) -> None:
    copied(workshop, "old")
    jko(workshop, "resume", "old", "--set", "blocks.4.iterations=7", "--stop-after", "4")
    assert len(list((workshop / "old.run" / "superseded").iterdir())) == 1
    said = jko(workshop, "prune", "old", "--yes")
    assert "1 × replaced block" in said
    assert not list((workshop / "old.run" / "superseded").iterdir())
    assert actions(answer(workshop, "plan", "old")) == ["done"] * 5


def test_verify_finds_every_kind_of_damage(workshop: Path) -> None:
    copied(workshop, "hurt")
    assert "checks hold" in jko(workshop, "verify", "hurt")
    chunk = next((workshop / "hurt" / "blocks").glob("2-*/samples.zarr/train/c/0/0"))
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:10] + bytes([whole[10] ^ 1]) + whole[11:])
    assert "bytes of block 2" in jko(workshop, "verify", "hurt", code=2)
    chunk.write_bytes(whole)
    manifest = workshop / "hurt" / "chain.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"seed": 0', '"seed": 8'))
    assert "damaged or was changed by hand" in jko(workshop, "verify", "hurt", code=2)
    manifest.write_text(text)
    jko(workshop, "verify", "hurt")


def test_rows_in_another_order_are_found(workshop: Path) -> None:
    """Digests alone cannot see it: the commit was made of the wrong rows."""
    import numpy as np

    from jko.disk.commit import committing, read_commit
    from jko.disk.durable import link_tree
    from jko.disk.layout import Layout
    from jko.disk.manifest import required_manifest, stored_config
    from tasks.adapters.store.arrays import read_arrays, write_arrays
    from tasks.verify import checks

    copied(workshop, "mixed")
    layout = Layout.of(workshop / "mixed", workshop)
    manifest = json.loads(layout.manifest.read_text())
    folder = layout.block(1, manifest["fingerprints"][1])
    arrays = read_arrays(folder / SAMPLES)
    arrays["train"] = np.roll(arrays["train"], 1, axis=0)
    with committing(folder, manifest["fingerprints"][1], {"index": 1}) as new:
        link_tree(folder, new)
        (new / "COMMIT.json").unlink()
        shutil.rmtree(new / SAMPLES)
        write_arrays(new / SAMPLES, arrays, {"block": 1, "units": "standardised"})
    assert read_commit(folder, verify=True)
    found = {
        check.name: check.holds for check in checks(stored_config(layout), layout, required_manifest(layout))
    }
    assert found["bytes of block 1"]
    assert not found["rows of block 1, train"]
    assert found["rows of block 1, validation"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("train", *SMALL, "--chain", "new", "--stop-after", "9"), "--stop-after 9: the chain has"),
        (("resume", "whole", "--from-block", "0"), "'--from-block': 0 is not in the range 1<=x"),
        (("train", *SMALL, "--chain", "new", "--from-block", "1"), "there is no chain in new yet"),
        (("resume", "whole", "--from", "whole"), "this is the chain itself"),
        (("resume", "whole", "--from", "nowhere"), "nowhere: no chain there"),
        (("train", *SMALL, "--seed", "3", "--chain", "new", "--from", "whole"), "its data are not those"),
        (("resume", "nowhere", "--extend", "1"), "nowhere: no chain there"),
        (("plan", "whole", "--seed", "3"), "leave --seed out, or the folder"),
        (("verify", "nowhere"), "nowhere: no chain there"),
        (("prune", "nowhere"), "nowhere: no chain there"),
    ],
)  # fmt: skip
def test_bad_requests_get_one_sentence(workshop: Path, words: tuple[str, ...], sentence: str) -> None:
    said = jko(workshop, *words, code=2)
    assert sentence in said
    assert "Traceback" not in said
    assert not (workshop / "new").exists()


@pytest.mark.slow
def test_a_chain_its_stop_rule_ended_is_not_extended_blindly(workshop: Path) -> None:
    jko(workshop, "train", *SMALL, "--set", "stop.movement=0.9", "--chain", "short", "--stop-after", "3")
    said = jko(workshop, "resume", "short", "--extend", "2", code=2)
    assert "ended by its stop rule" in said
    assert "stop.movement=null" in said
