"""What is known of a chain, from its files: for people and for scripts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from pydantic import JsonValue

from jko.certify.records import GuaranteedStep
from jko.core.display import figure, pair_of
from jko.core.step_sizes import shown, stored
from jko.disk.commit import read_commit
from jko.disk.damage import damaged_places
from jko.disk.layout import Layout, name_of
from jko.disk.manifest import required_manifest, stored_config
from jko.disk.sealed import read_json
from jko.statistics.heavy import TRIM
from tasks.adapters.store.chain_store import ChainStore, chain_digest
from tasks.adapters.store.plan import block_figures
from tasks.adapters.system.terminal import say
from tasks.headline import headline, nll_warning, nll_words, stored_certificate, stored_evaluation

if TYPE_CHECKING:
    from rich.table import Table

    from flows.session import Finished, Job
    from tasks.adapters.system.screen import Screen


class BlockStatus(TypedDict):
    """A block, as ``jko status --json`` prints it; its state is ``done``, ``missing`` or ``training``."""

    index: int
    state: str
    step_size: float | None
    name: str
    weights_digest: str | None
    metrics: dict[str, JsonValue]


class OfNll(TypedDict):
    """What a test NLL is: its unit, whether it is a bound, and that as a sentence, empty for numbers."""

    unit: str
    bound: bool
    words: str


class ChainStatus(TypedDict):
    """A chain, as ``jko status --json`` prints it.

    Its state is ``complete``, ``partial``, ``running`` or ``broken``. ``damaged`` lists the files that are
    not what was committed; no figure is read from them. ``says`` are the sentences on how far data and model
    are apart. ``nll`` says whether the test NLL is of a ``density``, of a ``mass`` or ``mixed``, and whether
    it is a bound; null without one.
    """

    state: str
    digest: str | None
    blocks: list[BlockStatus]
    metrics: dict[str, float]
    nll: OfNll | None
    says: list[str]
    warnings: list[str]
    damaged: list[str]


def chain_status(layout: Layout) -> ChainStatus:
    """State, digest, blocks and figures of a chain.

    Raises:
        InputError: no chain there, or one of another format.
    """
    from tasks.adapters.store.lock import is_held

    config = stored_config(layout)
    chain = required_manifest(layout).fingerprints
    held = is_held(layout)
    blocks = [block_status(layout, k, chain[k], config.step_sizes[k - 1]) for k in range(1, len(chain))]
    missing = [block for block in blocks if block["state"] == "missing"]
    evaluated = stored_evaluation(ChainStore(config, layout, chain))
    certificate = stored_certificate(ChainStore(config, layout, chain))
    metrics = headline(evaluated) if evaluated else {}
    damaged = damaged_files_of(layout, chain, metrics)
    if held and missing:
        missing[0]["state"] = "training"
    state = "running" if held else "broken" if damaged else "partial" if missing else "complete"
    return {
        "state": state,
        "digest": chain_digest(layout, chain),
        "blocks": blocks,
        "metrics": metrics,
        "nll": None
        if evaluated is None
        else {"unit": evaluated.test.unit, "bound": evaluated.test.bound, "words": nll_words(evaluated)},
        "says": [] if certificate is None else list(certificate.chain.apart),
        "warnings": [said for said in (nll_warning(evaluated),) if said],
        "damaged": damaged,
    }


#: what stored measures hold beside figures
WORDS = ("settings", "reasons", "causes", "statuses")


def damaged_files_of(layout: Layout, chain: tuple[str, ...], metrics: Mapping[str, float]) -> list[str]:
    """Paths of all files that are not what was committed; ``metrics.json`` must repeat the evaluation."""
    found = [str(path) for path in damaged_places(layout, chain)]
    if metrics and read_json(layout.metrics) != metrics:
        found.append(str(layout.metrics))
    return found


def block_status(layout: Layout, k: int, fingerprint: str, step_size: float) -> BlockStatus:
    """One block's entry."""
    commit = read_commit(layout.block(k, fingerprint), verify=True)
    if commit is not None and commit.fingerprint != fingerprint:
        commit = None  # another block in its place
    measured = block_figures(layout, k, fingerprint)
    metrics = {} if measured is None else measured.plain()
    return {
        "index": k,
        "state": "done" if commit else "missing",
        "step_size": stored(step_size),
        "name": name_of(k, fingerprint),
        "weights_digest": commit.files["weights.safetensors"] if commit else None,
        "metrics": {key: value for key, value in metrics.items() if key not in WORDS},
    }


def status_table(layout: Layout, found: ChainStatus) -> None:
    """Print a chain's status for people."""
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    console = screen()
    table = Table(title=f"{layout.chain}: {found['state']}", title_justify="left")
    for name in (
        "block",
        "state",
        "γ",
        "KL drop, nats",
        "NLL, nats",
        "movement",
        "round trip",
        "ε",
        "KL ≤, nats",
    ):
        table.add_column(name, justify="left" if name == "state" else "right")
    for block in found["blocks"]:
        cells = [str(block["index"]), block["state"], shown(block["step_size"])]
        if block["metrics"]:
            figures = GuaranteedStep.model_validate(block["metrics"])
            cells += [
                figure(figures.kl_drop, ".3f"), pair_of(figures, "nll"),
                figure(figures.movement, ".3f"), figure(figures.inversion_error, ".1e"),
                figure(figures.best_epsilon), figures.bound_text,
            ]  # fmt: skip
        table.add_row(*cells)
    console.print(table)
    for why in why_missing(found["blocks"]):
        console.print(why, soft_wrap=True, markup=False)
    for key, value in found["metrics"].items():
        console.print(f"{key:28s} {figure(value, '.6g')}")
    words_of_nll = [found["nll"]["words"]] if found["nll"] and found["nll"]["words"] else []
    for said in (*words_of_nll, *found["says"], *found["warnings"]):
        console.print(said, soft_wrap=True, markup=False)
    if words := fresh_words(found["metrics"]):
        console.print(words, soft_wrap=True, markup=False)
    if found["digest"]:
        console.print(f"{'digest':28s} {found['digest'][:16]}")
    for path in found["damaged"]:
        console.print(f"damaged: {path}", markup=False, soft_wrap=True)
    if found["damaged"]:
        way = f"jko resume {shlex.quote(str(layout.chain))}"
        console.print(f"no figure is read from these files; {way} makes them again", markup=False)


