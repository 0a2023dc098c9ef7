"""The record of a run: all that a comparison needs, from a chain's files or from what MLflow keeps of them.

A run keeps its record, so that it can be compared after its chain was retrained, moved or deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import JsonValue

from jko.certify.certificates import Bound
from jko.certify.records import Certificate, Measured
from jko.certify.status import Status
from jko.config import flattened
from jko.core import records
from jko.core.display import figure, pair_of
from jko.core.errors import InputError
from jko.core.plain import Json
from jko.disk.commit import FACTS, file_digest, read_commit
from jko.disk.damage import checked_block, damaged_in
from jko.disk.durable import append_lines, write_bytes
from jko.disk.identity import certificate_fingerprint, evaluation_fingerprint
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.sealed import (
    SEAL,
    model_of,
    read_json,
    read_model,
    read_models,
    read_sealed,
    read_verified,
    sealed_line,
    write_json,
    write_sealed,
)
from jko.disk.stored_facts import StoredFacts
from tasks.adapters.store.chain_store import chain_digest
from tasks.adapters.store.evaluated import (
    FIGURES,
    SAMPLE_ROWS,
    TEST_ROWS,
    EvaluationFigures,
    evaluation_figures,
    evaluation_files,
)
from tasks.adapters.store.plan import block_figures
from tasks.adapters.system.events import StepDone, events_of, read_events, times_of
from tasks.headline import chain_headline, headline, nll_warning, step_headline

if TYPE_CHECKING:
    from tasks.adapters.mlflow.tracking import Tracker

#: MLflow's folder of a run's record
RECORD = "record"
ABOUT, MEASURES, CERTIFICATE, EVENTS = "about.json", "measures.json", "certificate.json", "events.jsonl"
#: files of a record beside those of :data:`ABOUT` and the events
PARTS = (MEASURES, FIGURES, CERTIFICATE, TEST_ROWS, SAMPLE_ROWS)


class About(records.Record):
    """What a run is.

    Args:
        state: ``complete`` or ``partial``.
        blocks: how many are done.
        planned: of how many; in words where that is not known.
        digest: of the chain; empty while it is unfinished.
        data: name of the data.
        data_digest: identity of the prepared data.
        columns: of the data.
        image_shape: of rows that are pictures.
        entropy: of the data, where it is known, and the constant of a target is, too.
        config: nested settings.
        holds: digests of the other files of the record; a list of their names in early versions.
    """

    state: str
    blocks: records.Count = 0
    planned: int | str
    digest: str
    data: str
    data_digest: str
    columns: list[str]
    image_shape: tuple[int, int] | None
    entropy: dict[str, records.Number] | None
    config: dict[str, JsonValue]
    holds: dict[str, str] | list[str] | None = None


@dataclass(frozen=True)
class Record:
    """What is known of a run, finished or not.

    Args:
        about: what it is.
        measures: all figures of blocks 1..k, in order.
        figures: of the evaluation; ``None`` before it.
        certificate: content of ``DIR.certificate.json``; ``None`` before it.
        events: what each step cost.
        test_rows: row numbers and log-densities of the test rows.
        sample_rows: some generated and test rows, data units, by ``part``.
        tracked: metrics known from MLflow alone, where files are missing.
    """

    about: About
    measures: list[Measured] = field(default_factory=list)
    figures: EvaluationFigures | None = None
    certificate: Certificate | None = None
    events: list[StepDone] = field(default_factory=list)
    test_rows: pd.DataFrame | None = None
    sample_rows: pd.DataFrame | None = None
    tracked: Mapping[str, float] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, object]:
        """All settings by dotted name."""
        return flattened(self.about.config)

    @property
    def test_digest(self) -> str:
        """Identity of the test rows; empty where it is not known."""
        return "" if self.figures is None else self.figures.test_digest

    @property
    def metrics(self) -> dict[str, float]:
        """Flat figures under the names that MLflow shows; ``step/<name>`` is that of the last block."""
        found: dict[str, float | None] = dict(self.tracked)
        if self.measures:
            last = step_headline(self.measures[-1], self.about.entropy)
            found |= {f"step/{name}": value for name, value in last.items()}
            found |= {"step/kl_drop_se": self.measures[-1].kl_drop_se}
        if self.certificate:
            whole = self.certificate.chain
            found |= chain_headline(self.certificate)
            found |= {f"chain/{name}": whole.figure(name) for name in ("kl_lower_bound_se", "kl_measured_se")}
        found |= headline(self.figures) if self.figures else {}
        found |= times_of(self.events, len(self.measures))
        return {name: value for name, value in found.items() if value is not None}

    @property
    def steps(self) -> pd.DataFrame:
        """Numeric figures by JKO step (index, 1..k); ``epsilon`` from the exact score where known."""
        rows = [
            {
                **{
                    name: value
                    for name, value in sorted(own.plain().items())
                    if isinstance(value, int | float)
                },
                **step_headline(own, self.about.entropy),
            }
            for own in self.measures
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="step"), dtype=float)


def record_of_chain(layout: Layout) -> Record:
    """The record of a chain from its files; of the committed leading blocks if it is unfinished.

    An evaluation or certificate of other blocks is left out.

    Raises:
        InputError: no chain there, or its data or a block of it is damaged.
    """
    config = stored_config(layout)
    manifest = required_manifest(layout)
    chain = manifest.fingerprints
    for k, fingerprint in enumerate(chain):
        for path in damaged_in(layout.block(k, fingerprint), fingerprint):
            raise InputError(
                f"{path}: this file of block {k} is damaged or missing; run jko resume {layout.chain}"
            )
    measures = []
    for k, fingerprint in enumerate(chain[1:], start=1):
        own = block_figures(layout, k, fingerprint)
        if own is None or read_commit(layout.block(k, fingerprint)) is None:
            break
        measures.append(own)
    digest = chain_digest(layout, chain)
    path = checked_block(layout, 0, chain[0], FACTS) / FACTS
    facts = model_of(StoredFacts, read_verified(path))
    if facts is None:
        raise InputError(f"{path}: this holds no facts of the data")
    about = About(
        state="complete" if digest else "partial",
        blocks=len(measures),
        planned=len(chain) - 1,
        digest=digest or "",
        data=facts.name,
        data_digest=manifest.data_digest,
        columns=list(facts.columns),
        image_shape=facts.image_shape,
        entropy=facts.entropy if config.target.normalised else None,
        config=manifest.config,
    )
    record = Record(about, measures, events=events_of(layout, chain))
    if digest is None:
        return record
    folder = evaluation_files(layout, evaluation_fingerprint(config, digest))
    return Record(
        about, measures,
        figures=evaluation_figures(layout, evaluation_fingerprint(config, digest)),
        certificate=read_sealed(layout.certificate, Certificate, certificate_fingerprint(config, digest)),
        events=record.events,
        test_rows=read_table(folder / TEST_ROWS) if folder else None,
        sample_rows=read_table(folder / SAMPLE_ROWS) if folder else None,
    )  # fmt: skip


def save_record(record: Record, folder: Path) -> None:
    """Write a record as files; :data:`ABOUT` names them with their digests: no others are read."""
    values: dict[str, Json] = {MEASURES: [own.plain() for own in record.measures]}
    for name, part in ((FIGURES, record.figures), (CERTIFICATE, record.certificate)):
        if part is not None:
            values[name] = part.plain()
    tables = {TEST_ROWS: record.test_rows, SAMPLE_ROWS: record.sample_rows}
    held = [*values, *(name for name, table in tables.items() if table is not None)]
    for name, value in values.items():
        write_json(folder / name, value)
    for name, table in tables.items():
        if table is not None:
            write_bytes(folder / name, table.to_parquet(index=False))
    append_lines(folder / EVENTS, [sealed_line(asdict(event)) for event in record.events])
    digests = {name: file_digest(folder / name) for name in [*held, EVENTS]}
    write_sealed(folder / ABOUT, record.about.model_copy(update={"holds": digests}), identity=RECORD)


def read_record(folder: Path) -> Record | None:
    """A record from its files; ``None`` where there is none, or where one of them was changed."""
    values = read_json(folder / ABOUT)
    sealed = isinstance(values, dict) and SEAL in values
    about = read_sealed(folder / ABOUT, About, RECORD) if sealed else model_of(About, values)
    if about is None:
        return None
    holds = about.holds
    held = {name: folder / name for name in (*PARTS, EVENTS) if name in (holds or ())}
    if isinstance(holds, dict):  # older records are lists without digests
        for name, path in held.items():
            if not path.is_file() or file_digest(path) != holds[name]:
                return None
    return Record(
        about,
        measures=read_models(held[MEASURES], Measured) if MEASURES in held else [],
        figures=read_model(held[FIGURES], EvaluationFigures) if FIGURES in held else None,
        certificate=read_model(held[CERTIFICATE], Certificate) if CERTIFICATE in held else None,
        events=read_events(held[EVENTS]) if EVENTS in held else [],
        test_rows=read_table(held[TEST_ROWS]) if TEST_ROWS in held else None,
        sample_rows=read_table(held[SAMPLE_ROWS]) if SAMPLE_ROWS in held else None,
    )


def read_table(path: Path) -> pd.DataFrame | None:
    """A Parquet table, or ``None`` where it was not kept."""
    return pd.read_parquet(path) if path.is_file() else None


def track_record(tracker: Tracker, layout: Layout) -> None:
    """Keep the record of a chain as it is now with its tracked run."""
    tracker.made(partial(_save_chain, tracker, layout), RECORD)


def _save_chain(tracker: Tracker, layout: Layout, folder: Path) -> None:
    record = record_of_chain(layout)
    save_record(record, folder)
    tracker.final(times_of(record.events, len(record.measures)))
    tracker.tag("jko.blocks", f"{record.about.blocks}/{record.about.planned}")
    if record.certificate:
        tracker.tag("jko.kl_status", kl_status(record.certificate))
    tracker.tag("mlflow.note.content", _description(record))


def kl_status(certificate: Certificate) -> str:
    """How the chain's smallest certificate is known, a word of :class:`jko.certify.status.Status`."""
    whole = certificate.chain
    return str(
        whole.best.status if isinstance(whole.best, Bound) else whole.statuses.get("kl_bound", Status.UNKNOWN)
    )


def _description(record: Record) -> str:
    """What MLflow's page of the run says first."""
    about, metrics = record.about, record.metrics
    parts = [f"{about.blocks} of {about.planned} JKO blocks on {about.data}"]
    if "test/nll" in metrics:
        median = pair_of(metrics, "test/nll_median", ".4f", ".2g")
        beside = f" (median {median})" if "test/nll_median" in metrics else ""
        parts.append(f"test NLL {pair_of(metrics, 'test/nll', '.4f', '.2g')} nats{beside}")
    if "chain/kl_bound" in metrics:
        parts.append(f"KL ≤ {figure(metrics['chain/kl_bound'])} nats")
    if "chain/kl_estimate" in metrics:
        parts.append(f"KL ≲ {figure(metrics['chain/kl_estimate'])} nats (a critic's estimate, no bound)")
    if said := nll_warning(record.figures):
        parts.append(said)
    files = f"`{RECORD}/` among the artifacts holds all figures by block and of every test row"
    return "; ".join(parts) + f".\n\n{files}" + (", `report/` the page." if record.figures else ".")
