"""Layers of LSTM and GRU over time, as ``nn/lstm.py`` and ``nn/gru.py`` have them.  Single steps are ops."""

from scratchattn.nn.gru import gru, gru_shapes
from scratchattn.nn.lstm import lstm, lstm_shapes
from scratchattn.op import REGISTRY, Case

from .taped import cell, drawn


def _cases(shapes_of, states):
    def cases(rng):
        def case(label, steps, batch, inputs, units, ends=1.0):
            weights = drawn(rng, shapes_of(inputs, units))
            weights["bias"] = ends * weights["bias"]
            start = rng.normal(size=(states, batch, units))
            return Case(label, (rng.normal(size=(steps, batch, inputs)), *start, *weights.values()))

        yield case("one step", 1, 2, 3, 2)
        yield case("several steps", 5, 2, 2, 3)
        yield case("one sequence", 4, 1, 3, 3)
        yield case("gates at their ends", 3, 1, 2, 3, ends=20.0)

    return cases


CELLS = (
    cell(
        "lstm",
        "x(t,b,d), hidden(b,h), cell(b,h), input_weights(d,4h), hidden_weights(h,4h), bias(4h) "
        "-> out(t,b,h), last_hidden(b,h), last_cell(b,h)",
        lstm,
        _cases(lstm_shapes, 2),
        source="nn/lstm.py; Hochreiter, Schmidhuber, Neural Computation 9 (1997) 1735",
    ),
    cell(
        "gru",
        "x(t,b,d), hidden(b,h), input_weights(d,3h), hidden_weights(h,3h), bias(3h), hidden_bias(3h) "
        "-> out(t,b,h), last_hidden(b,h)",
        gru,
        _cases(lambda inputs, units: gru_shapes(inputs, units, two_biases=True), 1),
        params={"reset": "before", "update": "keeps"},
        variants=REGISTRY["gru_cell"].variants,
        source="nn/gru.py; Cho et al., arXiv:1406.1078",
    ),
)
