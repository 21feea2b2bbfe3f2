"""Which pictures a model has: its own method, or what is known here about models of its name.

A model of one's own, in a file of one's own, shows itself by a method

    def pictures(self, params, task, rng):
        ...
        return [html.Section("Where it looks", [html.Figure(heat_map(weights), "Each row sums to one.")])]
"""

from typing import Any, NamedTuple

from .dnc_pictures import dnc_lines, dnc_pictures
from .html import Section
from .ntm_pictures import ntm_lines, ntm_pictures
from .rnn_pictures import rnn_lines, rnn_pictures


class Known(NamedTuple):
    """How models of one name are shown."""

    sections: Any  # (model, params, task, rng) -> list of Sections
    text: Any  # (model, params, task, rng, *, colour, width) -> str, for the terminal


GONE = "Nothing is drawn of it: {}."

PICTURES = {  # name of the model's class -> Known
    "DNC": Known(dnc_pictures, dnc_lines),
    "NTM": Known(ntm_pictures, ntm_lines),
    "RNN": Known(rnn_pictures, rnn_lines),
}


def pictures(model, params, task, rng):
    """The sections that show what ``model`` does with ``params`` on ``task``; none where nothing is known.

    ``rng`` draws the examples.  TypeError if a model's own method returns anything but Sections.
    """
    known = _known(model)
    if hasattr(model, "pictures"):
        made = model.pictures(params, task, rng)
    elif known is not None:
        try:
            made = known.sections(model, params, task, rng)
        except FileNotFoundError as missing:  # of a data set that was there when the model was trained
            made = [Section("What it does", [GONE.format(missing)])]
    else:
        return []
    made = list(made)
    for section in made:
        if not isinstance(section, Section):
            name = type(model).__name__
            raise TypeError(f"{name}.pictures: must return html.Sections, got {type(section).__name__}")
    return made


def _known(model):
    """The Known of its class, or of one that it is made from; None if there is none."""
    names = [kind.__name__ for kind in type(model).__mro__]
    return next((PICTURES[name] for name in names if name in PICTURES), None)


def in_terminal(model, params, task, rng, *, colour=None, width=None):
    """The same as text, as far as it is known: what the models of ``PICTURES`` show; "" for others."""
    known = _known(model)
    if known is None or hasattr(model, "pictures"):
        return ""
    try:
        return known.text(model, params, task, rng, colour=colour, width=width)
    except FileNotFoundError as missing:
        return GONE.format(missing)
