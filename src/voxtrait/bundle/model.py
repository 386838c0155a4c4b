"""A verified bundle in memory, and its ONNX Runtime session."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from voxtrait.bundle.card import Card
from voxtrait.bundle.onnxfile import has_external_data
from voxtrait.errors import BundleError, UsageError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["MODEL_LIMIT", "ModelBundle"]

#: Largest model.onnx in bytes: the base size of self-supervised encoders fits, 95 million weights.
MODEL_LIMIT: Final = 512 * 2**20

#: A dimension that must not be baked into the model, and one of which the card says nothing.
_FREE, _ANY = "any length", "features"

_Port = tuple[str, tuple[int | str, ...]]


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """A card and the bytes of its model, which are known to belong together.

    The model reads ``features`` (B, T, F) float32 and ``lengths`` (B,) int64, the valid frames of
    each row, and gives ``gender`` (B,), ``age`` (B, len(card.age.grid)) and ``embedding``
    (B, card.embedding.size), float32, each if the card has that section.

    Raises:
        BundleError: ``bundle_hash`` if the bytes are not those of the card, ``bundle_unsafe`` if
            they are too many or refer to other files, ``bundle_corrupt`` if they are not ONNX.
    """

    card: Card
    model: bytes = field(repr=False)
    _sessions: dict[int, Any] = field(default_factory=dict, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.model) > MODEL_LIMIT:
            raise BundleError(
                "bundle_unsafe",
                f"model.onnx of {self.title} has {len(self.model)} bytes; {MODEL_LIMIT} are allowed.",
            )
        digest = hashlib.sha256(self.model).hexdigest()
        if digest != self.card.sha256 or len(self.model) != self.card.model_bytes:
            raise BundleError(
                "bundle_hash",
                f"model.onnx of {self.title} is not the file of its card: {len(self.model)} bytes with "
                f"the SHA-256 {digest[:12]}..., expected {self.card.model_bytes} with "
                f"{self.card.sha256[:12]}...; get the bundle again.",
            )
        try:
            external = has_external_data(self.model)
        except ValueError as error:
            raise BundleError(
                "bundle_corrupt", f"model.onnx of {self.title} is not an ONNX model ({error})."
            ) from error
        if external:
            raise BundleError(
                "bundle_unsafe",
                f"model.onnx of {self.title} refers to data in other files; a bundle's model holds its own.",
            )

    def __reduce__(self) -> tuple[type[ModelBundle], tuple[Card, bytes]]:
        return type(self), (self.card, self.model)

    @property
    def sha256(self) -> str:
        """SHA-256 of the model, in hex."""
        return self.card.sha256

    @property
    def title(self) -> str:
        """Name and version, such as "voxtrait-base 1.0"."""
        return self.card.title

    def session(self, threads: int = 1) -> InferenceSession:
        """Return the session of this model on ``threads`` CPU threads, built on the first call.

        Sessions may be run from several threads at once.

        Raises:
            BundleError: ``bundle_corrupt`` if ONNX Runtime cannot load the model, or if its inputs
                and outputs are not those of the card.
            UsageError: ``usage`` if ``threads`` is less than 1.
        """
        if threads < 1:
            raise UsageError("usage", f"threads must be at least 1, not {threads}.")
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = self._build(threads)
            return self._sessions[threads]

    def _build(self, threads: int) -> InferenceSession:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # Spinning threads would take the cores from decoding and from other processes of a batch.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The bytes were checked as ONNX: do not let the runtime take them for its own format.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            session = onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        # The runtime's errors have no common base but Exception.
        except Exception as error:
            reason = " ".join(ascii(str(error))[1:-1].split())[:200]
            raise BundleError(
                "bundle_corrupt", f"ONNX Runtime cannot load model.onnx of {self.title}: {reason}"
            ) from error
        self._check("inputs", _ports(session.get_inputs()), _expected_inputs())
        self._check("outputs", _ports(session.get_outputs()), _expected_outputs(self.card))
        return session

    def _check(self, what: str, found: dict[str, _Port], expected: dict[str, _Port]) -> None:
        agree = found.keys() == expected.keys() and all(
            found[name][0] == kind and _fits(found[name][1], shape)
            for name, (kind, shape) in expected.items()
        )
        if not agree:
            raise BundleError(
                "bundle_corrupt",
                f"The {what} of {self.title} are {_spelt(found)}; its card needs {_spelt(expected)}.",
            )


def _expected_inputs() -> dict[str, _Port]:
    return {"features": ("tensor(float)", (_FREE, _FREE, _ANY)), "lengths": ("tensor(int64)", (_FREE,))}


def _expected_outputs(card: Card) -> dict[str, _Port]:
    shapes: dict[str, tuple[int | str, ...]] = {}
    if card.gender is not None:
        shapes["gender"] = (_FREE,)
    if card.age is not None:
        shapes["age"] = (_FREE, len(card.age.grid))
    if card.embedding is not None:
        shapes["embedding"] = (_FREE, card.embedding.size)
    return {name: ("tensor(float)", shape) for name, shape in shapes.items()}


def _ports(nodes: list[Any]) -> dict[str, _Port]:
    # A free dimension has a name of the exporter's choice, or None.
    return {
        node.name: (node.type, tuple(n if isinstance(n, int) else _FREE for n in node.shape))
        for node in nodes
    }


def _fits(shape: tuple[int | str, ...], expected: tuple[int | str, ...]) -> bool:
    return len(shape) == len(expected) and all(
        want in (_ANY, have) for have, want in zip(shape, expected, strict=True)
    )


def _spelt(ports: dict[str, _Port]) -> str:
    parts = (
        f"{ascii(name)[1:-1]} {kind} ({', '.join(map(str, shape))})" for name, (kind, shape) in ports.items()
    )
    return "; ".join(parts)[:300] or "none"
