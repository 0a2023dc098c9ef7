"""What pyproject.toml names is what the code imports: the core by jko/, the rest by tasks/ and flows/."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from flows.cli.__main__ import MODULES
from tests.environments import ROOT, environment, names, pyproject
from tests.test_architecture import MAY_IMPORT, imported, modules

#: modules that jko/ loads only inside a function, for what belongs to the pipeline
BORROWED = {"ot": {"jko.statistics.transport"}}
#: modules that only the type checker imports
FOR_TYPES = {"typing_extensions"}
#: packages that no module imports, and why they are named (a remark in pyproject.toml says it, too)
NOT_IMPORTED = {"fastapi", "socksio", "sqlalchemy"}


def key(name: str) -> str:
    """A package's name as it is compared."""
    return name.lower().replace("_", "-")


CORE = {key(name) for name in names(pyproject()["dependencies"])}
PIPELINE = {key(name) for name in names(pyproject()["optional-dependencies"]["pipeline"])}


@cache
def packages() -> dict[str, set[str]]:
    """The packages that bring each module, which takes a second to find."""
    return {module: {key(name) for name in found} for module, found in packages_distributions().items()}


def third_party(*folders: str) -> dict[str, set[str]]:
    """The modules of others that folders import: which, and by whom."""
    found: dict[str, set[str]] = {}
    for name, tree in modules().items():
        tops = {target.split(".")[0] for target in imported(tree)} if name.split(".")[0] in folders else set()
        for top in tops - sys.stdlib_module_names - MAY_IMPORT.keys() - FOR_TYPES:
            found.setdefault(top, set()).add(name)
    return found


def packages_of(modules: set[str]) -> set[str]:
    """The packages that bring modules; one of several where they share a name, as ``ruamel`` is."""
    found = packages()
    return {min(found[module] & (CORE | PIPELINE) or found[module]) for module in modules if module in found}


def test_the_core_is_what_the_library_imports() -> None:
    found = third_party("jko")
    assert {module: found.get(module) for module in BORROWED} == BORROWED
    assert packages_of(found.keys() - BORROWED.keys()) == CORE


def test_the_pipeline_is_what_tasks_and_flows_import() -> None:
    found = third_party("tasks", "flows")
    assert packages_of({*found, *BORROWED}) - CORE == PIPELINE - NOT_IMPORTED
    assert NOT_IMPORTED < PIPELINE
    assert not CORE & PIPELINE


def test_the_entry_looks_for_every_package_of_the_pipeline() -> None:
    assert packages_of({module.split(".")[0] for module in MODULES}) == PIPELINE


def test_development_brings_the_pipeline() -> None:
    assert "jko-flow[pipeline]" in pyproject()["optional-dependencies"]["dev"]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment as ``pip install jko-flow`` makes it."""
    return environment(tmp_path_factory.mktemp("core") / "env", set(CORE))


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python in a folder, with this project and no other package than its own."""
    return subprocess.run(
        [str(python), *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_every_module_of_the_library_loads_with_the_core_alone(core: Path, tmp_path: Path) -> None:
    wanted = sorted(name for name in modules() if name.split(".")[0] == "jko")
    done = run(core, tmp_path, "-c", "import " + ", ".join(wanted))
    assert (done.returncode, done.stderr) == (0, "")


#: what a trained flow needs; the others of the core are for training
LOADING = {"numpy", "pydantic", "safetensors", "scipy", "threadpoolctl", "torch", "torchdiffeq"}
LOADED = """
import jko
flow = jko.load("chain")
drawn = flow.sample(3, seed=0)
print(drawn.double().numpy().tobytes().hex(), flow.log_prob(drawn).detach().numpy().tobytes().hex())
"""
FITTED = """
import jko, torch
x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
few = {"steps.sizes": [1.0], "training.flow_matching_iterations": 5, "training.iterations": 1}
flow = jko.fit(x, settings={**few, "data.augment.copies": 1}, folder="flow", progress=False)
assert torch.equal(jko.load("flow").sample(5).float(), flow.sample(5))
"""


@pytest.mark.slow
def test_a_chain_of_the_command_line_is_loaded_without_the_pipeline(tmp_path: Path) -> None:
    """Its samples and log-densities are the same to the last bit as with everything installed."""
    with zipfile.ZipFile(ROOT / "tests" / "fixtures" / "moons.zip") as kept:
        kept.extractall(tmp_path)
    few = environment(tmp_path / "env", LOADING)
    ours, theirs = (run(python, tmp_path, "-c", LOADED) for python in (Path(sys.executable), few))
    assert (theirs.returncode, theirs.stderr) == (0, "")
    assert theirs.stdout == ours.stdout != ""
    assert LOADING < CORE


@pytest.mark.slow
def test_a_flow_is_fitted_with_the_core_alone(core: Path, tmp_path: Path) -> None:
    """With the settings of tables, which choose a start among splines and mixtures."""
    done = run(core, tmp_path, "-c", FITTED)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [("train",), ("--help",), ("status", "c")])
def test_the_command_line_says_what_to_install(words: tuple[str, ...], core: Path, tmp_path: Path) -> None:
    done = run(core, tmp_path, "-m", "flows.cli", *words)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("jko: the command line needs click, dvc, dvc_data and ")
    assert line.endswith("more, which are not installed; run pip install 'jko-flow[pipeline]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["zarr", "PIL"])
def test_one_missing_package_is_named(module: str, tmp_path: Path) -> None:
    """In an environment that has all the others."""
    code = (
        "import sys\n"
        "class Refused:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refused())\n"
        "sys.argv = ['jko', 'train']\n"
        "from flows.cli.__main__ import main; main()"
    )
    done = run(Path(sys.executable), tmp_path, "-c", code)
    assert done.returncode == 2
    assert done.stderr == (
        f"jko: the command line needs {module}, which is not installed; "
        "run pip install 'jko-flow[pipeline]'\n"
    )
