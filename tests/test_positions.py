"""Positions: tables to the last place and their conventions, rotation, linear biases, and what adds them."""

import math

import numpy as np
import pytest

import scratchattn as sa
from scratchattn.nn.positions import (
    CONVENTIONS,
    add_positions,
    alibi_slopes,
    rotary_tables,
    sinusoidal_table,
    universal_table,
)

table_of = {v.name: lambda n, d, v=v, **more: sinusoidal_table(n, d, **v.params, **more) for v in CONVENTIONS}


# ---- tables of sines and cosines ----------------------------------------------


@pytest.mark.parametrize("start", [0, 99_990, 10**6, 2**31 - 12])
def test_a_table_is_right_to_the_last_place_at_any_position(start):
    """float32 has the nearest number to every sine, also where it is near zero; float64 two units from it."""
    mpmath = pytest.importorskip("mpmath")
    double, single = (sinusoidal_table(12, 32, start=start, dtype=dtype) for dtype in ("float64", "float32"))
    assert double.dtype == np.float64 and single.dtype == np.float32
    with mpmath.workdps(50):
        for p, j in np.ndindex(12, 16):
            angle = (start + p) * mpmath.mpf(10000) ** (-mpmath.mpf(j) / 16)
            for place, truth in ((2 * j, mpmath.sin(angle)), (2 * j + 1, mpmath.cos(angle))):
                assert single[p, place] == np.float32(float(truth))
                assert abs(double[p, place] - truth) <= 2 * np.spacing(abs(float(truth)))


def test_a_product_in_float32_is_off_by_thousands_of_last_places_at_1e5():
    """What most implementations do: an angle of 1e5 has no more than seven digits."""
    frequencies = np.exp(np.arange(0, 512, 2, dtype=np.float32) * np.float32(-math.log(10000.0) / 512))
    usual = np.sin(np.float32(1e5) * frequencies)
    gap = abs(usual - sinusoidal_table(1, 512, start=10**5)[0, ::2]).max()
    assert 1e-3 < gap < 1e-2


def test_the_first_rows_are_those_of_the_paper():
    table = sinusoidal_table(3, 4)
    angles = np.arange(3)[:, None] * [1.0, 0.01]
    expected = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(3, 4)
    assert abs(table - expected).max() < 2e-16 and table[0].tolist() == [0.0, 1.0, 0.0, 1.0]


def formula(length, features, *, start=0, endpoint=False, blocks=False):
    """Written out with float64 products, good to 1e-13 at small positions."""
    pairs = features // 2
    exponents = np.arange(pairs) / (max(pairs - 1, 1) if endpoint else pairs)
    angles = (start + np.arange(length))[:, None] * 10000.0**-exponents
    both = [np.sin(angles), np.cos(angles)]
    table = np.concatenate(both, 1) if blocks else np.stack(both, -1).reshape(length, 2 * pairs)
    return np.pad(table, [(0, 0), (0, features % 2)])


@pytest.mark.parametrize(
    "name, params",
    [
        *[(name, {}) for name in ("paper", "annotated", "labml")],
        ("universal_transformer", {"start": 1}),
        ("marian", {"blocks": True}),
        ("fairseq", {"blocks": True, "endpoint": True, "start": 2}),
        *[
            (name, {"blocks": True, "endpoint": True})
            for name in ("tensor2tensor", "universal_transformer_pytorch", "keras_transformer")
        ],
    ],
)
def test_a_convention_is_its_formula(name, params):
    for features in (2, 4, 10, 64):
        assert abs(table_of[name](9, features) - formula(9, features, **params)).max() < 1e-13
    assert {v.name for v in CONVENTIONS} == set(table_of) and len(table_of) == len(CONVENTIONS) == 9


def test_blocks_are_a_permutation_and_another_endpoint_is_none():
    interleaved, blocks = sinusoidal_table(50, 16), sinusoidal_table(50, 16, layout="blocks")
    assert (blocks == interleaved.reshape(50, 8, 2).swapaxes(1, 2).reshape(50, 16)).all()
    t2t = sinusoidal_table(50, 16, layout="blocks", endpoint=True)
    assert abs(t2t - blocks).max() > 1.5
    assert (t2t[:, [0, 8]] == blocks[:, [0, 8]]).all()  # the frequency 1 is common to both
    last = np.arcsin(t2t[1, 7])
    assert abs(last * 10000 - 1) < 1e-12  # the longest wavelength is 2 pi 10000


def test_the_first_position_is_an_argument():
    whole = sinusoidal_table(8, 6)
    for start in (1, 2, 5):
        assert (sinusoidal_table(3, 6, start=start) == whole[start : start + 3]).all()


