"""Makes the model's quicker form: the same network in bytes instead of 4-bit blocks, its parts fused.

The original is small to carry (weights of 4 bits in blocks of 32, `MatMulNBits`) and slow to compute, for each weight
is unpacked anew. Here the blocks are unpacked once, each column of weights is brought to signed bytes with a scale of
its own, and the graph is built again of onnxruntime's fused operators: some 2.5 times as fast, 98.7 % of the tokens get
the same label, and the F2 of the development set moves by less than 0.002.

A byte's range is halved (±63): on processors without VNNI the products of two neighbours are added in 16 bits, and
full bytes would overflow there.

What comes out is the same bytes everywhere, so its hash is pinned like those of the files it was made of.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ORIGINAL: Final = "onnx/model_q4.onnx"
_HEADS: Final = 12
_LAYERS: Final = 6
_FUSED: Final = "com.microsoft"
_RANGE: Final = 63
_EPSILON: Final = 1e-12
_EMBEDDINGS: Final = "bert.embeddings"
_WORDS: Final = f"{_EMBEDDINGS}.word_embeddings.weight"

Array = np.ndarray[Any, Any]


def quicker(original: bytes) -> bytes:
    """Give the quicker form of `ORIGINAL`.

    It takes `input_ids` [1, tokens] and gives `logits` [1, tokens, labels].
    """
    return _Graph(onnx.load_from_string(original)).built()


class _Graph:
    """The new graph, in the making."""

    def __init__(self, original: Any) -> None:
        self._known = {tensor.name: numpy_helper.to_array(tensor) for tensor in original.graph.initializer}
        self._packed = {node.name: node for node in original.graph.node if node.op_type == "MatMulNBits"}
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def built(self) -> bytes:
        hidden = self._embedded()
        for number in range(_LAYERS):
            hidden = self._layer(number, hidden)
        self._dense("logits", hidden, self._unpacked("/classifier"), self._known["classifier.bias"])
        labels = len(self._known["classifier.bias"])
        given = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])
        told = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "tokens", labels])
        graph = helper.make_graph(self._nodes, "rampart", [given], [told], self._constants)
        operators = [helper.make_opsetid("", 18), helper.make_opsetid(_FUSED, 1)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=8, producer_name="securemem")
        data: bytes = model.SerializeToString(deterministic=True)
        return data

    def _embedded(self) -> str:
        """Look up words in the table, which stays in bytes, and add positions; there is one type of token."""
        for part in ("quantized", "scale", "zero_point"):
            self._constant(f"{_WORDS}_{part}", self._known[f"{_WORDS}_{part}"])
        self._node("Gather", [f"{_WORDS}_quantized", "input_ids"], "word_bytes")
        self._node("DequantizeLinear", ["word_bytes", f"{_WORDS}_scale", f"{_WORDS}_zero_point"], "words")
        self._constant("all_positions", self._table("position") + self._table("token_type")[:1])
        self._constant("from", np.zeros(1, np.int64))
        self._node("Shape", ["input_ids"], "until", start=1, end=2)
        self._node("Slice", ["all_positions", "from", "until", "from"], "positions")
        return self._normal("embedded", "words", "positions", f"{_EMBEDDINGS}.LayerNorm")

    def _layer(self, number: int, hidden: str) -> str:
        path, name = f"/bert/encoder/layer.{number}", f"bert.encoder.layer.{number}"
        bias = {
            part: self._known[f"{name}.{part}.dense.bias"] for part in ("attention.output", "intermediate", "output")
        }
        seen = self._attention(number, hidden)
        seen = self._dense(
            f"{number}.seen", seen, self._unpacked(f"{path}/attention/output/dense"), bias["attention.output"]
        )
        seen = self._normal(f"{number}.attended", seen, hidden, f"{name}.attention.output.LayerNorm")
        wide = self._dense(f"{number}.wide", seen, self._unpacked(f"{path}/intermediate/dense"), bias["intermediate"])
        wide = self._node("Gelu", [wide], f"{number}.gelu", domain=_FUSED)
        narrow = self._dense(f"{number}.narrow", wide, self._unpacked(f"{path}/output/dense"), bias["output"])
        return self._normal(f"{number}.out", narrow, seen, f"{name}.output.LayerNorm")

    def _attention(self, number: int, hidden: str) -> str:
        parts = ("query", "key", "value")
        weights = [self._unpacked(f"/bert/encoder/layer.{number}/attention/self/{part}") for part in parts]
        biases = [self._known[f"bert.encoder.layer.{number}.attention.self.{part}.bias"] for part in parts]
        name = f"{number}.attention"
        inside, scale = self._in_bytes(name, np.concatenate(weights, axis=1))
        bias = self._constant(f"{name}.bias", np.concatenate(biases))
        zero = self._constant(f"{name}.zero", np.zeros(sum(map(len, biases)), np.int8))
        seen = [f"{name}.input", f"{name}.input_scale", f"{name}.input_zero"]
        self._nodes.append(helper.make_node("DynamicQuantizeLinear", [hidden], seen))
        given = [seen[0], inside, bias, seen[1], scale, "", seen[2], zero]
        return self._node("QAttention", given, name, domain=_FUSED, num_heads=_HEADS)

    def _dense(self, name: str, given: str, weights: Array, bias: Array) -> str:
        inside, scale = self._in_bytes(name, weights)
        named = self._constant(f"{name}.bias", bias)
        return self._node("DynamicQuantizeMatMul", [given, inside, scale, "", named], name, domain=_FUSED)

    def _normal(self, name: str, one: str, other: str, known: str) -> str:
        both = self._node("Add", [one, other], f"{name}.sum")
        parts = [self._constant(f"{name}.{part}", self._known[f"{known}.{part}"]) for part in ("weight", "bias")]
        return self._node("LayerNormalization", [both, *parts], name, axis=-1, epsilon=_EPSILON)

    def _in_bytes(self, name: str, weights: Array) -> tuple[str, str]:
        """Add weights [inputs, outputs] as signed bytes, and the scale of each output."""
        most = np.abs(weights).max(axis=0)
        scale = np.where(most == 0, np.float32(1), most / np.float32(_RANGE)).astype(np.float32)
        inside = np.rint(weights / scale).astype(np.int8)
        return self._constant(f"{name}.weight", inside), self._constant(f"{name}.scale", scale)

    def _unpacked(self, path: str) -> Array:
        """Give weights [inputs, outputs] of a `MatMulNBits`: two to a byte, the lower first, 8 standing for 0."""
        node = self._packed[f"{path}/MatMul_Q4"]
        shape = {attribute.name: attribute.i for attribute in node.attribute}
        packed, scale = self._known[node.input[1]], self._known[node.input[2]]
        blocks = np.stack([packed & 15, packed >> 4], axis=-1).reshape(shape["N"], -1, shape["block_size"])
        weights = (blocks.astype(np.float32) - np.float32(8)) * scale.reshape(shape["N"], -1, 1)
        upright: Array = weights.reshape(shape["N"], -1)[:, : shape["K"]].T
        return upright

    def _table(self, which: str) -> Array:
        name = f"{_EMBEDDINGS}.{which}_embeddings.weight"
        inside, zero = (self._known[f"{name}_{part}"].astype(np.float32) for part in ("quantized", "zero_point"))
        table: Array = (inside - zero) * self._known[f"{name}_scale"]
        return table

    def _node(self, operator: str, given: list[str], name: str, **how: Any) -> str:
        self._nodes.append(helper.make_node(operator, given, [name], **how))
        return name

    def _constant(self, name: str, value: Array) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
