"""What all models start from: weights by the inputs of their layer.

A layer of n inputs that are all about as large as one wants weights of about 1 / sqrt(n).  Of inputs of which
one alone is not zero, as words are shown, it then hears next to nothing: ``input_scale`` of the models makes
what meets the task's inputs larger.  10 was right for the 159 words of bAbI.
"""

import numpy as np

from .. import backend
from ..parameters import Params


def uniform_weights(shapes, rng):
    """name -> numbers: uniform in +-1 / sqrt(inputs of the layer) where it is called weights, else zeros."""
    spread = {name: 1 / np.sqrt(shape[0]) if "weights" in name else 0.0 for name, shape in shapes.items()}
    return {name: rng.uniform(-spread[name], spread[name], size=shape) for name, shape in shapes.items()}


def params_of(values, dtype):
    """Params that hold ``values``, on the backend in use."""
    params = Params({name: value.shape for name, value in values.items()}, dtype=dtype)
    params.assign({name: backend.asarray(value, dtype=dtype) for name, value in values.items()})
    return params
