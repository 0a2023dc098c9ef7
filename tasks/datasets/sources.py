"""The sources a configuration can name."""

from __future__ import annotations

import numpy as np

from jko.config.data_section import Data
from jko.core.errors import InputError
from jko.core.seeds import counter_seed
from jko.laws import densities
from jko.preparation.context import conditioned
from jko.preparation.table import Source, Table
from tasks.datasets.laws import LAWS
from tasks.datasets.whole import load_table


def digits(settings: Data, seed: int) -> Table:
    """Handwritten digits, 1797 rows of 8 × 8 grey values 0..16 (scikit-learn, offline)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = bunch.data.astype(float)
    table = Table("digits", rows, tuple(bunch.feature_names), grid=1.0, image_shape=(8, 8))
    return conditioned(table, settings, bunch.target)


def breast_cancer(settings: Data, seed: int) -> Table:
    """Breast cancer Wisconsin, 569 rows of 30 measurements (scikit-learn, offline)."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    columns = tuple(name.replace(" ", "_") for name in bunch.feature_names)
    return conditioned(Table("breast_cancer", bunch.data.astype(float), columns), settings, bunch.target)


def sample_density(name: str, density: densities.Density, rows: int, seed: int) -> Table:
    """Draw rows from a law with known entropy."""
    draw = np.random.default_rng(counter_seed(seed, "data"))
    columns = tuple("xy") if density.dim == 2 else tuple(f"x{i}" for i in range(density.dim))
    entropy = densities.entropy(density, seed=1)
    return Table(name, density.sample(rows, draw), columns, entropy=entropy)


def law(settings: Data, seed: int) -> Table:
    """Draws of a law whose density is known."""
    return sample_density(settings.source, LAWS[settings.source](settings), settings.rows, seed)


def curve(settings: Data, seed: int) -> Table:
    """Points exactly on a closed curve in the plane: a law without density, so without entropy."""
    draw = np.random.default_rng(counter_seed(seed, "data"))
    points = densities.trefoil(2 * np.pi * draw.random(settings.rows))
    return Table("curve", points, tuple("xy"))


def file(settings: Data, seed: int) -> Table:
    """A table in a file, or a grey picture."""
    from tasks.datasets.pictures import is_picture, load_picture

    if is_picture(settings.file or ""):
        if settings.context is not None:
            raise InputError(f"{settings.file}: a picture has no columns for data.context")
        name, density = load_picture(settings.file or "")
        return sample_density(name, density, settings.rows, seed)
    return load_table(settings, seed)


def rows(settings: Data, seed: int) -> Table:
    """Rows that were given from Python are with the chain, and nowhere else.

    Raises:
        InputError: in any case.
    """
    raise InputError(
        "data.source = rows: the rows of this chain were given from Python and are not here; call jko.fit or "
        "flows.train with them again"
    )


SOURCES: dict[str, Source] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    **dict.fromkeys(LAWS, law),
    "curve": curve,
    "file": file,
    "rows": rows,
}
