"""One step of a long short-term memory whose gates look at the cell.

``b`` sequences advance by one input of ``d`` features; the cell has ``h`` units.  ``lstm_cell``, and three
weights more for every unit: from its cell to its own gates.

Forward
-------
    z   = x W + y U + bias                       (i, f, o, c) side by side, h columns each
    i   = sigmoid(z_i + p_i s)                   the gates to the cell see it as it was
    f   = sigmoid(z_f + p_f s + forget_bias)
    c   = tanh(z_c)
    s'  = f s + i c                              the cell: what is remembered
    o   = sigmoid(z_o + p_o s')                  the gate from the cell sees it as it is now
    y'  = o q,   q = tanh(s')                    the hidden state: what is shown

Backward
--------
The output gate is between the new cell and what is shown, so its gradient is needed first.  Write z_i, z_f,
z_o for all that the sigmoids are taken of:

    g(z_o) = g(y') q o'                                          o' = o (1 - o), i' and f' alike
    g(s') <- g(s') + g(y') o q' + g(z_o) p_o                     q' = 1 - q^2
    g(z_i) = g(s') c i'     g(z_f) = g(s') s f'     g(z_c) = g(s') i c'      c' = 1 - c^2
    g(s)   = g(s') f + g(z_i) p_i + g(z_f) p_f
    g(p_i) = sum_b g(z_i) s     g(p_f) = sum_b g(z_f) s     g(p_o) = sum_b g(z_o) s'

and through the affine map,

    g(x) = g(z) W^T    g(y) = g(z) U^T    g(W) = x^T g(z)    g(U) = y^T g(z)    g(bias) = sum_b g(z)

Accuracy
--------
Slopes come from exponentials, as in ``lstm_cell``, and keep all digits in saturated gates.

Conventions
-----------
Columns are input, forget, output, candidate, and peepholes input, forget, output; each is a number for
each unit, a diagonal matrix.  Elsewhere (c the candidate):

    Graves 2013, eqs. 7-11                 no layout   nothing is added to the forget gate
    tf.nn.rnn_cell.LSTMCell                i c f o     use_peepholes=True; forget_bias 1 is added
    lasagne.layers.LSTMLayer               i f c o     nothing is added
    onnx.LSTM                              i o f c     peepholes P as i o f; two biases
    rnnlib (Graves' own)                   c o f i     peepholes i o f; nothing is added

All of them show the new cell to the output gate.  rnnlib clips the gradients of z, which is not done here.
TensorFlow's cell_clip and projection, and the full matrices in place of the diagonals in Chainer's
StatefulPeepholeLSTM, are not expressed.

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, eqs. 7-11;
Gers, Schraudolph, Schmidhuber, "Learning precise timing with LSTM recurrent networks", JMLR 3 (2002) 115.
"""

from ..backend import array_module, sum_to_shape
from ..calculus import sigmoid, tanh
from ..op import Case, Op, Variant, register


def peephole_lstm_cell_forward(
    x, hidden, cell, input_weights, hidden_weights, peepholes, bias, *, forget_bias=0.0
):
    """Next hidden and cell: (b, d), (b, h), (b, h), (d, 4h), (h, 4h), (3h), (4h) -> (b, h), (b, h).

    ``forget_bias``, a number, is added to what opens the forget gate.
    """
    xp = array_module(x, hidden, cell, input_weights, hidden_weights, peepholes, bias)
    h = hidden.shape[-1]
    z = xp.matmul(x, input_weights) + xp.matmul(hidden, hidden_weights) + xp.expand_dims(bias, axis=-2)
    p_i, p_f, p_o = _of_gates(xp, peepholes, h)
    i, i_slope = sigmoid(xp, z[..., :h] + p_i * cell)
    f, f_slope = sigmoid(xp, z[..., h : 2 * h] + p_f * cell + forget_bias)
    candidate, candidate_slope = tanh(xp, z[..., 3 * h :])
    new_cell = f * cell + i * candidate
    o, o_slope = sigmoid(xp, z[..., 2 * h : 3 * h] + p_o * new_cell)
    shown, shown_slope = tanh(xp, new_cell)
    inputs = (x, hidden, cell, input_weights, hidden_weights, peepholes, bias)
    slopes = (i_slope, f_slope, o_slope, candidate_slope, shown_slope)
    return (o * shown, new_cell), (inputs, (i, f, o, candidate, new_cell, shown), slopes)


