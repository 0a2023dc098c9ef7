"""Python environments that hold some of the installed packages and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def pyproject() -> dict[str, Any]:
    """The table ``project`` of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def names(requirements: list[str]) -> set[str]:
    """The packages that requirements name, but for those for other systems and other extras."""
    wanted = map(Requirement, requirements)
    return {own.name for own in wanted if own.marker is None or own.marker.evaluate({"extra": ""})}


def with_all_they_need(packages: set[str]) -> set[str]:
    """Packages with what they depend on, as far as it is installed."""
    found: set[str] = set()
    waiting = set(packages)
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            waiting |= names(distribution(name).requires or []) - found
        except PackageNotFoundError:
            continue
    return found


def environment(folder: Path, packages: set[str]) -> Path:
    """A new environment with links to some of the packages that are installed here.

    Args:
        folder: of the environment.
        packages: and all that they depend on.

    Returns:
        its Python; this project is found by ``PYTHONPATH`` or from the working directory.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in with_all_they_need(packages):
        try:
            own = distribution(name)
        except PackageNotFoundError:
            continue
        tops = {path.parts[0] for path in own.files or [] if path.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(own.locate_file(top))))
    return folder / "bin" / "python"
