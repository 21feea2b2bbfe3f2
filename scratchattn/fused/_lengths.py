"""Sequences of a batch that have ended: they compute on and are put back, with no look at the data.

``running`` (t, b) says which run on at each step, or is None where all do; then nothing is done.
"""


def running_steps(xp, lengths, steps):
    """``running`` of ``lengths``, b integers in 0..steps, or None."""
    if lengths is None:
        return None
    step = xp.cumulative_sum(xp.ones_like(lengths, shape=(steps, 1)), axis=0) - 1  # integers like lengths
    return lengths > step


def until_their_ends(xp, running, array):
    """``array`` (t, b, d), zero behind the end of each sequence, whatever stood there."""
    return array if running is None else xp.where(running[:, :, None], array, 0)


def put_back(xp, running, states, t):
    """Give those that had ended the state from before step ``t`` after it too; states are (t + 1, b, ...)."""
    if running is None:
        return
    for state in states:
        xp.copyto(state[t + 1], state[t], where=_ended(running, t, state[t]))


def set_aside(xp, running, gradients, t):
    """Take the gradients (b, ...) of those that had ended at step ``t`` out of what goes back through it."""
    if running is None:
        return []
    ended = [_ended(running, t, gradient) for gradient in gradients]
    waiting = [xp.where(where, gradient, 0) for where, gradient in zip(ended, gradients)]
    for where, gradient in zip(ended, gradients):
        xp.copyto(gradient, 0, where=where)
    return waiting


def bring_back(gradients, waiting):
    """Add what ``set_aside`` had taken out."""
    for gradient, kept in zip(gradients, waiting):
        gradient += kept


def _ended(running, t, like):
    return ~running[t].reshape((-1,) + (1,) * (like.ndim - 1))
