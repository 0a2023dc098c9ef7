"""The layers, held by the import graph and by what a process has loaded."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "prefect", "mlflow", "dvc", "zarr", "pandas", "scipy", "matplotlib")
PIPELINE = ("prefect", "mlflow", "dvc", "zarr", "pandas")
#: which folder may import which; a folder may import itself
MAY_IMPORT = {
    "jko": set(),
    "tasks": {"jko"},
    "flows": {"tasks", "jko"},
    "benchmarks": {"flows", "tasks", "jko"},
}
#: outside system -> the only modules that may import it
OWNERS = {
    "zarr": {"tasks.adapters.store.arrays", "tasks.adapters.store.foreign"},
    "safetensors": {"jko.disk.tensors"},
    # the store is opened in one place, for the tracker, which writes metrics, and for whoever reads runs back
    "mlflow": {f"tasks.adapters.mlflow.{name}" for name in ("runs", "tracking", "tracking_store")},
    "dvc": {"tasks.adapters.dvc.versions"},
    "dvc_data": {"tasks.adapters.dvc.versions"},
    "dvc_objects": {"tasks.adapters.dvc.versions"},
}


@cache
def modules() -> dict[str, ast.Module]:
    """All modules of the project by dotted name."""
    paths = [path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): ast.parse(path.read_text()) for path, name in names.items()}


def imported(tree: ast.AST) -> set[str]:
    """Dotted names a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_layers_only_point_downwards() -> None:
    wrong = [
        (name, target)
        for name, tree in modules().items()
        for target in imported(tree)
        if (folder := target.split(".")[0]) in MAY_IMPORT
        and folder != (own := name.split(".")[0])
        and folder not in MAY_IMPORT[own]
    ]
    assert not wrong


def test_the_library_knows_no_pipeline() -> None:
    wrong = [
        (name, target)
        for name, tree in modules().items()
        for target in imported(tree)
        if name.split(".")[0] == "jko" and target.split(".")[0] in PIPELINE
    ]
    assert not wrong


@pytest.mark.parametrize("system", OWNERS)
def test_every_outside_system_has_one_adapter(system: str) -> None:
    users = {
        name
        for name, tree in modules().items()
        if any(target.split(".")[0] == system for target in imported(tree))
    }
    assert users == OWNERS[system]


def test_one_place_prints_and_one_makes_consoles() -> None:
    """What a terminal gets has passed ``printable`` of ``system.terminal``; servers' logs are files."""
    own = {"tasks.adapters.system.terminal", "tasks.adapters.system.screen"}
    logs = {"tasks.adapters.scheduling.worker", "tasks.adapters.scheduling.supervisor"}
    found = [
        name
        for name, tree in modules().items()
        if name.split(".")[0] in ("flows", "tasks") and name not in own | logs
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "Console")
    ]
    assert found == []


def test_imports_have_no_cycle() -> None:
    """At any depth: an import inside a function is an arrow too."""
    trees = modules()
    graph = {name: {target for target in imported(tree) if target in trees} for name, tree in trees.items()}

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        for target in graph[name] - {name}:
            if target not in cleared:
                visit(target, (*path, name))
        cleared.add(name)

    cleared: set[str] = set()
    for name in graph:
        visit(name, ())


def loaded_after(code: str) -> set[str]:
    """Top-level packages in ``sys.modules`` after running code in a fresh process."""
    script = f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_all_of_jko_loads_no_pipeline() -> None:
    """But for the estimator of scikit-learn, which itself loads pandas where it is installed."""
    names = sorted(name for name in modules() if name.split(".")[0] == "jko" and name != "jko.sklearn")
    assert not loaded_after("import " + ", ".join(names)) & set(PIPELINE)


@pytest.mark.parametrize(
    "code",
    [
        "from flows.cli.main import cli; cli(['train', '--help'], standalone_mode=False)",
        "import tasks.adapters.store.plan, flows.session, flows.settings",
        "import flows.sweeps.sweep_plan, flows.sweeps.sweep_run",
        "import flows.sweeps.sweep_cells, flows.sweeps.sweep_show",
        "from tasks.adapters.dvc.versions import is_recorded, inside_stage",
    ],
)
def test_help_plan_and_nothing_to_do_load_nothing_heavy(code: str) -> None:
    assert not loaded_after(code) & set(HEAVY)


#: what the help needs, and what a chain's settings and a table need beside it
HELP = {"click"}
STATUS = HELP | {
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
    "rich",
}


def names_after(words: tuple[str, ...], folder: Path) -> set[str]:
    """Names of all modules that a command of ``jko`` has loaded when it ends."""
    script = (
        f"import sys; sys.argv = {['jko', *words]!r}\n"
        "from flows.cli.__main__ import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return set(done.stderr.split())


def of_others(names: set[str]) -> set[str]:
    """The packages of others; what an installation itself adds begins with ``_``."""
    tops = {name.split(".")[0] for name in names if not name.startswith("_")}
    return tops - sys.stdlib_module_names - MAY_IMPORT.keys()


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_the_help_loads_no_command_and_next_to_no_package(words: tuple[str, ...], tmp_path: Path) -> None:
    """Every package costs time at every start; the limit is on what Python's own modules cost, too."""
    names = names_after(words, tmp_path)
    assert of_others(names) == HELP
    own = {name for name in names if name.startswith("flows.cli.")}
    assert own == {f"flows.cli.{name}" for name in ("__main__", "commands", "main")}
    assert len(names) < 200


def test_status_loads_what_it_shows(tmp_path: Path) -> None:
    """Neither the layers of settings, nor what trains, nor what takes locks."""
    with zipfile.ZipFile(ROOT / "tests" / "fixtures" / "moons.zip") as kept:
        kept.extractall(tmp_path)
    names = names_after(("status", "chain"), tmp_path)
    assert of_others(names) <= STATUS
    assert not names & {"flows.session", "flows.settings", "flows.cli.jobs"}
    assert len(names) < 400


@pytest.mark.slow
def test_the_pins_let_the_scheduler_start() -> None:
    """A newer fastapi breaks this import, and with it every flow."""
    loaded_after("import prefect.server.api.server")


def test_the_pages_name_every_figure_setting_and_preset() -> None:
    from jko.certify.certificates import Guarantee
    from jko.config import Config
    from jko.measure.figures import BlockFigures
    from jko.presets import preset_names

    pages = "".join((ROOT / "docs" / name).read_text() for name in ("measured.md", "guaranteed.md"))
    settings = (ROOT / "docs" / "settings.md").read_text()
    defaults = (ROOT / "params.yaml").read_text()
    figures = {*BlockFigures.model_fields, *Guarantee.model_fields} - {"pairing"}
    # standard errors and estimates are written as `name`, `_se`, `_estimate`
    names = {name.removesuffix("_se").removesuffix("_estimate") for name in figures}
    assert [name for name in sorted(names) if name not in pages] == []
    for name in preset_names():
        assert f"| `{name}` |" in settings
        assert f"jko/presets/{name}.yaml" in settings
    assert "../params.yaml" in settings
    assert [name for name in Config.model_fields if f"{name}:" not in defaults] == []