def peephole_lstm_cell_backward(saved, douts):
    """Gradients for the seven inputs, given those of the next hidden and cell, each (..., b, h)."""
    inputs, (i, f, o, candidate, new_cell, shown), slopes = saved
    i_slope, f_slope, o_slope, candidate_slope, shown_slope = slopes
    x, hidden, cell, input_weights, hidden_weights, peepholes, _ = inputs
    dhidden, dcell = douts
    xp = array_module(x, dhidden, dcell)
    p_i, p_f, p_o = _of_gates(xp, peepholes, hidden.shape[-1])
    do = dhidden * shown * o_slope
    dcell = dcell + dhidden * o * shown_slope + do * p_o
    di, df = dcell * candidate * i_slope, dcell * cell * f_slope
    dz = xp.concat([di, df, do, dcell * i * candidate_slope], axis=-1)
    grads = (
        xp.matmul(dz, xp.matrix_transpose(input_weights)),
        xp.matmul(dz, xp.matrix_transpose(hidden_weights)),
        dcell * f + di * p_i + df * p_f,
        xp.matmul(xp.matrix_transpose(x), dz),
        xp.matmul(xp.matrix_transpose(hidden), dz),
        xp.sum(xp.concat([di * cell, df * cell, do * new_cell], axis=-1), axis=-2),
        xp.sum(dz, axis=-2),
    )
    return tuple([sum_to_shape(g, a.shape) for g, a in zip(grads, inputs)])


def peephole_lstm_cell_loops(
    x, hidden, cell, input_weights, hidden_weights, peepholes, bias, *, forget_bias=0.0, math
):
    """Equations 7 to 11, one unit at a time; the weights of Graves' W_ci, W_cf, W_co are on a diagonal."""
    b, d, h = len(x), len(input_weights), len(hidden_weights)

    def sigma(t):
        return 1 / (1 + math.exp(-t))

    new_hidden, new_cell = [], []
    for r in range(b):
        shown, remembered = [], []
        for unit in range(h):
            drive = []
            for column in (unit, h + unit, 2 * h + unit, 3 * h + unit):
                from_input = sum(input_weights[v][column] * x[r][v] for v in range(d))
                from_hidden = sum(hidden_weights[v][column] * hidden[r][v] for v in range(h))
                drive.append(from_input + from_hidden + bias[column])
            before = cell[r][unit]
            i = sigma(drive[0] + peepholes[unit] * before)
            f = sigma(drive[1] + peepholes[h + unit] * before + forget_bias)
            c = f * before + i * math.tanh(drive[3])
            o = sigma(drive[2] + peepholes[2 * h + unit] * c)
            shown.append(o * math.tanh(c))
            remembered.append(c)
        new_hidden.append(shown)
        new_cell.append(remembered)
    return new_hidden, new_cell


def _of_gates(xp, peepholes, h):
    """The weights of the input, forget and output gate, each (..., 1, h) beside states of (..., b, h)."""
    rows = xp.expand_dims(peepholes, axis=-2)
    return rows[..., :h], rows[..., h : 2 * h], rows[..., 2 * h :]


# ---- evidence ---------------------------------------------------------------

NAMES = ("x", "hidden", "cell", "input_weights", "hidden_weights", "peepholes", "bias")


