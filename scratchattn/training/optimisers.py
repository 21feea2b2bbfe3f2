"""Optimisers: a handful of ufunc calls on one flat vector.

Each is made for the parameters it will change; ``step(gradient)`` overwrites them in place, which
voids every recording made before (see ``parameters``).

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, eqs. 38-45;
RMSprop as PyTorch 2.13 documents it.
"""

from ..backend import array_module


class RMSprop:
    """RMSprop as in PyTorch, with momentum.

    n <- decay n + (1 - decay) g^2;   v <- momentum v + g / (sqrt(n) + eps);   p <- p - learning_rate v
    """

    def __init__(self, params, *, learning_rate=1e-4, decay=0.95, momentum=0.9, eps=1e-8):
        self.params, self.learning_rate = params, learning_rate
        self.decay, self.momentum, self.eps = decay, momentum, eps
        zeros = array_module(params.flat).zeros_like
        self.state = {"mean_square": zeros(params.flat), "velocity": zeros(params.flat)}
        self._scratch = zeros(params.flat)

    def step(self, gradient):
        """Change the parameters by one step along ``gradient``, a Params of the same names."""
        xp, g, s = array_module(self.params.flat), _flat(self, gradient), self._scratch
        mean_square, velocity = self.state.values()
        xp.multiply(g, g, out=s)
        s *= 1 - self.decay
        mean_square *= self.decay
        mean_square += s
        xp.sqrt(mean_square, out=s)
        s += self.eps
        xp.divide(g, s, out=s)
        velocity *= self.momentum
        velocity += s
        xp.multiply(velocity, self.learning_rate, out=s)
        with self.params.overwriting() as flat:
            flat -= s


class GravesRMSprop:
    """RMSprop as Graves wrote it in 2013: the variance, not the mean square, and eps inside the root.

    n <- decay n + (1 - decay) g^2;   m <- decay m + (1 - decay) g;
    v <- momentum v - learning_rate g / sqrt(n - m^2 + eps);   p <- p + v
    """

    def __init__(self, params, *, learning_rate=1e-4, decay=0.95, momentum=0.9, eps=1e-4):
        self.params, self.learning_rate = params, learning_rate
        self.decay, self.momentum, self.eps = decay, momentum, eps
        zeros = array_module(params.flat).zeros_like
        self.state = {name: zeros(params.flat) for name in ("mean_square", "mean", "velocity")}
        self._scratch = zeros(params.flat)

    def step(self, gradient):
        """Change the parameters by one step along ``gradient``, a Params of the same names."""
        xp, g, s = array_module(self.params.flat), _flat(self, gradient), self._scratch
        mean_square, mean, velocity = self.state.values()
        for average, power in ((mean_square, g), (mean, None)):
            average *= self.decay
            xp.multiply(g, 1 - self.decay, out=s)
            if power is not None:
                s *= power
            average += s
        xp.multiply(mean, mean, out=s)
        xp.subtract(mean_square, s, out=s)
        s += self.eps
        xp.sqrt(s, out=s)
        xp.divide(g, s, out=s)
        s *= self.learning_rate
        velocity *= self.momentum
        velocity -= s
        with self.params.overwriting() as flat:
            flat += velocity


OPTIMISERS = {"rmsprop": RMSprop, "graves_rmsprop": GravesRMSprop}


def clip_by_value(gradient, limit):
    """Every entry of ``gradient``, a Params, into [-limit, limit], in place."""
    xp = array_module(gradient.flat)
    xp.clip(gradient.flat, -limit, limit, out=gradient.flat)


def _flat(optimiser, gradient):
    if gradient.shapes != optimiser.params.shapes:
        raise ValueError(
            f"{type(optimiser).__name__}: gradient must have the names and shapes of the parameters, "
            f"{list(optimiser.params)}, got {list(gradient)}"
        )
    return gradient.flat
