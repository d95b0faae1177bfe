"""Exit codes, and the one place where an error becomes a line on standard error and a code.

    0  done
    1  the answer is no: an integrity failure, a receipt that does not verify, a session that is not there
    2  usage: a wrong option, what it names is not there, or settings and files that do not fit together
    3  unavailable: a store, KMS or model does not answer, or a store has to catch up first

A line on standard error says what to do. It never holds content, a key or a real id.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import typer

from securemem.errors import (
    BackendUnavailableError,
    ConfigurationError,
    InvalidInputError,
    KMSUnavailableError,
    ModelError,
    NotReadyError,
    PolicyError,
    SecureMemError,
)

NO, USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130

_CODES: tuple[tuple[tuple[type[SecureMemError], ...], int], ...] = (
    ((BackendUnavailableError, KMSUnavailableError, ModelError, NotReadyError), UNAVAILABLE),
    ((ConfigurationError, InvalidInputError, PolicyError), USAGE),
    ((SecureMemError,), NO),
)

_WRONG_PATHS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What is wrong with the name of a file, and not with the disk."""


class AnswerIsNo(SecureMemError):  # noqa: N818  (it is no error of the program)
    """A command's answer is no: exit code 1, and one line that says why."""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end; give its error as one line and an exit code.

    Raises:
        typer.Exit: it did not end well.
    """
    try:
        asyncio.run(work)
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except SecureMemError as exc:
        fail(f"{exc}{_of_the_locale(exc)}", code_of(exc))
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except OSError as exc:
        code = USAGE if isinstance(exc, _WRONG_PATHS) else UNAVAILABLE
        fail(f"{exc.filename or 'a file'}: {exc.strerror or type(exc).__name__}", code)
    except Exception as exc:  # noqa: BLE001  (its text may hold anything, so only its kind and place are told)
        fail(f"{type(exc).__name__} in {place_in(exc)}: a defect of SecureMem, please report this line", UNAVAILABLE)


def _of_the_locale(error: SecureMemError) -> str:
    """Give what to do about an id that came in bytes which the locale has no characters for."""
    encoding = sys.getfilesystemencoding()
    if not isinstance(error, InvalidInputError) or "lone surrogate" not in str(error) or encoding == "utf-8":
        return ""
    return f": this locale reads what is typed as {encoding}; set LC_ALL=C.UTF-8 or PYTHONUTF8=1"


def code_of(error: SecureMemError) -> int:
    """Give the exit code of an error."""
    return next(code for kinds, code in _CODES if isinstance(error, kinds))


def fail(message: str, code: int) -> None:
    """Say one line on standard error and leave.

    Raises:
        typer.Exit: always.
    """
    line = " ".join(message.split())
    print(f"securemem: {line}", file=sys.stderr)  # noqa: T201  (the one place)
    raise typer.Exit(code)


def place_in(error: Exception) -> str:
    """Give the file and the line that an error comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
