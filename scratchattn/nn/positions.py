"""Positions: tables of sines and cosines, the slopes of linear biases, and what adds a table.

    table[p, 2i]     = sin(p f_i)         f_i = base^(-2i / d)
    table[p, 2i + 1] = cos(p f_i)         i = 0, ..., d/2 - 1

A table is made on the host and then moved to the library in use.  It is a constant: no gradient reaches it.

Accuracy
--------
p f_i as a product of float64 numbers is off by 1e-11 at p = 1e5, which is thousands of last places of a
float32 where the sine is near zero; as a product of float32 numbers it is off by 5e-3.  So frequencies
are found in 60 digits, in turns per position, and kept as whole numbers of 2^-128 turns: multiples of
those wrap around at a full turn by themselves and are exact.  An entry is then right to two units in the
last place of float64, at any position below 2^31, and float32 gets the nearest number.

Conventions
-----------
``CONVENTIONS`` has them by name:

    layout     interleaved: sine and cosine of one frequency side by side; blocks: all sines, then all
               cosines.  A permutation, which the first projection after it can undo.
    endpoint   False: wavelengths from 2 pi up to, but not including, 2 pi base, as above; True: including
               it, f_i = base^(-i / (d/2 - 1)).  No permutation makes one of the other.
    start      the first position: 0, the Universal Transformer's 1, fairseq's 2
    odd        an odd number of features is refused, or padded with a column of zeros (tensor2tensor)

With two features there is one frequency, 1, also with ``endpoint``, where universal_transformer_pytorch and
keras_transformer divide by zero.

Source: Vaswani et al., arXiv:1706.03762, section 3.5; Dehghani et al., "Universal transformers",
arXiv:1807.03819, eqs. 6-7; Su et al., arXiv:2104.09864, eq. 15; Press et al., arXiv:2108.12409, section 3.
"""

from decimal import Decimal, localcontext

import numpy as np

from .. import backend
from ..op import Variant
from ..ops.arithmetic import add
from ..ops.shaping import reshape
from ..refusals import refuse_not_positive

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
LABML = "labmlai/annotated_deep_learning_paper_implementations"
T2T = {"layout": "blocks", "endpoint": True, "odd": "padded"}
CONVENTIONS = (  # of sinusoidal_table
    Variant("paper", {}, "arXiv:1706.03762 section 3.5"),
    Variant("annotated", {}, "harvardnlp/annotated-transformer the_annotated_transformer.py"),
    Variant("labml", {}, f"{LABML} labml_nn/transformers/positional_encoding.py"),
    Variant("universal_transformer", {"start": 1}, "arXiv:1807.03819 eqs. 6-7"),
    Variant("tensor2tensor", T2T, "tensorflow/tensor2tensor tensor2tensor/layers/common_attention.py"),
    Variant(
        "universal_transformer_pytorch",
        T2T,
        "andreamad8/Universal-Transformer-Pytorch models/common_layer.py",
    ),
    Variant(
        "keras_transformer", T2T | {"odd": "refused"}, "kpot/keras-transformer keras_transformer/position.py"
    ),
    Variant(
        "fairseq",
        T2T | {"start": 2},
        "facebookresearch/fairseq fairseq/modules/sinusoidal_positional_embedding.py",
    ),
    Variant(
        "marian",
        {"layout": "blocks"},
        "huggingface/transformers src/transformers/models/marian/modeling_marian.py",
    ),
)


def sinusoidal_table(length, features, *, dtype="float64", **convention):
    """Positions ``start``, ``start`` + 1, ...: (length, features).

    ``convention``: layout, endpoint, start, odd as above, and base.  TypeError or ValueError for other
    values, and for an odd number of features unless it is padded.
    """
    return backend.asarray(_sinusoids("sinusoidal_table", length, features, **convention), dtype=dtype)


def universal_table(length, features, step, *, start=1, dtype="float64", **convention):
    """What the Universal Transformer adds before its time step number ``step``: (length, features).

    The rows of the positions plus the one row of the step, both counted from ``start``; ``convention`` is
    that of ``sinusoidal_table``.
    """
    who = "universal_table"
    positions = _sinusoids(who, length, features, start=start, **convention)
    time = _sinusoids(who, 1, features, start=step, **convention)
    return backend.asarray(positions + time, dtype=dtype)


