"""What the trainer adds to a step of the NTM on the copy task: a ratio of 0.95 is an overhead of 5 %.

Ours is a step of ``scratchattn train``: the data are drawn, loss and gradient looked at, the step accounted
for.  The peer ``bare_step`` is forward, backward, clipping and RMSprop on one batch that is always the same.
"""

from ntm_copy import SETTING as SETTING
from ntm_copy import drawn

from scratchattn.training import RMSprop, Settings
from scratchattn.training.loop import Trainer
from scratchattn.training.step import Alone, bound

BATCHES = (1,)
PEERS = ("bare_step",)
ENGINE = "fused"
ENDLESS = 10**9  # steps: no evaluation and no end comes


def trainer(batch, dtype="float32"):
    """A trainer before its first step, and what it needs to make one."""
    ntm, task, _, _ = drawn(batch, dtype)
    made = Trainer(ntm, task, Settings(steps=ENDLESS, eval_every=ENDLESS, batch=batch), None, Alone(), None)
    made.start()
    made._started = made._shown = 0.0
    return made


def ours(batch):
    """A function that makes one step."""
    made = trainer(batch)
    return lambda: made._account(made._one_step(), lambda step, means: None)


def peer(name, batch):
    """The same without the trainer."""
    ntm, task, params, data = drawn(batch)
    return stepping(ntm, task, params, data)


def stepping(ntm, task, params, data):
    """A function that makes one bare step."""
    optimiser, settings = RMSprop(params), Settings()

    def step():
        leaves = params.tensors()
        outputs, _ = ntm.sequence(leaves, ntm.initial_state(leaves, data.size), data.inputs)
        gradient = params.gradient(task.loss(outputs, data), leaves)
        bound(gradient, settings)
        optimiser.step(gradient)

    return step


def gradient_error(name, batch):
    """Largest difference of the parameters after one step from the same ones on the same data."""
    made = trainer(batch, "float64")
    params = made.params.copy()
    made.draw()
    ((data,),) = made.pieces
    stepping(made.model, made.task, params, data)()
    made._one_step()
    return float(abs(made.params.flat - params.flat).max() / abs(params.flat).max())
