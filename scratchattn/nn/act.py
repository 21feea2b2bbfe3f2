"""Adaptive computation time: any recurrent cell, left to decide how many steps it takes at each input.

At one time step the cell S runs N times on the same x, which carries a flag:

    s^1 = S(s_(t-1), (x, 1))        s^n = S(s^(n-1), (x, 0))          states, and outputs y^n beside them
    h^n = sigmoid(W_h s^n + b_h)                                      halting values
    N   = min{ limit, min{ n : h^1 + ... + h^n >= 1 - eps } }         steps
    R   = 1 - (h^1 + ... + h^(N-1))                                   remainder
    p^n = h^n for n < N,   R for n = N                                weights
    s_t = sum_n p^n s^n             y_t = sum_n p^n y^n

``halting`` is the rule, with its gradient: N is a constant, R is not.  The ponder cost of a sequence is
the sum of N + R over its time steps; both are returned for every time step and example, for the caller to
weigh and to add up.

Batches
-------
Each example has its own N.  One that has halted keeps its state while others go on; what the cell then
makes of it counts for nothing and gets no gradient.  So an example alone is the example in a batch, to
the bit if the cell is (a product of one matrix with all rows of a batch need not be).

How many steps are run: as many as the batch needs, which takes a look at the data after each; or all of
``limit``.  What comes out is the same to the bit.  ``look`` None: looked at on the host only; on a GPU
True waits for the device once a step, False never does.

Padded time steps change no state, show zeros, have N = R = 0 and get no gradient.

Conventions
-----------
    flag          1 at the first step, 0 after; "later" is the opposite (zphang's ACT), None is none
                  (Universal Transformer)
    halting sees  the output of the step, or what ``sees`` makes of output and state: [c, h] of an LSTM
                  in act-tensorflow; tensor2tensor's sees the state before the step, which is not here
    b_h           1 at first (the paper, tensor2tensor); 0 in act-tensorflow, -1, for longer, in
                  pytorch-adaptive-computation-time, whose text says the opposite
    ponder        N + R, by time step and example; its mean over time and batch in others
    the rule      that of the paper; others: ``strict``, ``clamped``, ``at_cap``, ``mixing`` of ``halting``

The paper's W_h sees s^n, and its y^n is affine in s^n: take a cell whose output is its state, and an
affine layer of y_t, which is the same since the weights sum to one.

A position of the Universal Transformer is an example: x (b, t, d) with flag=None, and a cell that is one
layer over all positions, in which those that have halted are still attended to.

Source: Graves, "Adaptive computation time for recurrent neural networks", arXiv:1603.08983, section 2,
eqs. 3-20.
"""

from functools import partial
from typing import Any, NamedTuple

from ..backend import array_module, constant, real
from ..ops.activations import sigmoid
from ..ops.choice import where
from ..ops.halting import halting
from ..ops.shaping import concat, reshape, stack, unstack
from ..signature import Signature
from ..tape import Tensor
from .lstm import keep_ended


class ACTWeights(NamedTuple):
    """The parameters of the halting unit."""

    halting_weights: Any  # (f, 1), f features that it sees
    halting_bias: Any  # (1)


class Pondered(NamedTuple):
    """What a step returns, and a sequence with a leading axis t of all but ``state``."""

    out: Any  # (..., o)
    state: Any  # as it came in
    steps: Any  # (...), floats: N
    remainder: Any  # (...): R


FLAGS = {"first": (1.0, 0.0), "later": (0.0, 1.0), None: None}
_SIGNATURE = Signature("act", "seen(f), halting_weights(f,1), halting_bias(1) -> halting()", {}, None)


def act_shapes(features):
    """Parameter shapes of the halting unit, which sees so many ``features``."""
    return {"halting_weights": (features, 1), "halting_bias": (1,)}


