"""Bundles to the Hugging Face hub and back: the real client against a hub that speaks its protocol."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from bundle_toys import toy_card, toy_model
from hub_toys import READER, WRITER, Client, RefusalError, serving
from hypothesis import given
from hypothesis import strategies as st

from voice_toys import pitch_bundle, say, wav
from voxtrait.bundle import CalibrationRow, GenderCard, load_bundle, publish_bundle, save_bundle
from voxtrait.bundle.publish import hub_page
from voxtrait.bundle.readme import card_markdown
from voxtrait.errors import BundleError, MissingExtraError, UsageError

validate_repo_id = pytest.importorskip("huggingface_hub.utils").validate_repo_id

MODEL = toy_model()
#: Runs several command lines in one process, each with its token, as [arguments, token] in JSON.
RUN = """
import json, os, sys
from voxtrait.cli import run
for arguments, token in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    print("exit", run(arguments), flush=True)
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    for version in ("1", "2"):
        save_bundle(tmp_path / f"toy{version}", toy_card(version=version), MODEL, {"README.md": "mine"})
    with serving(tmp_path) as client:
        yield client


def run_all(client: Client, *commands: tuple[str, str]) -> tuple[list[str], list[str]]:
    """Run command lines with tokens, and return the lines of stdout and of stderr."""
    done = client.python("-c", RUN, json.dumps([(line.split(), token) for line, token in commands]))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


def paths_asked(client: Client, *, part: str) -> list[str]:
    return [line for line in client.hub.asked if part in line]


# There and back


