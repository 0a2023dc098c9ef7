"""A last block without transport term: trained, measured, certified by (C) only, replaced when extended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.test_partial import SMALL, actions, answer, jko

#: with enough held-out rows for an ε
WITH_FREE = ("--set", "data.split.validation=0.3", "--set", "steps.free=on", "--chain", "chain")
FREE = ("--set", "steps.count=1", *WITH_FREE)
LONGER = ("--set", "steps.count=2", *WITH_FREE)
NEVER = "a free block has no transport term"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    place = tmp_path_factory.mktemp("free")
    assert "γ ∞" in jko(place, "train", *SMALL, *FREE)
    return place


def test_its_step_size_is_shown_as_infinite_and_stored_as_null(folder: Path) -> None:
    blocks = answer(folder, "status", "chain")["blocks"]
    assert [block["step_size"] for block in blocks] == [0.3, None]
    assert "∞" in jko(folder, "status", "chain")
    assert blocks[1]["metrics"]["loss_transport"] == 0
    assert blocks[1]["metrics"]["identity_mean"] is None


def test_epsilon_of_a_free_block_is_its_fisher_information(folder: Path) -> None:
    figures = answer(folder, "status", "chain")["blocks"][1]["metrics"]
    assert figures["epsilon_squared"] == pytest.approx(figures["fisher"], rel=1e-9)


def test_only_c_certifies_it(folder: Path) -> None:
    whole = answer(folder, "certify", "chain")["chain"]
    for name in ("certificate_a", "certificate_b", "certificate_c_triangle", "theorem_steps", "sharp_steps"):
        assert whole[name] is None
        assert NEVER in whole["reasons"][name]
    assert whole["certificate_c"] is not None or "withdrawn" in whole["reasons"]["certificate_c"]
    said = jko(folder, "certify", "chain")
    assert "a free block has no" in said  # the table breaks the line
    assert "∞" in said


def test_the_chain_of_a_step_and_a_free_block_is_verified_and_reported(folder: Path) -> None:
    jko(folder, "verify", "chain")
    jko(folder, "report", "chain")


@pytest.mark.slow
def test_a_longer_chain_replaces_it(folder: Path) -> None:
    before = answer(folder, "status", "chain")["blocks"]
    plan = answer(folder, "plan", *SMALL, *LONGER)
    assert actions(plan) == ["done", "done", "retrain", "train"]
    jko(folder, "train", *SMALL, *LONGER)
    blocks = answer(folder, "status", "chain")["blocks"]
    assert [block["step_size"] for block in blocks] == [0.3, pytest.approx(0.45), None]
    assert blocks[0]["weights_digest"] == before[0]["weights_digest"]
    assert blocks[1]["weights_digest"] != before[1]["weights_digest"]


def test_a_step_size_of_a_free_block_is_refused(tmp_path: Path) -> None:
    said = jko(tmp_path, "plan", *SMALL, *FREE, "--set", "blocks.2.step_size=0.5", code=2)
    assert "blocks.2.step_size: the last block is free" in said
