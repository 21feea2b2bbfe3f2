"""One op and the questions that tell its mutants from it, the cheapest first.

    values       the outputs of every case; it may stray from the op twice as far as the op may from the paper
    adjoint      <u, J v> = <J^T u, v>, J v by a complex step through the op
    rows         every row of every Jacobian, again within twice what the op itself may err
    refusals     wrong params and inputs: what the op refuses, in the same words, and nothing else
    accuracy     its error against the truth, in both precisions, by the bounds of ``gradcheck check --deep``
    the checks   of ``gradcheck check`` one by one: shapes, precision, field identity, properties and so on

so whatever dies here would fail ``gradcheck check`` or change what is refused.  A question is left out where
the op, when asked the same, never comes to the statement that is changed: there both are one program.

What kills often for its price is asked early: calls that are refused before those that are taken, cases where
bits have changed before the others, the truth where a mutant is furthest from the op before other truths.
The order says only how soon a mutant dies: what survives has been asked everything.
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
_CHEAP = (  # what a mutant may do otherwise that gives the same bits at every case
    structure.properties_hold,
    structure.values_are_finite,  # on the way there too
)
_DEAR = (  # the same, later
    exact.backward_is_the_derivative_in_a_field,  # where an exponential does not vanish
    structure.memory_layout_is_irrelevant,
    structure.a_row_alone_is_the_row_in_the_batch,
    sharing,
)
_IF_CHANGED = (  # what takes other bits at a case to fail, and there fails often
    derivatives.backward_is_the_adjoint,  # the forward's tangent too, of which the rows know nothing
    structure.precision_is_kept,
    derivatives.float32_by_complex_step,
    derivatives.hessian_is_symmetric,
)
_SELDOM = (  # the same, but seldom
    structure.shapes_are_as_declared,
    structure.same_bits_twice,
    structure.inputs_are_left_alone,
    structure.backward_is_linear,
    derivatives.backward_is_the_jacobian,
)
_FEW = 2  # questions for the truth that come before what is asked at every case


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
            calls: dict = {True: [], False: []}  # refused or not
            for call in refusals(op, self.text):
                calls[call.outcome is not None].append(self._question(call.differs, QUICK))
            for question in chain(*self._quick, *calls.values()):
                if word := question.watch():
                    told = "its text as it is now does not do the same"
                    raise ValueError(f"mutate: {op.name}: {told}, by {word}")
        self._bits = [self._question(trial.bits_differ, SLOW) for trial in trials]
        self._accuracy = [
            (partial(t.deviation, dtype), self._question(partial(t.accuracy_differs, dtype), SLOW))
            for t in trials
            for dtype in t.certified
        ]
        rows = [self._question(t.rows_differ, SLOW, *to) for t, to in passed]
        checks = {c: self._at_every_case(c, trials) for c in (*_CHEAP, *_DEAR, *_IF_CHANGED, *_SELDOM)}
        everywhere = lambda group: [[*checks[check].values()] for check in group]
        self._cheap = [calls[True], *everywhere(_CHEAP)]
        field, *others = everywhere(_DEAR)
        self._dear, self._dearest = [calls[False], field, rows], others
        self._if_changed = everywhere((*_IF_CHANGED, *_SELDOM))
        likely = [[checks[c][t] for c in _IF_CHANGED if t in checks[c]] for t in trials]
        self._at_case = [[row, *asked] for row, asked in zip(rows, likely)]
        self._told = {}  # what told the last mutant of a statement, likely to tell the next one too

    def killer(self, mutant, *, wholly=True):
        """The word for what gives ``mutant`` away, or None; if not ``wholly``, of the values and adjoints."""
        asked = set()
        with np.errstate(all="ignore"):
            version = answer(QUICK, Version, self.text, mutant)
            if isinstance(version, str):
                return version
            for stage in self._stages(version, mutant, wholly):
                for question in stage:
                    if question in asked:
                        continue
                    asked.add(question)
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
        always = [*self._quick, *self._cheap, *self._dear, *self._dearest] if wholly else self._quick
        for place, stages in ((mutant.lines, always), (mutant.function, self._quick)):
            if any(self._told.get(place) in stage for stage in stages):
                yield [self._told[place]]
        yield from self._quick
        if not wholly:
            return
        yield from self._cheap
        changed = False
        for bits, likely in zip(self._bits, self._at_case):
            if bits.word(version, mutant.lines):
                changed = True
                yield likely
        far = self._far_first(version) if changed else []
        yield from (far[:_FEW], *self._dear, far[_FEW:], *self._dearest)
        yield from self._if_changed if changed else ()

    def _far_first(self, version):
        """The questions about accuracy, first where ``version`` is furthest from the op: truths are dear."""
        far = [(answer(SLOW, deviation, version), question) for deviation, question in self._accuracy]
        return [q for _, q in sorted(far, key=lambda pair: 0 if isinstance(pair[0], str) else -pair[0])]

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