def test_an_odd_number_of_features_is_refused_or_padded_with_zeros():
    for name in ("paper", "annotated", "labml", "keras_transformer"):
        with pytest.raises(ValueError, match="features must be even unless odd is 'padded', got 5"):
            table_of[name](3, 5)
    for name in ("tensor2tensor", "universal_transformer_pytorch", "fairseq"):
        table = table_of[name](3, 5)
        assert (table[:, 4] == 0).all() and (table[:, :4] == table_of[name](3, 4)).all()
        assert (table_of[name](3, 1) == 0).all()
    assert (sinusoidal_table(3, 7, odd="padded")[:, :6] == sinusoidal_table(3, 6)).all()


def test_two_features_are_one_sine_and_one_cosine_of_frequency_one():
    """Where universal_transformer_pytorch and keras_transformer divide by zero."""
    expected = np.stack([np.sin(np.arange(4.0)), np.cos(np.arange(4.0))], -1)
    for name in ("paper", "tensor2tensor", "universal_transformer_pytorch", "keras_transformer", "marian"):
        assert abs(table_of[name](4, 2) - expected).max() < 2e-16


def test_tables_may_be_empty():
    assert sinusoidal_table(0, 4).shape == (0, 4) and sinusoidal_table(3, 0).shape == (3, 0)
    assert [t.shape for t in rotary_tables(0, 4)] == [(0, 2)] * 2 and alibi_slopes(0).shape == (0,)


def test_a_later_position_is_a_rotation_of_an_earlier_one():
    """Why relative positions can be had from sums: by the very operation of rotary positions."""
    here, there = (sinusoidal_table(5, 8, start=p).reshape(5, 4, 2)[..., ::-1].reshape(5, 8) for p in (3, 40))
    turned = sa.rotary_positions(here, *[t[37] for t in rotary_tables(38, 8)])
    assert abs(turned - there).max() < 1e-15


