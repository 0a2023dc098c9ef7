"""A flow as bytes: the files of its folder, which are safetensors and JSON, under their names."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from jko.core.plain import Json
from jko.face import load
from jko.flow import Flow
from jko.given import Form

#: the file that says in which form samples come back
FORM = "form.json"
#: the data frames of other packages than pandas
FRAMES = {"polars": "DataFrame", "pyarrow": "Table"}


def packed(flow: Flow) -> dict[str, bytes]:
    """What :meth:`jko.Flow.save` writes, and the form of the flow's samples.

    The rows that the flow was trained on are no part of it.

    Args:
        flow: a trained flow.

    Returns:
        The content of each file by its path within the folder.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "flow"
        flow.save(folder)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    form: dict[str, Json] = {
        "kind": flow.form.kind,
        "labels": [label if isinstance(label, int) else str(label) for label in flow.form.labels],
        "integers": list(flow.form.integers),
        "package": _package(flow.form),
    }
    return {**files, FORM: json.dumps(form).encode()}


def unpacked(files: Mapping[str, bytes]) -> Flow:
    """The flow of :func:`packed`; every file is verified before it is used.

    Raises:
        InputError: a file is missing or damaged.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "flow"
        for name, content in files.items():
            if name != FORM:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        flow = load(folder)
    flow.folder = None
    flow.form = _form(files[FORM])
    return flow


def _form(content: bytes) -> Form:
    """The form of samples; an array where that was a data frame and pandas is not here."""
    said = json.loads(content)
    if said["kind"] != "frame":
        return Form(said["kind"])
    labels, integers = tuple(said["labels"]), tuple(said["integers"])
    package = said.get("package")
    if package in FRAMES and find_spec(package) is not None:
        made_by = getattr(import_module(package), FRAMES[package])
        return Form("frame", labels=labels, integers=integers, make=getattr(made_by, "from_pydict", made_by))
    if find_spec("pandas") is None:
        return Form("array")
    import_module("pandas")  # a form takes it from the loaded modules, and this library never imports it
    return Form("frame", labels=labels, integers=integers)


def _package(form: Form) -> str:
    """The package whose data frames samples are; empty for pandas, and where it is none of those known."""
    made_by = getattr(form.make, "__self__", form.make)
    package = str(getattr(made_by, "__module__", "")).partition(".")[0]
    return package if package in FRAMES else ""
