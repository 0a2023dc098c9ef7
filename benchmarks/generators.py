r"""Laws of tables that can be drawn afresh: what a model says of its test rows is held to new rows.

Every law is written in its function. None has a density in closed form with all of its columns, so a figure
is a negative log-likelihood on fresh rows, beside that of a Gaussian mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from jko.core.seeds import counter_seed
from jko.laws.densities import Array

#: seed of what belongs to a law itself, such as loadings
LAW = 2310


@dataclass(frozen=True)
class Generator:
    """A law of a table.

    Args:
        columns: names.
        draw: so many rows from a source of randomness, shape (rows, columns), as they stand in a file.
        rows: of the set, for training, validation and test.
    """

    columns: tuple[str, ...]
    draw: Callable[[int, np.random.Generator], Array]
    rows: int = 2100


def orders(rows: int, draw: np.random.Generator) -> Array:
    r"""Orders of a shop.

    A customer comes by shop (.5), trade (.2) or web (.3), which is not recorded. Visits are Poisson with
    mean 9 by web and 3 else; the amount is log-normal, :math:`\log a \sim N(3 + .12\,v, .7^2)`, in cents;
    the discount is 0 with probability .45, else :math:`100\,\mathrm{Beta}(2, 6 + .1 v)` percent, to .1.
    """
    web = draw.choice(3, size=rows, p=(0.5, 0.2, 0.3)) == 2
    visits = draw.poisson(np.where(web, 9.0, 3.0))
    amount = np.exp(draw.normal(3 + 0.12 * visits, 0.7)).round(2)
    discount = (100 * draw.beta(2.0, 6 + 0.1 * visits)).round(1)
    discount[draw.random(rows) < 0.45] = 0.0
    return np.stack([visits, amount, discount], axis=1).astype(float)


def heavy_tailed(rows: int, draw: np.random.Generator) -> Array:
    r"""Six columns of a skewed Student t with 2.5 degrees of freedom.

    .. math:: x = \frac{\delta\,|z_0| + \sqrt{1 - \delta^2}\, L z}{\sqrt{w / \nu}}, \quad
        z_0, z \sim N(0, I), \; w \sim \chi^2_\nu, \; \nu = 2.5

    One w a row, so that all columns are far out together. Correlations are :math:`.6^{|i-j|}`, the skews
    δ = .9, 0, −.7, .5, 0, .8; the columns are then scaled by 1, 10, .1, 5, 2, 1.
    """
    freedom, skew = 2.5, np.array([0.9, 0.0, -0.7, 0.5, 0.0, 0.8])
    apart = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    root = np.linalg.cholesky(0.6**apart)
    common = np.abs(draw.standard_normal((rows, 1)))
    normal = skew * common + np.sqrt(1 - skew**2) * (draw.standard_normal((rows, 6)) @ root.T)
    far = np.sqrt(draw.chisquare(freedom, size=(rows, 1)) / freedom)
    return normal / far * np.array([1.0, 10.0, 0.1, 5.0, 2.0, 1.0])


def capped(rows: int, draw: np.random.Generator) -> Array:
    r"""Four concentrations between a detection limit and a ceiling, and a temperature without either.

    :math:`\log c_i \sim N(\mu_i, .8^2)` with a common part, correlation .7, that falls with the
    temperature (normal, 15 ± 6); an instrument shows :math:`\min(\max(c, 1), 12)` to .1. So 5 to 26 % of
    a column are the limit itself and 1 to 13 % the ceiling.
    """
    temperature = 15 + 6 * draw.standard_normal(rows)
    common = draw.standard_normal((rows, 1)) - 0.5 * ((temperature - 15) / 6)[:, None]
    own = draw.standard_normal((rows, 4))
    logs = np.array([0.6, 0.9, 1.2, 1.5]) + 0.8 * (np.sqrt(0.7) * common + np.sqrt(0.3) * own)
    shown = np.clip(np.exp(logs), 1.0, 12.0).round(1)
    return np.concatenate([shown, temperature[:, None]], axis=1)


def wide(rows: int, draw: np.random.Generator) -> Array:
    r"""Sixty columns of four kinds that five hidden factors move together.

    Column j has :math:`u_j = \lambda_j \cdot f + .6\, e_j` with f, e standard normal and loadings of norm .8.
    It is u for 20 columns, :math:`e^{u}` for 20, a count with mean :math:`e^{1 + .6 u}` for 12, and a mark
    from 1 to 5 (u cut at −.9, −.3, .3, .9) for 8. The loadings are part of the law, whatever the seed.
    """
    loadings = np.random.default_rng(counter_seed(LAW, "wide")).standard_normal((5, 60))
    loadings *= 0.8 / np.linalg.norm(loadings, axis=0)
    u = draw.standard_normal((rows, 5)) @ loadings + 0.6 * draw.standard_normal((rows, 60))
    counts = draw.poisson(np.exp(1 + 0.6 * u[:, 40:52]))
    marks = 1 + np.digitize(u[:, 52:], (-0.9, -0.3, 0.3, 0.9))
    return np.concatenate([u[:, :20], np.exp(u[:, 20:40]), counts, marks], axis=1)


def readings(rows: int, draw: np.random.Generator) -> Array:
    r"""What a meter shows through a year: for choosing settings, never reported.

    Temperature :math:`12 - 9 \cos 2\pi s + 3 e` on a day s of the year, to .1; humidity from 0 to 100, a
    logistic curve of a normal that falls with the temperature; power log-normal around a mean that is high
    when it is cold, and shifted by 1 with probability .15; a voltage that is normal with two means.
    """
    day, hot = draw.random(rows), draw.standard_normal(rows)
    temperature = 12 - 9 * np.cos(2 * np.pi * day) + 3 * hot
    humidity = 100 / (1 + np.exp(-1 + 0.08 * (temperature - 12) - 0.7 * draw.standard_normal(rows)))
    on = draw.random(rows) < 0.15
    power = np.exp(1.5 - 0.04 * temperature + on + 0.25 * draw.standard_normal(rows))
    voltage = np.where(draw.random(rows) < 0.3, 231.0, 229.0) + 0.4 * draw.standard_normal(rows)
    return np.stack([temperature.round(1), humidity, power, voltage], axis=1)


GENERATORS: Mapping[str, Generator] = {
    "orders": Generator(("visits", "amount", "discount"), orders),
    "heavy_tailed": Generator(tuple(f"x{i}" for i in range(1, 7)), heavy_tailed),
    "capped": Generator(("copper", "lead", "zinc", "iron", "temperature"), capped),
    "wide": Generator(tuple(f"c{i:02d}" for i in range(1, 61)), wide),
    "readings": Generator(("temperature", "humidity", "power", "voltage"), readings, rows=8000),
}


def drawn(name: str, rows: int, seed: int, purpose: str) -> Array:
    """Rows of a law by its name: those of every seed and purpose are independent of all others."""
    return GENERATORS[name].draw(rows, np.random.default_rng(counter_seed(seed, "generator", name, purpose)))
