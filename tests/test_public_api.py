from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import voxtrait
from voice_toys import dialogue, pitch_bundle, wav
from voxtrait.bundle import save_bundle

HOME = Path(__file__).parents[1]
HEAVY = {"torch", "sklearn", "polars", "scipy", "matplotlib", "onnx", "librosa", "pandas", "fastapi", "typer",
         "yaml", "pyroomacoustics", "huggingface_hub", "httpx", "websockets"}  # fmt: skip
NAMES = [name for name in voxtrait.__all__ if not name.startswith("__")]


def test_what_is_there_is_what_is_announced() -> None:
    public = {
        name
        for name, value in vars(voxtrait).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(voxtrait.__all__) == public | {"__version__"}
    assert len(voxtrait.__all__) == len(set(voxtrait.__all__))


def test_names_are_in_order() -> None:
    assert sorted(voxtrait.__all__, key=lambda name: (not name[0].isupper(), name)) == voxtrait.__all__


def test_nothing_is_stored_by_what_runs_the_model(tmp_path: Path) -> None:
    folders = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    # On machines that build and test, ONNX Runtime behaves better than elsewhere.
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    program = "import sys, voxtrait; assert voxtrait.predict(sys.argv[1]).status == 'ok'"
    subprocess.run(
        [sys.executable, "-B", "-c", program, HOME / "examples" / "man.ogg"],
        env=kept | dict.fromkeys(folders, str(tmp_path)) | {"PYTHONPATH": str(HOME / "src")},
        check=True,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(voxtrait, name)
    assert inspect.getdoc(thing)
    assert not (thing.__doc__ or "").startswith(f"{name}("), "that is what a dataclass writes itself"
    if not inspect.isclass(thing):
        return
    for member, value in vars(thing).items():
        is_method = inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
        if is_method and not member.startswith("_"):
            assert inspect.getdoc(value), f"{name}.{member} has no docstring"


def test_every_error_is_of_one_family_and_listed() -> None:
    family = {name for name in NAMES if name.endswith("Error")}
    for name in family:
        error = getattr(voxtrait, name)
        assert issubclass(error, voxtrait.VoxtraitError)
    assert family == {error.__name__ for error in voxtrait.VoxtraitError.__subclasses__()} | {"VoxtraitError"}


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    assert project["version"] == voxtrait.__version__


def test_the_public_modules_say_what_they_export() -> None:
    for file in (HOME / "src" / "voxtrait").glob("*.py"):
        if file.stem not in ("__init__", "__main__"):
            text = file.read_text()
            assert "__all__" in text, f"{file.name} has no __all__"
            assert text.startswith('"""'), f"{file.name} has no docstring"


PROGRAM = """
import json, sys
import voxtrait
at_import = sorted(sys.modules)
predictor = voxtrait.Predictor(sys.argv[1])
one = predictor.predict(sys.argv[2], segments=True, speakers=True)
(other,) = predictor.predict_many([sys.argv[2]])
assert one.status == other.status == "ok", one
print(json.dumps([at_import, sorted(sys.modules), one.to_dict()]))
"""


def test_a_prediction_loads_nothing_heavy(tmp_path: Path) -> None:
    save_bundle(tmp_path / "pitch", pitch_bundle().card, pitch_bundle().model)
    (tmp_path / "talk.wav").write_bytes(wav(dialogue(2)))
    # In a folder of its own and without the tests' paths, as a user's program runs.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, "pitch", "talk.wav"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(voxtrait.__file__).parents[1])},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    at_import, at_end, answer = json.loads(done.stdout)
    assert not HEAVY & {name.partition(".")[0] for name in at_end}
    assert "onnxruntime" not in at_import, "it takes a tenth of a second, which --help need not wait for"
    assert answer["file"] == "talk.wav"
    assert [row["speaker"] for row in answer["speakers"]] == ["S1", "S2"]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["pitch", "talk.wav"], "nothing is stored"
