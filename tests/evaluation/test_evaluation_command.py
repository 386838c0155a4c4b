"""``voxtrait evaluate`` on real recordings: what it writes, says, lists and refuses."""

from __future__ import annotations

import base64
import csv
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from evaluation_toys import HOSTILE, SPEAKERS, TEXTS, Terminal, alike, corpus_in, figures_in, metrics_in
from voice_toys import say, silence, wav
from voxtrait.audio import load_audio
from voxtrait.corpora import assign_splits, read_corpus, write_manifest
from voxtrait.predictor import Predictor

FILES = ["answers.parquet", "metrics.json", "report.html"]


@pytest.fixture(scope="module")
def evaluated(workshop: Path, corpus: Path, pitch: Path) -> Path:
    """An evaluation of the whole corpus, with copies of its mistakes."""
    from voxtrait.cli import run

    folder = workshop / "evaluated"
    assert run(["evaluate", str(pitch), str(corpus), "-o", str(folder), "--mistakes"]) == 0
    return folder


class Page(HTMLParser):
    """A page as a browser reads it: its elements with their attributes, and its text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_answers_are_those_of_the_predictor(evaluated: Path, pitch: Path) -> None:
    answers = pl.read_parquet(evaluated / "answers.parquet")
    predictor = Predictor(pitch)
    assert answers.height == len(SPEAKERS) * len(TEXTS)
    for row in answers.sample(4, seed=1).iter_rows(named=True):
        expected = predictor.predict(row["path"])
        assert expected.gender is not None
        assert expected.age is not None
        assert row["female"] == pytest.approx(expected.gender.female, abs=1e-5)
        assert (row["label"], row["status"]) == (expected.gender.label, "ok")
        assert row["years"] == pytest.approx(expected.age.years, abs=1e-3)
        assert row["groups"] == pytest.approx(list(expected.age.groups.values()), abs=1e-5)
        assert row["duration"] == expected.duration


def test_metrics_say_what_the_answers_say(evaluated: Path) -> None:
    answers = pl.read_parquet(evaluated / "answers.parquet")
    metrics, figures = metrics_in(evaluated), figures_in(evaluated)
    said = pl.when(pl.col("female") > 0.5).then(pl.lit("female")).otherwise(pl.lit("male"))
    right = answers.select((said == pl.col("gender")).mean()).item()
    assert figures["gender accuracy"]["value"] == pytest.approx(right)
    # flo and gus are the wrong ones; one of three men, one of four women.
    assert figures["gender UAR"]["value"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert figures["gender accuracy"]["speakers"] == 7
    assert metrics["baseline"] == {
        "gender": "female", "years": 34.5, "source": "these recordings themselves",
    }  # fmt: skip
    assert metrics["statuses"] == {"ok": 14, "no_speech": 0, "error": 0}
    assert metrics["skipped"] == []
    assert metrics["model_bytes"] > 0
    assert metrics["cost"]["audio"] == pytest.approx(answers["duration"].sum(), abs=0.01)
    assert metrics["cost"]["cpu_seconds_per_hour"] > 0
    assert sum(map(sum, metrics["confusion"]["gender"]["counts"])) == 14
    assert {group["by"] for group in metrics["subgroups"]} == {
        "gender and band", "locale", "duration", "signal to noise", "corpus",
    }  # fmt: skip


def test_the_page_holds_all_it_shows(evaluated: Path) -> None:
    page = Page(evaluated / "report.html")
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "data", "action"):
                assert value is not None
                assert value.startswith(("data:", "#")), value
    style = page.text
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert len(page.all("svg")) == 4
    assert all(svg["aria-label"] for svg in page.all("svg"))
    assert all(image["alt"] for image in page.all("img"))


def test_ids_on_the_page_are_unique(evaluated: Path) -> None:
    page = Page(evaluated / "report.html")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    used = {value[1:] for _, attributes in page.elements if (value := attributes.get("xlink:href"))}
    assert used <= set(ids)
    assert all(ids.count(each) == 1 for each in used)


def test_names_are_text_on_the_page(evaluated: Path) -> None:
    page = Page(evaluated / "report.html")
    assert HOSTILE in page.text
    assert "<b>gus" in page.text
    assert all(image["src"] != "x" for image in page.all("img"))


def test_mistakes_can_be_heard(evaluated: Path) -> None:
    page = Page(evaluated / "report.html")
    # One of flo and one of gus; the ages of both and of others are wrong too.
    assert "female, answered male" in " ".join(page.text.split())
    players = page.all("audio")
    assert len(players) == len(page.all("img")) >= 3
    for player in players:
        assert player["src"] is not None
        samples = load_audio(base64.b64decode(player["src"].partition(",")[2]))
        assert samples.size > 16_000
        assert abs(samples).max() > 0.05


def test_mistakes_are_copied_out(evaluated: Path, corpus: Path) -> None:
    with (evaluated / "mistakes" / "mistakes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    genders = [row for row in rows if row["kind"] == "gender"]
    assert {row["speaker"].rpartition("/")[2] for row in genders} == {"flo", "<b>gus"}
    assert genders[0]["speaker"].endswith("flo"), "the surest first"
    for row in rows:
        copy = evaluated / "mistakes" / row["copy"]
        assert copy.read_bytes() == Path(row["path"]).read_bytes()
    assert len(list((evaluated / "mistakes").iterdir())) == len({row["path"] for row in rows}) + 1


def test_what_is_printed(terminal: Terminal, pitch: Path, corpus: Path, tmp_path: Path) -> None:
    out, err = terminal.run("evaluate", pitch, corpus, "-o", tmp_path / "out")
    lines = out.splitlines()
    assert lines[0].split() == ["figure", "value", "95", "%", "interval", "constant", "answer", "speakers"]
    (accuracy,) = [line for line in lines if line.startswith("gender accuracy")]
    assert "71.4 %" in accuracy
    assert err == f"Wrote {tmp_path / 'out' / 'report.html'}.\n"
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == FILES


def test_files_that_cannot_be_heard_are_listed_and_change_nothing(
    terminal: Terminal, pitch: Path, evaluated: Path, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "broken.mp3").write_bytes(b"no sound at all " * 100)
    (tmp_path / "quiet.wav").write_bytes(wav(silence(2)))
    bad = ["gone.wav", "empty.wav", "broken.mp3", "quiet.wav"]
    paths = pl.Series([str(tmp_path / name) for name in bad])
    more = read_corpus(corpus).head(4).with_columns(path=paths, age_low=None, age_high=None)
    manifest = pl.concat([read_corpus(corpus), more], how="vertical_relaxed")
    write_manifest(manifest, tmp_path / "all.parquet")
    _, err = terminal.run("evaluate", pitch, tmp_path / "all.parquet", "-o", tmp_path / "out", code=1)
    assert "3 of 18 recordings could not be heard" in err
    metrics = metrics_in(tmp_path / "out")
    assert {Path(row["path"]).name: row["code"] for row in metrics["skipped"]} == {
        "gone.wav": "not_found", "empty.wav": "empty", "broken.mp3": "not_audio",
    }  # fmt: skip
    assert metrics["statuses"] == {"ok": 14, "no_speech": 1, "error": 3}
    assert "3 recordings could not be heard" in " ".join(metrics["notes"])
    assert figures_in(tmp_path / "out") == alike(figures_in(evaluated))
    page = Page(tmp_path / "out" / "report.html")
    assert all(row["message"] in page.text for row in metrics["skipped"])


def test_nothing_heard_is_an_error_and_writes_nothing(
    terminal: Terminal, pitch: Path, tmp_path: Path
) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text("path,gender\ngone.wav,female\n")
    assert terminal.complaint("evaluate", pitch, table, "-o", tmp_path / "out").startswith(
        "error[corpus_empty]"
    )
    (tmp_path / "gone.wav").write_bytes(wav(silence(2)))
    assert "holds speech" in terminal.complaint("evaluate", pitch, table, "-o", tmp_path / "out")
    table.write_text("path,gender\ngone.wav,\n")
    assert "has a gender or age" in terminal.complaint("evaluate", pitch, table, "-o", tmp_path / "out")
    table.write_text("path,gender\n")
    assert terminal.complaint("evaluate", pitch, table, "-o", tmp_path / "out").startswith(
        "error[corpus_empty]"
    )
    assert not (tmp_path / "out").exists()


def test_one_class_and_one_speaker(terminal: Terminal, pitch: Path, tmp_path: Path) -> None:
    table = corpus_in(tmp_path / "one", SPEAKERS[:1])
    terminal.run("evaluate", pitch, table, "-o", tmp_path / "out")
    figures, notes = figures_in(tmp_path / "out"), " ".join(metrics_in(tmp_path / "out")["notes"])
    assert figures["gender accuracy"] == {
        "name": "gender accuracy", "value": 1, "low": None, "high": None, "speakers": 1, "baseline": 1,
    }  # fmt: skip
    assert not {"gender UAR", "age band UAR", "male recall"} & set(figures)
    assert "one speaker" in notes
    assert "all answered recordings are labelled female" in notes.lower()


def test_a_bundle_without_age_is_not_judged_on_it(
    terminal: Terminal, gender_only: Path, corpus: Path, tmp_path: Path
) -> None:
    terminal.run("evaluate", gender_only, corpus, "-o", tmp_path / "out")
    metrics = metrics_in(tmp_path / "out")
    assert not [name for name in figures_in(tmp_path / "out") if name.startswith(("age", "gender and"))]
    assert set(metrics["confusion"]) == {"gender"}
    assert metrics["baseline"]["years"] is None
    assert pl.read_parquet(tmp_path / "out" / "answers.parquet")["years"].null_count() == 14
    page = Page(tmp_path / "out" / "report.html")
    assert len(page.all("svg")) == 3
    assert "Farthest outside" not in page.text


def test_a_split_is_judged_against_the_training_split(
    terminal: Terminal, pitch: Path, corpus: Path, tmp_path: Path
) -> None:
    manifest = read_corpus(corpus).with_columns(
        split=pl.when(pl.col("speaker").str.contains("dan|ed$"))
        .then(pl.lit("train"))
        .otherwise(pl.lit("test"))
    )
    write_manifest(manifest, tmp_path / "split.parquet")
    terminal.run("evaluate", pitch, tmp_path / "split.parquet", "-o", tmp_path / "out")
    metrics = metrics_in(tmp_path / "out")
    assert (metrics["split"], metrics["recordings"]) == ("test", 10)
    assert metrics["baseline"] == {
        "gender": "male", "years": 39.75, "source": "the train split of the manifest",
    }  # fmt: skip
    assert figures_in(tmp_path / "out")["gender accuracy"]["baseline"] == pytest.approx(2 / 10)
    terminal.run("evaluate", pitch, tmp_path / "split.parquet", "-o", tmp_path / "out", "--split", "train")
    assert metrics_in(tmp_path / "out")["recordings"] == 4
    arguments = ("evaluate", pitch, tmp_path / "split.parquet", "-o", tmp_path / "no", "--split", "dev")
    assert "its splits are test, train" in terminal.complaint(*arguments)
    both = manifest.with_columns(split=pl.Series(["train", "test"] * 7))
    write_manifest(both, tmp_path / "split.parquet")
    assert terminal.complaint(*arguments[:-2]).startswith("error[shared_speakers]")


def test_speakers_left_out_of_every_split_are_not_judged(
    terminal: Terminal, pitch: Path, corpus: Path, tmp_path: Path
) -> None:
    manifest = assign_splits(read_corpus(corpus), {"train": 0.5, "test": 0.5}, seed=1)
    manifest = manifest.with_columns(split=pl.when(pl.col("split") == "test").then("split"))
    write_manifest(manifest, tmp_path / "half.parquet")
    terminal.run("evaluate", pitch, tmp_path / "half.parquet", "-o", tmp_path / "out")
    assert metrics_in(tmp_path / "out")["recordings"] == manifest["split"].count()


def test_recordings_without_a_label_are_left_out_and_counted(
    terminal: Terminal, gender_only: Path, corpus: Path, tmp_path: Path
) -> None:
    manifest = read_corpus(corpus).with_columns(
        gender=pl.when(pl.col("speaker").str.ends_with("ann")).then(None).otherwise("gender")
    )
    write_manifest(manifest, tmp_path / "some.parquet")
    terminal.run("evaluate", gender_only, tmp_path / "some.parquet", "-o", tmp_path / "out")
    metrics = metrics_in(tmp_path / "out")
    assert (metrics["unlabelled"], metrics["recordings"]) == (2, 12)
    assert "2 recordings lack the labels" in " ".join(metrics["notes"])


def test_merged_bands(terminal: Terminal, pitch: Path, corpus: Path, tmp_path: Path) -> None:
    terminal.run("evaluate", pitch, corpus, "-o", tmp_path / "out", "--merge-from", "50")
    metrics = metrics_in(tmp_path / "out")
    assert metrics["confusion"]["age band"]["rows"][-1] == "50-plus"
    assert "female, 50-plus" in {group["name"] for group in metrics["subgroups"]}
    refused = terminal.complaint("evaluate", pitch, corpus, "--merge-from", "47")
    assert refused.startswith("error[usage]: Bands can be merged from 13")


def test_recordings_in_an_archive(
    terminal: Terminal, pitch: Path, evaluated: Path, corpus: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "clips.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for clip in sorted(corpus.parent.glob("*.wav")):
            tar.add(clip, f"clips/{clip.name}")
    name = pl.col("path").str.split("/").list.last()
    inside = read_corpus(corpus).with_columns(path=pl.lit(f"{archive}::clips/") + name)
    absent = inside.head(1).with_columns(path=pl.lit(f"{archive}::clips/gone.wav"))
    write_manifest(pl.concat([absent, inside]), tmp_path / "inside.parquet")
    out = tmp_path / "out"
    terminal.run("evaluate", pitch, tmp_path / "inside.parquet", "-o", out, "--mistakes", code=1)
    assert figures_in(out) == alike(figures_in(evaluated))
    (skipped,) = metrics_in(out)["skipped"]
    assert (skipped["path"], skipped["code"]) == (absent["path"][0], "not_found")
    assert len(Page(out / "report.html").all("audio")) == len(Page(evaluated / "report.html").all("audio"))
    assert {item.read_bytes() for item in (out / "mistakes").glob("*.wav")} == {
        item.read_bytes() for item in (evaluated / "mistakes").glob("*.wav")
    }


def test_a_damaged_archive_is_listed_not_fatal(terminal: Terminal, pitch: Path, tmp_path: Path) -> None:
    archive = tmp_path / "cut.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("a.wav", "b.wav"):
            (tmp_path / name).write_bytes(wav(say(voice="en-us+f3")))
            tar.add(tmp_path / name, name)
    archive.write_bytes(archive.read_bytes()[:-60_000])
    rows = [
        {"path": f"{archive}::{name}", "speaker": name, "gender": "female"} for name in ("a.wav", "b.wav")
    ]
    write_manifest(pl.DataFrame(rows), tmp_path / "cut.parquet")
    terminal.run("evaluate", pitch, tmp_path / "cut.parquet", "-o", tmp_path / "out", code=1)
    (skipped,) = metrics_in(tmp_path / "out")["skipped"]
    assert (skipped["path"], skipped["code"]) == (f"{archive}::b.wav", "corpus_archive")


def test_what_is_no_manifest(terminal: Terminal, pitch: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no table PAR1")
    assert terminal.complaint("evaluate", pitch, tmp_path / "broken.parquet").startswith(
        "error[corpus_layout]"
    )
    assert terminal.complaint("evaluate", pitch, tmp_path / "none").startswith("error[corpus_not_found]")
    assert terminal.complaint("evaluate", tmp_path / "none", "x.csv").startswith("error[bundle_not_found]")


def test_a_parquet_table_that_is_no_manifest_is_a_table(
    terminal: Terminal, gender_only: Path, corpus: Path, tmp_path: Path
) -> None:
    pl.DataFrame({"path": [str(corpus.parent / "ann-0.wav")], "gender": ["F"], "age": ["34"]}).write_parquet(
        tmp_path / "table.parquet"
    )
    terminal.run("evaluate", gender_only, tmp_path / "table.parquet", "-o", tmp_path / "out")
    assert metrics_in(tmp_path / "out")["recordings"] == 1


def test_what_is_not_overwritten(terminal: Terminal, pitch: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused = terminal.complaint("evaluate", pitch, corpus, "-o", tmp_path / "file")
    assert refused.startswith("error[output]")
    assert "is no folder" in terminal.complaint("evaluate", pitch, corpus, "-o", tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "mine"
    mine = tmp_path / "out" / "mistakes"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("mine")
    refused = terminal.complaint("evaluate", pitch, corpus, "-o", tmp_path / "out", "--mistakes")
    assert refused.startswith("error[output]")
    assert [item.name for item in mine.iterdir()] == ["thesis.txt"]
