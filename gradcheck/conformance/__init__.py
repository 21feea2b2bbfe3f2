"""The conformance kit: does somebody else's implementation do what the op says, and to which convention?

verify(function, against="layer_norm", framework="torch", dtype="float32")    ->   Report
parametrize("layer_norm", framework="torch")                                  ->   tests for pytest

cells         whole cells, which are judged as ops are
candidate     what a function takes and returns, and which cases it can be asked
questions     the cases, put in the tested precision, and what is true of them
tolerance     what an honest program may lose: Monte-Carlo arithmetic on our own text
frameworks    NumPy, PyTorch, JAX, autograd, TensorFlow (``guessing``: which one)
asking        one question, one answer, whatever the function does (``guarded``)
judging       an answer against the truth
misfits       what it does with arrays that do not fit
report        the verdict; ``wording`` puts it into words
torch_parameters   weights for PyTorch's own modules
pytests       the same as tests, case by case
"""

from .cells import CELLS
from .plan import Plan
from .pytests import parametrize
from .report import Report
from .torch_parameters import torch_parameters
from .trial import verify

__all__ = ["CELLS", "Plan", "Report", "parametrize", "torch_parameters", "verify"]
