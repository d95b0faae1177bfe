"""Workers and chats of many processes on one SQLite file: nobody is refused for a lock."""

from __future__ import annotations

import signal

import pytest

from .conftest import Scenes
from .crash import Run, Trouble
from .nursery import Nursery
from .scene import DAY, SECOND


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenes", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("count", "appends"), [(3, 40), pytest.param(8, 1000, marks=pytest.mark.soak)])
async def test_nobody_is_refused_for_a_lock(
    scenes: Scenes, nursery: Nursery, count: int, appends: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many workers as chatting processes, none of them killed: every append is made, and all is as it has to be."""
    run = Run(
        nursery, await scenes.next(1), 1, Trouble(crews=[(SECOND, 0)], seconds=(0, 0), kills=False, chats=0, holds=1)
    )
    run.lease = 60.0  # none is lost
    workers = [await run.worker(SECOND * DAY) for _ in range(count)]
    chatters = [await run.chatter(SECOND * DAY, SECOND, appends) for _ in range(count)]
    codes = [await chatter.ended(600) for chatter in chatters]
    assert codes == [0] * count, [chatter.said()[-1:] for chatter in chatters]
    assert all(worker.alive for worker in workers), [worker.said()[-1:] for worker in workers]
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
    run.lease = 0.0
    found = await run.go()
    assert not found
    took = sorted(line[-1] for chatter in chatters for line in chatter.said() if isinstance(line, list))
    assert len(took) == count * appends
    with capsys.disabled():
        if appends >= 1000:
            print(f"\n{len(took)} appends: median {took[len(took) // 2]} s, longest {took[-1]} s")  # noqa: T201
