"""Ended at a random moment in any way, the next start ends with the digest of an undisturbed run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kills import COUNT, Whole, carry_out, keep_row, kill_of, undisturbed

#: one of each way in ``make test``, but for SIGKILL and SIGTERM, which ``test_resume.py`` has there
QUICK = (2, 4, 5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, server: str) -> Whole:
    return undisturbed(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    "number", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in range(COUNT)]
)
def test_the_next_start_ends_with_the_same_digest(number: int, whole: Whole, tmp_path: Path) -> None:
    row = carry_out(kill_of(number), whole, tmp_path / "trial")
    if folder := os.environ.get("KILLS"):
        keep_row(Path(folder), row, whole)
    log = (tmp_path / "trial" / "log.txt").read_text(errors="replace")
    assert (row.again, row.digest) == (0, whole.digest), f"the start after {row}:\n{log}"
    assert row.exit_code != 0
