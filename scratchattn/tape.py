"""Reverse mode, and nothing else.

A *tensor* is an array we differentiate with respect to; a plain array is a constant.  Applying
an op to at least one tensor records a *node* that keeps what the op's own, hand-written
``backward`` asked for.  Pulling a cotangent back visits the nodes newest first and calls those
backwards.  There is no other source of derivatives.

    y, pullback = vjp(f, x)          y = f(x),  pullback(u) = (u^T J,)
    J, = jacobian(f, x)              J.shape == y.shape + x.shape
    Hv, = hvp(f, (x,), (v,))         f scalar; a complex step through the backward
    loss.backward()                  accumulates into leaf.grad

Nodes are never consumed, so one recording serves any number of cotangents: that is all a
Jacobian needs.  First order only; second order is a complex step through the first.
"""

from itertools import count, product

from .backend import array_module

_clock = count()  # birth order of leaves and nodes: a topological order for free


class Tensor:
    """An array with a place on the tape.

    ``data`` is a floating or complex array.  ``guard``, if given, is called before a pullback
    uses the recording and raises if ``data`` has been overwritten since (see ``parameters``).
    """

    __slots__ = ("data", "node", "key", "grad", "guard")

    def __init__(self, data, node=None, index=0, guard=None):
        if node is None:  # refuse what is not an array; what an op made is one
            array_module(data)
            if getattr(data.dtype, "kind", "f") not in "fcO":
                raise TypeError(f"Tensor: a floating or complex array expected, got {data.dtype}")
        self.data = data
        self.node = node  # None for a leaf
        self.key = (next(_clock) if node is None else node.birth, index)
        self.grad = None  # filled by backward(), leaves only
        self.guard = guard

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)

    def __repr__(self):
        made_by = "leaf" if self.node is None else self.node.op.name
        return f"Tensor({made_by}, shape={self.shape}, dtype={self.dtype})"

    def backward(self):
        """Accumulate d(self)/d(leaf) into ``leaf.grad`` for every leaf; ``self`` is a scalar."""
        if self.shape != ():
            raise ValueError(f"backward() starts from a scalar, not shape {self.shape}; use vjp")
        reached = [self, *[t for n in _newest_first([self]) for t in n.inputs if t is not None]]
        leaves = {t.key: t for t in reached if t.node is None}.values()
        one = array_module(self.data).ones_like(self.data)
        for leaf, grad in zip(leaves, pull_back([self], [one], leaves)):
            leaf.grad = grad + (0 if leaf.grad is None else leaf.grad)  # an array of its own


class Node:
    """One application of one op."""

    __slots__ = ("op", "saved", "inputs", "outputs", "birth")

    def __init__(self, op, saved, inputs, outputs):
        self.op = op
        self.saved = saved  # whatever op.backward asked for
        self.inputs = inputs  # for each input that has a gradient: its tensor, or None if it is constant
        self.outputs = outputs  # arrays, to know the shape of a cotangent that nobody gave
        self.birth = next(_clock)


def apply(op, inputs, params):
    """Run ``op`` forward on checked ``inputs``; record it if any of them is a tensor."""
    arrays = [t.data if type(t) is Tensor else t for t in inputs]
    out, saved = op.forward(*arrays, **params)
    several = op.Outputs is not None
    if not any([type(t) is Tensor for t in inputs]):
        return op.Outputs._make(out) if several else out
    tensors = tuple([t if type(t) is Tensor else None for t, kind in zip(inputs, op.kinds) if kind is None])
    node = Node(op, saved, tensors, out if several else (out,))
    if several:
        return op.Outputs._make([Tensor(array, node, i) for i, array in enumerate(out)])
    return Tensor(out, node)


def pull_back(outputs, cotangents, wrt):
    """Return d(sum_i <cotangents[i], outputs[i]>)/dt for each tensor t in ``wrt``.

    ValueError if a gradient differs from its tensor in shape or dtype, naming the op whose
    backward made it; RuntimeError if a parameter has been overwritten since the recording.
    """
    wrt, grads = list(wrt), {}
    kept = {t.key for t in wrt}

    def accumulate(tensor, grad, node):
        if getattr(grad, "shape", None) != tensor.data.shape or grad.dtype != tensor.data.dtype:
            source = "pull_back: cotangent" if node is None else f"backward of {node.op.name}: gradient"
            came = f"{grad.shape} {grad.dtype}" if hasattr(grad, "shape") else type(grad).__name__
            raise ValueError(f"{source} {came} given for {tensor.shape} {tensor.dtype}")
        before = grads.get(tensor.key)
        grads[tensor.key] = grad if before is None else before + grad

    for tensor, cotangent in zip(outputs, cotangents, strict=True):
        accumulate(tensor, cotangent, None)
    for node in _newest_first(outputs):
        keys = [(node.birth, i) for i in range(len(node.outputs))]
        given = [grads.get(key) if key in kept else grads.pop(key, None) for key in keys]
        if all(d is None for d in given):
            continue
        for tensor in node.inputs:
            if tensor is not None and tensor.guard is not None:
                tensor.guard()
        douts = tuple(_zeros_like(y) if d is None else d for d, y in zip(given, node.outputs))
        dinputs = node.op.backward(node.saved, douts if node.op.Outputs is not None else douts[0])
        if len(dinputs) != len(node.inputs):
            number = f"{len(node.inputs)} gradients expected, got {len(dinputs)}"
            raise ValueError(f"backward of {node.op.name}: {number}")
        for tensor, dinput in zip(node.inputs, dinputs):
            if tensor is not None and dinput is not None:  # None: nothing flows, not even NaN times zero
                accumulate(tensor, dinput, node)
    return [grads[t.key] if t.key in grads else _zeros_like(t.data) for t in wrt]


