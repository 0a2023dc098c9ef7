"""Commands that say what a chain guarantees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.commands import Command
from flows.cli.kinds import CHAIN
from flows.places import chain_at, project_root
from jko.certify.certificates import Bound
from jko.certify.records import Certificate, CertifiedBlock
from jko.certify.resolution import Bracket
from jko.certify.status import LEGEND, Status
from jko.core.display import figure, pair_of
from jko.core.step_sizes import shown
from jko.disk.damage import well_formed
from jko.disk.layout import Layout
from jko.disk.manifest import required_manifest
from tasks.adapters.system.terminal import say

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (
    "block", "γ", "ε² ± SE", "by", "κ", "sym ∇T ≻ 0", "movement", "KL drop", "KL ≤ (A)", "(B)", "(C)",
    "inverse error",
)  # fmt: skip


@click.command(cls=Command, example="jko certify data/chain")
@click.argument("chain", type=CHAIN, metavar="DIR")
@click.option(
    "--pairing", type=click.Choice(["block", "emd", "affine"]), help="Of ε; default: the chain's setting."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def certify(chain: Path, pairing: str | None, as_json: bool) -> None:
    """Show what a chain guarantees, and on what it rests.

    Also which of its figures are only estimates, and why others are not there.
    """
    from flows.views.certify import certificate_of

    layout = chain_at(chain, project_root())
    with well_formed(layout):
        found = certificate_of(layout, pairing)
        say(json.dumps(found.plain(), indent=1)) if as_json else show(layout, found)


def show(layout: Layout, found: Certificate) -> None:
    """Print a certificate for people."""
    from rich.table import Table

    from tasks.adapters.system.screen import screen

    console, whole = screen(), found.chain
    count = len(required_manifest(layout).fingerprints) - 1
    part = "" if whole.steps == count else f" of {count}"
    blocks = Table(title=f"{layout.chain}: {whole.steps}{part} blocks", title_justify="left")
    for name in COLUMNS:
        blocks.add_column(name, justify="right")
    for block in found.blocks:
        positive = "yes" if block.symmetric_part_positive else "no"
        names = ("movement", "kl_drop", "certificate_a", "certificate_b", "certificate_c",
                 "inversion_error_reference")  # fmt: skip
        blocks.add_row(
            str(block.index), shown(block.step_size), *epsilon_squared(block),
            figure(block.kappa), positive, *(figure(block.figure(name)) for name in names),
        )  # fmt: skip
    console.print(blocks)
    chain = Table("the chain", "", "known how", "why not", title_justify="left")
    said: set[str] = set()
    for label, name in ROWS:
        bound = whole.bound(name)
        if isinstance(bound, Bound):
            chain.add_row(label, figure(bound.value), bound.status, "")
            continue
        why = "for the same reason" if bound.reason in said else bound.reason
        chain.add_row(label, figure(None), "", why)
        said |= {bound.reason} - {""}
    test, interval = whole.two_sample, whole.entropy_interval
    if test:
        chain.add_row(
            "two-sample test of p_N against the law it leads to", f"p = {figure(test.p)}", Status.MEASURED,
            f"energy distance {figure(test.statistic)}, 95 % null quantile "
            f"{figure(test.null_quantile)}, {test.rows} rows",
        )  # fmt: skip
    chain.add_row("entropy of the data, nats", f"{figure(interval[0])} … {figure(interval[1])}",
                  whole.statuses.get("entropy_interval", ""),
                  whole.reasons.get("entropy_interval", ""))  # fmt: skip
    if (above := whole.above) and above.width:
        chain.add_row("KL ≤, Fisher information from above (no critic)", figure(above.kl_bound),
                      Status.MEASURED, above.says(found.blocks[-1].epsilon_squared))  # fmt: skip
    if z := whole.evidence:
        chain.add_row("log Z of the target, nats (± 2 SE)", f"{figure(z.lower_end, '.3f')} … "
                      f"{figure(z.upper_end, '.3f')}", z.status, z.reason)  # fmt: skip
    console.print(chain)
    if whole.bracket:
        console.print(bracket_table(whole.bracket))
    console.print("rests on:")
    for item in whole.assumptions:
        status = item.status
        how = "" if item.how == status else f": {item.how}"
        console.print(f"  {status.mark} {item.name} ({status}){how}", soft_wrap=True)
    console.print(f"  {LEGEND}", soft_wrap=True)
    if whole.stopped:
        console.print(f"the chain ended by its stop rule: {whole.stopped}")
    console.print(whole.mixed.says, soft_wrap=True)
    for words in whole.apart:
        console.print(words, soft_wrap=True)


def bracket_table(brackets: Sequence[Bracket]) -> Table:
    """The bracket on KL at every resolution."""
    from rich.table import Table

    table = Table(title="KL of data and model by resolution, nats, from test rows", title_justify="left")
    for name in ("resolution", "≥, 95 %", "L ± SE", "U ± SE", "≤, 95 %"):
        table.add_column(name, justify="right")
    for one in brackets:
        table.add_row(
            f"{one.resolution:g}", figure(one.at_least), pair_of(one, "lower", ".3g"),
            pair_of(one, "upper", ".3g"), figure(one.at_most),
        )  # fmt: skip
    return table


def epsilon_squared(block: CertifiedBlock) -> tuple[str, str]:
    """The ε² that the certificates use, and how it was found."""
    from tasks.report.labels import epsilon_of

    name, how, _ = epsilon_of(block)
    return pair_of(block, name, ".3g"), how


ROWS = (
    ("KL(p_N ‖ reference) ≤, theorem (A), nats", "certificate_a"),
    ("  ≤, sharp recursion (B)", "certificate_b"),
    ("  ≤, log-Sobolev (C)", "certificate_c"),
    ("  ≤, (C) sharpened by HWI", "certificate_c_hwi"),
    ("  ≤, (C) propagated through KL drops", "certificate_c_propagated"),
    ("  ≤, (C) by the triangle inequality", "certificate_c_triangle"),
    ("  ≥, classifier or mixture (estimate)", "kl_lower_bound"),
    ("  measured: NLL − known entropy", "kl_measured"),
    ("  ≤, the smallest of these that is known for sure", "kl_bound"),
    ("  ≲, else the smallest estimate", "kl_estimate"),
    ("W2(p_N, reference) ≤, standardised units", "w2_bound"),
    ("total variation ≤", "tv"),
    ("steps that (A) asks for at this ε and γ", "theorem_steps"),
    ("steps that (B) asks for", "sharp_steps"),
    ("W2 of data and smoothed law ≤", "smoothing_w2"),
    ("W2 of model and computed samples ≤, coupled", "inversion_w2_coupled"),
    ("  ≤ about, product of Lipschitz constants", "inversion_w2_product"),
    ("W2 of particles by the chain's solver and a finer one ≤", "solver_w2"),
)
