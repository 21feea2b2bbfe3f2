"""One step of a gated recurrent unit.

``b`` sequences advance by one input of ``d`` features; the cell has ``h`` units.

Forward
-------
    r = sigmoid(x W_r + y U_r + b_r)                  reset: how much of the past the candidate sees
    z = sigmoid(x W_z + y U_z + b_z)                  update: how the past and the candidate are mixed
    n = tanh(a),   a = x W_n + b_n + m                candidate
    y' = k y + (1 - k) n                              k is z, or 1 - z

where m is what the candidate sees of the past y,

    reset "before"     m = (r y) U_n + c_n            the past is reset, then multiplied
    reset "after"      m = r (y U_n + c_n)            it is multiplied, then reset

and the optional ``hidden_bias`` is c = (c_r, c_z, c_n), of which c_r and c_z are added to b_r and b_z.

Backward
--------
The new state is reached once, and pulls on the gate that mixes, on the candidate and on the past:

    g(k) = g(y') (y - n)        g(n) = g(y') (1 - k)        g(y) = g(y') k + what comes below
    g(z_k) = g(k) k'            g(a) = g(n) n'              k' = k (1 - k), n' = 1 - n^2

z_k is what the sigmoid k is taken of, so g(z) is g(z_k), or -g(z_k) where k is 1 - z.  The candidate
pulls on the reset gate, through

    before    g(r) = y (g(a) U_n^T)            g(y) <- g(y) + r (g(a) U_n^T)     g(U_n) = (r y)^T g(a)
    after     g(r) = (y U_n + c_n) g(a)        g(y) <- g(y) + (r g(a)) U_n^T     g(U_n) = y^T (r g(a))

and g(c_n) is the sum over the batch of g(a), or of r g(a).  The rest is an affine map, with r' like k':

    g(z_r) = g(r) r'      g(y) <- g(y) + g(z_r) U_r^T + g(z_z) U_z^T      g(x) = g(z) W^T
    g(W) = x^T g(z)       g(U_r), g(U_z) = y^T g(z_r), y^T g(z_z)         g(b) = sum_b g(z)

where z is all three before they are squashed.

Accuracy
--------
Slopes come from exponentials (``calculus``), and 1 - k is the sigmoid of the opposite sign, not a
difference: both keep all digits in a saturated gate.  A state that rests at one cancels in y - n with a
candidate that has rounded to one.  There both are taken relative to one, n - 1 = -2 e / (1 + e) with
e = exp(-2 a), and y' = 1 + k (y - 1) + (1 - k) (n - 1); likewise at minus one.

Conventions
-----------
Columns are reset, update, candidate.  ``reset`` is "before" or "after" the product; ``update`` says
what an open gate z does: it "keeps" the old state or "takes" the new one.

                                     columns    reset     update    biases
    Cho et al. v3, eqs. 5-8          -          before    keeps     none printed
    Chung et al.; Bahdanau et al.    -          before    takes     none printed
    torch.nn.GRU, cuDNN              r z n      after     keeps     two; W, U are kept as rows
    keras.layers.GRU                 z r n      after     keeps     two; reset_after=False: before, one
    flax.linen.GRUCell               r z n      after     keeps     one, and c_n
    onnx.GRU                         z r n      before    keeps     two; linear_before_reset=1: after
    tf.nn.rnn_cell.GRUCell           r z, n     before    keeps     one; b_r and b_z start at 1
    hk.GRU                           z r n      before    takes     one
    chainer.links.StatelessGRU       separate   before    takes     two
    lasagne.layers.GRULayer          r z n      after     takes     one
    dl4mt-tutorial                   r z, n     after     keeps     one; the second unit of its decoder: c

"before" c_n only adds to b_n.  "keeps" with W_z, U_z, b_z negated is "takes".

Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", arXiv:1406.1078, eqs. 5-8;
Chung, Gulcehre, Cho, Bengio, arXiv:1412.3555, section 3.2.
"""

from ..backend import array_module, constant, real, sum_to_shape
from ..calculus import sigmoid, tanh
from ..op import Case, Op, Variant, register


