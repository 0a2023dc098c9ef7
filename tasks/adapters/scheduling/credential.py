"""Who may use the embedded Prefect server: whoever can read a file of this project."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Annotated

import filelock
from pydantic import Field

from jko.core.records import Record
from jko.disk.sealed import read_model

#: anything: Prefect compares the whole text, but its clients want a name before a colon
USER = "jko"


class Credential(Record):
    """A credential and the folder of the project whose it is."""

    project: str
    credential: Annotated[str, Field(pattern=rf"^{USER}:[A-Za-z0-9_-]{{32,}}$")]


def credential_file(root: Path) -> Path:
    """Where a project keeps its credential, readable by its owner only."""
    return root.resolve() / ".jko" / "server" / "credential.json"


def credential(root: Path) -> str:
    """The credential of a project, made when it is first asked for.

    The copy of a project has another one: the file says whose it is.
    """
    path, owner = credential_file(root), str(root.resolve())
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock"), timeout=60):
        known = read_model(path, Credential)
        if known is not None and known.project == owner:
            path.chmod(0o600)  # copied or unpacked, it may be open to others
            return known.credential
        made = f"{USER}:{secrets.token_urlsafe(24)}"
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(Credential(project=owner, credential=made).model_dump_json())
        draft.replace(path)
        return made


def client_environment(root: Path, address: str) -> dict[str, str]:
    """What makes Prefect's clients in this process and its children use a project's own server."""
    return {
        "PREFECT_API_URL": address,
        "PREFECT_API_AUTH_STRING": credential(root),
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
    }


def server_environment(root: Path, page: str) -> dict[str, str]:
    """What makes Prefect's server answer its own page and the holders of the credential only.

    Args:
        root: the project's folder.
        page: address of the server's page, the only origin that is let in.
    """
    return {
        "PREFECT_SERVER_API_AUTH_STRING": credential(root),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page,
    }


def authorization(root: Path) -> str:
    """The header of a request with the credential."""
    return f"Basic {base64.b64encode(credential(root).encode()).decode()}"
