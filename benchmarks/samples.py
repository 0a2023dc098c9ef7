"""Samples of a neural spline flow (zuko) and of ours for ``jko judge``: equal rows, files in a folder."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import click
import pandas as pd
import torch
import zuko
from sklearn.datasets import load_breast_cancer, load_diabetes, make_moons

import jko
from benchmarks.command import sentences
from jko.core.errors import InputError
from jko.core.seeds import counter_seed

#: share of the training rows that choose the weights of the spline flow
VALIDATION = 0.1
BATCH, RATE, VALIDATE_EVERY = 256, 1e-3, 50


def rows_of(name: str, count: int, seed: int) -> pd.DataFrame:
    """Rows of a set in a random order, at most so many.

    Raises:
        InputError: another name.
    """
    draw = counter_seed(seed, "rows") % 2**32
    if name == "moons":
        rows = make_moons(count, noise=0.1, random_state=draw)[0]
        return pd.DataFrame(rows, columns=["x", "y"])
    loaders = {"diabetes": load_diabetes, "breast_cancer": load_breast_cancer}
    if name not in loaders:
        raise InputError(f"{name}: no such set; there are moons, {', '.join(loaders)}")
    words = {"scaled": False} if name == "diabetes" else {}
    frame = loaders[name](as_frame=True, **words).frame
    return frame.astype(float).sample(frac=1, random_state=draw)[:count]


def spline_flow(
    train: pd.DataFrame, context: list[str], seconds: float, seed: int
) -> tuple[zuko.flows.NSF, pd.Series, pd.Series]:
    """A neural spline flow, trained by maximum likelihood for some seconds; the best weights on a tenth.

    Returns:
        The flow, and the mean and deviation of every column, by which its rows are standardised.
    """
    torch.manual_seed(counter_seed(seed, "nsf") % 2**63)
    state = [name for name in train.columns if name not in context]
    centre, spread = train.mean(), train.std()
    rows = torch.tensor(((train - centre) / spread)[[*state, *context]].to_numpy(), dtype=torch.float32)
    held = int(VALIDATION * len(rows))
    own, chosen_on = rows[held:], rows[:held]
    flow = zuko.flows.NSF(len(state), context=len(context), transforms=5, hidden_features=(128, 128))

    def nll(given: torch.Tensor) -> torch.Tensor:
        known = flow(given[:, len(state) :]) if context else flow()
        return -known.log_prob(given[:, : len(state)]).mean()

    optimiser = torch.optim.Adam(flow.parameters(), lr=RATE)
    best, weights, step, end = float("inf"), copy.deepcopy(flow.state_dict()), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        loss = nll(own[torch.randint(len(own), (BATCH,))])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
        optimiser.step()
        step += 1
        if step % VALIDATE_EVERY == 0:
            with torch.no_grad():
                found = float(nll(chosen_on))
            if found < best:
                best, weights = found, copy.deepcopy(flow.state_dict())
    flow.load_state_dict(weights)
    click.echo(f"spline flow: {step} steps, {best:.3f} nats on validation rows, standardised", err=True)
    return flow, centre, spread


def drawn_from(
    model: tuple[zuko.flows.NSF, pd.Series, pd.Series], names: list[str], contexts: pd.DataFrame, count: int
) -> pd.DataFrame:
    """Samples of the spline flow, beside the contexts given where there are some."""
    flow, centre, spread = model
    state = [name for name in names if name not in contexts.columns]
    with torch.no_grad():
        if len(contexts.columns):
            standard = (contexts - centre[contexts.columns]) / spread[contexts.columns]
            found = flow(torch.tensor(standard.to_numpy(), dtype=torch.float32)).sample()
        else:
            found = flow().sample((count,))
    rows = pd.DataFrame(found.double().numpy(), columns=state) * spread[state] + centre[state]
    return pd.concat([rows, contexts.reset_index(drop=True)], axis=1)[names]


@click.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--rows", default=8000, show_default=True, help="Of the set, at most.")
@click.option("--held-out", default=0.5, show_default=True, help="Share of them that no model sees.")
@click.option("--samples", default=20_000, show_default=True, help="Of each model.")
@click.option("--context", multiple=True, help="A column to condition on; may be given again.")
@click.option("--seconds", default=60.0, show_default=True, help="For the spline flow.")
@click.option("--preset", help="Of ours; moons for that set, else that of tables.")
@click.option("--seed", default=0, show_default=True)
@sentences
def main(
    *, name: str, folder: Path, rows: int, held_out: float, samples: int, context: tuple[str, ...],
    seconds: float, preset: str | None, seed: int,
) -> None:  # fmt: skip
    """Write held_out.csv, train.csv, nsf.csv and ours.csv into FOLDER, for the set NAME.

    With a context every held-out row's context stands beside equally many samples.
    """
    table = rows_of(name, rows, seed)
    cut = int(held_out * len(table))
    held, train = table[:cut], table[cut:]
    given, names = list(context), list(table.columns)
    beside = held[given].loc[held.index.repeat(max(1, samples // len(held)))]
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    model = spline_flow(train, given, seconds, seed)
    drawn_from(model, names, beside, samples).to_csv(folder / "nsf.csv", index=False)
    click.echo(f"spline flow: {time.monotonic() - begun:.0f} s", err=True)
    begun = time.monotonic()
    flow = jko.fit(
        train.reset_index(drop=True), context=given or None, seed=seed, progress=False,
        preset=preset or ("moons" if name == "moons" else None),
    )  # fmt: skip
    click.echo(f"ours: {time.monotonic() - begun:.0f} s", err=True)
    own = flow.sample(len(beside) if given else samples, context=beside if given else None, seed=seed)
    assert isinstance(own, pd.DataFrame)
    if given:
        own = pd.concat([own.reset_index(drop=True), beside.reset_index(drop=True)], axis=1)
    own[names].to_csv(folder / "ours.csv", index=False)
    held.to_csv(folder / "held_out.csv", index=False)
    train.to_csv(folder / "train.csv", index=False)


if __name__ == "__main__":
    main()
