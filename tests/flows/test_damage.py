"""Damaged, edited and swapped files of a finished chain: named, never read for a figure, made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jko.core.errors import InputError
from jko.disk.commit import COMMIT
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.sealed import read_json, write_json
from tasks.adapters.store.chain_store import ChainStore
from tasks.measure import exact_scores
from tests.projects import ROUGH, call, trained_project

CHAIN = Path("chain")
WORDS = (
    "train", "--preset", "smoke", "--chain", str(CHAIN), "--set", "data.rows=600", "--set", "steps.count=2",
    "--set", "training.flow_matching_iterations=20", "--set", "training.iterations=5", *ROUGH,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A project with a small finished chain; never changed."""
    return trained_project(tmp_path_factory.mktemp("whole"), WORDS)


@pytest.fixture
def layout(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A copy of it to be damaged, as working directory."""
    shutil.copytree(whole, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    return Layout(CHAIN)


class Commands:
    """Runs commands and keeps what they printed."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capsys = patch, capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        self.capsys.readouterr()
        code = call(self.patch, *words)
        said = self.capsys.readouterr()
        return code, said.out + said.err

    def figures(self) -> dict[str, Any]:
        """Of ``jko status --json``."""
        return json.loads(self("status", str(CHAIN), "--json")[1])


@pytest.fixture
def jko(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(monkeypatch, capsys)


def fingerprint(layout: Layout, k: int) -> str:
    return required_manifest(layout).fingerprints[k]


def edited(path: Path, change: Callable[[Any], Any]) -> Path:
    """Change a JSON file as an editor would."""
    path.write_text(json.dumps(change(json.loads(path.read_text())), indent=1))
    return path


def rows_file(folder: Path) -> str:
    path = folder / "rows.csv"
    path.write_text("x,y\n0.1,0.2\n1.0,-0.3\n")
    return str(path)


def test_the_units_of_the_data_are_verified_before_a_sample_is_drawn(layout: Layout, jko: Commands) -> None:
    path = layout.block(0, fingerprint(layout, 0)) / "data.json"
    edited(path, lambda facts: {**facts, "scale": [9.83, *facts["scale"][1:]]})
    for words in (("sample", str(CHAIN), "-n", "10", "-o", "s.csv"),
                  ("score", str(CHAIN), rows_file(Path.cwd()), "-o", "s.csv"),
                  ("certify", str(CHAIN)), ("compare", str(CHAIN), str(CHAIN))):  # fmt: skip
        code, said = jko(*words)
        assert (code, str(path) in said) == (2, True), said
        assert not Path("s.csv").exists()
    found = jko.figures()
    assert found["state"] == "broken"
    assert found["damaged"] == [str(path)]


def test_unreadable_facts_are_one_sentence(layout: Layout, jko: Commands) -> None:
    path = layout.block(0, fingerprint(layout, 0)) / "data.json"
    path.write_bytes(b"\xff\xfe{")
    code, said = jko("sample", str(CHAIN), "-n", "10", "-o", "s.csv")
    assert (code, said.strip().count("\n")) == (2, 0)
    assert f"{path}: this file of the data is changed" in said


def test_scores_kept_in_the_run_folder_are_never_trusted(layout: Layout) -> None:
    config, chain = stored_config(layout), required_manifest(layout).fingerprints
    before = exact_scores(ChainStore(config, layout, chain), 2)
    assert before is not None
    kept = sorted((layout.run / "scores").glob("*.json"))
    assert len(kept) == 3
    for path in kept:
        values = read_json(path)
        for other in ([1], {"scores": [[9.0, 9.0]]}, {**values, "scores": [[9.0, 9.0]]}):
            write_json(path, other)
            assert np.array_equal(exact_scores(ChainStore(config, layout, chain), 2), before)
    shutil.copy(kept[1], kept[2])  # those of another block
    assert np.array_equal(exact_scores(ChainStore(config, layout, chain), 2), before)


def test_the_mixture_kept_in_the_run_folder_is_never_trusted(layout: Layout) -> None:
    from tasks.baselines import mixture_log_density

    config, chain = stored_config(layout), required_manifest(layout).fingerprints
    before = mixture_log_density(ChainStore(config, layout, chain))
    (path,) = (layout.run / "mixture").glob("*.json")
    write_json(path, [0.0] * len(before))
    assert np.array_equal(mixture_log_density(ChainStore(config, layout, chain)), before)


def worse(values: Any) -> Any:
    """JSON of the same shape with other numbers."""
    if isinstance(values, dict):
        return {name: value if name == "sealed" else worse(value) for name, value in values.items()}
    return 0.02 if isinstance(values, float) else values


@pytest.mark.slow
def test_edited_figures_are_shown_nowhere_and_made_again(layout: Layout, jko: Commands) -> None:
    """Certificate, measures, metrics and evaluation, all edited at once."""
    before, certified = jko.figures(), json.loads(jko("certify", str(CHAIN), "--json")[1])
    places = [
        layout.certificate, layout.measures(1, fingerprint(layout, 1)),
        layout.measures(2, fingerprint(layout, 2)), layout.metrics, layout.evaluation / "figures.json",
    ]  # fmt: skip
    for place in places:
        edited(place, worse)
    found = jko.figures()
    assert found["state"] == "broken"
    # metrics.json repeats the evaluation: with that damaged nothing says what it should hold
    assert set(found["damaged"]) == {str(place) for place in places if place != layout.metrics}
    assert all(not block["metrics"] for block in found["blocks"])
    assert not found["metrics"]
    assert jko("verify", str(CHAIN))[0] == 2
    assert json.loads(jko("certify", str(CHAIN), "--json")[1]) == certified  # measured again
    code, said = jko(*WORDS)
    assert code == 0
    assert "nothing to do" not in said
    assert jko.figures() == before
    assert jko("verify", str(CHAIN))[0] == 0


def flipped_of(content: bytes) -> bytes:
    """A bit flipped near the middle, where it says something else: the last digit of a float may not."""
    for place in range(len(content) // 2, len(content)):
        found = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        try:
            if json.loads(found) == json.loads(content):
                continue
        except ValueError:
            pass  # no JSON any more, or never
        return found
    raise AssertionError("every flip says the same")


@pytest.mark.parametrize("name", ["metrics.json", "evaluation", "report", "certificate.json", "measures"])
@pytest.mark.parametrize("how", ["flipped", "emptied", "deleted", "wrong type"])
def test_whatever_is_damaged_is_seen_by_the_command_that_makes_it(
    layout: Layout, jko: Commands, name: str, how: str
) -> None:
    """Nothing short of the whole is "nothing to do"."""
    from flows.session import Job, nothing_to_do
    from tasks.adapters.store.plan import make_plan

    config = stored_config(layout)
    job = Job("smoke", config, layout, Path.cwd(), "")
    assert nothing_to_do(job, make_plan(config, layout, verify=True)) is not None
    path = layout.chain / "measures" if name == "measures" else layout.beside(name)
    files = [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())
    for file in files:
        content = file.read_bytes()
        if how == "deleted":
            file.unlink()
        else:
            flipped = flipped_of(content)
            file.write_bytes({"flipped": flipped, "emptied": b"", "wrong type": b"[3]"}[how])
        assert nothing_to_do(job, make_plan(config, layout, verify=True)) is None, file
        file.write_bytes(content)


@pytest.mark.slow
def test_a_report_and_an_evaluation_are_made_again_also_where_links_took_their_place(
    layout: Layout, jko: Commands
) -> None:
    before = jko.figures()
    for folder, name in ((layout.evaluation, "figures.json"), (layout.report, COMMIT)):
        elsewhere = Path.cwd() / f"elsewhere-{folder.name}"
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)
        (elsewhere / name).write_text("{}")
    assert jko(*WORDS)[0] == 0
    assert jko.figures() == before
    assert "nothing to do" in jko(*WORDS)[1]


def test_settings_edited_in_the_manifest_give_no_samples(layout: Layout, jko: Commands) -> None:
    edited(layout.manifest, lambda own: {**own, "config": {**own["config"], "solver": {"method": "euler"}}})
    commands = (["sample", "-n", "5", "-o", "s.csv"], ["status"], ["verify"], ["certify"], ["prune", "--yes"])
    for command, *options in commands:
        code, said = jko(command, str(CHAIN), *options)
        assert code == 2
        assert f"{layout.manifest}: this file is damaged or was changed by hand" in said
    assert jko("resume", str(CHAIN))[0] == 0  # from the copy in the run folder
    assert jko.figures()["state"] == "complete"


def test_a_chain_with_a_damaged_block_certifies_nothing(layout: Layout, jko: Commands) -> None:
    path = layout.block(2, fingerprint(layout, 2)) / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, said = jko("certify", str(CHAIN))
    assert code == 2
    assert str(path) in said
    shutil.rmtree(path.parent)  # an unfinished chain is certified as far as it goes, and says so
    code, said = jko("certify", str(CHAIN))
    assert code == 0
    assert "1 of 2 blocks" in said
    layout.block(1, fingerprint(layout, 1)).rename("gone")
    shutil.copytree("gone", path.parent)
    assert jko("certify", str(CHAIN))[0] == 2


def test_weights_of_another_chain_are_refused(layout: Layout, jko: Commands) -> None:
    """A whole and undamaged block in the place of another one."""
    one, two = (layout.block(k, fingerprint(layout, k)) for k in (1, 2))
    shutil.rmtree(two)
    shutil.copytree(one, two)
    code, said = jko("sample", str(CHAIN), "-n", "5", "-o", "s.csv")
    assert code == 2
    assert str(two) in said
    assert jko.figures()["damaged"] == [str(two / COMMIT)]


def test_a_commit_file_that_leaves_a_file_out_is_damaged(layout: Layout) -> None:
    from jko.disk.commit import read_commit

    folder = layout.block(1, fingerprint(layout, 1))
    body = read_json(folder / COMMIT)
    fewer = {name: digest for name, digest in body["files"].items() if name != "weights.safetensors"}
    write_json(folder / COMMIT, {**body, "files": fewer})
    assert read_commit(folder) is None
    for gone in ("sealed", "format"):
        for change in ({name: value for name, value in body.items() if name != gone}, {**body, gone: None}):
            write_json(folder / COMMIT, change)
            assert read_commit(folder) is None
    write_json(folder / COMMIT, {name: body[name] for name in ("fingerprint", "files", "record")})
    assert read_commit(folder) is not None  # as older versions wrote it
    outside = {**body["files"], "../../chain.json": "0" * 64}
    write_json(folder / COMMIT, {"fingerprint": body["fingerprint"], "files": outside, "record": {}})
    assert read_commit(folder) is None


def test_a_lost_manifest_is_written_again_by_resume(layout: Layout, jko: Commands) -> None:
    before = jko.figures()
    layout.manifest.unlink()
    assert jko("sample", str(CHAIN), "-n", "5", "-o", "s.csv")[0] == 2
    assert jko("resume", str(CHAIN))[0] == 0
    assert jko.figures() == before


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null", "[" * 50_000, "{}", ""])
def test_json_of_the_wrong_type_anywhere_beside_the_blocks_heals(
    layout: Layout, jko: Commands, text: str
) -> None:
    from flows.session import Job, check_input, nothing_to_do
    from tasks.adapters.store.plan import make_plan

    config = stored_config(layout)
    job = Job("smoke", config, layout, Path.cwd(), "")
    inside = [*layout.chain.glob("measures/*.json"), *layout.chain.glob("blocks/*/COMMIT.json")]
    beside = [layout.evaluation / COMMIT, layout.report / COMMIT, layout.certificate, layout.metrics]
    for path in [*inside, *beside, layout.run / "finished.json", layout.manifest]:
        content = path.read_bytes()
        path.write_text(text)
        plan = make_plan(config, layout, verify=True)
        assert nothing_to_do(job, plan) is None, path
        check_input(job, plan)
        path.write_bytes(content)
    assert nothing_to_do(job, make_plan(config, layout, verify=True)) is not None


def test_a_changed_sample_is_no_particle(layout: Layout) -> None:
    """Also where the checksum of the chunk is right: files are held to the commit."""
    from tasks.adapters.store.arrays import read_samples

    one, two = (layout.block(k, fingerprint(layout, k)) / "samples.zarr/validation/c/0/0" for k in (1, 2))
    shutil.copy(one, two)
    with pytest.raises(InputError, match=f"{two}: this file of block 2 is changed"):
        read_samples(layout, 2, fingerprint(layout, 2), "validation")
