"""A law and a seed: a chain by the project's defaults and the best mixture, both judged on fresh rows."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cell import ROOM
from benchmarks.generators import GENERATORS, drawn
from benchmarks.sets import SETS
from benchmarks.watched import said
from flows.settings import build_request
from jko.config import NUMERICS, Config
from jko.config.data_section import AUTO_COPIES
from jko.core.digest import digest_of
from jko.disk.commit import file_digest
from jko.laws.densities import Array
from jko.presets import read_preset
from tasks.adapters.store.evaluated import FIGURES

#: what is reported
REPORTED = tuple(name for name in GENERATORS if SETS[name].reported)
#: components of the mixtures, and how they are fitted; copies of rows join them up to so many rows
MIXTURE: Mapping[str, Any] = {
    "components": (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40),
    "ridges": {"table": (1e-6, 1e-3, 1e-2, 1e-1)},
    "rows": 10_000,
    "iterations": 100,
}
#: CPU seconds for all mixtures of a seed
MIXTURE_SECONDS = 300.0
#: whose source the figures of a part depend on
COMMON = ("generators.py", "evaluate.py", "problem.py", "problems.py", "preparation.py")
SOURCES = {"chain": COMMON[:1], "mixture": (*COMMON, "methods/mixture.py")}
#: raised when a part is computed in another way
EDITION = 2


@dataclass(frozen=True)
class Case:
    """One law and one seed.

    Args:
        generator: name of the law.
        seed: of the rows, the chain and the mixture.
        rows: to train, validate and test.
        fresh: rows drawn anew.
        settings: ``key=value`` texts that change the defaults; none for the bars.
    """

    generator: str
    seed: int
    rows: int = 2100
    fresh: int = 5000
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its file's name without the ending."""
        mark = f"-{digest_of(list(self.settings))[:8]}" if self.settings else ""
        return f"fresh-{self.generator}-{self.seed}-{self.rows}-{self.fresh}{mark}"

    @property
    def table(self) -> Array:
        """Rows to train, validate and test."""
        return drawn(self.generator, self.rows, self.seed, "rows")

    @property
    def new(self) -> Array:
        """Rows that nothing was fitted to, independent of the others."""
        return drawn(self.generator, self.fresh, self.seed, "fresh")


def fingerprints(case: Case) -> dict[str, str]:
    """Identity of what each part depends on, by its name: code, numerics and the presets of tables."""
    sources = {part: {name: file_digest(ROOM / name) for name in names} for part, names in SOURCES.items()}
    presets = [read_preset(name) for name in ("tabular", "digits")]
    common: dict[str, Any] = {"case": asdict(case), "edition": EDITION}
    copies = settings_of(case).data.augment.model_dump()
    return {
        "chain": digest_of({**common, "sources": sources["chain"], "presets": presets, "numerics": NUMERICS}),
        "mixture": digest_of({**common, "sources": sources["mixture"], "copies": copies}),
    }


def settings_of(case: Case) -> Config:
    """The settings of a case's chain."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write(folder, case, "rows", case.table)
        return build_request(
            folder, file=str(folder / "rows.csv"), assignments=case.settings, seed=case.seed
        ).config


def _write(folder: Path, case: Case, name: str, rows: Array) -> None:
    (folder / "dvc.yaml").write_text("stages: {}\n")
    columns = list(GENERATORS[case.generator].columns)
    pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)


def chain_part(case: Case) -> dict[str, Any]:
    """Train a chain and score fresh rows with it, as the project scores a file."""
    with tempfile.TemporaryDirectory() as folder:
        ours, test = trained(case, Path(folder))
    return {"ours": summary(ours), "test": test}


def mixture_part(case: Case) -> dict[str, Any]:
    """The same fresh rows under the best mixture."""
    return {"mixture": summary(mixture(case, settings_of(case)))}


def trained(case: Case, folder: Path) -> tuple[Array, dict[str, float]]:
    """What a user does: train on a file, then score another.

    Returns:
        NLL of every fresh row in nats, infinite where there is none; NLL on the test rows with its standard
        error.
    """
    _write(folder, case, "rows", case.table)
    _write(folder, case, "fresh", case.new)
    chosen = [word for text in case.settings for word in ("--set", text)]
    said(folder, "train", "--data", "rows.csv", "--chain", "chain", "--seed", str(case.seed), *chosen)
    said(folder, "score", "chain", "fresh.csv", "-o", "scores.csv")
    scores = pd.read_csv(folder / "scores.csv")["log_density"].to_numpy(dtype=float)
    metrics = json.loads((folder / "chain.evaluation" / FIGURES).read_text())["test"]
    test = {"nll": float(metrics["nll"]), "nll_se": float(metrics["nll_se"])}
    return np.where(np.isnan(scores), np.inf, -scores), test


def mixture(case: Case, config: Config) -> Array:
    """NLL of every fresh row under the mixture that is the best on validation rows, nats, data units.

    It is fitted to the rows that the chain has: the same split and noise, only standardised, and to them with
    the copies that the chain may have.
    """
    from benchmarks.budget import Budget
    from benchmarks.evaluate import Track, fresh_scores
    from benchmarks.methods.mixture import fit
    from benchmarks.preparation import Chosen
    from benchmarks.problems import table_problem
    from jko.preparation.table import Table

    table = Table(case.generator, case.table, GENERATORS[case.generator].columns)
    copies = config.data.augment.copies
    chosen = Chosen("on", AUTO_COPIES if copies == "auto" else copies)
    problem = table_problem(case.generator, table, case.seed, chosen=chosen)
    budget = Budget(MIXTURE_SECONDS)
    density = fit(problem, budget, MIXTURE, case.seed, Track(problem, Budget(0.0)))
    return -fresh_scores(problem, density, case.new, case.seed)


def summary(nll: Array) -> dict[str, float | None]:
    """Mean, its standard error, median and the worst of NLLs, nats; ``None`` where they are not finite."""
    found = {
        "nll": float(nll.mean()),
        "nll_se": float(np.std(nll, ddof=1)) / math.sqrt(len(nll)) if np.isfinite(nll).all() else math.inf,
        "median": float(np.median(nll)),
        "worst": float(nll.max()),
    }
    return {name: value if math.isfinite(value) else None for name, value in found.items()}