def gru_cell_forward(
    x, hidden, input_weights, hidden_weights, bias, hidden_bias=None, *, reset="before", update="keeps"
):
    """Next hidden: (b, d), (b, h), (d, 3h), (h, 3h), (3h), (3h) or None -> (b, h).

    ValueError unless ``reset`` is "before" or "after" and ``update`` "keeps" or "takes".
    """
    xp = array_module(x, hidden, input_weights, hidden_weights, bias, hidden_bias)
    refuse_other_conventions("gru_cell", reset, update)
    h, before = hidden.shape[-1], reset == "before"
    (gate_weights, candidate_weights), (c_gates, c_candidate) = (
        _parted(a, h) for a in (hidden_weights, hidden_bias)
    )
    gates, driven = _parted(_affine(xp, x, input_weights, bias), h)
    gates = gates + _affine(xp, hidden, gate_weights, c_gates)
    r, r_slope = sigmoid(xp, gates[..., :h])
    z = gates[..., h:] if update == "keeps" else -gates[..., h:]
    (kept, kept_slope), (renewed, _) = sigmoid(xp, z), sigmoid(xp, -z)
    seen = _affine(xp, hidden * r if before else hidden, candidate_weights, c_candidate)
    level, old, new, slope = _around(xp, hidden, driven + (seen if before else r * seen))
    inputs = (x, hidden, input_weights, hidden_weights, bias, hidden_bias)
    saved = (inputs, r, kept, renewed, seen, old - new, (r_slope, kept_slope, slope), reset, update)
    return level + kept * old + renewed * new, saved


def gru_cell_backward(saved, dnew_hidden):
    """Gradients for the six inputs, given that of the next hidden, (..., b, h)."""
    inputs, r, kept, renewed, seen, ahead, (r_slope, kept_slope, slope), reset, update = saved
    x, hidden, input_weights, hidden_weights = inputs[:4]
    xp, before = array_module(x, dnew_hidden), reset == "before"
    gate_weights, candidate_weights = _parted(hidden_weights, hidden.shape[-1])
    dkept, da = dnew_hidden * ahead, dnew_hidden * renewed * slope
    dproduct = da if before else da * r
    dseen = xp.matmul(dproduct, xp.matrix_transpose(candidate_weights))
    dr = dseen * hidden if before else da * seen
    dz = dkept * kept_slope if update == "keeps" else -dkept * kept_slope
    dgates = xp.concat([dr * r_slope, dz], axis=-1)
    dall = xp.concat([dgates, da], axis=-1)
    dhidden = dnew_hidden * kept + (dseen * r if before else dseen)
    multiplied = hidden * r if before else hidden
    dgate_weights = xp.matmul(xp.matrix_transpose(hidden), dgates)
    dcandidate_weights = xp.matmul(xp.matrix_transpose(multiplied), dproduct)
    grads = (
        xp.matmul(dall, xp.matrix_transpose(input_weights)),
        dhidden + xp.matmul(dgates, xp.matrix_transpose(gate_weights)),
        xp.matmul(xp.matrix_transpose(x), dall),
        xp.concat([dgate_weights, dcandidate_weights], axis=-1),
        xp.sum(dall, axis=-2),
        xp.sum(xp.concat([dgates, dproduct], axis=-1), axis=-2),
    )
    return tuple([None if a is None else sum_to_shape(g, a.shape) for g, a in zip(grads, inputs)])


def gru_cell_loops(
    x, hidden, input_weights, hidden_weights, bias, hidden_bias=None, *, reset="before", update="keeps", math
):
    """The papers' equations, one unit at a time."""
    b, d, h = len(x), len(input_weights), len(hidden_weights)
    c = [0] * (3 * h) if hidden_bias is None else hidden_bias

    def squashed(t):
        return 1 / (1 + math.exp(-t))

    def drive(r, column):
        return sum(input_weights[v][column] * x[r][v] for v in range(d)) + bias[column]

    def recall(state, column):
        return sum(hidden_weights[v][column] * state[v] for v in range(h)) + c[column]

    rows = []
    for r in range(b):
        old = [hidden[r][j] for j in range(h)]
        opened = [squashed(drive(r, j) + recall(old, j)) for j in range(h)]
        row = []
        for j in range(h):
            z = squashed(drive(r, h + j) + recall(old, h + j))
            if reset == "before":
                seen = recall([opened[v] * old[v] for v in range(h)], 2 * h + j)
            else:
                seen = opened[j] * recall(old, 2 * h + j)
            n = math.tanh(drive(r, 2 * h + j) + seen)
            row.append(z * old[j] + (1 - z) * n if update == "keeps" else (1 - z) * old[j] + z * n)
        rows.append(row)
    return rows