def act_step(
    x, state, cell, weights, *, limit=100, eps=0.01, strict=False, clamped=False, at_cap="remainder",
    mixing="sum", flag="first", sees=None, running=None, look=None,
):  # fmt: skip
    """One time step: x (..., i), a state, ACTWeights -> Pondered.

    ``cell(x, state)`` takes x (..., i + 1), or (..., i) without a flag, and returns its output (..., o) and
    the next state: an array, or a tuple of arrays and None, named or not, whose arrays have the leading
    axes of x.  ``sees(out, state)``: the features (..., f) that the halting unit sees, the output if None.
    ``running`` (...): booleans, False for the examples whose sequence has ended.

    ValueError for a limit that is no int from 1, for another flag and for sizes that do not fit.
    """
    if type(limit) is not int or limit < 1:
        raise ValueError(f"act: limit must be an int from 1, got {limit!r}")
    if flag not in FLAGS:
        raise ValueError(f"act: flag must be one of {', '.join(map(repr, FLAGS))}, got {flag!r}")
    flagged = _flagged(x if running is None else keep_ended(running, x, 0.0), FLAGS[flag])
    now, live, used, values, found = state, running, 0.0, [], []
    for n in range(limit):
        out, new = cell(flagged[min(n, 1)], now)
        now = _each(partial(keep_ended, live), new, now)
        found.append(_each(lambda a, live=live: keep_ended(live, a, 0.0), (out, now)))
        values.append(_halting_value(found[-1], sees, weights))
        used = used + real(_array(values[-1]))
        goes_on = ~(used > 1 - eps if strict else used >= 1 - eps)  # the same sums as in ``halting``
        live = goes_on if live is None else live & goes_on
        host = array_module(used).__name__ == "numpy"
        if (host if look is None else look) and not bool(array_module(live).any(live)):
            break
    rule = {"eps": eps, "strict": strict, "clamped": clamped, "at_cap": at_cap, "mixing": mixing}
    shares, remainder, steps = halting(stack(*values, axis=-1), **rule)
    shares = unstack(shares, axis=-1)
    out, mixed = _each(lambda *parts: _mixture(shares, parts), *found)
    if running is not None:
        mixed = _each(partial(keep_ended, running), mixed, state)
        steps, remainder = where(running, steps, 0.0), where(running, remainder, 0.0)
    return Pondered(out, mixed, steps, remainder)


def act_sequence(xs, state, cell, weights, lengths=None, **rest):
    """Time step after time step: xs (t, ..., i) -> Pondered, the last state in it.

    ``lengths`` (...): integers in 0..t, or None for t everywhere; ``rest``: the params of ``act_step``.
    """
    parts = []
    for t, x in enumerate(unstack(xs)):
        running = None if lengths is None else lengths > t
        parts.append(act_step(x, state, cell, weights, running=running, **rest))
        state = parts[-1].state
    if not parts:  # only the cell knows how wide its output is
        nothing = array_module(_array(xs)).broadcast_to(constant(_array(xs), 0.0), xs.shape[1:])
        one = act_step(nothing, state, cell, weights, **{**rest, "limit": 1})
        return Pondered(one.out[None][:0], state, one.steps[None][:0], one.remainder[None][:0])
    outs, _, steps, remainders = zip(*parts)
    return Pondered(stack(*outs), state, stack(*steps), stack(*remainders))


def _flagged(x, values):
    """x as the first step and as every other step gets it."""
    if values is None:
        return x, x
    like, shape = _array(x), (*x.shape[:-1], 1)
    columns = [array_module(like).broadcast_to(constant(like, value), shape) for value in values]
    return [concat(x, column, axis=-1) for column in columns]


def _halting_value(found, sees, weights):
    """sigmoid(W_h s + b_h): (..., f) -> (...); a product for each example, so that it has its own bits."""
    seen = found[0] if sees is None else sees(*found)
    _SIGNATURE.check((seen, *weights), {})
    *batch, features = seen.shape
    row = reshape(seen, shape=(*batch, 1, features))
    return reshape(sigmoid(row @ weights.halting_weights + weights.halting_bias), shape=tuple(batch))


def _mixture(shares, parts):
    """sum_n shares[n] parts[n], from left to right: (...), (..., any) -> (..., any)."""
    total = None
    for share, part in zip(shares, parts, strict=True):
        term = reshape(share, shape=(*share.shape, *[1] * (part.ndim - share.ndim))) * part
        total = term if total is None else total + term
    return total


def _each(function, first, *rest):
    """``function`` of the arrays of states, place by place; None stays."""
    if first is None:
        return None
    if isinstance(first, tuple):
        parts = [_each(function, *parts) for parts in zip(first, *rest, strict=True)]
        return first._make(parts) if hasattr(first, "_make") else tuple(parts)
    return function(first, *rest)


def _array(x):
    return x.data if type(x) is Tensor else x
