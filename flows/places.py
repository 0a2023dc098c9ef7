"""The folder of a project, and folders that commands name: which of them can be a chain's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jko.core.errors import InputError
from jko.core.plain import shortened
from jko.disk.layout import Layout
from tasks.adapters.system.terminal import one_line

#: bytes of a name; what lies beside a chain has its name with a few letters more
LONGEST_NAME, LONGEST_PATH = 200, 3500
#: what lies beside a chain NAME is NAME with one of these
BESIDE = (".run", ".evaluation", ".report")


def project_root(start: Path | None = None) -> Path:
    """The nearest folder at or above ``start`` that holds ``dvc.yaml``; else ``start``."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    return start


def known_chains() -> list[str]:
    """Folders of the chains of this project, as somebody here would type them."""
    root = project_root()
    folders = [root / "data" / "chain", *(root / ".jko" / "chains").glob("*")]
    names = [str(shown(folder)) for folder in folders if (folder / "chain.json").is_file()]
    return sorted(name for name in names if one_line(name) == name)


def chain_at(path: Path, root: Path) -> Layout:
    """The chain in a folder that a user named.

    Args:
        path: as it was given.
        root: the project's folder.

    Raises:
        InputError: no chain can be there.
    """
    return Layout.of(shown(checked(path)), root)


def new_chain_at(path: Path, root: Path) -> Layout:
    """The chain in a folder where one may be made: in no other chain, and in nothing beside one.

    Raises:
        InputError: no chain can be there.
    """
    layout = chain_at(path, root)
    if layout.chain.name.endswith(BESIDE):
        raise InputError(
            f"{layout.chain}: folders named *{', *'.join(BESIDE)} lie beside chains and belong to them; "
            "name another folder"
        )
    for folder in Path(os.path.realpath(layout.chain)).parents:
        beside = folder.with_suffix("") if folder.suffix in BESIDE else folder
        if (beside / "chain.json").exists():
            raise InputError(
                f"{layout.chain}: this is inside what belongs to the chain {shown(beside)}; "
                "name another folder"
            )
    return layout


def checked(path: Path) -> Path:
    """A path whose last part is a name that a chain can have.

    Raises:
        InputError: it is none.
    """
    said = shortened(os.fspath(path))
    if path.name == "..":
        path = path.resolve()
    elif not path.name:  # the working directory
        path = path.absolute()
    text = os.fspath(path)
    if one_line(text) != text:
        raise InputError(f"{said}: a chain's folder has a name of UTF-8 without control characters")
    if not path.name:
        raise InputError(f"{said}: this folder cannot be a chain's; name another one")
    longest = max(len(os.fsencode(part)) for part in path.parts)
    if longest > LONGEST_NAME or len(os.fsencode(path.absolute())) > LONGEST_PATH:
        raise InputError(
            f"{said}: the name is too long; a chain's has at most {LONGEST_NAME} bytes, "
            f"and its whole path {LONGEST_PATH}"
        )
    _check_kind(path, said)
    return path


def _check_kind(path: Path, said: str) -> None:
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise InputError(
                f"{said}: this link leads to nothing; remove it, or name another folder"
            ) from None
        return
    except NotADirectoryError:
        raise InputError(f"{said}: a part of this path is a file; name another folder") from None
    except OSError as error:
        raise InputError(f"{said}: this path cannot be followed ({error.strerror})") from None
    if not stat.S_ISDIR(kind):
        raise InputError(f"{said}: this is not a chain's folder (it is a file); name another folder")


def shown(path: Path) -> Path:
    """A path relative to here where that is shorter to read."""
    path = Path(path).absolute()
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path
