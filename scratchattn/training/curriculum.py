"""A task that becomes harder: settings of it by stages.

    0: longest=5; 2000: longest=10, shortest=2; 5000: longest=20

The first stage begins at 0 or is the task itself until it begins.

Source: Bengio et al., "Curriculum learning", ICML 2009; by performance: Graves et al., Nature 538 (2016) 471.
"""

import dataclasses
from itertools import pairwise

from .wishes import convert, field_types


def stages(text):
    """What ``text`` says: a list of (step, field -> text), steps rising.  ValueError if it says none."""
    found = []
    for part in filter(str.strip, text.split(";")):
        step, colon, wishes = part.partition(":")
        pairs = [wish.partition("=") for wish in wishes.split(",")]
        if not colon or not step.strip().isdigit() or not all(equals for _, equals, _ in pairs):
            raise ValueError(
                f'Settings: curriculum must read like "0: longest=5; 2000: longest=10", got {part.strip()!r}'
            )
        found.append((int(step), {name.strip(): value.strip() for name, _, value in pairs}))
    if any(later[0] <= earlier[0] for earlier, later in pairwise(found)):
        raise ValueError(f"Settings: curriculum must name rising steps, got {[step for step, _ in found]}")
    return found


def tasks_of(task, text):
    """(step from which, task) for each stage, the first from 0.  ValueError for a field it does not have."""
    types = field_types(type(task))
    found = []
    for step, wishes in stages(text):
        for name in wishes:
            if name not in types:
                raise ValueError(
                    f"Settings: curriculum names {name!r}, which {type(task).__name__} does not have; "
                    f"it has {', '.join(types)}"
                )
        own = {name: convert(name, types[name], value) for name, value in wishes.items()}
        found.append((step, dataclasses.replace(task, **own)))
    return found if found and found[0][0] == 0 else [(0, task), *found]
