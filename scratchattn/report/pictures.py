"""Which pictures a model has: its own method, or what is known here about models of its name.

A model of one's own, in a file of one's own, shows itself by a method

    def pictures(self, params, task, rng):
        ...
        return [html.Section("Where it looks", [html.Figure(heat_map(weights), "Each row sums to one.")])]
"""

from .html import Section
from .memory_pictures import ntm_pictures

PICTURES = {
    "NTM": ntm_pictures
}  # name of the model's class -> (model, params, task, rng) -> list of Sections


def pictures(model, params, task, rng):
    """The sections that show what ``model`` does with ``params`` on ``task``; none where nothing is known.

    ``rng`` draws the examples.  TypeError if a model's own method returns anything but Sections.
    """
    name = type(model).__name__
    if hasattr(model, "pictures"):
        made = model.pictures(params, task, rng)
    elif name in PICTURES:
        made = PICTURES[name](model, params, task, rng)
    else:
        return []
    made = list(made)
    for section in made:
        if not isinstance(section, Section):
            raise TypeError(f"{name}.pictures: must return html.Sections, got {type(section).__name__}")
    return made
