"""One op and the questions that tell its mutants from it, the cheapest first.

    values       the outputs of every case; it may stray from the op twice as far as the op may from the paper
    adjoint      <u, J v> = <J^T u, v>, J v by a complex step through the op
    rows         every row of every Jacobian, again within twice what the op itself may err
    refusals     wrong params and inputs: what the op refuses, in the same words, and nothing else
    accuracy     its error against the truth, in both precisions, by the bounds of ``gradcheck check --deep``
    the checks   of ``gradcheck check`` one by one: shapes, precision, field identity, properties and so on

so whatever dies here would fail ``gradcheck check`` or change what is refused.  A question is left out where
the op, when asked the same, never comes to the statement that is changed: there both are one program.
"""

from functools import partial
from itertools import chain

import numpy as np

from . import derivatives, exact, structure
from .broadcasting import sharing
from .mutants import Text
from .question import Question, Version, answer
from .refusals import refusals
from .subject import Subject
from .trial import Trial

QUICK, SLOW = 0.25, 5.0  # seconds of computing that a mutant has for an answer; they take it 1 ms and 50
_OTHER_CALLS = (  # what a mutant may do otherwise that gives the same bits at every case
    structure.values_are_finite,  # on the way there too
    structure.properties_hold,
    structure.memory_layout_is_irrelevant,
    structure.a_row_alone_is_the_row_in_the_batch,
    sharing,
    exact.backward_is_the_derivative_in_a_field,  # where an exponential does not vanish
)
_IF_CHANGED = (  # what takes other bits at a case to fail
    structure.shapes_are_as_declared,
    structure.precision_is_kept,
    structure.same_bits_twice,
    structure.inputs_are_left_alone,
    structure.backward_is_linear,
    derivatives.backward_is_the_adjoint,
    derivatives.float32_by_complex_step,
    derivatives.hessian_is_symmetric,
    derivatives.backward_is_the_jacobian,  # the forward's tangent too, of which the rows know nothing
)


class Judge:
    """What is known of an op, to hold its mutants against; they are asked only what the op itself passes.

    ValueError if not even the unchanged text does what the op does: the file has changed since it was loaded.
    """

    def __init__(self, op):
        self.op, self.text = op, Text(op)
        with np.errstate(all="ignore"):
            self._own = Version(self.text)
            trials = [Trial(op, case, self._own) for case in op.cases(np.random.default_rng(0))]
            values = [self._question(trial.values_differ, QUICK) for trial in trials]
            passed = [(trial, [value, trial.forward_is_the_same]) for trial, value in zip(trials, values)]
            self._quick = [values, [self._question(t.adjoint_differs, QUICK, *to) for t, to in passed]]
            self._slow = [
                [self._question(refusal.differs, QUICK) for refusal in refusals(op, self.text)],
                [self._question(t.rows_differ, SLOW, *to) for t, to in passed],
            ]
            for question in chain(*self._quick, self._slow[0]):
                if word := question.watch():
                    told = "its text as it is now does not do the same"
                    raise ValueError(f"mutate: {op.name}: {told}, by {word}")
        self._bits = [self._question(trial.bits_differ, SLOW) for trial in trials]
        accuracy = [partial(t.accuracy_differs, dtype) for t in trials for dtype in t.certified]
        self._accuracy = [self._question(ask, SLOW) for ask in accuracy]
        checks = {check: self._at_every_case(check, trials) for check in (*_OTHER_CALLS, *_IF_CHANGED)}
        self._other_calls = [[*checks[check].values()] for check in _OTHER_CALLS]
        self._if_changed = [[*checks[check].values()] for check in _IF_CHANGED]
        self._symmetry = [*checks[derivatives.hessian_is_symmetric].values()]
        self._at_case = [[checks[c][t] for c in _IF_CHANGED if t in checks[c]] for t in trials]
        self._told = {}  # what told the last mutant of a statement, likely to tell the next one too

    def killer(self, mutant, *, wholly=True):
        """The word for what gives ``mutant`` away, or None; if not ``wholly``, of the values and adjoints."""
        with np.errstate(all="ignore"):
            version = answer(QUICK, Version, self.text, mutant)
            if isinstance(version, str):
                return version
            for stage in self._stages(version, mutant, wholly):
                for question in stage:
                    if word := question.word(version, mutant.lines):
                        self._told[mutant.function] = question
                        if question is not self._told.get(mutant.lines):
                            self._told[mutant.lines] = question
                            stage.remove(question)
                            stage.insert(0, question)
                        return word
        return None

    def _stages(self, version, mutant, wholly):
        """Lists of questions; first what told the mutant before, if that is asked of every one."""
        told = self._told.get(mutant.lines) or self._told.get(mutant.function)
        always = [*self._quick, *self._slow, *self._other_calls] if wholly else self._quick
        if any(told in stage for stage in always):
            yield [told]
        yield from self._quick
        if not wholly:
            return
        yield from self._slow
        changed = next((i for i, q in enumerate(self._bits) if q.word(version, mutant.lines)), None)
        if changed is not None:  # all checks there, the likeliest everywhere, the truth
            yield from (self._at_case[changed], self._symmetry, self._accuracy)
        yield from self._other_calls
        yield from self._if_changed if changed is not None else ()

    def _question(self, ask, seconds, *passed):
        return Question(ask, seconds, self._own, self.text.file, *passed)

    def _at_every_case(self, check, trials):
        """``check`` of each, by trial."""
        return {
            trial: self._question(partial(_failure, check, trial.case), SLOW)
            for trial in trials
            if check.__name__ not in self.op.excused
        }


def _failure(check, case, version):
    """A word if ``check`` fails."""
    try:
        found = list(check(Subject(version.op, case), np.random.default_rng(1)))
    except ImportError:
        raise
    except Exception as failure:
        return f"{check.__name__}: {type(failure).__name__}"
    return None if all(error <= tolerance for _, error, tolerance in found) else check.__name__
