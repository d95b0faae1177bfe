"""The network itself: a text of a few hundred characters in, for each token how likely it is part of a name or place.

Rampart (National Design Studio, CC BY 4.0) has BERT's shape: 6 layers of 384, 19,730 word pieces, at most 512 tokens.
Its 35 labels are B- and I- forms of kinds of data; here those of names and those of parts of an address are added up,
for a token that is half a street and half a town is all of it a place.

One thread inside onnxruntime, which does not spin while it waits: threads are the caller's, and it lets go of the
interpreter while it computes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.errors import ConfigurationError
from securemem.privacy import models
from securemem.privacy.engines.pieces import encodable
from securemem.privacy.models import RAMPART

if TYPE_CHECKING:
    import numpy as np

_NAMES = frozenset({"GIVEN_NAME", "SURNAME"})
_PLACES = frozenset({"BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS", "CITY", "STATE", "ZIP_CODE"})
_QUICKER, _ORIGINAL = "onnx/model_int8.onnx", "onnx/model_q4.onnx"


class Token(NamedTuple):
    """A word piece.

    Attributes:
        start: its first character in the text.
        end: the one behind its last.
        name: the probability that it is part of a person's name.
        place: the probability that it is part of an address or place.
    """

    start: int
    end: int
    name: float
    place: float


class TooManyTokensError(Exception):
    """A text has more tokens than the network takes; half of it may do."""


class Network:
    """Rampart, loaded."""

    def __init__(self, session: Any, tokenizer: Any, labels: list[str], most: int) -> None:
        """Take what `load` loaded.

        Args:
            session: onnxruntime's.
            tokenizer: of the word pieces.
            labels: what each column of the session's answer means, without B- and I-.
            most: how many tokens the session takes.
        """
        self._session, self._tokenizer = session, tokenizer
        self._names = [column for column, label in enumerate(labels) if label in _NAMES]
        self._places = [column for column, label in enumerate(labels) if label in _PLACES]
        self._inputs = {wanted.name for wanted in session.get_inputs()}
        self._most = most

    def tokens(self, text: str) -> list[Token]:
        """Give the word pieces of a text, in order.

        Raises:
            TooManyTokensError: the text is too long.
        """
        encoding = self._tokenizer.encode(encodable(text))
        if len(encoding.ids) > self._most:
            raise TooManyTokensError
        likely = self._likely(encoding.ids)
        names = likely[:, self._names].sum(axis=1).tolist()
        places = likely[:, self._places].sum(axis=1).tolist()
        found = zip(encoding.offsets, names, places, strict=True)
        return [Token(start, end, name, place) for (start, end), name, place in found if end > start]

    def _likely(self, ids: list[int]) -> np.ndarray[Any, Any]:
        import numpy as np  # noqa: PLC0415  (heavy)

        pieces = np.array([ids], dtype=np.int64)
        given = {"input_ids": pieces, "attention_mask": np.ones_like(pieces), "token_type_ids": np.zeros_like(pieces)}
        answer = self._session.run(None, {name: given[name] for name in self._inputs})[0][0]
        raised = np.exp(answer - answer.max(axis=1, keepdims=True))
        likely: np.ndarray[Any, Any] = raised / raised.sum(axis=1, keepdims=True)
        return likely


def load(folder: Path) -> Network:
    """Load the network from its folder, every file checked against its pinned hash.

    Raises:
        ConfigurationError: a package or a file is missing, or a file is not the pinned one.
    """
    try:
        import onnxruntime  # noqa: PLC0415  (heavy, and of an extra)
        from tokenizers import Tokenizer  # noqa: PLC0415
    except ImportError as exc:
        raise ConfigurationError(
            f"the engine ner needs the package {exc.name}: run `pip install 'securemem[ner]'`"
        ) from exc
    config = json.loads(models.read(RAMPART, folder, "config.json"))
    tokenizer = Tokenizer.from_buffer(models.read(RAMPART, folder, "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    graph = models.read(RAMPART, folder, _QUICKER if models.has(folder, _QUICKER) else _ORIGINAL)
    session = onnxruntime.InferenceSession(graph, _options(onnxruntime), providers=["CPUExecutionProvider"])
    labels = [config["id2label"][str(number)][2:] for number in range(len(config["id2label"]))]
    return Network(session, tokenizer, labels, config["max_position_embeddings"])


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
