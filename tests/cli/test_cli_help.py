"""Every command says what it does, with an example, and stands in the guide."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_toys import EXAMPLES, ROOT, environment, run, toy_in

import voxtrait
from voxtrait.cli import app


def _commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Return the commands of a group and of the groups in it, by their whole names."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = hasattr(command, "commands")
        found |= _commands(command, f"{prefix}{name} ") if inner else {prefix + name: command}
    return found


COMMANDS: dict[str, Any] = _commands(typer.main.get_command(app))

#: Packages that only a command may need, not the help.
HEAVY = {"av", "onnxruntime", "soundfile", "soxr"}
#: Packages of the extras, which the core never touches.
EXTRAS = {
    *("huggingface_hub", "librosa", "matplotlib", "onnx", "polars"),
    *("scipy", "sklearn", "tensorboard", "torch", "yaml"),
}


def options_of(command: Any) -> Iterator[str]:
    """Yield the long names of a command's own options."""
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                yield option


def examples_of(text: str) -> list[list[str]]:
    """Return the commands under "Example:" in a help text."""
    lines = iter(text.splitlines())
    assert any(line.strip() == "Example:" for line in lines)
    found = []
    for line in lines:
        if not line.strip():
            break
        found.append(shlex.split(line))
    return found


def test_the_commands() -> None:
    assert {"predict", "models", "info", "train"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example(name: str) -> None:
    done = run(*name.split(), "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert f"Usage: voxtrait {name}" in text
    examples = examples_of(text)
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    for words in examples:
        start = words.index("voxtrait")
        assert words[start + 1 :][: len(name.split())] == name.split()
        given = {word for word in words[start:] if word.startswith("-") and word != "-"}
        assert given <= known
    assert all(option in text for option in options_of(COMMANDS[name]))


def test_the_help_of_all() -> None:
    text = run("--help").stdout.decode()
    assert examples_of(text)
    assert all(f"\n  {name.partition(' ')[0]} " in text for name in COMMANDS)
    assert run("-h").stdout.decode() == text


def test_the_version() -> None:
    assert run("--version").stdout.decode().split() == ["voxtrait", voxtrait.__version__]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_guide_has_every_command_and_option(name: str) -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert f"voxtrait {name}" in guide
    missing = [option for option in options_of(COMMANDS[name]) if option not in guide]
    assert missing == []


def loaded_after(*arguments: object) -> set[str]:
    """Return the packages that a process has loaded when a command is over."""
    program = (
        "import atexit, sys\n"
        "from voxtrait.cli import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        timeout=120,
        check=True,
    )
    return set(done.stderr.decode().splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["train", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_after(*arguments) & (HEAVY | EXTRAS) == set()


def test_predicting_loads_the_core_alone(workshop: Path) -> None:
    loaded = loaded_after("predict", EXAMPLES, "--segments", "--speakers", "--model", toy_in(workshop))
    assert loaded & EXTRAS == set()
    assert {"onnxruntime", "soxr"} <= loaded
