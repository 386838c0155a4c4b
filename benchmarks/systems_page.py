"""benchmarks/systems.json -> docs/benchmarks.md: python benchmarks/systems_page.py"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from voxtrait.systems import get_system

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Systems compared

Every system of voxtrait with its published recipe (but at most three copies of a recording, two of them
augmented), on the same recordings of Mozilla Common Voice in the same split, with the same budget:
{minutes:g} minutes of processor time a system and task on one thread (a run for gender and age together has
twice that), seed {seed}. Made by `make benchmark-systems`; the figures are in `benchmarks/systems.json`. In
brackets are 95 % intervals, bootstrapped over test speakers.

The budget is small, and equal: it says what a system gives for little work, not what it can reach. Systems
that begin with a pretrained speaker encoder (`finetuned-ge2e`, `ge2e-layers`, `embedding-fnn`, `ensemble`)
owe much of their lead to the speech that the encoder had heard before. Preparing features is not part of
the budget. The vectors of the frozen encoder are not either.

Gender is female or male. Age bands are teens, twenties, thirties, forties, fifties, and sixty or older; the
MAE ratio is the mean absolute error in years divided by that of always answering the training speakers'
median, so 1 is the constant. Gender x band is right if both are: 12 classes. "Constant" answers the
commonest class. Size is that of the bundle, and speed how many seconds of audio one core hears in a second,
decoding and speech detection included.
"""
SPEAKERS = """
## Speakers that training never heard

{recordings} test recordings of {speakers} speakers, none of whom is in training or validation.
"""
RANDOM = """
## The same on a random split

The same recordings divided at random, so that a speaker's recordings stand on both sides: what a notebook
that calls `train_test_split` on clips measures. "Gain" is the difference to the figure above, in points (for
the ratio as it is): not skill, but the same speakers in training and test. The test recordings are others,
and so is the constant: UAR and the ratio compare best. Intervals here are over recordings.
"""
COLUMNS = (
    ("gender accuracy", "gender", "gender accuracy"),
    ("gender UAR", "gender", "gender UAR"),
    ("age band accuracy", "age", "age band accuracy"),
    ("age band UAR", "age", "age band UAR"),
    ("age MAE ratio", "age", "age MAE ratio"),
    ("gender x band", "gender_age", "gender and band accuracy"),
)


def figures_of(entries: list[dict[str, Any]], split: str, system: str) -> dict[str, dict[str, Any]]:
    """Return the figures of a system by name, from all its runs on a split."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if (entry["split"], entry["system"]) == (split, system):
            found |= {figure["name"]: figure for figure in entry["figures"]}
    return found


def shown(figure: dict[str, Any] | None) -> str:
    """Return a figure with its interval, in per cent or as a ratio."""
    if figure is None:
        return ""
    scale, digits, unit = (1, 2, "") if "ratio" in figure["name"] else (100, 1, " %")
    value, low, high = (f"{figure[key] * scale:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value}{unit} ({low}-{high})"


def table(rows: list[list[str]], head: list[str]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def constant_row(figures: dict[str, dict[str, Any]]) -> list[str]:
    """Return what the constant predictor reaches."""
    out = ["constant"]
    for _, _, name in COLUMNS:
        baseline = figures.get(name, {}).get("baseline")
        ratio = "ratio" in name
        out.append("" if baseline is None else f"{baseline:.2f}" if ratio else f"{100 * baseline:.1f} %")
    return [*out, "", ""]


def speed(entry: dict[str, Any]) -> str:
    """Return seconds of audio a second of processor time."""
    seconds = entry["cost"]["cpu_seconds_per_hour"]
    return f"{3600 / seconds:.0f}"


def systems_in(entries: list[dict[str, Any]]) -> list[str]:
    """Return the systems by gender UAR on new speakers, the best first."""
    names = dict.fromkeys(entry["system"] for entry in entries)
    value = {
        name: figures_of(entries, "speakers", name).get("gender UAR", {"value": 0})["value"] for name in names
    }
    return sorted(names, key=lambda name: -value[name])


def first_table(entries: list[dict[str, Any]]) -> str:
    """Return the table of figures on new speakers."""
    rows = []
    for name in systems_in(entries):
        figures = figures_of(entries, "speakers", name)
        entry = next(e for e in entries if (e["split"], e["system"]) == ("speakers", name))
        cells = [shown(figures.get(figure)) for _, _, figure in COLUMNS]
        rows.append([f"`{name}`", *cells, f"{entry['megabytes']:g} MB", speed(entry)])
    rows.append(constant_row(figures_of(entries, "speakers", systems_in(entries)[0])))
    return table(rows, ["system", *(title for title, _, _ in COLUMNS), "size", "speed"])


def gain(honest: dict[str, Any], leaky: dict[str, Any]) -> str:
    """Return what the random split adds, in points or as a ratio's difference."""
    difference = leaky["value"] - honest["value"]
    return f"{difference:+.2f}" if "ratio" in honest["name"] else f"{100 * difference:+.1f}"


def second_table(entries: list[dict[str, Any]]) -> str:
    """Return the table of figures on the random split, and what it adds."""
    names = ("gender accuracy", "gender UAR", "age band accuracy", "age band UAR", "age MAE ratio")
    rows = []
    for system in systems_in(entries):
        honest, leaky = (figures_of(entries, split, system) for split in ("speakers", "recordings"))
        row = [f"`{system}`"]
        for name in names:
            both = name in honest and name in leaky
            row += [shown(leaky.get(name)), gain(honest[name], leaky[name]) if both else ""]
        rows.append(row)
    baselines = figures_of(entries, "recordings", systems_in(entries)[0])
    constant = [{**baselines[name], "value": baselines[name]["baseline"]} for name in names]
    row = ["constant"]
    for figure in constant:
        row += [shown(figure).partition(" (")[0], ""]
    return table([*rows, row], ["system", *(cell for name in names for cell in (name, "gain"))])


def more_time(entry: dict[str, Any]) -> str:
    """Return what a run with a larger budget reached."""
    found = " and ".join(f"{figure['name']} {shown(figure)}" for figure in entry["figures"])
    return (
        f"\n`{entry['system']}` has hardly begun when the budget is spent. With {entry['minutes']:g} minutes "
        f"({entry['epochs']} epochs) it reaches {found}.\n"
    )


def published(entries: list[dict[str, Any]]) -> str:
    """Return what the publications behind the systems say of themselves."""
    lines = [f"- `{name}`: {get_system(name).source}." for name in sorted(systems_in(entries))]
    return "\n## Where they come from\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    content = json.loads((ROOT / "benchmarks" / "systems.json").read_text())
    entries = [entry for entry in content["runs"] if entry["minutes"] is None]
    longer = [entry for entry in content["runs"] if entry["minutes"] is not None]
    first = next(entry for entry in entries if entry["split"] == "speakers")
    parts = [
        HEAD.format(**content),
        SPEAKERS.format(**first),
        "\n" + first_table(entries),
        *map(more_time, longer),
        RANDOM,
        "\n" + second_table(entries),
        published(entries),
    ]
    (ROOT / "docs" / "benchmarks.md").write_text("".join(parts))


if __name__ == "__main__":
    main()
