"""How to train: every setting, with what it means."""

import inspect
from dataclasses import dataclass

from ..refusals import check_settings, refuse_no_number
from .curriculum import stages
from .optimisers import OPTIMISERS
from .schedules import SCHEDULES

_OF_OPTIMISERS = ("momentum", "square_decay", "beta1", "beta2", "eps", "weight_decay")


@dataclass(frozen=True)
class Settings:
    """How to train; the defaults are those of the NTM paper's copy task."""

    steps: int = 40_000
    """Number of updates."""
    batch: int = 1
    """Sequences of an update."""
    shards: int = 1
    """Equal parts of a batch, each drawn from a random generator of its own; their gradients are added in
    one order, so that any number of processes that share them makes the same bits."""
    truncate: int = 0
    """Back-propagation through at most so many steps of time: a longer sequence is cut, every piece is an
    update, and the state is carried from piece to piece; 0 never cuts."""
    optimiser: str = "rmsprop"
    """sgd, momentum, rmsprop (PyTorch's), graves_rmsprop, adam, adamw."""
    learning_rate: float = 1e-4
    """The size of a step, where the schedule's factor is one."""
    schedule: str = "constant"
    """constant, linear, cosine, inverse_sqrt (see ``schedules``)."""
    warmup: int = 0
    """Steps in which the learning rate rises to its full size."""
    decay: float = 0.0
    """What is left of the learning rate at the last step of the schedules linear and cosine."""
    momentum: float | None = None
    """Of the optimiser, as are the five that follow; None: its own default.  What is kept of the velocity."""
    square_decay: float | None = None
    """What the RMSprops keep of their mean square at each step."""
    beta1: float | None = None
    """What adam keeps of its mean gradient at each step."""
    beta2: float | None = None
    """What adam keeps of its mean square at each step."""
    eps: float | None = None
    """What is added to the root of the mean square (within it by graves_rmsprop)."""
    weight_decay: float | None = None
    """The part of each weight, times the learning rate, that adamw takes off at each step."""
    clip: float = 10.0
    """Every entry of the gradient is brought into +-this; 0 does not."""
    clip_norm: float = 0.0
    """Then the whole gradient is scaled to at most this length; 0 does not."""
    clip_outputs: float = 0.0
    """Every derivative of the loss by an output of the model is brought into +-this on its way back into the
    model, as Graves does; 0 does not."""
    curriculum: str = ""
    """Settings of the task by stages, each from the step that it names: "0: longest=5; 2000: longest=10".
    Evaluations are always on the task itself."""
    curriculum_below: float | None = None
    """The next stage also begins once the task's metric, on the stage's own data, is at most this at an
    evaluation."""
    seed: int = 0
    """Of the parameters and the data, each with a generator of its own that grows from it."""
    eval_every: int = 2_000
    """Steps between evaluations on the validation split, for a task that draws its data on fresh sequences;
    there is always one at the end."""
    eval_batches: int = 20
    """Batches of an evaluation, evenly spread over a data set that has an end; all of that if 0."""
    eval_batch: int = 50
    """Sequences of each of them."""
    select: str = "last"
    """Which parameters a run ends with, and the test split is read with: "last", or "best" on validation."""
    patience: int = 0
    """Evaluations without a better one after which training ends; 0 goes on."""
    stop_at: float | None = None
    """Training ends at an evaluation where the task's metric is at least as good as this."""
    log_every: int = 500
    """Steps that one line of the log averages over."""
    checkpoint_every: int = 0
    """Steps between checkpoints, 0 for one at the end only."""
    keep: int = 0
    """So many checkpoints are kept, the newest; 0 keeps all."""

    def __post_init__(self):
        counts = ("steps", "batch", "shards", "eval_every", "eval_batch", "log_every")
        zero = ("truncate", "warmup", "eval_batches", "seed", "patience", "checkpoint_every", "keep")
        check_settings(
            self,
            at_least=dict.fromkeys(counts, 1) | dict.fromkeys(zero, 0),
            positive=("learning_rate",),
            one_of={"optimiser": OPTIMISERS, "schedule": SCHEDULES, "select": ("last", "best")},
        )
        for name in ("clip", "clip_norm", "clip_outputs", "decay"):
            refuse_no_number(f"Settings: {name}", getattr(self, name))
            _refuse_unless(getattr(self, name) >= 0, self, name, "at least 0")
        for name in ("curriculum_below", "stop_at"):
            refuse_no_number(f"Settings: {name}", getattr(self, name), or_none=True)
        _refuse_unless(self.decay <= 1, self, "decay", "from 0 to 1")
        _refuse_unless(self.batch % self.shards == 0, self, "batch", f"a multiple of shards, {self.shards}")
        stages(self.curriculum)
        self._complete()

    def _complete(self):
        """The optimiser's own defaults where nothing was said; what it does not know is refused."""
        known = inspect.signature(OPTIMISERS[self.optimiser]).parameters
        for name in _OF_OPTIMISERS:
            value = getattr(self, name)
            if value is None and name in known:
                object.__setattr__(self, name, known[name].default)
            elif value is not None:
                if name not in known:
                    raise ValueError(f"Settings: the optimiser {self.optimiser} has no {name}, got {value!r}")
                refuse_no_number(f"Settings: {name}", value)
                allowed = value >= 0 if name in ("eps", "weight_decay") else 0 <= value < 1
                span = "at least 0" if name in ("eps", "weight_decay") else "at least 0 and below 1"
                _refuse_unless(allowed, self, name, span)

    def make_optimiser(self, params):
        """The optimiser of these settings for ``params``."""
        own = {n: getattr(self, n) for n in _OF_OPTIMISERS if getattr(self, n) is not None}
        return OPTIMISERS[self.optimiser](params, learning_rate=self.learning_rate, **own)


def _refuse_unless(holds, settings, name, expected):
    if not holds:
        raise ValueError(f"Settings: {name} must be {expected}, got {getattr(settings, name)!r}")
