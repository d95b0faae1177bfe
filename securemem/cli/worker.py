"""`securemem worker`: takes out what is past its time, again and again, on any number of machines."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import PurgeSeconds, command
from securemem.cli.output import Output
from securemem.cli.place import Place, PolicyName
from securemem.errors import SecureMemError
from securemem.model import from_milliseconds
from securemem.residue import PURGE_SECONDS

if TYPE_CHECKING:
    from securemem.retention.sweep import SweepReport
    from securemem.retention.worker import Worker

RECORDS_A_SECOND = 5000.0
"""What leaves those who chat on the same server their time: docs/evidence/retention-benchmark.md."""

_Once = Annotated[bool, typer.Option("--once", help="Go through once, and end.")]
_Interval = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="From one pass to the next.")]
_Rate = Annotated[
    float, typer.Option(metavar="RECORDS", min=0, help="At most so many a second; 0 for no limit and no rest.")
]
_PurgeHours = Annotated[
    float, typer.Option(metavar="HOURS", min=0, help="How often to remove what deletions left on disk; 0 for never.")
]
_KeystoreBackups = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Where to back the keystore up when an epoch is closed, within the policy's time after an erasure.",
    ),
]


async def _worker(
    *,
    place: Place,
    out: Output,
    policy: PolicyName = None,
    once: _Once = False,
    interval: _Interval = 60.0,
    rate: _Rate = RECORDS_A_SECOND,
    purge_hours: _PurgeHours = 24.0,
    purge_seconds: PurgeSeconds = PURGE_SECONDS,
    keystore_backups: _KeystoreBackups = None,
) -> None:
    """Take out what is past its time, until it is told to stop (SIGTERM, or Ctrl-C).

    Run as many as you like, on as many machines. With --json, one object a pass.
    """
    from securemem.retention.worker import Rhythm, Worker  # noqa: PLC0415

    async with place.for_retention(policy) as memory:

        async def work(pace: Any, seconds: float | None) -> SweepReport:
            return await memory.retention.work(
                pace=pace, gentle=rate > 0, purge_seconds=seconds, keystore_backups=keystore_backups
            )

        rhythm = Rhythm(
            interval=interval,
            rate=rate or None,
            purge_every=(purge_hours * 3600 or None) if not once else 0.0,
            purge_seconds=purge_seconds,
        )
        checkpoint = memory.audit.checkpoint if await memory.audit.has_sink() else None
        worker = Worker(work, rhythm, say=lambda done: _say(out, done), checkpoint=checkpoint)
        await _until_told(worker, out, once=once)


async def _until_told(worker: Worker, out: Output, *, once: bool) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, worker.stop)
    try:
        if once:
            _say(out, await worker.once())
        else:
            await worker.run()
    finally:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)


def _say(out: Output, done: SweepReport | Exception) -> None:
    """Say what a pass did, or why there was none."""
    at = datetime.now(UTC)
    if isinstance(done, Exception):
        text = str(done) if isinstance(done, SecureMemError) else type(done).__name__
        out.answer({"at": at.isoformat(), "error": text}, f"{at:%H:%M:%S}  {text}")
        return
    age = (at - from_milliseconds(done.oldest)).total_seconds() if done.oldest is not None else 0.0
    document = {"at": at.isoformat(), **asdict(done), "oldest_expired_age": round(age, 3)}
    out.answer(document, f"{at:%H:%M:%S}  {_in_words(done)}", *([done.refusal] if done.refusal else []))


def _in_words(done: SweepReport) -> str:
    counts = (
        (done.records, "expired messages taken out"),
        (done.sessions, "sessions destroyed"),
        (done.restricted, "messages kept out of sight from now on"),
        (done.waiting, "past their time, and waiting for somebody's word"),
        (done.quarantined, "not classified, and so kept out of sight"),
        (done.without_key, "sessions without a key, left alone"),
        (done.resumed, "acts that were interrupted seen through"),
        (done.closed_epochs, "KEK epochs closed"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing is past its time"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "worker")(_worker)
