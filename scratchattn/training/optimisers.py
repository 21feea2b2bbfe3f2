"""Optimisers: a handful of ufunc calls on one flat vector.

Each is made for the parameters it will change; ``step(gradient)`` overwrites them in place, which
voids every recording made before (see ``parameters``).  ``state`` (name -> a vector) and ``steps`` are
all that one remembers: given back, it goes on bit for bit where it was.

    sgd               p <- p - learning_rate g
    momentum          v <- momentum v + g;   p <- p - learning_rate v
    rmsprop           n <- square_decay n + (1 - square_decay) g^2
                      v <- momentum v + g / (sqrt(n) + eps);   p <- p - learning_rate v
    graves_rmsprop    n as above;   m <- square_decay m + (1 - square_decay) g
                      v <- momentum v - learning_rate g / sqrt(n - m^2 + eps);   p <- p + v
    adam              m <- beta1 m + (1 - beta1) g;   n <- beta2 n + (1 - beta2) g^2
                      p <- p - learning_rate (m / (1 - beta1^t)) / (sqrt(n / (1 - beta2^t)) + eps)
    adamw             p <- (1 - learning_rate weight_decay) p, then as adam

Source: sgd, momentum, rmsprop, adam, adamw as PyTorch 2.13 documents them; Graves, "Generating sequences
with recurrent neural networks", arXiv:1308.0850, eqs. 38-45; Kingma, Ba, "Adam", arXiv:1412.6980;
Loshchilov, Hutter, "Decoupled weight decay regularization", arXiv:1711.05101.
"""

from ..backend import array_module


class Optimiser:
    """What all share: the parameters, the vectors they remember, the number of steps made."""

    remembers: tuple[str, ...] = ()

    def __init__(self, params, learning_rate):
        xp = array_module(params.flat)
        self.params, self.learning_rate, self.steps = params, learning_rate, 0
        self.state = {name: xp.zeros_like(params.flat) for name in self.remembers}
        self._scratch = xp.zeros_like(params.flat)

    def step(self, gradient):
        """Change the parameters by one step along ``gradient``, a Params of the same names."""
        if gradient.shapes != self.params.shapes:
            raise ValueError(
                f"{type(self).__name__}: gradient must have the names and shapes of the parameters, "
                f"{list(self.params)}, got {list(gradient)}"
            )
        self.steps += 1
        xp = array_module(self.params.flat)
        with self.params.overwriting() as flat:
            self._move(xp, flat, gradient.flat, self._scratch)

    def _move(self, xp, p, g, s):
        """``p`` in place, by the gradient ``g``; ``s`` is there to compute in."""
        raise NotImplementedError(f"{type(self).__name__} has no _move")


class SGD(Optimiser):
    """Gradient descent."""

    def __init__(self, params, *, learning_rate=1e-2):
        super().__init__(params, learning_rate)

    def _move(self, xp, p, g, s):
        xp.multiply(g, self.learning_rate, out=s)
        p -= s


class Momentum(Optimiser):
    """Gradient descent along an accumulated direction."""

    remembers = ("velocity",)

    def __init__(self, params, *, learning_rate=1e-2, momentum=0.9):
        super().__init__(params, learning_rate)
        self.momentum = momentum

    def _move(self, xp, p, g, s):
        velocity = self.state["velocity"]
        velocity *= self.momentum
        velocity += g
        xp.multiply(velocity, self.learning_rate, out=s)
        p -= s


class RMSprop(Optimiser):
    """RMSprop as in PyTorch, with momentum."""

    remembers = ("mean_square", "velocity")

    def __init__(self, params, *, learning_rate=1e-4, square_decay=0.95, momentum=0.9, eps=1e-8):
        super().__init__(params, learning_rate)
        self.square_decay, self.momentum, self.eps = square_decay, momentum, eps

    def _move(self, xp, p, g, s):
        mean_square, velocity = self.state["mean_square"], self.state["velocity"]
        _average(xp, mean_square, g, self.square_decay, s, squared=True)
        xp.sqrt(mean_square, out=s)
        s += self.eps
        xp.divide(g, s, out=s)
        velocity *= self.momentum
        velocity += s
        xp.multiply(velocity, self.learning_rate, out=s)
        p -= s


class GravesRMSprop(Optimiser):
    """RMSprop as Graves wrote it in 2013: the variance, not the mean square, and eps inside the root."""

    remembers = ("mean_square", "mean", "velocity")

    def __init__(self, params, *, learning_rate=1e-4, square_decay=0.95, momentum=0.9, eps=1e-4):
        super().__init__(params, learning_rate)
        self.square_decay, self.momentum, self.eps = square_decay, momentum, eps

    def _move(self, xp, p, g, s):
        mean_square, mean, velocity = (self.state[name] for name in self.remembers)
        _average(xp, mean_square, g, self.square_decay, s, squared=True)
        _average(xp, mean, g, self.square_decay, s)
        xp.multiply(mean, mean, out=s)
        xp.subtract(mean_square, s, out=s)
        s += self.eps
        xp.sqrt(s, out=s)
        xp.divide(g, s, out=s)
        s *= self.learning_rate
        velocity *= self.momentum
        velocity -= s
        p += velocity


class Adam(Optimiser):
    """Adam, both means corrected for their start at zero."""

    remembers = ("mean", "mean_square")

    def __init__(self, params, *, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        super().__init__(params, learning_rate)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def _move(self, xp, p, g, s):
        mean, mean_square = self.state["mean"], self.state["mean_square"]
        _average(xp, mean, g, self.beta1, s)
        _average(xp, mean_square, g, self.beta2, s, squared=True)
        xp.sqrt(mean_square, out=s)
        s /= (1 - self.beta2**self.steps) ** 0.5
        s += self.eps
        xp.divide(mean, s, out=s)
        s *= self.learning_rate / (1 - self.beta1**self.steps)
        p -= s


class AdamW(Adam):
    """Adam beside a decay of the weights that no gradient scales."""

    def __init__(
        self, params, *, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2
    ):  # fmt: skip
        super().__init__(params, learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps)
        self.weight_decay = weight_decay

    def _move(self, xp, p, g, s):
        p *= 1 - self.learning_rate * self.weight_decay
        super()._move(xp, p, g, s)


OPTIMISERS = {
    "sgd": SGD,
    "momentum": Momentum,
    "rmsprop": RMSprop,
    "graves_rmsprop": GravesRMSprop,
    "adam": Adam,
    "adamw": AdamW,
}


def _average(xp, mean, g, decay, s, squared=False):
    """``mean`` moves towards ``g``, or its square, by 1 - ``decay``, in place."""
    if squared:
        xp.multiply(g, g, out=s)
        s *= 1 - decay
    else:
        xp.multiply(g, 1 - decay, out=s)
    mean *= decay
    mean += s