def test_what_is_published_predicts_by_its_name(client: Client) -> None:
    bundle = pitch_bundle()
    save_bundle(client.home / "pitch", bundle.card, bundle.model)
    (client.home / "talk.wav").write_bytes(wav(say()))
    client.hub.part_size = 1000
    done = client.python("-m", "voxtrait", "publish", "pitch", "org/pitch", HF_TOKEN=WRITER)
    assert (done.returncode, done.stdout) == (0, "org/pitch\n"), done.stderr
    assert len(paths_asked(client, part="PUT /lfs/upload/")) == -(-len(bundle.model) // 1000) > 1
    repo = client.hub.repos["org/pitch"]
    assert done.stderr == (
        f"Published at {client.hub.endpoint}/org/pitch; "
        f"this version for ever: org/pitch@{repo.heads['main']}\n"
    )
    assert repo.messages == ["initial commit", "pitch 0.1"]
    assert not repo.private
    answers = [
        client.python("-m", "voxtrait", "predict", "talk.wav", "-f", "json", "--model", name)
        for name in ("org/pitch", "./pitch")
    ]
    assert [answer.returncode for answer in answers] == [0, 0]
    assert answers[0].stdout == answers[1].stdout
    assert json.loads(answers[0].stdout)[0]["status"] == "ok"


def test_what_stands_on_the_hub(client: Client) -> None:
    client.hub.private_by_default = True
    client.hub.add("org/toy", {"notes.txt": b"kept"})
    said, _ = run_all(client, ("publish toy1 org/toy", WRITER), ("publish toy1 org/ours", WRITER))
    assert said == ["org/toy", "exit 0", "org/ours", "exit 0"]
    assert client.hub.repos["org/ours"].private
    repo = client.hub.repos["org/toy"]
    bundle = load_bundle(client.home / "toy1")
    assert repo.files() == {
        "notes.txt": b"kept",
        "card.json": (client.home / "toy1" / "card.json").read_bytes(),
        "model.onnx": MODEL,
        "README.md": hub_page(bundle.card).encode(),
    }
    assert len(paths_asked(client, part="POST /api/models/org/toy/commit/main")) == 1


def test_a_new_version_replaces_the_old_one_and_equal_content_nothing(client: Client) -> None:
    lines = ("publish toy1 org/toy", "publish toy2 org/toy", "publish toy2 org/toy", "info org/toy")
    said, _ = run_all(client, *((line, WRITER) for line in lines))
    assert said[:6] == ["org/toy", "exit 0"] * 3
    assert "toy 2" in said[6]
    repo = client.hub.repos["org/toy"]
    assert repo.messages == ["initial commit", "toy 1", "toy 2"]
    # The model is that of before: it is not sent again.
    assert len(paths_asked(client, part="PUT /lfs/upload/")) == 1
    first = list(repo.revisions)[1]
    said, _ = run_all(client, (f"info org/toy@{first}", ""))
    assert "toy 1" in said[0]


def test_private_is_for_members(client: Client) -> None:
    client.hub.add("org/open", {})
    said, complaints = run_all(
        client,
        ("publish toy1 org/hidden --private", WRITER),
        ("publish toy1 org/hidden", WRITER),
        ("info org/hidden", READER),
        ("publish toy1 org/open --private", WRITER),
    )
    assert said[:4] == ["org/hidden", "exit 0"] * 2
    assert "toy 1" in said[4]
    assert said[-1] == "exit 2"
    assert any(line.startswith("error[publish]: org/open is on the Hugging Face") for line in complaints)
    assert {name: repo.private for name, repo in client.hub.repos.items()} == {
        "org/hidden": True,
        "org/open": False,
    }
    assert client.hub.repos["org/open"].files() == {}
    done = client.python("-m", "voxtrait", "info", "org/hidden", HF_HOME=str(client.home / "elsewhere"))
    assert done.returncode == 2
    assert done.stderr.startswith("error[bundle_not_found]")


# Refusals


def test_who_may_not_publish_is_told_why(client: Client) -> None:
    client.hub.add("org/known", {})
    said, complaints = run_all(
        client,
        ("publish toy1 org/toy", ""),
        ("publish toy1 org/toy", "hf not a token"),
        ("publish toy1 org/toy", "hf_wrong"),
        ("publish toy1 org/toy", READER),
        ("publish toy1 org/known", READER),
        ("publish toy1 other/toy", WRITER),
    )
    assert said == ["exit 2"] * 6
    nobody, strange, wrong, reader, known, other = complaints
    login = "log in with `hf auth login`, or set HF_TOKEN to a token that may write."
    assert nobody == strange == f"error[publish]: The Hugging Face hub must know who publishes: {login}"
    assert wrong == f"error[publish]: The Hugging Face hub does not accept the token: {login}"
    assert reader.startswith("error[publish]: The Hugging Face hub does not let you write to org/toy (")
    assert known.startswith("error[publish]: The Hugging Face hub does not let you write to org/known (")
    assert "rights to create a model under 'other'" in other
    assert other.endswith("use a token that may write, of somebody who may publish for other.")
    assert set(client.hub.repos) == {"org/known"}
    assert client.hub.repos["org/known"].files() == {}


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [("HF_ENDPOINT", "http://127.0.0.1:9", "refused"), ("HF_HUB_OFFLINE", "1", "offline mode is enabled")],
)
def test_a_hub_out_of_reach(client: Client, setting: str, value: str, reason: str) -> None:
    settings = {"HF_TOKEN": WRITER, setting: value}
    done = client.python("-m", "voxtrait", "publish", "toy1", "org/toy", **settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[publish]: Cannot reach the Hugging Face hub (")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert client.hub.asked == []


def test_a_failure_half_way_leaves_what_was_there(client: Client) -> None:
    hub = client.hub
    client.hub.add("org/toy", {"card.json": b"old", "model.onnx": b"older"}, message="of before")

    def fail_once(step: str) -> None:
        assert hub.repos["org/toy"].messages == ["of before"]
        del hub.before[step]
        raise RefusalError(507, "the disk is full")

    for step in ("/lfs/upload/", "/commit/"):
        hub.before[step] = partial(fail_once, step)
    said, complaints = run_all(client, *[("publish toy1 org/toy", WRITER)] * 3)
    assert said == ["exit 2", "exit 2", "org/toy", "exit 0"]
    full = "error[publish]: The Hugging Face hub did not take org/toy (the disk is full)."
    assert complaints[:2] == [full, full]
    assert hub.repos["org/toy"].messages == ["of before", "toy 1"]


def test_a_commit_that_was_overtaken_is_refused(client: Client) -> None:
    """Else the card of one, and the unchanged model that was not sent, would meet the other's model."""
    files = {"card.json": b"old", "model.onnx": MODEL}
    client.hub.add("org/toy", files)
    client.hub.before["/commit/"] = lambda: client.hub.add("org/toy", {"model.onnx": b"of somebody else"})
    said, complaints = run_all(client, ("publish toy1 org/toy", WRITER))
    assert said == ["exit 2"]
    assert complaints == [
        "error[publish]: The Hugging Face hub did not take org/toy (A commit has happened since. "
        "Please refresh and try again.)."
    ]
    assert client.hub.repos["org/toy"].files()["card.json"] == b"old"


def test_a_broken_bundle_is_not_published(client: Client) -> None:
    (client.home / "toy1" / "model.onnx").write_bytes(MODEL + b"\0")
    with pytest.raises(BundleError) as caught:
        publish_bundle(client.home / "toy1", "org/toy")
    assert caught.value.code == "bundle_hash"


@pytest.mark.parametrize(
    "name",
    ["toy", "a/b/c", "org/", "/toy", "org/toy@v1", "org/toy.zip", "org/to--y", "org/a..b", "org/t.git",
     "org/-toy", "örg/toy", "org/" + "a" * 97, "org/toy\n", "https://huggingface.co/org/toy"],
)  # fmt: skip
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name on the Hugging Face hub: give org/name") as caught:
        publish_bundle(tmp_path, name)
    assert caught.value.code == "usage"


@given(st.text("aZ9-_.", min_size=1, max_size=8), st.text("aZ9-_.gitzp", min_size=1, max_size=8))
def test_names_are_those_of_the_client(organisation: str, name: str) -> None:
    whole = f"{organisation}/{name}"
    try:
        validate_repo_id(whole)
        valid = not name.endswith(".zip")
    except ValueError:
        valid = False
    # An accepted name goes on to the bundle, which is not there.
    with pytest.raises(BundleError if valid else UsageError):
        publish_bundle("no such bundle", whole)


def test_without_the_client_a_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'voxtrait\[hub\]'"):
        publish_bundle("voxtrait-base", "org/toy")


# The page


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC0-1.0", {"license": "cc0-1.0"}),
        ("GPL-3.0-or-later", {"license": "other", "license_name": "gpl-3.0-or-later"}),
        ("Ask: me # first\n---", {"license": "other", "license_name": "ask-me-first"}),
        ("1.0", {"license": "other", "license_name": "1.0"}),
        ("許可", {"license": "other", "license_name": "see-model-card"}),
    ],
)
def test_the_page_begins_with_what_the_hub_reads(licence: str, expected: dict[str, str]) -> None:
    card = toy_card(licence=licence, description="One\n---\ntwo")
    matter, text = hub_page(card).removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(matter) == expected | {
        "library_name": "voxtrait",
        "pipeline_tag": "audio-classification",
        "tags": ["voxtrait", "audio-classification", "speaker-age", "gender"],
    }
    assert text.startswith("\n# toy 0.1\n")
    assert card_markdown(card).endswith(text)


def test_the_tags_are_what_the_model_tells() -> None:
    gender = GenderCard(calibration=(CalibrationRow(speech=1, scale=1, bias=0),), unsure_below=0.6)
    page = hub_page(toy_card(age=None, gender=gender))
    assert "- gender\n" in page
    assert "speaker-age" not in page
