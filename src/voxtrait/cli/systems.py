"""``voxtrait systems``: what can be trained, and of what it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer
from rich.text import Text

from voxtrait.cli.extras import importing
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import REPORT_FORMATS, as_json, check_format, show_table
from voxtrait.exports.screen import show

if TYPE_CHECKING:
    from voxtrait.systems import System

__all__ = ["systems"]

Format = Annotated[
    str, typer.Option("--format", "-f", metavar=REPORT_FORMATS, help="For people, or all of it as JSON.")
]

systems = typer.Typer(
    name="systems",
    help="List the systems that can be trained.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@systems.callback(invoke_without_command=True)
def list_systems(context: typer.Context, format_name: Format = "table") -> int:
    """List the systems that `voxtrait train` can train. Needs pip install 'voxtrait[train]'.

    \b
    Example:
      voxtrait systems
      voxtrait systems show crnn
    """
    if context.invoked_subcommand is not None:
        return 0
    check_format(format_name)
    with importing("train"):
        from voxtrait.systems import SYSTEMS, get_system

        found = [get_system(name) for name in SYSTEMS]
    rows = [{"system": s.name, "tasks": ", ".join(s.tasks), "what it is": s.about} for s in found]
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(as_json(rows))
        else:
            show_table(stream, rows, ("system", "tasks", "what it is"))
    return 0


@systems.command("show")
def show_system(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A system, as `voxtrait systems` lists it.")],
    format_name: Format = "table",
) -> int:
    """Say what a system is: layers, shapes, parameters, and the fields of its recipe with their defaults.

    \b
    Example:
      voxtrait systems show crnn
      voxtrait systems show svm --format json
    """
    check_format(format_name)
    with importing("train"):
        from voxtrait.systems import get_system
        from voxtrait.training.fields import recipe_fields

        system = get_system(name)
        layers = _layers(system)
        fields = recipe_fields(system)
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(
                as_json(
                    {
                        "system": system.name,
                        "about": system.about,
                        "source": system.source,
                        "tasks": list(system.tasks),
                        "layers": layers,
                        "fields": [vars(field) for field in fields],
                    }
                )
            )
        else:
            _describe(stream, system, layers, [vars(field) for field in fields])
    return 0


_LAYER_COLUMNS: Final = ("layer", "kind", "output", "parameters")
_FIELD_COLUMNS: Final = ("key", "default", "allowed", "about")


def _layers(system: System) -> list[dict[str, Any]]:
    """Return the layers of a network as its default recipe makes it, the frozen ones too."""
    if system.network is None:
        return []
    from voxtrait.training.example import example_network

    return [
        {"layer": layer.name, "kind": layer.kind, "output": list(layer.shape), "parameters": layer.parameters}
        for layer in example_network(system)
    ]


def _describe(
    stream: TextIO, system: System, layers: list[dict[str, Any]], fields: list[dict[str, str]]
) -> None:
    show(stream, Text(system.name, "bold"), system.about, f"after {system.source}")
    show(stream, f"tasks: {', '.join(system.tasks)}")
    if layers:
        show(stream, "", Text("Layers, on one window", "bold"))
        show_table(stream, map(_words, layers), _LAYER_COLUMNS)
        total = sum(layer["parameters"] for layer in layers)
        show(stream, f"{total:,} parameters")
    show(stream, "", Text("Recipe", "bold"))
    show_table(stream, fields, _FIELD_COLUMNS)


def _words(layer: dict[str, Any]) -> dict[str, str]:
    shape = " × ".join(map(str, layer["output"]))
    return {**layer, "output": shape, "parameters": f"{layer['parameters']:,}" if layer["parameters"] else ""}
