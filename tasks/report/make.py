"""Write the report: one self-contained page and its pictures as PNG."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import matplotlib
from prefect import State, task

from jko.certify.certificates import Withheld
from jko.certify.records import Measured
from jko.core.display import figure, finite, pair_of
from jko.core.step_sizes import shown
from jko.disk.commit import committing
from jko.disk.damage import is_whole
from jko.statistics.heavy import TRIM
from tasks.adapters.store.chain_store import ChainStore
from tasks.adapters.store.evaluated import EvaluationFigures, MeanNll, TargetFigures
from tasks.headline import nll_warning, nll_words
from tasks.options import DURABLE, skipped
from tasks.report import pictures
from tasks.report.claims import panel_of
from tasks.report.content import Content, read_content
from tasks.report.drawing import STYLE, data_uri, page, png
from tasks.report.fresh import fresh_panel
from tasks.report.guarantee import guarantee
from tasks.report.identity import report_fingerprint, settings_of
from tasks.report.labels import LEGEND, number
from tasks.report.resolution import pairs, resolution
from tasks.report.table.of_chain import section_of
from tasks.report.table.shown import ShownTable, shown_table
from tasks.report.worst import worst

PAGE = "report.html"
#: the pictures, each in a file of its name
DRAWN = (
    pictures.samples, resolution, pairs, worst, guarantee, pictures.path, pictures.progress,
    pictures.training,
)  # fmt: skip
SHOWN_VERSIONS = ("torch", "numpy", "prefect", "mlflow", "dvc", "zarr")


@task(name="report", **DURABLE)
def make_report(store: ChainStore) -> str | State[str]:
    """Commit the report folder; returns the page's path."""
    fingerprint = report_fingerprint(store)
    if is_whole(store.layout.report, fingerprint):
        return skipped("the report matches the evaluation", str(store.layout.report / PAGE))
    content = read_content(store)
    with committing(store.layout.report, fingerprint, {}) as folder:
        images, table = write_pictures(folder, content), write_table(folder, content)
        (folder / PAGE).write_text(render(content, images, table))
    return str(store.layout.report / PAGE)


def write_pictures(folder: Path, content: Content) -> dict[str, str | None]:
    """Write the PNGs; returns them as data URIs by name."""
    images: dict[str, str | None] = {}
    with matplotlib.rc_context(STYLE):
        for draw in DRAWN:
            figure = draw(content)
            images[draw.__name__] = None
            if figure is not None:
                picture = png(figure)
                (folder / f"{draw.__name__}.png").write_bytes(picture)
                images[draw.__name__] = data_uri(picture)
    return images


def write_table(folder: Path, content: Content) -> ShownTable | None:
    """Write the pictures of the table's columns and pairs; ``None`` where there are none."""
    with matplotlib.rc_context(STYLE):
        section = section_of(content)
        return None if section is None else shown_table(section, content.shown_as, folder=folder)


def render(content: Content, images: dict[str, str | None], table: ShownTable | None = None) -> str:
    """The page as HTML."""
    figures = content.figures
    models = [
        ("JKO chain", figures.test),
        ("Gaussian mixture", figures.baselines.mixture),
        ("Gaussian", figures.baselines.gaussian),
    ]
    values: dict[str, Any] = {
        "facts": content.facts, "steps": content.steps, "figures": figures, "digest": content.digest,
        "models": models, "cards": cards(content), "pictures": images, "versions": versions(),
        "warning": nll_warning(figures), "trim": TRIM, "nll_words": nll_words(figures),
        "brackets": content.certificate.chain.bracket, "apart": content.certificate.chain.apart,
        "measured_on": content.measured_on,
        "step_text": shown, "figure": figure, "pair_of": pair_of,
        "panel": panel_of(content.certificate, content.facts.entropy), "legend": LEGEND,
        "table": table, "settings": settings_of(content.config), "fresh": fresh_panel(figures, content.facts),
    }  # fmt: skip
    return page("page.html.j2", Path(__file__).parent, values)


