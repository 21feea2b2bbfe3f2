"""One step of a long short-term memory.

``b`` sequences advance by one input of ``d`` features; the cell has ``h`` units.

Forward
-------
    z  = x W + y U + bias                        (i, f, o, c) side by side, h columns each
    i  = sigmoid(z_i)   f = sigmoid(z_f)   o = sigmoid(z_o)   c = tanh(z_c)
    s' = f s + i c                               the cell: what is remembered
    y' = o q,   q = tanh(s')                     the hidden state: what is shown

Backward
--------
The cell is reached directly and through what it shows:

    g(s') <- g(s') + g(y') o q'                  q' = 1 - q^2
    g(s)   = g(s') f
    g(z_i) = g(s') c i'      g(z_f) = g(s') s f'      i' = i (1 - i), f' and o' alike
    g(z_o) = g(y') q o'      g(z_c) = g(s') i c'      c' = 1 - c^2

and through the affine map,

    g(x) = g(z) W^T    g(y) = g(z) U^T    g(W) = x^T g(z)    g(U) = y^T g(z)    g(bias) = sum_b g(z)

Accuracy
--------
In a saturated gate 1 - i and 1 - c^2 cancel to nothing.  With e = exp(-|z|) <= 1,

    sigmoid'(z) = e / (1 + e)^2,     tanh'(z) = 4 e^2 / (1 + e^2)^2

keep all digits, so the forward saves the slopes and not the values alone.

Conventions
-----------
Columns are grouped by activation: input, forget, output, candidate.  Elsewhere (c the candidate):

    torch.nn.LSTM, cuDNN, flax            i f c o    two biases that only ever appear as their sum
    keras.layers.LSTM                     i f c o    one bias; its forget part starts at 1
    onnx.LSTM                             i o f c    rows of W, not columns; two biases; peepholes
    tf.nn.rnn_cell.BasicLSTMCell          i c f o    one matrix for [x, y]; adds 1 to z_f
    snt.LSTM (Sonnet 1), hk.LSTM          i c f o    one matrix for [x, y]; adds 1 to z_f

torch keeps W and U transposed, (4h, d) and (4h, h).  Here no 1 is added: put it into the bias.
No peepholes; Graves 2013 has them, and Hochreiter and Schmidhuber have no forget gate.

Source: Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9 (1997) 1735; forget
gate: Gers, Schmidhuber, Cummins, Neural Computation 12 (2000) 2451.
"""

from ..backend import array_module, sum_to_shape
from ..calculus import sigmoid, tanh
from ..op import Case, Op, register


def lstm_cell_forward(x, hidden, cell, input_weights, hidden_weights, bias):
    """Next hidden and cell: (b, d), (b, h), (b, h), (d, 4h), (h, 4h), (4h) -> (b, h), (b, h)."""
    xp = array_module(x, hidden, cell, input_weights, hidden_weights, bias)
    z = xp.matmul(x, input_weights) + xp.matmul(hidden, hidden_weights) + xp.expand_dims(bias, axis=-2)
    h = hidden.shape[-1]
    i, i_slope = sigmoid(xp, z[..., :h])
    f, f_slope = sigmoid(xp, z[..., h : 2 * h])
    o, o_slope = sigmoid(xp, z[..., 2 * h : 3 * h])
    candidate, candidate_slope = tanh(xp, z[..., 3 * h :])
    new_cell = f * cell + i * candidate
    shown, shown_slope = tanh(xp, new_cell)
    inputs = (x, hidden, cell, input_weights, hidden_weights, bias)
    values, slopes = (i, f, o, candidate, shown), (i_slope, f_slope, o_slope, candidate_slope, shown_slope)
    return (o * shown, new_cell), (inputs, values, slopes)


def lstm_cell_backward(saved, douts):
    """Gradients for the six inputs, given those of the next hidden and cell, each (..., b, h)."""
    inputs, (i, f, o, candidate, shown), (i_slope, f_slope, o_slope, candidate_slope, shown_slope) = saved
    x, hidden, cell, input_weights, hidden_weights, _ = inputs
    dhidden, dcell = douts
    xp = array_module(x, dhidden, dcell)
    dcell = dcell + dhidden * o * shown_slope
    di, df, do, dcandidate = dcell * candidate, dcell * cell, dhidden * shown, dcell * i
    dz = xp.concat([di * i_slope, df * f_slope, do * o_slope, dcandidate * candidate_slope], axis=-1)
    grads = (
        xp.matmul(dz, xp.matrix_transpose(input_weights)),
        xp.matmul(dz, xp.matrix_transpose(hidden_weights)),
        dcell * f,
        xp.matmul(xp.matrix_transpose(x), dz),
        xp.matmul(xp.matrix_transpose(hidden), dz),
        xp.sum(dz, axis=-2),
    )
    return tuple([sum_to_shape(g, a.shape) for g, a in zip(grads, inputs)])


