"""What ``jko`` and ``python -m flows.cli`` run: the command line, where its packages are installed.

This module loads the standard library only: without the packages it can still say what to install.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

#: the modules of what ``jko-flow[pipeline]`` brings
MODULES = (
    "click", "dvc", "dvc_data", "dvc_objects", "fastapi", "filelock", "httpx", "jinja2", "matplotlib",
    "mlflow", "pandas", "PIL", "ot", "prefect", "psutil", "pyarrow", "rich", "socksio",
    "sqlalchemy", "starlette", "uvicorn", "zarr",
)  # fmt: skip
#: so many missing ones are named
NAMED = 3


def main() -> None:
    """Run the command line; where packages are missing, say so in one sentence and end with 2."""
    missing = [name for name in MODULES if not is_installed(name)]
    if missing:
        sys.stderr.write(f"jko: {sentence(missing)}\n")
        sys.exit(2)
    from flows.cli.main import main as command_line

    command_line()


def is_installed(name: str) -> bool:
    """Whether a module can be found; it is not loaded."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # the package above it is missing
        return False


def sentence(missing: list[str]) -> str:
    """What is missing, and the command that installs it."""
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"the command line needs {', '.join(missing[:NAMED])}{more}, which {verb} not installed; "
        "run pip install 'jko-flow[pipeline]'"
    )


if __name__ == "__main__":
    main()
