"""A composition of ``nn`` as an op: its forward runs on the tape, its backward pulls back through it.

So whatever is asked of ops can be asked of it: names and shapes of inputs and outputs, the truth in balls,
the noise, variants.  It is not entered in the registry, because no derivation of its own stands behind it.
"""

import inspect
from dataclasses import fields

import numpy as np

from scratchattn.op import Op, Variant
from scratchattn.tape import Tensor, vjp

REQUIRED = inspect.Parameter.empty


def cell(name, signature, composition, cases, *, params=None, variants=(), passive=None, source=""):
    """The Op called ``name`` whose outputs are the tuple ``composition(*inputs, **params)``.

    ``signature``, ``cases``, ``variants``, ``passive`` and ``source`` are those of an Op; ``params`` maps the
    names of its params to their defaults, REQUIRED where there is none.
    """
    passive, params = dict(passive or {}), dict(params or {})
    default = {name: value for name, value in params.items() if value is not REQUIRED}

    def settled(*inputs, **how):
        return composition(*inputs, **{**default, **how})

    def forward(*inputs, **how):
        places = [i for i, x in enumerate(inputs) if x is not None and op.kinds[i] is None]

        def active(*tensors):
            whole = list(inputs)
            for place, tensor in zip(places, tensors, strict=True):
                whole[place] = tensor
            return settled(*whole, **how)

        out, pullback = vjp(active, *[inputs[i] for i in places])
        return out if op.Outputs is not None else out[0], (pullback, places, len(inputs))

    def backward(saved, dout):
        pullback, places, count = saved
        known = dict(zip(places, pullback(*(dout if op.Outputs is not None else (dout,))), strict=True))
        return tuple(known.get(i) for i in range(count) if op.kinds[i] is None)

    parameter = inspect.Parameter
    named = [parameter(n, parameter.KEYWORD_ONLY, default=value) for n, value in params.items()]
    several = parameter("inputs", parameter.VAR_POSITIONAL)
    forward.__signature__ = inspect.Signature([several, *named])  # type: ignore[attr-defined]
    forward.__doc__ = f"{name}: {signature}\n\nParams: {', '.join(params) or 'none'}.  Source: {source}"
    rest = {"passive": passive, "variants": tuple(variants), "source": source}
    op = Op(name, signature, forward, backward, cases, equals=settled, **rest)
    return op


def settings_of(convention):
    """The fields of a dataclass of settings with their defaults."""
    return {field.name: field.default for field in fields(convention)}


def one_by_one(convention, choices, source):
    """A Variant for each choice that is not the default of ``convention``, everything else as it is."""
    default = settings_of(convention)
    return [
        Variant(f"{name}={value}", {name: value}, source)
        for name, values in choices.items()
        for value in values
        if value != default[name]
    ]


def drawn(rng, shapes):
    """Parameters of ``shapes``, of the size that keeps what they make of size one."""
    return {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}


def inputs_of(op, composition, inputs, params):
    """What ``op`` is applied to wherever the composition applies it: a list of arrays."""
    return [node.inputs[0].data for node in _nodes(composition, inputs, params) if node.op is op]


def parts_of(op):
    """The ops that a composition, an Op with ``equals``, is made of in its first case."""
    case = next(iter(op.cases(np.random.default_rng(0))))
    return {node.op.name: node.op for node in _nodes(op.equals, case.inputs, case.params)}.values()


def _nodes(composition, inputs, params):
    """Everything that the composition records of its floating inputs."""
    floating = [getattr(x, "dtype", None) is not None and x.dtype.kind == "f" for x in inputs]
    out = composition(*[Tensor(x) if yes else x for x, yes in zip(inputs, floating)], **params)
    found, left = {}, [y.node for y in (out if isinstance(out, tuple) else (out,))]
    while left:
        node = left.pop()
        if node is not None and node.birth not in found:
            found[node.birth] = node
            left += [tensor.node for tensor in node.inputs if tensor is not None]
    return list(found.values())