def why_missing(blocks: Sequence[BlockStatus]) -> list[str]:
    """Sentences on the dashes of a table: why blocks have no ε and no bound, every reason once."""
    found: dict[str, list[str]] = {}
    for block in blocks:
        if not block["metrics"]:
            continue
        figures = GuaranteedStep.model_validate(block["metrics"])
        if figures.best_epsilon is None and figures.epsilon_reason:
            found.setdefault(f"no ε: {figures.epsilon_reason}", []).append(str(block["index"]))
    return [f"block {', '.join(which)}: {why}" for why, which in found.items()]


def fresh_words(metrics: Mapping[str, float]) -> str:
    """A sentence on made-up rows that the blocks score far below a Gaussian mixture; empty without any."""
    below = metrics.get("fresh/below", 0)
    if not below:
        return ""
    return (
        f"warning: the blocks score {below:.0f} of {metrics['fresh/rows']:.0f} rows made of training rows "
        f"more than {metrics['fresh/limit']:g} nats below a Gaussian mixture: a low score of such a row is "
        "no sign of an anomaly by itself; the report lists the worst"
    )


def result_table(job: Job, finished: Finished) -> None:
    """Print the short table that ends a run, the report and the next commands."""
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    figures = finished.metrics
    console = screen()
    if "target/log_z" in figures:
        console.print(target_table(figures))
        _show_next(console, job, finished)
        return
    chain = required_manifest(job.layout).fingerprints
    store = ChainStore(job.config, job.layout, chain)
    certificate = stored_certificate(store)
    for said in () if certificate is None else certificate.chain.apart:
        console.print(said, soft_wrap=True, markup=False, style="bold")
    table = Table(show_header=True, title=None)
    table.add_column("on held-out test rows")
    table.add_column("nats (± one SE)", justify="right")
    evaluated = stored_evaluation(store)
    table.add_row("NLL of the chain", pair_of(figures, "test/nll"))
    if "test/nll_draws" in figures:
        table.add_row("  by several draws of noise", pair_of(figures, "test/nll_draws"))
    for label, cell in beside_mean(figures):
        table.add_row(f"  {label}", cell)
    if "test/gap_to_entropy" in figures:
        gap = pair_of(figures, "test/gap_to_entropy")
        table.add_row("gap to the data entropy", gap)
    table.add_row("NLL of a Gaussian mixture", figure(figures.get("test/nll_mixture"), ".3f"))
    table.add_row("NLL of one Gaussian", figure(figures.get("test/nll_gaussian"), ".3f"))
    console.print(table)
    for said in filter(None, (nll_words(evaluated), nll_warning(evaluated))):
        console.print(said, soft_wrap=True, markup=False)
    if words := fresh_words(figures):
        console.print(words, soft_wrap=True, markup=False)
    _show_next(console, job, finished)


def beside_mean(figures: Mapping[str, float]) -> list[tuple[str, str]]:
    """What stands beside a mean NLL, so that one row cannot pass for all: labels and cells."""
    if "test/nll_median" not in figures:  # of an earlier version
        return []
    share = figures.get("test/nll_worst_share")
    return [
        ("median", pair_of(figures, "test/nll_median")),
        (f"without {100 * TRIM:g} % at each end", pair_of(figures, "test/nll_trimmed")),
        ("worst row's share of SE²", "–" if share is None else f"{100 * share:.1f} %"),
    ]


def target_table(figures: Mapping[str, float]) -> Table:
    """How well the samples of a chain stand for an unnormalised target."""
    from rich.table import Table

    table = Table("samples against the target", show_header=True)
    table.add_column("± one SE", justify="right")
    known = (
        f"; known: {figure(figures['target/log_z_known'], '.3f')}" if "target/log_z_known" in figures else ""
    )
    table.add_row(f"log Z, nats{known}", _with_se(figures, "log_z", ".3f"))
    table.add_row("effective sample size, share", figure(figures["target/effective_share"], ".3f"))
    for label, name in (
        ("squared energy distance to exact samples", "energy_distance"),
        ("  after drawing again by weight", "corrected"),
        ("  exact samples among themselves", "exact"),
    ):
        if f"target/{name}" in figures:
            table.add_row(label, _with_se(figures, name, ".2e"))
    if known:
        gap = pair_of(figures, "test/gap_to_entropy")
        table.add_row("KL(samples ‖ target), nats, on test rows", gap)
    return table


def _with_se(figures: Mapping[str, float], name: str, form: str) -> str:
    return pair_of(figures, f"target/{name}", form, ".1g")


def _show_next(console: Screen, job: Job, finished: Finished) -> None:
    """Round trip, digest, report and the commands to try."""
    figures = finished.metrics
    console.print(
        f"round trip of the whole chain {figure(figures['inversion_error_chain'], '.1e')} "
        "(standardised units)"
    )
    console.print(f"digest {finished.digest[:16]}")
    console.print(f"report {finished.report}")
    chain = shlex.quote(str(job.layout.chain))
    say("\ntry next:")
    say(f"  jko status {chain}")
    say(f"  jko sample {chain} -n 1000 -o samples.csv")
    say(f"  jko score {chain} FILE.csv -o scores.csv")