def vjp(f, *primals):
    """Return ``f(*primals)`` and its pullback, which maps cotangents to u^T J, one per primal.

    ``f`` takes tensors and returns a tensor or a tuple of tensors; the values come back as
    arrays, in the same tuple.  The pullback may be called any number of times.
    """
    inputs = [_leaf("vjp", i, p) for i, p in enumerate(primals)]
    out = f(*inputs)
    outputs = out if isinstance(out, tuple) else (out,)
    for y in outputs:
        if type(y) is not Tensor:
            raise TypeError(f"vjp: f must return tensors made from its arguments, got {type(y).__name__}")

    def pullback(*cotangents):
        if len(cotangents) != len(outputs):
            raise TypeError(f"pullback: {len(outputs)} cotangents expected, got {len(cotangents)}")
        return tuple(pull_back(outputs, cotangents, inputs))

    values = [t.data for t in outputs]
    if not isinstance(out, tuple):
        return values[0], pullback
    return (out._make(values) if hasattr(out, "_make") else tuple(values)), pullback


def jacobian(f, *primals):
    """Return dense Jacobians of the single-output ``f``: y.shape + x.shape for each primal x."""
    y, pullback = vjp(f, *primals)
    xp = array_module(y)
    rows = []
    for index in product(*map(range, y.shape)):
        unit = xp.zeros_like(y)
        unit[index] = 1
        rows.append(pullback(unit))
    if not rows:
        return tuple(xp.reshape(xp.zeros_like(x)[..., None][..., :0], y.shape + x.shape) for x in primals)
    return tuple(xp.reshape(xp.stack(column), y.shape + x.shape) for column, x in zip(zip(*rows), primals))


def hvp(f, primals, tangents, h=1e-100):
    """Return H v, one array per primal, for the scalar function ``f`` and the direction ``tangents``.

    No second-order rules: the gradient itself is evaluated at x + i h v, where its imaginary part
    is h H v to rounding.  Every leaf becomes complex here, and ops make the constants beside it
    complex too.  ``h`` is so small that h^2 vanishes beside one; float32 takes 1e-20 at the least.
    """
    if len(primals) != len(tangents):
        raise TypeError(f"hvp: {len(primals)} tangents expected, got {len(tangents)}")
    primals = [_leaf("hvp", i, x).data for i, x in enumerate(primals)]
    h = max(h, 1e-20) if any(x.dtype.itemsize == 4 for x in primals) else h
    for i, (x, v) in enumerate(zip(primals, tangents)):
        came = getattr(v, "shape", type(v).__name__), getattr(v, "dtype", "")
        if came != (x.shape, x.dtype):
            raise ValueError(f"hvp: tangent {i} must be {x.shape} {x.dtype}, got {came[0]} {came[1]}")
    stepped = [x + v * (1j * h) for x, v in zip(primals, tangents)]
    y, pullback = vjp(f, *stepped)
    if y.shape != ():
        raise ValueError(f"hvp: f must return a scalar, got shape {y.shape}")
    return tuple(g.imag / h for g in pullback(array_module(y).ones_like(y)))


def _leaf(caller, i, primal):
    try:
        return Tensor(primal)
    except TypeError as wrong:
        raise TypeError(f"{caller}: primal {i}: {wrong}") from None


def _newest_first(tensors):
    """Every node that ``tensors`` descend from, newest first; no recursion, so depth is free."""
    seen, stack = {}, [t.node for t in tensors if t.node is not None]
    while stack:
        node = stack.pop()
        if node.birth not in seen:
            seen[node.birth] = node
            stack += [t.node for t in node.inputs if t is not None and t.node is not None]
    return [seen[birth] for birth in sorted(seen, reverse=True)]


def _zeros_like(array):
    return array_module(array).zeros_like(array)