def _parted(a, h):
    """The columns of the two gates, and those of the candidate."""
    return (None, None) if a is None else (a[..., : 2 * h], a[..., 2 * h :])


def _affine(xp, x, weights, bias):
    product = xp.matmul(x, weights)
    return product if bias is None else product + xp.expand_dims(bias, axis=-2)


def _around(xp, hidden, a):
    """A level s; the state and tanh(a), both less s; and the slope of tanh(a).

    s is the one (or minus one) that both are within a half of, else 0.
    """
    candidate, slope = tanh(xp, a)
    e = xp.exp(xp.where(real(a) < 0, 2 * a, -2 * a))
    short = 2 * e / (1 + e)  # of one, by |tanh(a)|
    one, close = constant(real(a), 1.0), real(short) < 0.5
    above = close & (real(a) > 0) & (real(hidden) > 0.5)
    below = close & (real(a) < 0) & (real(hidden) < -0.5)
    level = xp.where(above, one, xp.where(below, -one, 0))
    return level, hidden - level, xp.where(above, -short, xp.where(below, short, candidate)), slope


def refuse_other_conventions(who, reset, update):
    if reset not in ("before", "after"):
        raise ValueError(f"{who}: reset must be 'before' or 'after', got {reset!r}")
    if update not in ("keeps", "takes"):
        raise ValueError(f"{who}: update must be 'keeps' or 'takes', got {update!r}")


# ---- evidence ---------------------------------------------------------------

NAMES = ("x", "hidden", "input_weights", "hidden_weights", "bias", "hidden_bias")


def cases(rng):
    def case(
        label, *, batch=(), b=2, d=2, h=2, shared=None, scale=1.0, gates=None, held=None, zero=(), **params
    ):
        """``gates`` move the biases of reset, update and candidate; ``held`` is the state everywhere."""
        shapes = [(*batch, b, d), (*batch, b, h), (d, 3 * h), (h, 3 * h), (3 * h,), (3 * h,)]
        inputs = [scale * rng.normal(size=shape) for shape in shapes]
        if shared:
            inputs[2:] = [rng.normal(size=(*shared, *shape)) for shape in shapes[2:]]
        if gates:
            inputs[4] = (inputs[4].reshape(3, h) + [[z] for z in gates]).reshape(3 * h)
        if held is not None:
            inputs[1] = 0 * inputs[1] + held
        if params.pop("one_bias", False):
            inputs[5] = None
        return Case(label, tuple(inputs), params, zero_gradient=zero)

    for reset in ("before", "after"):
        for update in ("keeps", "takes"):
            word, params = f"reset {reset}, {update}", {"reset": reset, "update": update}
            yield case(f"{word}, two biases", **params)
            yield case(f"{word}, one bias", b=1, one_bias=True, **params)
            yield case(f"{word}, saturated", scale=4.0, **params)
        yield case(f"{reset}, no input", d=0, h=1, zero=("x", "input_weights"), reset=reset)
        yield case(f"{reset}, two cells with the same input", b=1, h=1, shared=(2,), reset=reset)
        yield case(f"{reset}, open wide", h=1, gates=(35.0, 35.0, 20.0), reset=reset)
        yield case(f"{reset}, shut", h=1, gates=(-35.0, -35.0, -20.0), reset=reset)
        yield case(f"{reset}, resting at one", h=1, gates=(0.0, 0.0, 25.0), held=1.0, reset=reset)
        yield case(f"{reset}, resting at minus one", h=1, gates=(0.0, 0.0, -25.0), held=-1.0, reset=reset)
    yield case("one of everything", h=1, d=1, b=1)
    yield case("three units", h=3, d=1, b=1, one_bias=True)
    yield case("no sequence", b=0, h=1, zero=NAMES)
    yield case("two batches with the same weights", batch=(2,), b=1, h=1)
    yield case("a state of zeros", held=0.0, reset="after", zero=("hidden_weights",))
    kept = {"b": 1, "d": 1, "h": 1, "zero": NAMES[:1] + NAMES[2:]}
    yield case("a small state, all of it kept", gates=(0.0, 1e4, 1e4), held=1e-6, **kept)
    yield case("a small negative state, all of it kept", gates=(0.0, 1e4, -1e4), held=-1e-6, **kept)
    yield case("a small negative state, far from what is new", gates=(0.0, 1e4, 1e4), held=-1e-6, **kept)
    yield case("a small state, far from what is new", gates=(0.0, 1e4, -1e4), held=1e-6, **kept)
    yield case("all of it new, and small", scale=1e-6, h=1, gates=(0.0, -1e4, 0.0), held=1.0)


