"""The rows of the table of results: what is trained, with which settings, and what was published about it.

``rows.toml`` has them.  The first row of a model and a task that does not say ``default = false`` is what
``scratchattn train MODEL TASK`` does without further words: its settings are the defaults, so that the
command of that row needs none.
"""

import functools
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..refusals import check_settings


@dataclass(frozen=True)
class Row:
    """One row; its fields are those of rows.toml."""

    name: str
    model: str
    task: str
    set: tuple[str, ...]
    """Settings NAME=VALUE."""
    seeds: int
    target: float
    published: str
    source: str
    page: str = ""
    default: bool = True
    """Whether its settings may be those of a training that nobody says anything about."""

    def __post_init__(self):
        check_settings(self, at_least={"seeds": 1}, flags=("default",))

    def words(self):
        """What follows ``scratchattn`` in the row's command, without the seed."""
        own = () if self is row_of(self.model, self.task) else self.set
        return ["train", self.model, self.task, *(word for wish in own for word in ("--set", wish))]

    def command(self, seed="S"):
        """The row's command, as one types it."""
        return f"scratchattn {shlex.join(self.words())} --seed {seed}"


@functools.cache
def rows():
    """name -> Row, in the order of the table."""
    found = tomllib.loads(Path(__file__).with_name("rows.toml").read_text("utf-8"))
    return {name: Row(name, **facts | {"set": tuple(facts["set"])}) for name, facts in found.items()}


def row_of(model, task):
    """The first Row of a model and a task that may be the default, or None."""
    fitting = (row for row in rows().values() if (row.model, row.task) == (model, task) and row.default)
    return next(fitting, None)


def defaults(model, task):
    """Settings NAME=VALUE of a training of ``model`` on ``task`` that nobody says anything about."""
    row = row_of(model, task)
    return row.set if row else ()
