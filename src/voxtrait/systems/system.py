"""What a trainable system is: a name, the tasks it learns, its settings, and how it is made.

A system is one file. It says by `System` how a recipe that names it is filled in (its published
settings), and what is trained: a torch network on crops of features, or a classifier of scikit-learn
on one vector a recording. Either ends as the same bundle: an ONNX model with the outputs ``gender``
(logit of female) and ``age`` (logits over ages).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TASKS", "YEARS", "AgeScale", "LabelledVectors", "Settings", "System", "Targets", "Task"]

Task = Literal["both", "gender", "age", "gender_age"]

#: Both: a head each. gender_age: one head whose classes are gender x age.
TASKS: Final[tuple[Task, ...]] = ("both", "gender", "age", "gender_age")

Floats = NDArray[np.float64]


class Settings(BaseModel):
    """Base of a system's own settings, a recipe's section ``network``: every field is described."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class AgeScale:
    """The ages that a model chooses from.

    Attributes:
        grid: the age in years that each class stands for, ascending, shape (A,).
        edges: where a class begins and the last one ends, in years, shape (A + 1,). Younger speakers
            count to the first class, older ones to the last.
    """

    grid: tuple[float, ...]
    edges: tuple[float, ...]

    @classmethod
    def years(cls) -> AgeScale:
        """Every year from 4 to 96."""
        return cls(tuple(map(float, range(4, 97))), tuple(age - 0.5 for age in range(4, 98)))

    @classmethod
    def bands(cls, lows: tuple[float, ...]) -> AgeScale:
        """Age groups, each from one of ``lows`` to the next; the last is open and taken as ten years."""
        edges = (*lows, lows[-1] + 10.0)
        return cls(tuple((low + high) / 2 for low, high in pairwise(edges)), edges)

    def __len__(self) -> int:
        return len(self.grid)

    def classes(self, low: Floats, high: Floats) -> NDArray[np.int64]:
        """Return the class of the middle of each interval of years, (n,); -1 where it is unknown (NaN)."""
        # A closed interval of whole years reaches to the birthday after its last one.
        middle = np.where(high > low, (low + high + 1) / 2, low)
        place = np.searchsorted(np.asarray(self.edges[1:-1]), np.nan_to_num(middle), side="right")
        return np.where(np.isnan(middle), -1, place).astype(np.int64)


YEARS: Final = AgeScale.years()


@dataclass(frozen=True)
class Targets:
    """What a model shall tell, and over which ages."""

    task: Task
    ages: AgeScale

    @property
    def gender(self) -> bool:
        """Whether the model tells gender."""
        return self.task != "age"

    @property
    def age(self) -> bool:
        """Whether the model tells age."""
        return self.task != "gender"

    @property
    def sizes(self) -> dict[str, int]:
        """Outputs of the heads that are trained: their names and widths."""
        if self.task == "gender_age":
            return {"joint": 2 * len(self.ages)}
        return ({"gender": 1} if self.gender else {}) | ({"age": len(self.ages)} if self.age else {})


@dataclass(frozen=True)
class LabelledVectors:
    """What a classifier learns from: one row a recording and version.

    Attributes:
        values: (n, F) features.
        classes: (n,) class of each row for the task, -1 where it is unknown.
        speakers: (n,) speaker number, for folds that share none.
        weights: (n,) weight of each row.
    """

    values: NDArray[np.float32]
    classes: NDArray[np.int64]
    speakers: NDArray[np.int64]
    weights: Floats


@dataclass(frozen=True)
class System:
    """A trainable system.

    Attributes:
        name: as recipes name it.
        about: what it is, one sentence.
        source: the publication or project that it follows.
        tasks: those it can learn; the first is the default.
        settings: its own settings, a recipe's section ``network``.
        reads: names of the features that it can read; none for an ensemble, whose members read theirs.
        defaults: its published recipe, in the layout of a recipe; what a recipe leaves out is taken
            from here.
        network: settings, targets and values in a frame -> the torch module that is trained. It maps
            features (B, T, F) and lengths (B,) to a mapping of ``gender`` (B,), ``age`` (B, A), for the
            task gender_age also ``joint`` (B, 2 A), and perhaps ``embedding`` (B, E); see
            `voxtrait.systems.heads`. None for other kinds of system.
        frozen: settings -> a module in front of the network that is not trained; it maps features and
            lengths to vectors (B, F). The network then sees these, as frames (B, 1, F).
        teacher: settings -> the module whose ``embedding`` the network is kept near to.
        classifier: learns one task from vectors and returns an ONNX model; see
            `voxtrait.systems.classical`.
        ensemble: whether it joins other bundles instead of learning from recordings.
    """

    name: str
    about: str
    source: str
    tasks: tuple[Task, ...]
    settings: type[Settings]
    reads: tuple[str, ...]
    defaults: Mapping[str, Any]
    network: Callable[[Any, Targets, int], nn.Module] | None = None
    frozen: Callable[[Any], nn.Module] | None = None
    teacher: Callable[[Any], nn.Module] | None = None
    classifier: Callable[..., Any] | None = None
    ensemble: bool = False
