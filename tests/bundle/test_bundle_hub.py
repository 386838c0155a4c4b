"""Bundles of the Hugging Face hub: its real client against a small server that speaks its protocol."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundle_toys import toy_card, toy_model
from hub_toys import Client, serving

from voxtrait.bundle import load_bundle, store
from voxtrait.errors import MissingExtraError

pytest.importorskip("huggingface_hub")

MODEL = toy_model()
LOAD = """
import sys
from voxtrait.bundle import load_bundle
from voxtrait.errors import BundleError
try:
    print("loaded", load_bundle(sys.argv[1]).title)
except BundleError as error:
    print(error.code, error.message)
"""


def card_of(version: str) -> bytes:
    return toy_card(version=version).sealed(MODEL).model_dump_json().encode()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path) as client:
        add = client.hub.add
        add("org/toy", {"card.json": card_of("1"), "model.onnx": MODEL}, branch="v1")
        files = {"card.json": card_of("2"), "model.onnx": MODEL, ".gitattributes": b"", "evil.pkl": b""}
        add("org/toy", files)
        add("org/bare", {"card.json": card_of("1")})
        add("org/huge", {"card.json": card_of("1"), "model.onnx": 2**40})
        add("org/changed", {"card.json": card_of("1"), "model.onnx": MODEL + b"\0"})
        yield client


def load(client: Client, name: str, **environment: str) -> str:
    done = client.python("-c", LOAD, name, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_bundle_of_the_hub_loads_and_stays_in_its_cache(client: Client) -> None:
    assert load(client, "org/toy") == "loaded toy 2"
    assert not [line for line in client.hub.asked if "evil" in line or "gitattributes" in line]
    assert load(client, "org/toy", HF_HUB_OFFLINE="1") == "loaded toy 2"
    assert load(client, "org/toy", HF_ENDPOINT="http://127.0.0.1:9") == "loaded toy 2"


def test_a_revision_is_honoured(client: Client) -> None:
    assert load(client, "org/toy@v1") == "loaded toy 1"
    assert load(client, f"org/toy@{client.hub.repos['org/toy'].heads['v1']}") == "loaded toy 1"
    assert load(client, "org/toy@v9").startswith("bundle_not_found There is no file or folder 'org/toy'")


def test_refusals(client: Client) -> None:
    assert load(client, "org/none").startswith("bundle_not_found")
    assert load(client, "org/bare").startswith("bundle_corrupt")
    assert load(client, "org/changed").startswith("bundle_hash")
    assert load(client, "org/toy", HF_HUB_OFFLINE="1").startswith("bundle_not_found")


def test_a_large_file_is_refused_before_it_is_fetched(client: Client) -> None:
    said = load(client, "org/huge")
    assert said.startswith("bundle_unsafe model.onnx of org/huge on the Hugging Face hub has more than")
    assert not [line for line in client.hub.asked if line.startswith("GET") and line.endswith("model.onnx")]


def test_without_the_client_a_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"no file or folder 'org/toy'.*voxtrait\[hub\]"):
        load_bundle("org/toy")


def test_the_card_is_fetched_first() -> None:
    """A card is small: what is wrong with it costs no download of a model."""
    order: list[str] = []

    def read(name: str, limit: int) -> bytes:
        order.append(name)
        return json.dumps({"schema_version": 2}).encode()

    with pytest.raises(Exception, match="upgrade"):
        store._assemble(read, "here")
    assert order == ["card.json"]
