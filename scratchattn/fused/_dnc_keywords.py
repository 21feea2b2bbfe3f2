"""Which fields of DNCConvention are keywords of the fused DNCs, and what values of them these follow."""

import inspect

from ..nn.dnc_convention import DNCConvention, convention_of

NOT_FOLLOWED = "link_rows", "zero_gradient"
PARAMS = tuple(name for name in DNCConvention.__dataclass_fields__ if name not in NOT_FOLLOWED)
"""The fields of DNCConvention that are keywords of the ops here."""
BOUNDS_OF_UNITS = "clip_controller", "clip_state"
"""Those that are followed where no hidden unit, all of which lie within one, is beyond them."""


def runs(convention):
    """Whether the ops here follow this DNCConvention."""
    chosen, default = vars(convention), vars(DNCConvention())
    return not _reached(convention) and all(chosen[name] == default[name] for name in NOT_FOLLOWED)


def _reached(convention):
    """name -> value of the bounds that hidden units may be beyond."""
    return {name: bound for name in BOUNDS_OF_UNITS if 0 < (bound := vars(convention)[name]) < 1}


def followed(who, settings):
    """The DNCConvention of the keywords of the op ``who``, which an error names."""
    try:
        chosen = convention_of(settings)
    except (TypeError, ValueError) as wrong:
        raise type(wrong)(f"{who}: {wrong}") from None
    for name, bound in _reached(chosen).items():
        told = f"{name} must be 0 or at least 1, which no hidden unit exceeds, got {bound!r}"
        raise ValueError(f"{who}: {told}")
    return chosen


def with_params(function):
    """Show ``PARAMS``, with the defaults of DNCConvention, as the keywords that ``**convention`` takes."""
    shown, defaults = inspect.signature(function), vars(DNCConvention())
    *others, _ = shown.parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    params = [inspect.Parameter(name, keyword, default=defaults[name]) for name in PARAMS]
    function.__signature__ = shown.replace(parameters=others + params)
    return function
