"""The check of sharing finds a sum over the batch that is missing, and one that goes over the wrong axis."""

from dataclasses import replace

import numpy as np
import pytest

from gradcheck.broadcasting import sharing, what_a_batch_shares_gets_the_sum
from gradcheck.subject import Subject
from scratchattn import REGISTRY
from scratchattn.op import Case, Op

ROWS = np.arange(1.0, 7.0).reshape(2, 3)


def scaled(sum_of):
    """row(n), factor() -> row times factor, with ``sum_of(products, row, factor)`` for the two gradients."""

    def forward(row, factor):
        return row * factor[..., None], (row, factor)

    def backward(saved, dout):
        row, factor = saved
        return sum_of(dout * factor[..., None], row), sum_of((dout * row).sum(-1), factor)

    return Op(
        name="scaled",
        signature="row(n), factor() -> out(n)",
        forward=forward,
        backward=backward,
        cases=lambda rng: [Case("rows", (ROWS, np.array([2.0, 3.0])))],
    )


def to_shape(products, like):
    while products.ndim > like.ndim:
        products = products.sum(0)
    return products


def failures(op):
    found = []
    for case in op.cases(np.random.default_rng(0)):
        results = sharing(Subject(op, case), np.random.default_rng(1))
        found += [what for what, error, tolerance in results if not error <= tolerance]
    return found


def test_the_right_sums_pass():
    assert failures(scaled(to_shape)) == []


def test_a_mean_in_the_place_of_the_sum_is_found():
    def mean(products, like):
        while products.ndim > like.ndim:
            products = products.mean(0)
        return products

    assert {what.partition(":")[0] for what in failures(scaled(mean))} == {
        "row shared",
        "factor shared",
        "only row not shared",
        "only factor not shared",
    }


def test_a_sum_of_the_first_copy_alone_is_found():
    def first(products, like):
        return products[0] if products.ndim > like.ndim else products

    assert "row shared: gradient by row" in failures(scaled(first))


def test_a_sum_that_is_missing_raises():
    """Which ``gradcheck check`` reports as a failure."""
    with pytest.raises(ValueError, match="backward of scaled: gradient"):
        failures(scaled(lambda products, like: products))


def test_it_is_asked_of_our_own_ops_alone():
    op = scaled(lambda products, like: products)
    case = op.cases(None)[0]
    assert list(what_a_batch_shares_gets_the_sum(Subject(op, case), np.random.default_rng(1))) == []


@pytest.mark.parametrize("name", ["dnc_read_weighting", "matmul", "softmax"])
def test_ours_are_asked(name):
    op = REGISTRY[name]
    results = [
        result
        for case in op.cases(np.random.default_rng(0))
        for result in what_a_batch_shares_gets_the_sum(Subject(op, case), np.random.default_rng(1))
    ]
    assert results and all(error <= tolerance for _, error, tolerance in results)


def test_a_planted_error_in_one_input_of_many_is_found():
    op = REGISTRY["dnc_read_weighting"]

    def backward(saved, dweights):
        first, *others = op.backward(saved, dweights)
        return first / 2 if first.ndim < dweights.ndim else first, *others

    assert any("gradient by" in what for what in failures(replace(op, backward=backward)))