def cards(content: Content) -> list[dict[str, str]]:
    """The headline figures."""
    test, steps, trip = content.figures.test, content.steps, content.figures.inversion_error_chain
    gaussian = content.figures.baselines.gaussian.nll
    gain = None if gaussian is None else gaussian - test.nll
    found = [
        {"value": pair_of(test, "nll"), "label": "test NLL, nats (± one SE)"},
        {"value": figure(gain, "+.3f"), "label": "nats better than one Gaussian"},
        {"value": figure(sum(map(removed, steps)), ".3f"), "label": "KL removed by the chain, nats"},
        {"value": figure(trip, ".1e"), "label": "round trip of the chain"},
        *target_cards(content),
    ]  # fmt: skip
    found.insert(1, bound_card(content))
    if test.nll_median is not None:
        found.insert(1, beside_card(test))
    if test.gap_to_entropy is not None:
        gap = pair_of(test, "gap_to_entropy")
        found.insert(1, {"value": gap, "label": f"{gap_words(content.figures.target)}, nats"})
    return found


def beside_card(test: MeanNll) -> dict[str, str]:
    """Median and trimmed mean, which no single row moves, and how much one row is of the mean's error."""
    share = figure(percent(test.nll_worst_share), ".0f")
    trimmed = figure(test.nll_trimmed, ".3f")
    label = (
        f"median of −log q over test rows, nats; without {100 * TRIM:g} % at each end the mean is {trimmed}; "
        f"the worst row is {share} % of the squared error of the mean"
    )
    return {"value": pair_of(test, "nll_median"), "label": label}


def gap_words(target: TargetFigures | None) -> str:
    """What the difference between NLL and the entropy of p_0 is: where log Z is unknown, it is part of it."""
    if target is None or not target.model_fields_set:
        return "gap to the data entropy"
    return "KL to the target" + (" − log Z" if target.log_z_known is None else "")


def removed(step: Measured) -> float:
    """KL that a block removed, and its correction if it has one, nats."""
    return step.kl_drop + (step.kl_drop_correction or 0.0)


def target_cards(content: Content) -> list[dict[str, str]]:
    """How the samples are: against the training rows, or against an unnormalised target."""
    found = content.figures.target
    if found is None:
        return copied_cards(content.figures)
    if not found.model_fields_set:
        return []
    known = "" if found.log_z_known is None else f" (known: {figure(found.log_z_known, '.3f')})"
    cards = [
        {"value": pair_of(found, "log_z", ".3f", ".2g"), "label": f"log Z, nats{known}"},
        {
            "value": f"{figure(percent(found.effective_share), '.1f')} %",
            "label": "effective sample size, of the rows",
        },
    ]
    if found.energy_distance is not None:
        value = pair_of(found, "energy_distance", ".2g", ".1g")
        cards.append({"value": value, "label": "squared energy distance to exact samples"})
    return cards


def copied_cards(figures: EvaluationFigures) -> list[dict[str, str]]:
    """Whether the samples are copies of training rows."""
    share, usual = figures.copied_share, figures.copied_share_test
    cards = []
    if share is not None and usual is not None:
        error = figure(percent(figures.copied_share_se), ".1f")
        words = f"of the samples as near to a training row as {figure(100 * usual)} % of the test rows are"
        cards.append({"value": f"{figure(100 * share, '.1f')} ± {error} %", "label": words})
    if finite(figures.nearest_training_row):
        ratio = figure(figures.nearest_training_row, ".2f")
        words = "distance to nearest training row, samples over test rows (medians, standardised)"
        cards.append({"value": ratio, "label": words})
    return cards


def percent(share: float | None) -> float | None:
    """A share in percent."""
    return None if share is None else 100 * share


def bound_card(content: Content) -> dict[str, str]:
    """The chain's KL bound, or a critic's estimate of it, and how it is known."""
    bound = content.certificate.chain.best
    if isinstance(bound, Withheld):
        return {"value": "no bound", "label": "on the KL divergence holds; the reason is below"}
    if bound.status.sure:
        return {"value": f"≤ {number(bound.value)}", "label": f"bound on KL, nats ({bound.status})"}
    return {"value": f"≲ {number(bound.value)}", "label": "estimate of a bound on KL, nats (from below)"}


def versions() -> str:
    """Versions of the libraries that the numbers depend on."""
    return " · ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN_VERSIONS)
