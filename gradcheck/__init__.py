"""Hold any forward and backward against everything we know: ``gradcheck.check(op)``.

Somebody else's implementation too, ``gradcheck.verify(function, against="layer_norm", framework="torch")``,
and as tests for pytest, ``@gradcheck.parametrize("layer_norm", framework="torch")``.
"""

from .conformance import Plan, parametrize, verify
from .evidence import check, check_case

__all__ = ["Plan", "check", "check_case", "parametrize", "verify"]
