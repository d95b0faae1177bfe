"""What these tests share: no way to a network, and an open engine."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NoReturn

import pytest

from securemem.model import Detection
from securemem.privacy.engines import ner
from securemem.privacy.engines.ner import NerEngine


class ReachedForNetworkError(BaseException):
    """Something asked for an address or a connection; no `except Exception` may hide that."""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every look-up and every connection raise."""

    def refuse(*_: object) -> NoReturn:
        raise ReachedForNetworkError

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def opened(models_folder: Path) -> NerEngine:
    """Give the engine `ner`, loaded once."""
    engine = ner.make(Detection(engine="ner", entities=ner.ENTITIES, model=str(models_folder / "rampart")))
    engine.open()
    return engine
