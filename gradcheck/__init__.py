"""Hold any forward and backward against everything we know: ``gradcheck.check(op)``.

Somebody else's implementation too, ``gradcheck.verify(function, against="layer_norm", framework="torch")``,
(whole cells too, ``against="ntm_cell"``: CELLS names them),
and as tests for pytest, ``@gradcheck.parametrize("layer_norm", framework="torch")``.
"""

from .conformance import CELLS, Plan, parametrize, torch_parameters, verify
from .evidence import check, check_case

__all__ = ["CELLS", "Plan", "check", "check_case", "parametrize", "torch_parameters", "verify"]
