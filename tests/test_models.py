"""What all models share: what they start from."""

import numpy as np
import pytest

from scratchattn.models import DNC, NTM, RNN

STACKED = {
    "ntm": (NTM, {"layers": 2}, {"input_weights": 3}),
    "dnc": (DNC, {"layers": 2}, {"input_weights_1": 3, "input_weights_2": 3}),
    "dnc, feed-forward": (DNC, {"controller": "feedforward"}, {"input_weights": 3}),
    "rnn": (
        RNN, {"layers": 11, "both_directions": True}, {"input_weights_1": 3, "input_weights_1_backwards": 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKED)
def test_what_meets_the_tasks_inputs_can_start_larger_and_nothing_else_changes(name):
    kind, settings, meets = STACKED[name]
    settings = settings | {"units": 4, "dtype": "float64"}
    before = kind(3, 2, **settings).init(np.random.default_rng(0))
    scaled = kind(3, 2, input_scale=10.0, **settings).init(np.random.default_rng(0))
    for each in kind(3, 2, **settings).shapes():
        rows = meets.get(each, 0)
        assert np.array_equal(scaled[each][:rows], 10.0 * before[each][:rows])
        assert np.array_equal(scaled[each][rows:], before[each][rows:])


@pytest.mark.parametrize("name", STACKED)
def test_a_scale_must_be_positive(name):
    kind, settings, _ = STACKED[name]
    with pytest.raises(ValueError, match="input_scale must be positive and finite, got 0"):
        kind(3, 2, input_scale=0, **settings)
