"""How the learning rate changes over a training: a factor for every step.

    constant        1
    linear          falls from 1 at the first step to ``decay`` at the last
    cosine          the same, along half a cosine
    inverse_sqrt    1 / sqrt(step), scaled to be 1 where the warm-up ends

In the first ``warmup`` steps the factor rises in equal parts to 1; the others fall from there.

Source: cosine: Loshchilov, Hutter, arXiv:1608.03983; inverse_sqrt: Vaswani et al., arXiv:1706.03762, eq. 3.
"""

import math

SCHEDULES = ("constant", "linear", "cosine", "inverse_sqrt")


def factor(step, steps, *, schedule="constant", warmup=0, decay=0.0):
    """The factor of ``step``, counted from 1, in a training of ``steps``."""
    if step <= warmup:
        return step / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "inverse_sqrt":
        return math.sqrt(max(warmup, 1) / step)
    done = (step - 1 - warmup) / max(1, steps - 1 - warmup)
    if schedule == "linear":
        return 1 - (1 - decay) * done
    return decay + (1 - decay) * 0.5 * (1 + math.cos(math.pi * done))
