"""Stories of our own with questions, of the kinds of nine bAbI tasks and in the form of their files.

``story(number, rng)`` makes one, a ``Story`` as ``readers/babi.py`` reads it; ``written`` is the text of a
file.  The words and sentences are those of the tasks, how worlds run is ours: a question is only asked where
what was said decides it, and its supporting facts are the statements that do.

Source: Weston et al., "Towards AI-Complete Question Answering", arXiv:1502.05698, section 3.
"""

from ..readers.babi import Question
from .moving import counting, single_supporting_fact, three_supporting_facts, two_supporting_facts, yes_or_no
from .places import path_finding, two_argument_relations
from .reasoning import basic_deduction, basic_induction

STORIES = {
    1: single_supporting_fact,
    2: two_supporting_facts,
    3: three_supporting_facts,
    4: two_argument_relations,
    6: yes_or_no,
    7: counting,
    15: basic_deduction,
    16: basic_induction,
    19: path_finding,
}


def story(number, rng):
    """One ``Story`` of the kind of task ``number``, drawn from ``rng``."""
    if number not in STORIES:
        raise ValueError(f"story: number must be one of {list(STORIES)}, got {number!r}")
    return STORIES[number](rng)


def written(stories):
    """The text of a file with these stories, which ``parse_babi`` reads."""
    lines = []
    for one in stories:
        for entry in one.entries:
            line = f"{entry.number} {entry.text}"
            if type(entry) is Question:
                line += f"\t{','.join(entry.answer)}\t{' '.join(map(str, entry.supports))}"
            lines.append(line)
    return "\n".join(lines) + "\n"
