"""Hold any forward and backward against everything we know: ``gradcheck.check(op)``."""

from .evidence import check, check_case

__all__ = ["check", "check_case"]
