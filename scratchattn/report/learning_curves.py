"""Learning curves of the rows of the table of results: what every seed's metric did on the way.

A measurement keeps what the training's log said: ``curve``, a list of [step, mean metric since the last].
A row becomes two lines over the sequences it has seen, the median of its seeds and the worst of them at
each place; a seed that failed is worse than all others from there on.
"""

import math
import statistics

from ..tasks import TASKS
from ..training.evaluation import larger_is_better
from .plots import curve


def learning_curves(task, facts):
    """A Drawing of the metric of ``task``, a name.

    ``facts``: name of a row -> its measurements, a list of dictionaries as in ``results``.  Those without a
    curve are left out; ValueError if nothing remains.
    """
    kind, series = TASKS[task], {}
    for name, measured in facts.items():
        seeds = [fact for fact in measured if fact.get("curve")]
        if seeds:
            series |= _lines(name, seeds, -1 if larger_is_better(kind) else 1)
    if not series:
        raise ValueError(f"learning_curves: no measurement of {task} has a curve")
    return curve(series, title=task, x_label="sequences", y_label=kind.metric)


def _lines(name, seeds, sign):
    """name -> (sequences, values) of one row."""
    size = seeds[0]["config"]["training"]["batch"]
    values = [dict(map(tuple, fact["curve"])) for fact in seeds]
    steps = sorted(set().union(*values))
    worth = [[sign * each.get(step, math.inf) for each in values] for step in steps]
    x = [size * step for step in steps]

    def line(of):
        found = [sign * of(row) for row in worth]
        return x, [value if math.isfinite(value) else math.nan for value in found]

    if len(seeds) == 1:
        return {name: line(max)}
    return {f"{name}, median of {len(seeds)}": line(statistics.median), f"{name}, worst": line(max)}
