"""Cases of the fused DNCs, and what their backward is the derivative of where a gradient is stopped."""

import numpy as np

from ..backend import array_module
from ..nn.dnc_cell import dnc_shapes, dnc_weights
from ..nn.dnc_controller import over_layers
from ..op import Case, Detached
from ..tape import Tensor

# ---- evidence ---------------------------------------------------------------


def writes_held(forward, states):
    """``Detached`` of a DNC: a write weighting that a state hands on serves nothing but the usage."""

    def in_steps(x, rest, held, convention):
        state, weights, (lengths, keep) = rest[:states], rest[states:-2], rest[-2:]
        outputs, writes = [], []
        for t in range(x.shape[0]):
            writes.append(state[4])
            state = (*state[:4], state[4] if held is None else held[t], *state[5:])
            left = None if lengths is None else lengths - t
            shown = None if keep is None else keep[t : t + 1]
            (y, *state), _ = forward(x[t : t + 1], *state, *weights, left, shown, **convention)
            outputs.append(y)
        return (array_module(x).concat(outputs, axis=0), *state), tuple(writes)

    def stopped(x, *rest, **convention):
        return in_steps(x, rest, None, convention)[1] if convention.get("stop_write_gradient") else ()

    def with_writes_held(x, *rest, **convention):
        end = len(rest) - x.shape[0]
        return in_steps(x, rest[:end], rest[end:], convention)[0]

    return Detached(stopped, with_writes_held)


def drawn(
    composed, layers, rng, label, *, t=2, b=1, i=2, o=1, h=2, w=2, n=3, r=1, k=1, size=1.0,
    alike=False, biases=True, lengths=None, bypass_rate=None, margin=None, params=None, **facts,
):  # fmt: skip
    """A Case of so many layers of LSTMs; none: a tanh layer.  ``composed`` tells how close two rows come."""
    params = params or {}
    switches = ("masked", "sharpen_links", "input_skips", "shown_layers")
    added = {name: params[name] for name in switches if name in params}
    shapes = dnc_shapes(i, o, h, layers, w, r, k, biases=biases, **added)
    named = {name: size * rng.normal(size=shape) for name, shape in shapes.items()}
    on_rows = [0.9 * rng.dirichlet(np.ones(n), size=(b, heads)) for heads in (k, k, r)]
    link = 0.9 * rng.dirichlet(np.ones(n), size=(b, k, n)) / n * (1 - np.eye(n))
    usage = (rng.random((b, n)).argsort(axis=-1) + rng.uniform(0.3, 0.7, size=(b, n))) / n
    state = [rng.normal(size=(b, n, w)), usage, link, *on_rows, rng.normal(size=(b, r, w))]
    if alike:  # to the bit, also beside the square of a complex step: powers of two
        state[1], state[4], state[5] = 0 * state[1], 0 * state[4] + 0.25, 0 * state[5] + 0.125
    if layers:
        state += list(rng.normal(size=(2, layers, b, h) if layers > 1 else (2, b, h)))
    weights = dnc_weights(named)
    controller = weights.controller[0] if layers == 1 else weights.controller
    if layers > 1:
        skips = params.get("input_skips", True)
        controller = over_layers(weights.controller, i + r * w, input_skips=skips)
    x, lengths = rng.normal(size=(t, b, i)), None if lengths is None else np.array(lengths)
    inputs = (x, *state, *controller, *weights[1:], lengths)
    margin = _margin(composed, params, *inputs) if margin is None else margin
    keep = (
        None if bypass_rate is None else rng.random((t, b, *named["output_weights"].shape[:1])) >= bypass_rate
    )
    params = params if bypass_rate is None else params | {"bypass_rate": bypass_rate}
    return Case(label, (*inputs, keep), params, margin=margin, **facts)


def _margin(composed, params, *inputs):
    """How far inputs may surely move before two rows of one memory swap: a share of the smallest gap.

    Of all usages that an allocation was made from, as the composition records them.
    """
    floats = [x is not None and x.dtype.kind == "f" for x in inputs]
    waiting = list(composed(*[Tensor(x) if f else x for x, f in zip(inputs, floats)], **params))
    gaps, seen = [1.0], set()
    while waiting:
        node = waiting.pop().node
        if node is None or node.birth in seen:
            continue
        seen.add(node.birth)
        waiting += [made for made in node.inputs if made is not None]
        if node.op.name == "dnc_allocation":
            usage = np.sort(node.inputs[0].data)
            gaps.append((usage[:, 1:] - usage[:, :-1]).min(initial=1.0))
    return float(min(gaps)) / 50