def the_state_lies_between_the_old_one_and_one(inputs, params, out):
    assert (abs(out) <= 1e-15 + abs(inputs[1]).clip(1.0)).all()


def an_update_gate_that_keeps_leaves_the_state_as_it_was(inputs, params, out):
    x, hidden, *weights, bias, _ = inputs
    h, bias = hidden.shape[-1], bias * 0
    bias[..., h : 2 * h] = 800.0 if params.get("update", "keeps") == "keeps" else -800.0
    kept, _ = gru_cell_forward(x * 0, hidden * 0 + 0.5, *[0 * w for w in weights], bias, **params)
    assert (kept == 0.5).all()


def the_two_updates_are_opposite_signs_of_one_gate(inputs, params, out):
    x, hidden, *parameters = inputs
    h = hidden.shape[-1]
    turned = [None if p is None else p + 0.0 for p in parameters]
    for p in turned:
        if p is not None:
            p[..., h : 2 * h] *= -1
    other = {"keeps": "takes", "takes": "keeps"}[params.get("update", "keeps")]
    again, _ = gru_cell_forward(x, hidden, *turned, **{**params, "update": other})
    assert (again == out).all()


def the_two_resets_differ_only_where_the_gate_is_not_open(inputs, params, out):
    x, hidden, input_weights, hidden_weights, bias, hidden_bias = inputs
    h, open_wide = hidden.shape[-1], bias + 0.0
    open_wide[..., :h] = 1e5
    rest = input_weights, hidden_weights, open_wide, hidden_bias
    before, after = (gru_cell_forward(x, hidden, *rest, reset=reset)[0] for reset in ("before", "after"))
    assert abs(before - after).max(initial=0.0) <= 1e-14


gru_cell = register(
    Op(
        name="gru_cell",
        signature=(
            "x(b,d), hidden(b,h), input_weights(d,3h), hidden_weights(h,3h), bias(3h), hidden_bias?(3h)"
            " -> new_hidden(b,h)"
        ),
        forward=gru_cell_forward,
        backward=gru_cell_backward,
        loops=gru_cell_loops,
        cases=cases,
        properties=(
            the_state_lies_between_the_old_one_and_one,
            an_update_gate_that_keeps_leaves_the_state_as_it_was,
            the_two_updates_are_opposite_signs_of_one_gate,
            the_two_resets_differ_only_where_the_gate_is_not_open,
        ),
        variants=(
            Variant("cho", {}, "arXiv:1406.1078v3; tensorflow tensorflow/python/ops/rnn_cell_impl.py"),
            Variant("chung", {"update": "takes"}, "arXiv:1412.3555; dm-haiku haiku/_src/recurrent.py"),
            Variant(
                "torch", {"reset": "after"}, "pytorch aten/src/ATen/native/RNN.cpp; keras; dl4mt-tutorial"
            ),
            Variant("lasagne", {"reset": "after", "update": "takes"}, "Lasagne lasagne/layers/recurrent.py"),
        ),
        source="arXiv:1406.1078 eqs. 5-8",
    )
)
