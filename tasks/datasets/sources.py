"""The sources a configuration can name."""

from __future__ import annotations

import numpy as np

from jko import densities
from jko.config import Data
from jko.seeds import counter_seed
from tasks.datasets.files import load_file
from tasks.datasets.table import Source, Table


def digits(settings: Data, seed: int) -> Table:
    """Handwritten digits, 1797 rows of 8 × 8 grey values 0..16 (scikit-learn, offline)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = bunch.data.astype(float)
    return Table("digits", rows, tuple(bunch.feature_names), grid=1.0, image_shape=(8, 8))


def breast_cancer(settings: Data, seed: int) -> Table:
    """Breast cancer Wisconsin, 569 rows of 30 measurements (scikit-learn, offline)."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    columns = tuple(name.replace(" ", "_") for name in bunch.feature_names)
    return Table("breast_cancer", bunch.data.astype(float), columns)


def sample_density(name: str, density: densities.Density, rows: int, seed: int) -> Table:
    """Draw rows from a law with known entropy."""
    draw = np.random.default_rng(counter_seed(seed, "data"))
    columns = tuple("xy") if density.dim == 2 else tuple(f"x{i}" for i in range(density.dim))
    entropy = densities.entropy(density, seed=1)
    return Table(name, density.sample(rows, draw), columns, entropy=entropy)


def moons(settings: Data, seed: int) -> Table:
    """Two blurred half circles."""
    return sample_density("moons", densities.moons(), settings.rows, seed)


def eight_gaussians(settings: Data, seed: int) -> Table:
    """Eight Gaussians on a circle."""
    return sample_density("eight_gaussians", densities.eight_gaussians(), settings.rows, seed)


def rose(settings: Data, seed: int) -> Table:
    """The project's own drawn rose as a picture density."""
    return sample_density("rose", densities.PictureDensity(densities.rose_picture()), settings.rows, seed)


def curve(settings: Data, seed: int) -> Table:
    """Points exactly on a closed curve in the plane: a law without density, so without entropy."""
    draw = np.random.default_rng(counter_seed(seed, "data"))
    return Table("curve", densities.curve_points(settings.rows, draw), tuple("xy"))


def gaussian(settings: Data, seed: int) -> Table:
    """N(data.mean, diag(data.std²))."""
    law = densities.DiagonalGaussian(np.array(settings.mean), np.array(settings.std))
    return sample_density("gaussian", law, settings.rows, seed)


def file(settings: Data, seed: int) -> Table:
    """A CSV, NPY or grey picture file."""
    from tasks.datasets.pictures import is_picture, load_picture

    if is_picture(settings.file or ""):
        name, density = load_picture(settings.file or "")
        return sample_density(name, density, settings.rows, seed)
    return load_file(settings)


SOURCES: dict[str, Source] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "moons": moons,
    "eight_gaussians": eight_gaussians,
    "rose": rose,
    "curve": curve,
    "gaussian": gaussian,
    "file": file,
}
