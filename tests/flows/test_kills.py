"""Ended at a random moment in any way, the next start ends with the digest of an undisturbed run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.campaign.sample import part_of
from tests.kills import COUNT, Whole, carry_out, keep_row, kill_of, undisturbed

#: of the whole ``make test-all`` has one in so many; signals and a limit are in other tests of ``make test``
SOME = 7


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, server: str) -> Whole:
    return undisturbed(tmp_path_factory.mktemp("whole"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("number", range(COUNT)[part_of(metafunc.config)(SOME)])


@pytest.mark.slow
def test_the_next_start_ends_with_the_same_digest(number: int, whole: Whole, tmp_path: Path) -> None:
    row = carry_out(kill_of(number), whole, tmp_path / "trial")
    if folder := os.environ.get("KILLS"):
        keep_row(Path(folder), row, whole)
    log = (tmp_path / "trial" / "log.txt").read_text(errors="replace")
    assert (row.again, row.digest) == (0, whole.digest), f"the start after {row}:\n{log}"
    assert row.exit_code != 0
