"""Items heard in processes, each as it wishes; and those that nobody waits for any more."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voice_toys import dialogue, pitch_bundle, say, wav
from voxtrait.bundle import ModelBundle
from voxtrait.engine import Item, LocalEngine, Plan, Wish
from voxtrait.predictor import Predictor


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return pitch_bundle()


def answers(engine: LocalEngine, items: list[Item]) -> dict[str, dict[str, Any]]:
    return {item.name: answer for item, answer in filter(None, engine.run(items))}


def test_each_item_is_heard_as_it_wishes(bundle: ModelBundle) -> None:
    other = ModelBundle(bundle.card.model_copy(update={"version": "9"}), bundle.model)
    talk, both = wav(dialogue(2)), (say()[:40_000], say(voice="en-us+f3")[:40_000])
    stereo = wav(np.stack(both, axis=1))
    wishes = {
        "plain": (talk, Wish()),
        "timeline": (talk, Wish(segments=True)),
        "voices": (talk, Wish(speakers=True)),
        "other": (talk, Wish(model=other.title)),
        "right": (stereo, Wish(channel=2)),
        "none": (talk, None),
        "bad channel": (talk, Wish(channel=2)),
    }
    items = [Item(name, content=content, wish=wish) for name, (content, wish) in wishes.items()]
    with closing(LocalEngine(Plan((bundle, other)), 1, 30.0)) as engine:
        found = answers(engine, items)
    assert found.pop("bad channel")["error"]["code"] == "bad_channel"
    for name, answer in found.items():
        content, wish = wishes[name]
        wish = wish or Wish()
        predictor = Predictor(other if wish.model else bundle)
        options: Any = {"segments": wish.segments, "speakers": wish.speakers, "channel": wish.channel}
        assert answer == predictor.predict(content, name=name, **options).to_dict()


def test_what_is_longer_than_wished_is_given_up(bundle: ModelBundle) -> None:
    long, short = wav(np.tile(say(), 12)), wav(say())
    wish = Wish(longest=say().size / 16_000 + 1)
    items = [Item(f"{n}", content=(long, short)[n % 2], wish=wish) for n in range(6)]
    with closing(LocalEngine(Plan((bundle,)), 1, 30.0)) as engine:
        found = answers(engine, items)
    codes = [(found[f"{n}"]["error"] or {}).get("code") for n in range(6)]
    assert codes == ["too_long", None] * 3


def test_a_file_without_a_name_is_handed_on(bundle: ModelBundle) -> None:
    content = wav(say())
    with tempfile.TemporaryFile() as file, closing(LocalEngine(Plan((bundle,)), 2, 30.0)) as engine:
        file.write(content)
        file.flush()
        found = answers(engine, [Item("unnamed.wav", file=file, size=len(content))])
    assert found["unnamed.wav"] == Predictor(bundle).predict(content, name="unnamed.wav").to_dict()


def test_what_nobody_wants_is_not_heard(bundle: ModelBundle, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.tile(say(), 1500)))
    hours = Item("long", path=str(path), size=path.stat().st_size, unwanted=threading.Event())
    waiting = Item("waiting", content=wav(say()), unwanted=threading.Event())
    wanted = Item("wanted", content=wav(say()))
    begun = threading.Event()

    def items() -> Iterator[Item]:
        yield hours
        begun.wait(60)
        yield waiting
        yield wanted

    with closing(LocalEngine(Plan((bundle,)), 1, 30.0)) as engine:
        found: dict[str, dict[str, Any]] = {}
        for answered in engine.run(items()):
            if answered is not None:
                found[answered[0].name] = answered[1]
            if not begun.is_set() and engine.heard_of(hours) > 0:
                assert engine.heard_of(waiting) == 0.0
                engine.give_up(waiting)
                engine.give_up(hours)
                begun.set()
    assert {name: (answer["error"] or {}).get("code") for name, answer in found.items()} == {
        "long": "cancelled",
        "waiting": "cancelled",
        "wanted": None,
    }
