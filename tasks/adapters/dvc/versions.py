"""DVC: which bytes belong to which data version. Never called inside a DVC stage."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from jko.core.digest import Json, digest_of
from jko.core.errors import InputError
from jko.disk.commit import file_digest
from jko.disk.durable import write_text
from jko.disk.layout import Layout
from jko.disk.sealed import read_json, write_json

STAGES = ("prepare", "train", "certify", "evaluate", "report")
log = logging.getLogger("jko.versions")


def inside_stage() -> bool:
    """Whether DVC itself runs this process; calling DVC would then wait for itself."""
    return bool(os.environ.get("DVC_STAGE"))


def commit_stages(layout: Layout, root: Path, digest: str) -> bool:
    """Record the chain DVC owns, as if ``dvc repro`` had made it.

    Args:
        layout: the chain.
        root: the project's folder.
        digest: the chain's digest, remembered as recorded.

    Returns:
        Whether DVC now knows this content. A project without DVC's folder gets a warning.
    """
    from dvc.repo import Repo

    _quiet()
    try:
        with Repo(str(root)) as repo:
            for stage in STAGES:
                repo.commit(stage, force=True)
    except Exception as error:  # whatever DVC or git raise, the chain is on disk and stays
        log.warning("DVC did not record the chain: %s", str(error).strip() or type(error).__name__)
        return False
    write_json(_receipt(layout), recorded_state(root, digest))
    return True


def commit_partial(layout: Layout, root: Path) -> bool:
    """Record an unfinished chain: its blocks can be pushed and pulled, and the stage stays to be run.

    DVC's own ``commit`` would call the stage up to date. The lock entry's ``params`` are left out, so
    that ``dvc status`` and ``dvc repro`` see a stage that has not been run under these settings.

    Args:
        layout: the chain.
        root: the project's folder.

    Returns:
        Whether DVC knows the blocks now.
    """
    from dvc.repo import Repo

    _quiet()
    try:
        with Repo(str(root)) as repo:
            repo.commit("prepare", force=True)
            repo.commit("train", force=True)
        yaml = YAML()
        lock = yaml.load(_lock_text(root))
        lock["stages"]["train"].pop("params", None)
        stream = io.StringIO()
        yaml.dump(lock, stream)
        write_text(root / "dvc.lock", stream.getvalue())
        write_json(_receipt(layout), _partial_state(layout, root))
    except Exception as error:  # whatever DVC or git raise, the blocks are on disk and stay
        log.warning("DVC did not record the chain: %s", str(error).strip() or type(error).__name__)
        return False
    return True


def is_partially_recorded(layout: Layout, root: Path) -> bool:
    """Whether :func:`commit_partial` ran for the blocks that are there now."""
    return read_json(_receipt(layout)) == _partial_state(layout, root)


def _partial_state(layout: Layout, root: Path) -> dict[str, Json]:
    blocks = sorted(path.parent.name for path in (layout.chain / "blocks").glob("[0-9]*/COMMIT.json"))
    return {"blocks": blocks, "lock": _lock_text(root)}


def is_recorded(layout: Layout, root: Path, digest: str) -> bool:
    """Whether :func:`commit_stages` ran for this content, code and dvc.lock."""
    state = recorded_state(root, digest)
    return bool(state["lock"]) and read_json(_receipt(layout)) == state


def recorded_state(root: Path, digest: str) -> dict[str, str]:
    """What DVC's record depends on: the chain, the code that stages name, and dvc.lock itself."""
    files = [path for folder in ("jko", "tasks") for path in sorted((root / folder).rglob("*.py"))]
    code = digest_of({str(path.relative_to(root)): file_digest(path) for path in files})
    return {"digest": digest, "code": code, "lock": _lock_text(root)}


def data_version(path: Path) -> str:
    """The hash DVC gives a folder, ``<md5>.dir``, without recording anything."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem
    from dvc_objects.fs.memory import MemoryFileSystem

    odb = HashFileDB(MemoryFileSystem(), "/versions")
    version = build(odb, str(path.resolve()), LocalFileSystem(), "md5", dry_run=True)[2].hash_info.value
    return version or ""


def recorded_md5(path: Path) -> str | None:
    """The MD5 that ``FILE.dvc`` beside a file records; ``None`` where DVC does not track it so."""
    record = path.with_name(f"{path.name}.dvc")
    if not record.is_file():
        return None
    try:
        outs = YAML(typ="safe").load(record.read_text())["outs"]
        return next((str(out["md5"]) for out in outs if out["path"] == path.name), None)
    except (YAMLError, KeyError, TypeError):
        raise InputError(f"{record}: not readable as a record of DVC") from None


def fetch_tracked(path: Path, root: Path) -> None:
    """Make a file that DVC tracks be what ``FILE.dvc`` records: from DVC's cache, else its remote.

    A file that was changed here and that DVC does not have is never overwritten.

    Args:
        path: the file.
        root: the project's folder, for messages.

    Raises:
        InputError: it cannot be had.
    """
    md5 = recorded_md5(path)
    if md5 is None or (path.exists() and version_of(path) == md5):
        return
    from dvc.repo import Repo

    _quiet()
    record = path.with_name(f"{path.name}.dvc").resolve()
    name = (
        path.resolve().relative_to(root.resolve()) if path.resolve().is_relative_to(root.resolve()) else path
    )
    try:
        with Repo(str(record.parent)) as repo:
            if not repo.cache.local.exists(md5):
                repo.fetch([str(record)])
            repo.checkout([str(record)])
        if version_of(path) != md5:
            raise InputError("DVC left another file in its place")
    except Exception as error:  # whatever DVC or a remote raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{name}: the file is not the version that {record.name} records ({md5[:8]}), and it cannot be "
            f"fetched ({said[:200]}); run dvc pull, or dvc add if the file was changed on purpose"
        ) from None


def version_of(path: Path) -> str:
    """The hash that DVC gives a file or a folder as it is now."""
    if path.is_dir():
        return data_version(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _quiet() -> None:
    logger = logging.getLogger("dvc")
    logger.setLevel(logging.ERROR)
    logger.propagate = False


def _receipt(layout: Layout) -> Path:
    return layout.run / "dvc.json"


def _lock_text(root: Path) -> str:
    path = root / "dvc.lock"
    return path.read_text() if path.is_file() else ""