def rotary_tables(length, width, *, start=0, base=10000.0, dtype="float64"):
    """Cosines and sines, each (length, width / 2), for ``rotary_positions`` to turn ``width`` features.

    ``start``: the first position, as of a step with cached keys.
    """
    who = "rotary_tables"
    _check_sizes(who, length=length, width=width, start=start)
    if width % 2:
        raise ValueError(f"{who}: width must be even, got {width}")
    sines, cosines = _sines_and_cosines(who, length, start, base, width // 2, width // 2)
    return backend.asarray(cosines, dtype=dtype), backend.asarray(sines, dtype=dtype)


def alibi_slopes(heads, *, exponent=8.0, dtype="float64"):
    """Slopes for ``alibi``: 2^(-exponent i / heads), i = 1, ..., heads; (heads).

    Where heads is not a power of two: those of the next power below, then every other one of twice as many.
    """
    _check_sizes("alibi_slopes", heads=heads)
    refuse_not_positive("alibi_slopes: exponent", exponent)
    below = 1 << max(heads.bit_length() - 1, 0)
    steps = [i / below for i in range(1, below + 1)] + [i / (2 * below) for i in range(1, 2 * below, 2)]
    return backend.asarray([2.0 ** (-exponent * step) for step in steps[:heads]], dtype=dtype)


def add_positions(x, table, *, start=0, axis=-2):
    """x plus the rows of table from ``start`` on: (..., t, d), (n, d) -> (..., t, d), tensors or arrays.

    ``axis``: where the positions of x are: -2, or -3 for (t, b, d).  A table that is a tensor learns.
    ValueError if the table has too few rows.
    """
    _check_sizes("add_positions", start=start)
    if type(axis) is not int or not -x.ndim <= axis < -1:
        raise ValueError(f"add_positions: axis must be in {-x.ndim} to -2, got {axis!r}")
    length, (rows, features) = x.shape[axis], table.shape
    if start + length > rows:
        raise ValueError(f"add_positions: table must have {start + length} rows, got {rows}")
    rows = reshape(table[start : start + length], shape=(length, *[1] * (-axis - 2), features))
    return add(x, rows)


def _sinusoids(
    who, length, features, *, layout="interleaved", endpoint=False, start=0, base=10000.0, odd="refused"
):
    _check_sizes(who, length=length, features=features, start=start)
    for name, value, allowed in (
        ("layout", layout, ("interleaved", "blocks")),
        ("endpoint", endpoint, (False, True)),
        ("odd", odd, ("refused", "padded")),
    ):
        if value not in allowed:
            raise ValueError(f"{who}: {name} must be one of {allowed}, got {value!r}")
    if features % 2 and odd == "refused":
        raise ValueError(f"{who}: features must be even unless odd is 'padded', got {features}")
    pairs = features // 2
    whole = _sines_and_cosines(who, length, start, base, pairs, max(pairs - 1, 1) if endpoint else pairs)
    whole = np.stack(whole, axis=-1 if layout == "interleaved" else -2).reshape(length, 2 * pairs)
    return np.pad(whole, [(0, 0), (0, features % 2)])


def _sines_and_cosines(who, length, start, base, pairs, parts):
    """Of p base^(-i / parts), i < pairs: (length, pairs) each, in float64."""
    refuse_not_positive(f"{who}: base", base)
    if start + length > 2**31:
        raise ValueError(f"{who}: positions must be below 2^31, got {start + length - 1}")
    with localcontext() as context:
        context.prec = 60
        log = Decimal(base).ln()
        turns = [int((-log * i / parts).exp() / (2 * PI) * 2**128) % 2**128 for i in range(pairs)]
    # Three words of a frequency, 64 + 32 + 32 bits; a position has 31, so that only full turns overflow.
    half, low_half = np.uint64(32), np.uint64(2**32 - 1)
    high, middle, low = (
        np.array([w >> at & 2**bits - 1 for w in turns], np.uint64)
        for at, bits in ((64, 64), (32, 32), (0, 32))
    )
    place = np.arange(start, start + length, dtype=np.uint64)[:, None]
    carried = place * middle + (place * low >> half)
    turn = place * high + (carried >> half)  # in units of 2^-64 of a turn
    quarter = (turn + np.uint64(2**61)) >> np.uint64(62)
    beyond = (turn - (quarter << np.uint64(62))).astype(np.int64)  # of the nearest quarter of a turn
    angle = (beyond + (carried & low_half) * 2.0**-32) * (np.pi / 2**63)
    sine, cosine = np.sin(angle), np.cos(angle)
    odd, second_half, later_half = quarter % 2 == 1, quarter >= 2, (quarter == 1) | (quarter == 2)
    sines, cosines = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    return np.where(second_half, -sines, sines), np.where(later_half, -cosines, cosines)


def _check_sizes(who, **sizes):
    for name, size in sizes.items():
        if type(size) is not int:
            raise TypeError(f"{who}: {name} must be an int, got {size!r}")
        if size < 0:
            raise ValueError(f"{who}: {name} must be at least 0, got {size}")