def lstm_cell_loops(x, hidden, cell, input_weights, hidden_weights, bias, *, math):
    """The equations above, one unit at a time."""
    b, d, h = len(x), len(input_weights), len(hidden_weights)

    def before(r, gate, unit):
        column = gate * h + unit
        z = bias[column]
        for v in range(d):
            z = z + x[r][v] * input_weights[v][column]
        for v in range(h):
            z = z + hidden[r][v] * hidden_weights[v][column]
        return z

    new_hidden, new_cell = [], []
    for r in range(b):
        shown, remembered = [], []
        for unit in range(h):
            i, f, o = [1 / (1 + math.exp(-before(r, gate, unit))) for gate in (0, 1, 2)]
            s = f * cell[r][unit] + i * math.tanh(before(r, 3, unit))
            shown.append(o * math.tanh(s))
            remembered.append(s)
        new_hidden.append(shown)
        new_cell.append(remembered)
    return new_hidden, new_cell


# ---- evidence ---------------------------------------------------------------

NAMES = ("x", "hidden", "cell", "input_weights", "hidden_weights", "bias")


def cases(rng):
    def case(label, *, batch=(), b=2, d=3, h=2, shared=(), scale=1.0, gates=None, **rest):
        shapes = [(*batch, b, d), (*batch, b, h), (*batch, b, h), (d, 4 * h), (h, 4 * h), (4 * h,)]
        inputs = [scale * rng.normal(size=shape) for shape in shapes]
        if shared:
            inputs[3:] = [rng.normal(size=(*shared, *shape)) for shape in shapes[3:]]
        if gates:
            inputs[5] = (inputs[5].reshape(4, h) + [[z] for z in gates]).reshape(4 * h)
        return Case(label, tuple(inputs), **rest)

    yield case("one sequence", b=1)
    yield case("two sequences")
    yield case("one unit", h=1, d=1)
    yield case("no input", d=0, h=1, zero_gradient=("x", "input_weights"))
    yield case("no sequence", b=0, h=1, zero_gradient=NAMES)
    yield case("two cells with the same weights", batch=(2,), b=1, h=1)
    yield case("two cells with the same input", b=1, d=2, h=1, shared=(2,))
    yield case("saturated", scale=4.0)
    yield case("open wide", h=1, gates=(35.0, 35.0, 35.0, 20.0))
    yield case("shut", h=1, gates=(-35.0, -35.0, -35.0, -20.0))
    yield case("extreme", b=1, d=1, h=1, gates=(1e4, -1e4, 0.0, 1e4), zero_gradient=("cell",))


def hidden_is_bounded_and_its_cell_grows_by_at_most_one(inputs, params, out):
    assert (abs(out[0]) <= 1).all() and (abs(out[1]) <= abs(inputs[2]) + 1).all()


def an_open_forget_gate_keeps_the_cell(inputs, params, out):
    x, hidden, cell, *weights, bias = inputs
    h = hidden.shape[-1]
    bias = bias * 0
    bias[..., :h], bias[..., h : 2 * h] = -800.0, 800.0
    _, kept = lstm_cell_forward(x * 0, hidden * 0, cell, *weights, bias)[0]
    assert (kept == cell).all()


def units_are_interchangeable(inputs, params, out):
    x, hidden, cell, input_weights, hidden_weights, bias = inputs

    def flipped(a):
        return a.reshape(*a.shape[:-1], 4, cell.shape[-1])[..., ::-1].reshape(a.shape)

    turned = (flipped(input_weights), flipped(hidden_weights)[..., ::-1, :], flipped(bias))
    there, _ = lstm_cell_forward(x, hidden[..., ::-1], cell[..., ::-1], *turned)
    for found, expected in zip(there, out):
        assert (abs(found[..., ::-1] - expected) <= 1e-14 * (1 + abs(expected))).all()


lstm_cell = register(
    Op(
        name="lstm_cell",
        signature=(
            "x(b,d), hidden(b,h), cell(b,h), input_weights(d,4h), hidden_weights(h,4h), bias(4h)"
            " -> new_hidden(b,h), new_cell(b,h)"
        ),
        forward=lstm_cell_forward,
        backward=lstm_cell_backward,
        loops=lstm_cell_loops,
        cases=cases,
        properties=(
            hidden_is_bounded_and_its_cell_grows_by_at_most_one,
            an_open_forget_gate_keeps_the_cell,
            units_are_interchangeable,
        ),
        source="Neural Computation 9 (1997) 1735; 12 (2000) 2451",
    )
)
