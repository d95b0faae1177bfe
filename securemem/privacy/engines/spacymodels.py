"""spaCy's models: which of them is here, and the command that brings one. Nothing here downloads.

That command is spaCy's own. Never `pip install` a model by its name: on PyPI some of these names (en-core-web-trf,
de-core-news-md …, at version 999.9.9) belong to somebody else.
"""

from __future__ import annotations

from pathlib import Path

from securemem.errors import ConfigurationError


def require(name: str) -> None:
    """Hold that a model is here: a package that is installed, or a folder.

    Raises:
        ConfigurationError: it is not; the message names the command that brings it.
    """
    import spacy.util  # noqa: PLC0415  (heavy)

    if spacy.util.is_package(name) or Path(name).is_dir():
        return
    raise ConfigurationError(
        f"the spaCy model {name} is not installed: run `python -m spacy download {name}`, "
        "not `pip install`: some packages of such names on PyPI are not spaCy's"
    )
