"""All errors together: does a gradient lean to one side, or is it a few percent too long?

In low precision one entry may be off by several percent, and an error of three percent in all of them hides
in that.  Taken together they show it: the errors are regressed on the truth,

    found - truth  =  bias  +  (slope - 1) truth  +  noise

with weights from the noise.  How far off bias and slope may be is not taken from a formula, which would want
independent errors, but from the same regression of the runs of Monte-Carlo arithmetic.
"""

import numpy as np

from .tolerance import SIGMAS

LEAST = 12  # entries: a line through fewer says nothing
NOTHING = 2.0**-126  # what is true and smaller is zero to every format that is tested
SMALL = 1e-3  # of the largest: below that an entry may have been made of numbers that underflowed


class Line:
    """``bias`` and ``slope`` with what honest programs have on average and their standard errors."""

    def __init__(self, bias, slope, biases, slopes):
        self.bias, self.slope = float(bias), float(1.0 + slope)
        self.bias_error, self.slope_error = float(biases.std(ddof=1)), float(slopes.std(ddof=1))
        self.usual_bias, self.usual_slope = float(biases.mean()), float(1.0 + slopes.mean())

    @property
    def distance(self):
        """The larger of both in standard errors."""
        pairs = (
            (self.bias - self.usual_bias, self.bias_error),
            (self.slope - self.usual_slope, self.slope_error),
        )
        return max(abs(off) / error if error else 0.0 for off, error in pairs)

    @property
    def ok(self):
        return self.distance <= SIGMAS

    def __str__(self):
        slope = f"slope {self.slope:.4f} +- {self.slope_error:.4f}"
        return f"{slope}, bias {self.bias:.1e} +- {self.bias_error:.1e}"

    def json(self):
        return {
            "slope": self.slope,
            "slope_error": self.slope_error,
            "bias": self.bias,
            "bias_error": self.bias_error,
            "distance": self.distance,
        }


class Errors:
    """Errors of many questions, by output and gradient."""

    def __init__(self):
        self.collected: dict = {}

    def add(self, name, found, truth, sigma, samples):
        """Of one array: what was ``found``, the ``truth``, the noise's spread and its runs (runs, ...)."""
        known = (sigma > 0) & np.isfinite(found) & (abs(truth) > NOTHING)
        columns = (found - truth)[known], truth[known], sigma[known], (samples - truth)[:, known]
        self.collected.setdefault(name, []).append(columns)

    def lines(self):
        """A Line for every name with entries enough."""
        out = {}
        for name, parts in self.collected.items():
            error, truth, sigma, runs = (np.concatenate(column, axis=-1) for column in zip(*parts))
            large = abs(truth) >= SMALL * abs(truth).max(initial=0.0)
            error, truth, sigma, runs = error[large], truth[large], sigma[large], runs[:, large]
            if truth.size < LEAST or np.ptp(truth) == 0:
                continue
            weights = 1 / sigma**2
            coefficients = np.stack([_fitted(e, truth, weights) for e in (error, *runs)])
            (bias, slope), rest = coefficients[0], coefficients[1:]
            out[name] = Line(bias, slope, rest[:, 0], rest[:, 1])
        return out


def _fitted(error, truth, weights):
    """Intercept and slope of the weighted line through (truth, error)."""
    total = weights.sum()
    mean, middle = (weights * truth).sum() / total, (weights * error).sum() / total
    slope = (weights * (truth - mean) * (error - middle)).sum() / (weights * (truth - mean) ** 2).sum()
    return middle - slope * mean, slope
