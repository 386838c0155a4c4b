"""voxtrait on a page of Gradio: gender and age of who speaks in a recording, for Hugging Face Spaces."""

from __future__ import annotations

import os
from pathlib import Path

# Before Gradio is imported: nothing of who uses the page goes anywhere.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
import pandas as pd

from voxtrait import AgeEstimate, AudioError, GenderEstimate, Prediction, Predictor, Segment
from voxtrait.labels import AGE_GROUPS

#: Recordings heard at once, and that may wait; bytes of one.
AT_ONCE, WAITING, LARGEST = 2, 20, "50mb"
#: Seconds after which recordings are removed, and how often that is looked for.
KEPT = (600, 600)
SYSTEM_FONTS = ["system-ui", "sans-serif"]
EXAMPLES = sorted(str(path) for path in (Path(__file__).parent / "examples").iterdir())
COLOURS = {"female": "#c2410c", "male": "#1d4ed8", "unsure": "#6b7280"}
AGE_COLUMNS = ["age group", "probability"]
SPEAKER_COLUMNS = ["speaker", "speech (s)", "gender", "age", "interval"]
SEGMENT_COLUMNS = ["start (s)", "end (s)", "speaker", "gender", "age", "interval"]

INTRODUCTION = """# Gender and age of speakers

Record something or choose a file, in any language. The model of voxtrait runs on this machine alone;
recordings are removed after a few minutes.
"""
LIMITS = """### What it cannot know

It learnt from what speakers said of themselves or were recorded as, and it hears nothing but a voice. It
cannot know who somebody is. For trans and non-binary speakers it may be wrong in ways that matter to them.
A child's voice does not tell a gender. Age from a voice is a rough guess even for people: read the interval,
not the number. *Unsure* means that the voice was heard and is not clear enough. Do not use it for decisions
about a person.
"""

predictor = Predictor()


def hear(
    path: str | None,
) -> tuple[str, dict[str, float] | None, pd.DataFrame, str, pd.DataFrame, pd.DataFrame]:
    """Return a summary, probabilities of genders and ages, the timeline, and rows of voices and turns."""
    if path is None:
        raise gr.Error("Record something or choose a file first.", print_exception=False)
    name = Path(path).name
    try:
        answer = predictor.predict(path, segments=True, speakers=True, name=name)
    except AudioError as error:
        raise gr.Error(error.message.replace(path, name), print_exception=False) from error
    genders = {"female": answer.gender.female, "male": answer.gender.male} if answer.gender else None
    ages = list(answer.age.groups.items()) if answer.age else []
    speakers = [
        [voice.speaker, round(voice.speech, 1), in_words(voice.gender), *years(voice.age)]
        for voice in answer.speakers or ()
    ]
    segments = [
        [round(turn.start, 1), round(turn.end, 1), turn.speaker, in_words(turn.gender), *years(turn.age)]
        for turn in answer.segments or ()
    ]
    return (
        summary(answer).replace(path, name),
        genders,
        pd.DataFrame(ages, columns=AGE_COLUMNS),
        timeline(answer.segments or (), answer.duration or 0.0),
        pd.DataFrame(speakers, columns=SPEAKER_COLUMNS),
        pd.DataFrame(segments, columns=SEGMENT_COLUMNS),
    )


def summary(answer: Prediction) -> str:
    """Return the answer as a sentence or two."""
    notes = "".join(f"\n\n*{warning.message}*" for warning in answer.warnings)
    if answer.gender is None or answer.age is None:
        seconds = answer.duration or 0.0
        return f"## No speech\n\nNobody speaks in these {seconds:.1f} seconds, or not for long enough.{notes}"
    age, voices = answer.age, len(answer.speakers or ())
    whose = f"These are {voices} voices together" if voices > 1 else "This is one voice"
    return (
        f"## {in_words(answer.gender)}, about {age.years:.0f} years\n\n"
        f"With a probability of {age.coverage:.0%} the age is between **{age.low:.0f} and {age.high:.0f}** "
        f"years. {whose}, in {answer.speech:.1f} seconds of speech.{notes}"
    )


def in_words(gender: GenderEstimate) -> str:
    """Return a label with its probability."""
    likelier, probability = max(("female", gender.female), ("male", gender.male), key=lambda pair: pair[1])
    # Nothing is certain.
    share = f"{probability:.0%}" if probability < 0.995 else ">99%"
    return f"unsure ({likelier} {share})" if gender.label == "unsure" else f"{gender.label} {share}"


def years(age: AgeEstimate) -> list[object]:
    """Return an age and its interval."""
    return [round(age.years), f"{age.low:.0f} to {age.high:.0f}"]


def timeline(turns: tuple[Segment, ...], duration: float) -> str:
    """Return a bar of the recording with the turns in the colours of their genders."""
    place = "position:absolute;top:0;bottom:0;left:{:.2f}%;width:{:.2f}%;background:{}"
    parts = [
        f'<span title="{turn.start:.1f} to {turn.end:.1f} s: {turn.speaker}, {in_words(turn.gender)}" style="'
        + place.format(
            100 * turn.start / duration, 100 * (turn.end - turn.start) / duration, COLOURS[turn.gender.label]
        )
        + '"></span>'
        for turn in turns
    ]
    key = " ".join(
        f'<span style="color:{colour}">&#9632;</span> {label}' for label, colour in COLOURS.items()
    )
    bar = "position:relative;height:2em;background:#e5e7eb;border-radius:4px;overflow:hidden"
    return f'<div style="{bar}">{"".join(parts)}</div><p>{key}; between them nobody speaks.</p>'


def build() -> gr.Blocks:
    """Return the page."""
    with gr.Blocks(title="voxtrait", analytics_enabled=False, delete_cache=KEPT) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column():
                audio = gr.Audio(
                    sources=["microphone", "upload"], type="filepath", label="Recording", buttons=[]
                )
                button = gr.Button("Listen", variant="primary")
                gr.Examples(EXAMPLES, inputs=audio, label="Examples (synthetic voices)")
            with gr.Column():
                words = gr.Markdown()
                genders = gr.Label(label="Gender", show_heading=False)
                ages = gr.BarPlot(
                    x="age group",
                    y="probability",
                    y_lim=[0, 1],
                    x_label_angle=-45,
                    sort=list(AGE_GROUPS),
                    label="Age",
                    height=260,
                )
        turns = gr.HTML(label="Timeline")
        speakers = gr.Dataframe(headers=SPEAKER_COLUMNS, label="Voices", interactive=False)
        segments = gr.Dataframe(headers=SEGMENT_COLUMNS, label="Turns", interactive=False)
        gr.Markdown(LIMITS)
        outputs = [words, genders, ages, turns, speakers, segments]
        button.click(hear, audio, outputs, api_name="predict", concurrency_limit=AT_ONCE)
    return page.queue(max_size=WAITING)


if __name__ == "__main__":
    build().launch(
        theme=gr.themes.Default(font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"]),
        max_file_size=LARGEST,
        ssr_mode=False,
        footer_links=[],
    )
