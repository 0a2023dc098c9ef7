"""A colleague who may read a project and write nothing there uses its chains; what writes says so."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Linux: PR_CAPBSET_DROP, and the rights of root to own, read, search and write what is not its own
DROP, RIGHTS = 24, (0, 1, 2, 3)
OWNER = 12345


def as_a_colleague() -> None:
    """In the child: no right of root over files of others, so that permission bits count."""
    libc = ctypes.CDLL(None)
    for right in RIGHTS:
        libc.prctl(DROP, right, 0, 0, 0)


@pytest.fixture
def shared(smoke_project: Path) -> Iterator[Path]:
    """A copy of the project that belongs to somebody else, or that its owner made read-only."""
    folder = Path(tempfile.mkdtemp(prefix="jko-shared-"))
    folder.chmod(0o755)
    shutil.copytree(smoke_project, folder / "p", symlinks=True)
    (folder / "p").chmod(0o755)
    own = [folder / "p", *(folder / "p").rglob("*")]
    for path in own:
        if os.geteuid() == 0:
            os.chown(path, OWNER, OWNER, follow_symlinks=False)
        else:
            path.chmod(path.stat().st_mode & ~0o222)
    yield folder / "p"
    for path in own:
        if path.exists():
            path.chmod(path.stat().st_mode | 0o700)
    shutil.rmtree(folder)


def colleague(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "flows.cli.main", *words], cwd=folder, env=environment,
        preexec_fn=as_a_colleague, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def tree(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_everything_of_a_chain_follows_the_umask(smoke_project: Path) -> None:
    expected = {True: 0o755, False: 0o644}
    places = [smoke_project / "c", *smoke_project.glob("c.*")]
    wrong = [
        (path, oct(path.stat().st_mode))
        for place in places
        for path in [place, *place.rglob("*")]
        if path.stat().st_mode & 0o777 != expected[path.is_dir()]
    ]
    assert wrong == []


@pytest.mark.slow
def test_who_may_only_read_uses_a_chain(shared: Path) -> None:
    """Also certify, where the certificate is to be made: it is shown, and not kept."""
    done = colleague(shared, "verify", "c")
    assert done.returncode == 0, done.stderr
    (shared / "c.certificate.json").unlink()
    before, out = tree(shared), Path(tempfile.mkdtemp())
    samples, scores = str(out / "samples.csv"), str(out / "scores.csv")
    for words in (
        ("status", "c"), ("plan", "c", "--extend", "1"), ("certify", "c"),
        ("sample", "c", "-n", "20", "-o", samples), ("score", "c", samples, "-o", scores),
        ("compare", "c", "c", "--json"),
    ):  # fmt: skip
        done = colleague(shared, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert len(Path(scores).read_text().splitlines()) == 21
    assert tree(shared) == before
    shutil.rmtree(out)


@pytest.mark.parametrize(
    "words",
    [
        ("resume", "c", "--extend", "1"),
        ("train", "--preset", "smoke", "--chain", "d"),
        ("prune", "c", "--yes"),
        ("sample", "c", "-n", "5", "-o", "x.csv"),
        ("sweep", "s", "--preset", "smoke", "--grid", "training.iterations=1,2"),
        ("up",),
    ],
)
def test_what_must_write_says_so(words: tuple[str, ...], shared: Path) -> None:
    before = tree(shared)
    done = colleague(shared, *words)
    said = done.stderr.strip().splitlines()
    assert done.returncode in (1, 2), done.stderr
    assert any("permission denied" in line.lower() or "may not be written" in line for line in said), said
    assert "Traceback" not in done.stderr
    assert "not foreseen" not in done.stderr
    assert tree(shared) == before


@pytest.mark.parametrize("place", ["chain.json", "blocks/1-*/weights.safetensors", "blocks/1-*/COMMIT.json"])
def test_what_may_not_be_read_is_named_and_not_called_damaged(place: str, shared: Path) -> None:
    (path,) = (shared / "c").glob(place)
    path.chmod(0)
    done = colleague(shared, "status", "c")
    assert done.returncode == 1
    assert f"{path.relative_to(shared)}: permission denied" in done.stderr
    assert "damaged" not in done.stderr
