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
    if find_spec("pandas") is None:
        return Form("array")
    import_module("pandas")  # a form takes it from the loaded modules, and this library never imports it
    return Form("frame", labels=tuple(said["labels"]), integers=tuple(said["integers"]))
