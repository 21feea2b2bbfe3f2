"""What a network without a memory does with a sequence: what comes out, beside what is asked for."""

from . import html
from .answers import answer_panels, beyond, broken, one_sequence, told
from .panels import lines
from .recording import drawn_sequence, record
from .story_pictures import opening, text


def rnn_pictures(model, params, task, rng):
    """Sections on one sequence drawn from ``rng``, the longest that ``task`` has."""
    seen, _ = record(model, params, task, *drawn_sequence(task, rng))
    doubt = html.Section(html.UNCHECKED, [html.Items([one_sequence(seen)])])
    return broken(seen) or [*opening(seen, task), doubt, *beyond(task)]


def rnn_lines(model, params, task, rng, *, colour=None, width=None):
    """Text on the same."""
    seen, _ = record(model, params, task, *drawn_sequence(task, rng))
    story = text(seen, task, width=width)
    return "\n".join(story or [*lines(answer_panels(seen), colour=colour, width=width), told(seen)])