def cases(rng):
    def case(
        label, *, batch=(), b=2, d=2, h=2, shared=(), scale=1.0, gates=None, empty=False, zero=(), **params
    ):
        """``gates`` are added to the biases of input, forget and output gate and candidate."""
        shapes = [(*batch, b, d), (*batch, b, h), (*batch, b, h), (d, 4 * h), (h, 4 * h), (3 * h,), (4 * h,)]
        inputs = [scale * rng.normal(size=shape) for shape in shapes]
        if shared:
            inputs[3:] = [rng.normal(size=(*shared, *shape)) for shape in shapes[3:]]
        if gates:
            inputs[6] = (inputs[6].reshape(4, h) + [[z] for z in gates]).reshape(4 * h)
        if empty:
            inputs[2] = 0 * inputs[2]
        return Case(label, tuple(inputs), params, zero_gradient=zero)

    yield case("one sequence", b=1)
    yield case("two sequences")
    yield case("one is added to the forget gate", forget_bias=1.0)
    yield case("one of everything", b=1, d=1, h=1)
    yield case("no input", d=0, h=1, zero=("x", "input_weights"))
    yield case("no sequence", b=0, h=1, zero=NAMES)
    yield case("two batches with the same weights", batch=(2,), b=1, h=1)
    yield case("two cells with the same input", b=1, h=1, shared=(2,))
    yield case("an empty cell", b=1, empty=True)
    yield case("saturated", scale=4.0)
    yield case("open wide", gates=(35.0, 35.0, 35.0, 20.0))
    yield case("shut", gates=(-35.0, -35.0, -35.0, -20.0))
    yield case("extreme", b=1, d=1, h=1, gates=(1e4, -1e4, 0.0, 1e4), zero=("cell",))


def hidden_is_bounded_and_its_cell_grows_by_at_most_one(inputs, params, out):
    assert (abs(out[0]) <= 1).all() and (abs(out[1]) <= abs(inputs[2]) + 1).all()


def the_forget_bias_is_part_of_the_bias(inputs, params, out):
    *rest, bias = inputs
    h, bias = inputs[1].shape[-1], bias + 0.0
    bias[..., h : 2 * h] += params.get("forget_bias", 0.0)
    for found, expected in zip(peephole_lstm_cell_forward(*rest, bias)[0], out):
        assert (abs(found - expected) <= 1e-13 * (1 + abs(expected))).all()


def an_empty_cell_shows_nothing_to_the_gates_before_it(inputs, params, out):
    x, hidden, cell, input_weights, hidden_weights, peepholes, bias = inputs
    h, other = cell.shape[-1], peepholes + 0.0
    other[..., : 2 * h] += 7.0
    rest = input_weights, hidden_weights
    alike = [
        peephole_lstm_cell_forward(x, hidden, 0 * cell, *rest, p, bias, **params)[0]
        for p in (peepholes, other)
    ]
    assert all((a == b).all() for a, b in zip(*alike))


def the_output_gate_follows_the_new_cell(inputs, params, out):
    """A wide peephole opens it for a cell above zero and shuts it below: that is the new cell's sign."""
    x, hidden, cell, input_weights, hidden_weights, peepholes, bias = inputs
    h, wide = cell.shape[-1], peepholes + 0.0
    wide[..., 2 * h :] = 1e9
    shown, new_cell = peephole_lstm_cell_forward(
        x, hidden, cell, input_weights, hidden_weights, wide, bias, **params
    )[0]
    assert (abs(shown[new_cell < -1e-6]) == 0).all() and (shown[new_cell > 1e-6] > 0).all()


peephole_lstm_cell = register(
    Op(
        name="peephole_lstm_cell",
        signature=(
            "x(b,d), hidden(b,h), cell(b,h), input_weights(d,4h), hidden_weights(h,4h), peepholes(3h),"
            " bias(4h) -> new_hidden(b,h), new_cell(b,h)"
        ),
        forward=peephole_lstm_cell_forward,
        backward=peephole_lstm_cell_backward,
        loops=peephole_lstm_cell_loops,
        cases=cases,
        properties=(
            hidden_is_bounded_and_its_cell_grows_by_at_most_one,
            the_forget_bias_is_part_of_the_bias,
            an_empty_cell_shows_nothing_to_the_gates_before_it,
            the_output_gate_follows_the_new_cell,
        ),
        variants=(
            Variant("paper", {}, "szcom/rnnlib src/Lstm1dLayer.hpp; Lasagne lasagne/layers/recurrent.py"),
            Variant("tensorflow", {"forget_bias": 1.0}, "tensorflow tensorflow/python/ops/rnn_cell_impl.py"),
        ),
        source="arXiv:1308.0850 eqs. 7-11",
    )
)
