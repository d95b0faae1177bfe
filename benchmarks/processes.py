"""Runs a benchmark in fresh processes, one after the other, and says what machine it was."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.timing import Measured

Figures = dict[str, Measured]


def run(arguments: Sequence[str], *, count: int, directory: Path | None) -> list[Figures]:
    """Run `python -m benchmarks <arguments> --single <n> --dir <new>` so often; each prints its figures as JSON."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SECUREMEM_")}
    taken: list[Figures] = []
    for number in range(1, count + 1):
        with tempfile.TemporaryDirectory(prefix="securemem-bench-", dir=directory) as place:
            command = [sys.executable, "-m", "benchmarks", *arguments, "--single", str(number), "--dir", place]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        taken.append({name: Measured(*values) for name, values in json.loads(done.stdout).items()})
        print(f"process {number} of {count} done", file=sys.stderr)
    return taken


def medians(processes: Sequence[Figures]) -> Figures:
    """Give the median over processes of every figure, each of its three numbers for itself."""
    return {
        name: Measured(*(statistics.median(column) for column in zip(*(each[name] for each in processes), strict=True)))
        for name in processes[0]
    }


def machine(*packages: str) -> dict[str, str]:
    """Say when and on what it was measured, with the versions of these packages."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cores": str(os.cpu_count()),
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


class OtherWork:
    """Measures how much of the machine others use while this object lives; only Linux says."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._before = _others_seconds()

    def seconds(self) -> float | None:
        """Give the processor seconds that went to others since this object was made."""
        after = _others_seconds()
        return None if self._before is None or after is None else max(0.0, after - self._before)

    def facts(self) -> dict[str, str]:
        """Give the share of all cores that went to others since this object was made."""
        used = self.seconds()
        if used is None:
            return {}
        available = (time.monotonic() - self._start) * (os.cpu_count() or 1)
        return {"others' share of the cores": f"{used / available:.0%}"}


def _others_seconds() -> float | None:
    """Give the processor time that all but us and the processes we ran have used since the machine started."""
    place = Path("/proc/stat")
    if not place.exists():
        return None
    user, nice, system = (int(ticks) for ticks in place.read_text(encoding="ascii").split()[1:4])
    ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    used = sum(usage.ru_utime + usage.ru_stime for usage in ours)
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - used
