"""Wrong usage and faults: one line on stderr, and the right exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_toys import EXAMPLES, environment, lines_of, run, toy_in

MAN = EXAMPLES / "man.ogg"


@pytest.fixture
def toy(workshop: Path) -> Path:
    return toy_in(workshop)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["predict"], "usage", "PATH"),
        (["predict", ""], "usage", "empty"),
        (["predict", "-", "-", "--model", "TOY"], "usage", "once"),
        (["predict", MAN, "--model", "no-such-model"], "bundle_not_found", "no-such-model"),
        (["predict", MAN, "--model", MAN], "bundle_corrupt", "man.ogg"),
        (["predict", MAN, "--format", "xml"], "usage", "jsonl"),
        (["predict", MAN, "--chanel", "1"], "usage", "--channel"),
        (["predict", MAN, "--channel", "0"], "usage", "--channel"),
        (["predict", MAN, "--channel", "left"], "usage", "--channel"),
        (["predict", "FOLDER", "--model", "TOY"], "not_found", "no audio"),
        (["predict", "FOLDER/*.wav", "--model", "TOY"], "not_found", "*.wav"),
        (["predict", MAN, "FOLDER", "--model", "TOY"], "not_found", "no audio"),
        (["predict", MAN, "-o", "FOLDER/none/a.csv", "--model", "TOY"], "output", "none"),
        (["predict", MAN, "-o", "FOLDER", "--model", "TOY"], "output", "is a folder"),
        (["predict", MAN, "-o", "FOLDER/b.wav", "--model", "TOY"], "usage", "recording"),
        (["predikt", MAN], "usage", "predikt"),
        (["models", "--format", "csv"], "usage", "json"),
        (["info", "no-such-model"], "bundle_not_found", "no-such-model"),
        (["info", "a", "b"], "usage", "b"),
        (["train", "no-such-recipe.yaml"], "recipe_not_found", "no-such-recipe.yaml"),
        (["train"], "usage", "RECIPE"),
    ],
)
def test_wrong_usage(arguments: list[str | Path], code: str, words: str, toy: Path, tmp_path: Path) -> None:
    given = [str(part).replace("FOLDER", str(tmp_path)).replace("TOY", str(toy)) for part in arguments]
    done = run(*given, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stdout == b""
    (line,) = lines_of(done.stderr)
    assert line.startswith(f"error[{code}]: ")
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_no_command_shows_the_help() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Commands:" in done.stderr


def test_a_terminal_is_no_recording(toy: Path) -> None:
    pty = pytest.importorskip("pty")
    _, terminal = pty.openpty()
    done = run("predict", "-", "--model", toy, stdin=terminal)
    assert done.returncode == 2
    assert lines_of(done.stderr)[0].startswith("error[usage]: Nothing is piped")


FAULTY = """
import voxtrait.predictor
def fail(*args, **options):
    raise RuntimeError("first line\\nsecond \\x1b[31m line")
voxtrait.predictor.Predictor.predict_many = fail
from voxtrait.cli import main
main()
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_fault_is_one_line_unless_asked(toy: Path, debug: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, "predict", MAN, "--model", toy],
        env=environment(VOXTRAIT_DEBUG=debug),
        capture_output=True,
        timeout=120,
    )
    text = done.stderr.decode()
    assert done.returncode == 70
    assert done.stdout == b""
    if debug:
        assert "Traceback" in text
        return
    (line,) = text.splitlines()
    assert line.startswith("error[internal]: voxtrait failed (RuntimeError: first line second \\x1b[31m")
    assert "VOXTRAIT_DEBUG=1" in line


def blocked(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run the command line where a module is not installed."""
    program = f"import sys; sys.modules[{module!r}] = None; from voxtrait.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment(), capture_output=True, timeout=120
    )


@pytest.mark.parametrize("module", ["torch", "yaml", "polars"])
def test_training_without_its_packages(module: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("system: finetuned-ge2e\n")
    done = blocked(module, "train", recipe, "-o", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = lines_of(done.stderr)
    assert line.startswith(f"error[missing_extra]: This needs the package {module!r}")
    assert line.endswith("pip install 'voxtrait[train]'")


def test_the_hub_without_its_package() -> None:
    done = blocked("huggingface_hub", "info", "someone/some-model")
    assert done.returncode == 2
    (line,) = lines_of(done.stderr)
    assert line.endswith("pip install 'voxtrait[hub]'")
