"""Where errors end: one sentence, an exit code, the command that goes on; what nobody foresaw in a file.

Every command ends here (``flows/cli/main.py``). With ``JKO_TRACEBACK=1`` the traceback is printed, too.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flows.places import project_root
from jko.core.errors import JkoError, was_interrupted
from tasks.adapters.system.starved import limit_in_words, ran_out_of_memory
from tasks.adapters.system.terminal import one_line, say

SHOWN = "JKO_TRACEBACK"
#: so many tracebacks of a project are kept
KEPT = 20
#: of a sentence that a library wrote
LETTERS = 300
INTERRUPTED = 130

#: no space on the disk, over a quota, over a limit on the size of a file
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FILES = (errno.EMFILE, errno.ENFILE)
#: what a path or a disk can do to any command, in words
PATHS = {
    errno.EACCES: "permission denied; ask its owner, or work where you may write",
    errno.EPERM: "the operation is not permitted; ask its owner, or work where you may write",
    errno.EROFS: "the file system is read-only; work where you may write",
    errno.ENAMETOOLONG: "the name is too long for the file system; give a shorter one",
    errno.ELOOP: "symbolic links lead round in a circle; give another path",
    errno.ENOTDIR: "a folder is expected where a file is; give another path",
    errno.EISDIR: "a file is expected where a folder is; give another path",
    errno.EIO: "the disk gave an input/output error; look after it, then start again",
    errno.ESTALE: "the network file system lost it; mount it again, then start again",
}
#: those that a name brings about which the user gave
NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
#: how SQLite says that it may not write
READ_ONLY = ("attempt to write a readonly database", "unable to open database file")


@dataclass(frozen=True)
class Ending:
    """How a command ends.

    Args:
        sentence: what happened and what can be done.
        code: exit code.
        foreseen: whether the sentence says all; otherwise the traceback is kept in a file.
    """

    sentence: str
    code: int
    foreseen: bool = True


def ending(error: BaseException) -> Ending:
    """The sentence and the exit code of an error."""
    if isinstance(error, JkoError):
        return Ending(str(error), error.exit_code)
    if was_interrupted(error):
        return Ending("interrupted; committed blocks are kept", INTERRUPTED)
    for link in links(error):
        if said := resource_sentence(link):
            return Ending(said, 2 if getattr(link, "errno", None) in NAMES else 1)
    what = str(error).strip().partition("\n")[0][:LETTERS]
    return Ending(f"{type(error).__name__}: {what}" if what else type(error).__name__, 1, foreseen=False)


def links(error: BaseException) -> Iterator[BaseException]:
    """An error, the one it was raised from, and so on: libraries wrap what the system said."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def resource_sentence(error: BaseException) -> str:
    """What the system lacked or refused; empty for every other error."""
    if ran_out_of_memory(error):
        what = str(error).strip().partition("\n")[0][:LETTERS] or type(error).__name__
        return f"memory ran out: {what}{limit_in_words()}; what is committed stays"
    if isinstance(error, OSError):
        return _system_sentence(error)
    if isinstance(error, RecursionError):
        return "something is nested too deeply to be read; what is committed stays"
    said = str(error)
    if any(words in said for words in READ_ONLY):
        return f"a database of this project cannot be written ({said.splitlines()[0][:LETTERS]})"
    return ""


def _system_sentence(error: OSError) -> str:
    if error.errno in FULL:
        return f"nothing more can be written ({error.strerror}); make room, what is committed stays"
    if error.errno in FILES:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"too many files are open (ulimit -n is {limit}); allow more, what is committed stays"
    if (words := PATHS.get(error.errno or 0)) is None:
        return ""
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return f"{place or 'a file'}: {words}"


def end(error: BaseException, command: str) -> int:
    """Tell how a command ends; returns its exit code.

    Args:
        error: what it ends with.
        command: the one that goes on; empty if there is none.
    """
    found = ending(error)
    if os.environ.get(SHOWN, "0") not in ("", "0"):
        say("".join(traceback.format_exception(error)), err=True)
    say(f"jko: {one_line(found.sentence)}", err=True)
    if not found.foreseen:
        say(f"this was not foreseen; its traceback is in {keep_traceback(error)}", err=True)
    if command:
        say(f"to continue: {one_line(command)}", err=True)
    return found.code


def keep_traceback(error: BaseException) -> str:
    """Write a traceback where only its owner reads it; returns the path, or why there is none.

    It goes to the project's ``.jko/failures``, else to the system's folder for temporary files.
    """
    text = "".join([f"{sys.argv!r}\n\n", *traceback.format_exception(error)])
    own = project_root() / ".jko"
    with suppress(OSError):
        return _written(own / "failures" if own.is_dir() else None, text)
    try:
        return _written(None, text)
    except OSError as other:
        return f"no file, since none can be written ({other.strerror}); {SHOWN}=1 prints it"


def _written(folder: Path | None, text: str) -> str:
    """A new file of mode 0600; the oldest of a project's make room for it."""
    if folder is not None:
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(folder.glob("*.txt"))[: -KEPT + 1]:
            path.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f"jko-{time.strftime('%Y%m%d-%H%M%S')}-", suffix=".txt", dir=folder
    )
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
    return name


def reader_is_gone() -> bool:
    """Whether nobody reads standard output or error any more, as after ``jko status DIR | head -1``.

    What is still to be written there goes nowhere then, so that the interpreter's end says nothing.
    """
    gone = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            gone = True
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
    return gone
