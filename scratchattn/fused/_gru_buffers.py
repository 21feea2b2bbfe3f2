"""The buffers of ``fused/gru.py``, and the views of each step into them.

Columns are candidate, reset, update, and beside the gradients of their sums stands what goes back through
the product with the state, so that [candidate, reset, update] and [reset, update, product] are blocks of one
array.  The columns of sigmoids come negated, as in ``_controller``.
"""

from types import SimpleNamespace


def forward_buffers(new, s):
    """What a recording keeps: every step's state and intermediates, and views of each step into them."""
    t, b, h = s.steps, s.batch, s.units
    f = SimpleNamespace(
        carried=new(t + 1, b, h + 1),  # [hidden, 1] before step 0, after it, ...
        sums=new(t, b, 3 * h),  # of what comes in; those of sigmoids negated
        exponents=new(t, 3, b, h),  # of reset, keep, renew
        exponentials=new(t, 3, b, h),
        gates=new(t, 3, b, h),
        seen=new(t, b, h),  # by the candidate: the state after its reset, or its product before it
        drive=new(t, b, h),  # what the candidate is the tanh of
        candidate=new(t, b, h),
        recurrent=new(b, 2 * h),
        over_units=new(b, h),
    )
    f.carried[:, :, h] = 1
    f.states, f.recurrent_apart = (f.carried,), f.recurrent.reshape(b, 2, h).swapaxes(0, 1)
    f.views = []
    for i in range(t):
        v = SimpleNamespace(carried=f.carried[i], before=f.carried[i, :, :h], hidden=f.carried[i + 1, :, :h])
        v.candidate_sums = f.sums[i, :, :h]
        v.gate_sums = f.sums[i, :, h:].reshape(b, 2, h).swapaxes(0, 1)
        v.exponents, v.exponentials, v.gates = f.exponents[i], f.exponentials[i], f.gates[i]
        v.exponents_of_both, (_, v.exponent_of_keep, v.exponent_of_renew) = v.exponents[:2], v.exponents
        v.reset, v.keep, v.renew = v.gates
        v.seen, v.drive, v.candidate = f.seen[i], f.drive[i], f.candidate[i]
        f.views.append(v)
    return f


def backward_buffers(new, s):
    """What a pullback needs while it runs."""
    t, b, h = s.steps, s.batch, s.units
    g = SimpleNamespace(
        dall=new(t, b, 4 * h),  # candidate, reset, update, product
        pulls=new(t, 3, b, h),  # of update, candidate, reset
        back_to_hidden=new(3 * h, h),  # transposed weights
        dhidden=new(b, h),
        dseen=new(b, h),
        over_units=new(b, h),
    )
    g.views = []
    for i in range(t):
        parts = g.dall[i].reshape(b, 4, h).swapaxes(0, 1)
        d = SimpleNamespace(dgates=g.dall[i, :, h : 3 * h], dgates_and_product=g.dall[i, :, h:])
        d.dcandidate, d.dreset, d.dupdate, d.dproduct = parts
        d.pull_of_update, d.pull_of_candidate, d.pull_of_reset = g.pulls[i]
        g.views.append(d)
    return g