def test_the_universal_transformer_adds_the_row_of_its_step_to_the_rows_of_the_positions():
    table = sinusoidal_table(20, 6)
    for step in (1, 2, 7):
        assert abs(universal_table(5, 6, step) - (table[1:6] + table[step])).max() < 1e-15
    t2t = universal_table(5, 6, 0, start=0, layout="blocks", endpoint=True)
    whole = sinusoidal_table(5, 6, layout="blocks", endpoint=True)
    assert abs(t2t - (whole + whole[0])).max() < 1e-15
    assert universal_table(2, 4, 1, dtype="float32").dtype == np.float32


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: sinusoidal_table(-1, 4), "sinusoidal_table: length must be at least 0, got -1"),
        (lambda: sinusoidal_table(2.0, 4), "sinusoidal_table: length must be an int, got 2.0"),
        (lambda: sinusoidal_table(2, 4, start=True), "sinusoidal_table: start must be an int, got True"),
        (lambda: sinusoidal_table(2, 4, layout="x"), "sinusoidal_table: layout must be one of .* got 'x'"),
        (lambda: sinusoidal_table(2, 4, endpoint=2), "sinusoidal_table: endpoint must be one of .* got 2"),
        (lambda: sinusoidal_table(2, 4, odd="cut"), "sinusoidal_table: odd must be one of .* got 'cut'"),
        (lambda: sinusoidal_table(2, 4, base=0.0), "sinusoidal_table: base must be positive .* got 0.0"),
        (lambda: sinusoidal_table(2, 4, base="e"), "sinusoidal_table: base must be a number, got 'e'"),
        (lambda: sinusoidal_table(2, 4, start=2**31), r"positions must be below 2\^31, got 2147483649"),
        (lambda: universal_table(2, 4, -1), "universal_table: start must be at least 0, got -1"),
        (lambda: rotary_tables(2, 3), "rotary_tables: width must be even, got 3"),
        (lambda: alibi_slopes(2.5), "alibi_slopes: heads must be an int, got 2.5"),
        (lambda: alibi_slopes(2, exponent=-1.0), "alibi_slopes: exponent must be positive .* got -1.0"),
    ],
)
def test_settings_that_make_no_table_are_named(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


# ---- what adds them -------------------------------------------------------------


def test_positions_are_added_batch_first_or_time_first(rng):
    table, x = sinusoidal_table(9, 6), rng.normal(size=(2, 5, 6))
    assert (add_positions(x, table) == x + table[:5]).all()
    turned = add_positions(x.swapaxes(0, 1), table, axis=-3)
    assert (turned == (x + table[:5]).swapaxes(0, 1)).all()
    heads = rng.normal(size=(4, 3, 2, 6))
    assert (add_positions(heads, table, axis=-3) == heads + table[:3, None]).all()


def test_a_step_takes_the_row_of_its_own_position(rng):
    table, x = sinusoidal_table(9, 6), rng.normal(size=(2, 5, 6))
    whole = add_positions(x, table)
    for t in range(5):
        assert (add_positions(x[:, t : t + 1], table, start=t) == whole[:, t : t + 1]).all()


def test_a_table_is_a_constant_unless_it_is_a_tensor(rng):
    table, x = sinusoidal_table(9, 6), rng.normal(size=(2, 5, 6))
    u = rng.normal(size=x.shape)
    y, pullback = sa.vjp(lambda x: add_positions(x, table), x)
    assert (pullback(u)[0] == u).all()
    y, pullback = sa.vjp(lambda x, learned: add_positions(x, learned, start=2), x, table)
    dx, dtable = pullback(u)
    assert (
        (dx == u).all() and (dtable[2:7] == u.sum(0)).all() and not dtable[:2].any() and not dtable[7:].any()
    )
    assert (y == x + table[2:7]).all()


def test_a_table_that_does_not_fit_is_refused(rng):
    x = rng.normal(size=(2, 5, 6))
    with pytest.raises(ValueError, match="add_positions: table must have 7 rows, got 6"):
        add_positions(x, sinusoidal_table(6, 6), start=2)
    with pytest.raises(ValueError, match="add_positions: axis must be in -3 to -2, got -1"):
        add_positions(x, sinusoidal_table(6, 6), axis=-1)
    with pytest.raises(ValueError, match="add: "):
        add_positions(x, sinusoidal_table(6, 4))
    with pytest.raises(TypeError, match="one precision expected"):
        add_positions(x, sinusoidal_table(6, 6, dtype="float32"))


# ---- rotary positions -------------------------------------------------------------


@pytest.mark.parametrize("pairs", ["interleaved", "halves", "gathered"])
def test_scores_of_turned_queries_and_keys_know_the_distance_only(rng, pairs):
    query, key = rng.normal(size=(2, 5, 8))

    def scores(start):
        tables = rotary_tables(5, 8, start=start)
        return (
            sa.rotary_positions(query, *tables, pairs=pairs)
            @ sa.rotary_positions(key, *tables, pairs=pairs).T
        )

    for start in (1, 1000, 10**5):
        assert abs(scores(start) - scores(0)).max() < 1e-14 * abs(query).max() * abs(key).max() * 8


def test_turning_a_pair_is_multiplying_a_complex_number(rng):
    """LLaMA as published."""
    x, (cosines, sines) = rng.normal(size=(3, 5, 8)), rotary_tables(5, 8)
    turned = (x[..., ::2] + 1j * x[..., 1::2]) * (cosines + 1j * sines)
    ours = sa.rotary_positions(x, cosines, sines)
    assert (
        abs(ours[..., ::2] - turned.real).max() < 1e-15 and abs(ours[..., 1::2] - turned.imag).max() < 1e-15
    )


def test_the_first_position_is_not_turned_and_base_sets_the_slowest_pair(rng):
    x = rng.normal(size=(6,))
    cosines, sines = rotary_tables(1, 6)
    assert (sa.rotary_positions(x, cosines[0], sines[0]) == x).all()
    assert abs(rotary_tables(2, 8, base=500000.0)[1][1, 3] - math.sin(500000.0**-0.75)) < 1e-20


def test_a_step_with_cached_keys_is_turned_as_in_the_whole(rng):
    x = rng.normal(size=(2, 6, 4))
    whole = sa.rotary_positions(x, *rotary_tables(6, 4))
    for t in range(6):
        assert (
            sa.rotary_positions(x[:, t], *[a[0] for a in rotary_tables(1, 4, start=t)]) == whole[:, t]
        ).all()


def test_tables_wider_than_the_features_are_refused(rng):
    with pytest.raises(ValueError, match="rotary_positions: d must be at least twice p, got d 4 and p 3"):
        sa.rotary_positions(rng.normal(size=(2, 4)), *rotary_tables(2, 6))
    with pytest.raises(ValueError, match="pairs must be one of interleaved, halves, gathered, got 'x'"):
        sa.rotary_positions(rng.normal(size=(2, 4)), *rotary_tables(2, 4), pairs="x")


@pytest.mark.peers
@pytest.mark.parametrize("pairs", ["interleaved", "halves", "gathered"])
def test_pytorch_agrees_about_rotation(rng, pairs):
    torch = pytest.importorskip("torch")
    arrays = [rng.normal(size=(2, 3, 5, 10)), *rotary_tables(5, 8, start=7)]
    x, cosines, sines = (torch.tensor(a, requires_grad=True) for a in arrays)
    wide, rest = x[..., :8], x[..., 8:]
    if pairs == "halves":
        twice = [torch.cat([t, t], -1) for t in (cosines, sines)]
        theirs = wide * twice[0] + torch.cat([-wide[..., 4:], wide[..., :4]], -1) * twice[1]
    else:
        number = torch.view_as_complex(wide.reshape(2, 3, 5, 4, 2)) * torch.complex(cosines, sines)
        parts = torch.view_as_real(number)
        theirs = (
            parts.flatten(-2) if pairs == "interleaved" else torch.cat([parts[..., 0], parts[..., 1]], -1)
        )
    theirs = torch.cat([theirs, rest], -1)
    u = rng.normal(size=theirs.shape)
    theirs.backward(torch.tensor(u))
    ours, pullback = sa.vjp(lambda *a: sa.rotary_positions(*a, pairs=pairs), *arrays)
    for found, truth in zip([ours, *pullback(u)], [theirs.detach(), x.grad, cosines.grad, sines.grad]):
        assert abs(found - truth.numpy()).max() <= 1e-12 * abs(truth.numpy()).max()


# ---- linear biases ----------------------------------------------------------------


def test_slopes_of_powers_of_two_are_a_geometric_series():
    assert alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    assert abs(alibi_slopes(16) - 2.0 ** (-0.5 * np.arange(1, 17))).max() < 1e-17
    assert alibi_slopes(1).tolist() == [2.0**-8] and alibi_slopes(4).tolist() == [
        2.0**-2,
        2.0**-4,
        2.0**-6,
        2.0**-8,
    ]
    assert alibi_slopes(4, exponent=4.0).tolist() == [0.5, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize("heads", [3, 5, 6, 7, 12, 20, 71])
def test_slopes_of_other_numbers_are_those_of_the_power_below_and_every_other_of_the_one_above(heads):
    """And MPT's, which are found the other way round, from the power above, are the same."""
    above = 1 << heads.bit_length()
    more = alibi_slopes(above)
    expected = np.concatenate([alibi_slopes(above // 2), more[::2]])[:heads]
    assert (alibi_slopes(heads) == expected).all()
    assert (np.concatenate([more[1::2], more[::2]])[:heads] == alibi_slopes(heads)).all()


def test_distances_that_differ_by_a_constant_attend_alike(rng):
    query, key, value = rng.normal(size=(3, 4, 6, 8))
    slopes = alibi_slopes(4)

    def attention(distance):
        bias = sa.alibi(np.zeros((4, 6, 6)), slopes, distance=distance)
        return sa.softmax_attention(query, key, value, bias, causal="bottom_right")

    behind = attention("behind")
    for distance, shift in (
        ("both_sides", 0),
        ("from_first", np.arange(6.0)),
        ("from_last", np.arange(6.0) - 5),
    ):
        other = attention(distance)
        assert abs(other.out - behind.out).max() < 1e-14 and abs(other.weights - behind.weights).max() < 1e-14
        assert abs(other.log_sum_exp - behind.log_sum_exp - slopes[:, None] * shift).max() < 1e-13


def test_a_cached_step_has_the_biases_of_its_row():
    slopes = alibi_slopes(4)
    whole = sa.alibi(np.zeros((4, 5, 5)), slopes, align="top_left")
    for t in range(5):
        assert (sa.alibi(np.zeros((4, 1, t + 1)), slopes)[:, 0] == whole[:, t, : t + 1]).all()


def test_biases_for_encoders_are_symmetric():
    bias = sa.alibi(np.zeros((2, 4, 4)), alibi_slopes(2), distance="both_sides")
    assert (bias == bias.swapaxes(1, 2)).all() and (bias[0, 0] == -np.arange(4.0) / 16).all()


def test_top_left_and_bottom_right_differ_by_the_keys_that_came_before():
    """Three queries, five keys: the last query stands at the last key, or the first at the first."""
    bottom, top = (
        sa.alibi(np.zeros((3, 5)), np.ones(()), align=align) for align in ("bottom_right", "top_left")
    )
    assert bottom[0].tolist() == [-2, -1, 0, 1, 2] and bottom[2].tolist() == [-4, -3, -2, -1, 0]
    assert top[0].tolist() == [0, 1, 2, 3, 4] and top[2].tolist() == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize("name", ["distance", "align"])
def test_other_distances_are_refused(name):
    with pytest.raises(ValueError, match=f"alibi: {name} must be .* got 'x'"):
        sa.alibi(np.zeros((2, 2)), np.ones(()), **{name: "x"})
