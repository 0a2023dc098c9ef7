"""What is done, what will be trained, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jko.config import Config, parse_config
from jko.core.errors import InputError
from jko.disk.commit import committing
from jko.disk.identity import data_fingerprint, fingerprints, source_key, without_defaults
from jko.disk.layout import Layout
from jko.disk.manifest import read_manifest, required_manifest, resumed_config, stored_config
from jko.disk.sealed import read_json, write_json
from tasks.adapters.store.chain_store import chain_digest
from tasks.adapters.store.plan import arrange, make_plan, write_manifest

DIGEST = "d" * 64


def config(**changes: Any) -> Config:
    return parse_config({"data": {"source": "moons", "rows": 100}, "steps": {"count": 4}, **changes})


def commit_chain(layout: Layout, settings: Config) -> tuple[str, ...]:
    """A committed chain with stand-in files: plans look at commits only."""
    chain = write_manifest(settings, layout, DIGEST)
    for k, fingerprint in enumerate(chain):
        record = {"data_digest": DIGEST, "source_key": source_key(settings)} if k == 0 else {}
        if not layout.block(k, fingerprint).exists():
            with committing(layout.block(k, fingerprint), fingerprint, record) as folder:
                (folder / "weights").write_text(fingerprint)
    return chain


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "chain")


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"blocks": {3: {"iterations": 7}}}, 3),
        ({"training": {"batch_size": 7}}, 1),
        ({"network": {"hidden": [3]}}, 1),
        ({"network": {"kind": "residual"}}, 1),
        ({"solver": {"steps": 9}}, 1),
        ({"seed": 1}, 1),
        ({"steps": {"sizes": [0.5, 0.6, 0.1, 0.2]}}, 3),
        ({"steps": {"count": 6}}, 5),
        ({"measure": {"rows": 10}}, 5),
        ({"evaluation": {"samples": 10}}, 5),
        ({"runtime": {"threads": 2}}, 5),
    ],
)
def test_a_changed_setting_changes_the_identity_of_its_block_and_those_after(
    changes: dict[str, Any], first: int
) -> None:
    before, after = fingerprints(config(), DIGEST), fingerprints(config(**changes), DIGEST)
    same = [a == b for a, b in zip(before, after, strict=False)]
    assert same == [True] * min(first, 5) + [False] * (5 - min(first, 5))


#: settings -> fingerprint of the last block before a network had a kind
BEFORE_KINDS = {
    "default": ({}, "7475ca642934086e98bfa0d64e99062cc0768e4fbdda9d049b3bbbb641a97ce7"),
    "many keys": (
        {
            "steps": {"count": 4},
            "blocks": {2: {"fourier_scale": [1.0, 2.0]}, 3: {"step_size": 0.3}},
            "network": {"fourier": 4},
        },
        "e4a9ab5c786e8e96bb3184228e49085ababc53fe4d4588525d219fa519d1b5e6",
    ),
}


@pytest.mark.parametrize(("values", "fingerprint"), BEFORE_KINDS.values(), ids=BEFORE_KINDS)
def test_chains_from_before_a_key_existed_keep_their_identity(values: dict, fingerprint: str) -> None:
    assert fingerprints(parse_config(values), DIGEST)[-1] == fingerprint
    spelt = {**values, "network": {**values.get("network", {}), "kind": "ode", "lipschitz": 0.9}}
    assert fingerprints(parse_config(spelt), DIGEST)[-1] == fingerprint


def test_residual_chains_differ_by_their_bound_and_not_by_flow_matching() -> None:
    def last(network: dict[str, Any] | None = None, **training: Any) -> str:
        values = {"kind": "residual", **(network or {})}
        return fingerprints(config(network=values, training=training), DIGEST)[-1]

    assert last() == last(flow_matching_iterations=7) == last({"lipschitz": 0.9})
    assert len({last(), last({"lipschitz": 0.8}), last(iterations=7)}) == 3


TOWARDS = {
    "data": {"source": "gaussian", "mean": [0, 0], "std": [1, 1], "standardise": "off"},
    "steps": {"count": 2},
    "target": {"potential": "sphere_mixture", "options": {"components": 4}},
}


def test_a_correction_belongs_to_the_blocks_and_none_leaves_them_as_they_were(layout: Layout) -> None:
    def values(**target: Any) -> dict[str, Any]:
        return {**TOWARDS, "target": {**TOWARDS["target"], **target}}

    chain = fingerprints(parse_config(values()), DIGEST)
    assert chain == fingerprints(parse_config(values(correction=0)), DIGEST)
    # as before the key existed
    assert chain[-1] == "8723e31c5c05bdbb61b334b379bc44c2a06b1a44ded83d0888f4f7377d530e06"
    assert not set(chain[1:]) & set(fingerprints(parse_config(values(correction=0.2)), DIGEST))
    assert parse_config({"target": {"correction": 0.0}}).target.standard
    commit_chain(layout, parse_config(values()))
    plan = make_plan(parse_config(values(correction=0.2)), layout)
    assert plan.missing[0].reason == "target.correction 0.0 → 0.2"


def test_optional_keys_are_left_out_at_their_defaults_only() -> None:
    section = config(network={"hidden": [3], "lipschitz": 0.5}).network
    left = without_defaults(section, ("hidden", "kind", "lipschitz"))
    assert left == {"hidden": [3], "activation": "silu", "fourier": 0, "fourier_scale": 3.0, "lipschitz": 0.5}
    assert without_defaults(section, ()) == section.model_dump(mode="json")


def test_other_data_change_everything() -> None:
    assert not set(fingerprints(config(), DIGEST)) & set(fingerprints(config(), "e" * 64))


def test_the_numerics_number_changes_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprints(config(), DIGEST)
    monkeypatch.setattr("jko.disk.identity.NUMERICS", 999)
    assert not set(before[1:]) & set(fingerprints(config(), DIGEST)[1:])


def test_an_empty_folder_plans_everything(layout: Layout) -> None:
    plan = make_plan(config(), layout)
    assert [block.state for block in plan.blocks] == ["missing"] * 5
    assert plan.blocks[0].reason == "the data are not prepared yet"


def test_a_committed_chain_is_complete_and_has_a_digest(layout: Layout) -> None:
    chain = commit_chain(layout, config())
    assert make_plan(config(), layout, verify=True).complete
    assert len(chain_digest(layout, chain) or "") == 64


def test_the_reason_names_the_setting(layout: Layout) -> None:
    commit_chain(layout, config())
    plan = make_plan(config(blocks={3: {"iterations": 7}}), layout)
    assert [block.index for block in plan.missing] == [3, 4]
    assert plan.missing[0].reason == "training.iterations 300 → 7"
    assert plan.missing[1].reason == "follows block 3"
    residual = make_plan(config(network={"kind": "residual"}), layout).missing[0]
    assert residual.reason == "network.kind ode → residual, training.flow_matching_iterations 1000 → 0"


def test_a_longer_chain_trains_the_new_blocks_only(layout: Layout) -> None:
    commit_chain(layout, config())
    plan = make_plan(config(steps={"count": 6}), layout)
    assert [(block.index, block.reason) for block in plan.missing] == [
        (5, "not trained yet"),
        (6, "follows block 5"),
    ]


def test_a_damaged_block_and_those_after_it_are_trained_again(layout: Layout) -> None:
    chain = commit_chain(layout, config())
    (layout.block(2, chain[2]) / "weights").write_text("x")
    plan = make_plan(config(), layout, verify=True)
    assert [block.index for block in plan.missing] == [2, 3, 4]
    assert plan.missing[0].reason == "its stored files do not match their commit"


def test_replaced_blocks_move_away_and_come_back(layout: Layout) -> None:
    old = commit_chain(layout, config())
    new = commit_chain(layout, config(blocks={3: {"iterations": 7}}))
    arrange(layout, new)
    names = {path.name.split("-")[0] for path in (layout.chain / "blocks").iterdir()}
    assert names == {"0", "1", "2", "3", "4"}
    assert len(list(layout.superseded.iterdir())) == 2
    arrange(layout, old)
    assert chain_digest(layout, old) is not None


def test_measures_of_blocks_outside_the_plan_are_removed(layout: Layout) -> None:
    chain = commit_chain(layout, config())
    write_json(layout.measures(1, chain[1]), {})
    write_json(layout.measures(1, "f" * 64), {})
    arrange(layout, chain)
    assert list((layout.chain / "measures").iterdir()) == [layout.measures(1, chain[1])]


def test_a_chain_of_another_format_is_refused_in_one_sentence(layout: Layout) -> None:
    layout.chain.mkdir()
    layout.manifest.write_text('{"format": 99}')
    with pytest.raises(InputError, match=r"a chain of format 99; this version reads format 1"):
        read_manifest(layout)


DAMAGE = {
    "no settings": '{"config": {}}',
    "another type": "[1]",
    "null": "null",
    "no JSON": "not json",
    "nested deeply": "[" * 100_000,
    "empty": "",
}


@pytest.mark.parametrize("text", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_manifest_is_named_and_written_again(layout: Layout, text: str) -> None:
    chain = commit_chain(layout, config())
    layout.manifest.write_text(text)
    with pytest.raises(InputError, match=rf"{layout.manifest}: this file is damaged .* run jko resume"):
        stored_config(layout)
    assert make_plan(config(), layout).complete  # the command that made it needs no hand
    assert resumed_config(layout) == config()  # from the copy in the run folder
    assert write_manifest(config(), layout, DIGEST) == chain == required_manifest(layout).fingerprints


def test_damaged_data_are_told_from_other_data(layout: Layout) -> None:
    chain = commit_chain(layout, config())
    (layout.block(0, chain[0]) / "weights").write_text("other")
    reasons = [block.reason for block in make_plan(config(), layout, verify=True).blocks]
    assert reasons[0] == "their stored files do not match their commit"
    assert set(reasons[1:]) == {"kept if the data come out as they were"}


def test_a_lost_manifest_is_told_from_no_chain(layout: Layout) -> None:
    with pytest.raises(InputError, match="no chain there"):
        stored_config(layout)
    commit_chain(layout, config())
    layout.manifest.unlink()
    with pytest.raises(InputError, match=r"missing, and the chain's blocks are there; run jko resume"):
        stored_config(layout)
    assert resumed_config(layout) == config()
    (layout.run / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="give the command that made the chain again"):
        resumed_config(layout)


def test_settings_that_are_not_those_of_the_blocks_are_refused(layout: Layout) -> None:
    """Also where nothing is sealed, as in chains of older versions."""
    commit_chain(layout, config())
    manifest = read_json(layout.manifest)
    for seal in (True, False):
        changed = {**manifest, "config": {**manifest["config"], "solver": {"method": "euler", "steps": 8}}}
        if not seal:
            changed = {name: changed[name] for name in ("format", "config", "data_digest", "fingerprints")}
        write_json(layout.manifest, changed)
        with pytest.raises(InputError, match="damaged or was changed by hand"):
            stored_config(layout)
    unsealed = {name: manifest[name] for name in ("format", "config", "data_digest", "fingerprints")}
    write_json(layout.manifest, unsealed)
    assert stored_config(layout) == config()


def test_the_source_key_follows_the_file_content_and_not_its_path(tmp_path: Path) -> None:
    def key(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return source_key(config(data={"source": "file", "file": str(tmp_path / name)}))

    assert key("a.csv", "x\n1\n") == key("b.csv", "x\n1\n") != key("a.csv", "x\n2\n")


def test_fingerprint_of_data_is_not_that_of_a_block() -> None:
    assert data_fingerprint(DIGEST) == fingerprints(config(), DIGEST)[0]


def test_weights_to_start_from_belong_to_their_blocks_and_to_the_folder(layout: Layout) -> None:
    before = fingerprints(config(), DIGEST)
    first, second = "a" * 64, "b" * 64
    after = config(start={"weights": [first, second]})
    commit_chain(layout, config())
    changed = [block.reason for block in make_plan(after, layout).missing]
    assert changed[0] == f"start None → {first}"
    assert fingerprints(config(start={"weights": None}), DIGEST) == before
    assert fingerprints(config(start={"weights": [first]}), DIGEST)[1] == fingerprints(after, DIGEST)[1]
    layout.start(1, first).parent.mkdir()
    for k, digest in ((1, first), (2, second), (2, first)):
        layout.start(k, digest).write_text("weights")
    arrange(layout, write_manifest(after, layout, DIGEST))
    assert {path.name for path in (layout.chain / "start").iterdir()} == {
        layout.start(1, first).name, layout.start(2, second).name,
    }  # fmt: skip
    arrange(layout, write_manifest(config(), layout, DIGEST))
    assert not any((layout.chain / "start").iterdir())
