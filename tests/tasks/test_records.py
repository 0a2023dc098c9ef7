"""Records of chains that an earlier state of the code made: read by models, and written as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jko.certify.certificates import Bound, Withheld
from jko.certify.records import Certificate, Measured
from jko.core.records import Record
from jko.disk.commit import CommitFile, stored_commit
from jko.disk.manifest import Manifest
from jko.disk.sealed import read_model, read_sealed, write_sealed
from jko.disk.weights import BlockRecord
from tasks.adapters.store.evaluated import EvaluationFigures
from tests.campaign.chains import KINDS
from tests.fixtures.make import archive_of


@pytest.fixture(scope="module", params=sorted(KINDS))
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a kept chain."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.unpack_archive(archive_of(request.param), folder)
    return folder


def same(path: Path, record: Record | None) -> bool:
    """Whether a record is written with the very text that it was read from."""
    values = json.loads(path.read_text())
    plain = {} if record is None else record.plain()
    return json.dumps(plain, sort_keys=True) == json.dumps(
        {name: value for name, value in values.items() if name not in ("identity", "sealed")}, sort_keys=True
    )


def test_manifest(kept: Path) -> None:
    path = kept / "chain" / "chain.json"
    found = read_sealed(path, Manifest)
    assert same(path, found)
    assert found is not None
    assert not found.model_extra
    write_sealed(kept / "again.json", found, found.fingerprints[-1])
    assert (kept / "again.json").read_bytes() == path.read_bytes()


def test_measures(kept: Path) -> None:
    paths = list((kept / "chain" / "measures").glob("*.json"))
    assert paths
    assert all(same(path, read_sealed(path, Measured)) for path in paths)
    assert all((found := read_sealed(path, Measured)) and not found.model_extra for path in paths)


def test_certificate(kept: Path) -> None:
    path = kept / "chain.certificate.json"
    found = read_sealed(path, Certificate)
    assert same(path, found)
    assert found is not None
    assert not found.chain.model_extra
    for name in ("kl_bound", "certificate_a", "certificate_c", "smoothing_w2"):
        bound, value = found.chain.bound(name), getattr(found.chain, name)
        if value is None:
            assert bound == Withheld(found.chain.reasons[name], found.chain.causes.get(name))
        else:
            assert bound == Bound(value, found.chain.statuses[name])


def test_evaluation(kept: Path) -> None:
    path = kept / "chain.evaluation" / "figures.json"
    found = read_model(path, EvaluationFigures)
    assert same(path, found)
    assert found is not None
    assert not found.model_extra


def test_commits(kept: Path) -> None:
    paths = list((kept / "chain").glob("blocks/*/COMMIT.json"))
    assert paths
    for path in paths:
        found = read_model(path, CommitFile)
        assert found is not None
        assert same(
            path, CommitFile.model_validate({k: v for k, v in found.plain().items() if k != "sealed"})
        )
        assert stored_commit(path.parent) is not None
        assert not found.record.model_extra


def test_training_of_blocks(kept: Path) -> None:
    paths = list((kept / "chain").glob("blocks/*/block.json"))
    assert paths
    for path in paths:
        found = read_model(path, BlockRecord)
        assert same(path, found)
        assert found is not None
        assert not found.model_extra
        assert found.curve["phase"]
