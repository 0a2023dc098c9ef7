"""A folder for the campaign's projects."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.trees import fast_place


@pytest.fixture
def place() -> Iterator[Path]:
    """In memory where that is possible: thousands of small folders are made there and removed."""
    with tempfile.TemporaryDirectory(dir=fast_place()) as folder:
        yield Path(folder)
