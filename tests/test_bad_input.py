"""Wrong calls: every public function answers with its own check, naming function, argument, expected and got.

The first half makes wrong calls of every op from its signature; the second is a table by hand, for
what a signature does not say.
"""

import re
import traceback
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

import scratchattn as sa

ROOT = Path(sa.__file__).parent
KINDS = {"boolean": "bool", "integer": "int64", "floating": "float64"}


def refused(function, *args, **kwargs):
    """The error of a wrong call; it must be raised by a line of our own."""
    try:
        function(*args, **kwargs)
    except (TypeError, ValueError, KeyError, FloatingPointError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        assert Path(last.filename).is_relative_to(ROOT), f"{error!r} comes from {last.filename}:{last.lineno}"
        assert "raise" in last.line, f"{error!r} was not raised by a check but by {last.line!r}"
        return error
    raise AssertionError(f"{function} took a wrong call")


def first_case(op):
    """The first case that has numbers in every input, at float64."""
    for case in op.cases(np.random.default_rng(0)):
        if all(x is None or (hasattr(x, "size") and x.size) for x in case.inputs):
            return case
    raise AssertionError(f"{op.name} has no case with numbers in it")


def wrong_calls(op):
    """(label, inputs, params, the argument that the message must name, words it must have)."""
    case = first_case(op)
    inputs, params = case.inputs, case.params
    arguments = op._signature._expected(len(inputs))
    floating = [i for i, a in enumerate(arguments) if a.kind is None and inputs[i] is not None]
    given = [i for i, x in enumerate(inputs) if x is not None]
    letters = [
        a.letter
        for i in given
        for a in arguments[i].axes or ()
        if a.factor == 1 and a.letter and not a.or_one
    ]

    def changed(i, x):
        return (*inputs[:i], x, *inputs[i + 1 :])

    for i, argument in enumerate(arguments):
        x, name = inputs[i], argument.name
        shape = x.shape if x is not None else (2,) * len(argument.axes or ())
        wanted = argument.kind or "floating"
        yield f"{name}: text", changed(i, "text"), params, name, ("must be an array", "got str")
        yield f"{name}: a list", changed(i, [1.0, 2.0]), params, name, ("got",)
        if not argument.optional:
            yield f"{name}: None", changed(i, None), params, name, ("must be an array", "got None")
        for dtype in ("int64", "bool", "float64", "float16", "datetime64[s]"):
            if dtype != KINDS[wanted]:
                came = np.zeros(shape, dtype)
                yield f"{name}: {dtype}", changed(i, came), params, name, (f"must be {wanted}", "got")
        if argument.kind is not None:
            tensor = sa.Tensor(np.zeros(shape))
            yield f"{name}: a tensor", changed(i, tensor), params, name, ("got a Tensor",)
        elif len(floating) > 1 and x is not None:
            yield (
                f"{name}: single",
                changed(i, x.astype("float32")),
                params,
                name,
                ("one precision expected", "got"),
            )
        if len(given) > 1 and x is not None:
            foreign = array_api_strict.asarray(x)
            yield f"{name}: foreign", changed(i, foreign), params, name, ("arrays of one library", "got")
        if argument.axes and x is not None:
            scalar = np.zeros((), x.dtype)
            yield f"{name}: no axes", changed(i, scalar), params, name, ("must have the axes", "got shape ()")
            for k, axis in enumerate(argument.axes):
                if axis.factor == 1 and axis.letter and not axis.or_one and letters.count(axis.letter) > 1:
                    longer = np.concatenate([x, x, x], axis=k - len(argument.axes))
                    label = f"{name}: {axis.letter} too long"
                    yield (
                        label,
                        changed(i, longer),
                        params,
                        None,
                        (str(longer.shape[k - len(argument.axes)]),),
                    )
    if not op._signature.variadic:
        yield "too many", (*inputs, *inputs, inputs[0]), params, None, ("inputs expected", "got")
    yield "none at all", (), params, arguments[0].name.partition("[")[0], ("is missing",)
    yield "an unknown keyword", inputs, params | {"colour": 1}, "colour", ("no argument is called", "takes")


@pytest.mark.parametrize("name", sorted(sa.REGISTRY))
def test_every_op_refuses_what_its_signature_excludes(name):
    op = sa.REGISTRY[name]
    for label, inputs, params, argument, words in wrong_calls(op):
        message = str(refused(op, *inputs, **params))
        told = f"{label}: {message}"
        assert message.startswith(f"{name}: "), told
        assert argument is None or re.search(rf"\b{re.escape(argument)}", message), told
        assert all(word in message for word in words), told


@pytest.mark.parametrize("name", sorted(n for n, op in sa.REGISTRY.items() if op._params))
def test_every_op_refuses_params_of_another_kind(name):
    op = sa.REGISTRY[name]
    case = first_case(op)
    for param, default in op._params.items():
        values = [object(), *([float("nan"), "0.1", True] if type(default) is float else [])]
        for value in values + [1, "yes", None] * (type(default) is bool):
            message = str(refused(op, *case.inputs, **(case.params | {param: value})))
            assert re.match(rf"{name}: .*\b{param}\b", message), message
            assert "must be" in message and "got" in message, message


X, W3 = np.ones((4, 3)), np.ones(3)
P = sa.Params({"w": (2,), "b": ()})
NTM = sa.models.NTM(3, 2, rows=4, width=2, units=3, dtype="float64")
SMALL = NTM.init(np.random.default_rng(0))
STATE = NTM.initial_state(SMALL, 1)
BATCH = sa.tasks.Copy(bits=2).batch(np.random.default_rng(0), 1, "float64")
LSTM = [np.ones((4, 2, 3)), np.ones((2, 5)), np.ones((2, 5)), np.ones((3, 20)), np.ones((5, 20)), np.ones(20)]
GRU = [np.ones((4, 2, 3)), np.ones((2, 5)), np.ones((3, 15)), np.ones((5, 15)), np.ones(15)]
WEIGHTS = NTM.weights(SMALL)
DNC = sa.nn.dnc_cell.dnc_start(1, 4, 3, 2, units=5, layers=1)
BIG = np.ones((1, 9, 9, 9))
DNCW = sa.nn.dnc_cell.dnc_weights(
    {name: np.ones(shape) for name, shape in sa.nn.dnc_cell.dnc_shapes(2, 2, 5, 1, 3, 2).items()}
)


def put(values, place, value):
    return [*values[:place], value, *values[place + 1 :]]


TABLE = [
    # ranges and texts that a signature does not state
    (sa.layer_norm, (X,), {"eps": 0.0}, "layer_norm: eps must be positive, got 0"),
    (sa.layer_norm, (X,), {"eps": -1.0}, "layer_norm: eps must be positive, got -1"),
    (sa.halting, (W3 / 4,), {"eps": 1.0}, "halting: eps must be at least 0 and below 1, got 1.0"),
    (sa.sharpening, (W3, 2.0), {"base_eps": -1e-3}, "sharpening: base_eps must not be negative, got -0.001"),
    (sa.sum, (X,), {"axis": 2}, "sum: axis must be in -2 to 1, got 2"),
    (sa.sum, (X,), {"axis": (0, -2)}, "sum: axis 0 of a (4, 3) is given twice"),
    (sa.sum, (X,), {"axis": 1.0}, "sum: axis must be None, an int or a tuple of ints, got 1.0"),
    (sa.max, (X[:0],), {"axis": 0}, "max: a must hold something along axis 0, got shape (0, 3)"),
    (sa.cumulative_sum, (X,), {"axis": "0"}, "cumulative_sum: axis must be an int, got '0'"),
    (sa.reshape, (X,), {"shape": (5, 2)}, "reshape: "),
    (sa.transpose, (X,), {"axes": (0, 0)}, "transpose: "),
    (sa.split, (X,), {"sections": 3}, "split: sections must divide axis 0 of a (4, 3), got 3"),
    (sa.split, (X,), {"sections": (1, 2)}, "split: sections must be sizes"),
    (sa.stack, (X, W3), {}, "stack: arrays[1] must be (4, 3) like arrays[0], got (3,)"),
    (sa.concat, (X, np.ones((4, 2))), {}, "concat: "),
    (sa.pad, (X,), {"widths": ((1, 1),)}, "pad: widths must be a pair of sizes for each axis"),
    (sa.pad, (X,), {"widths": ((1, -1), (0, 0))}, "pad: widths must be a pair of sizes for each axis"),
    (sa.roll, (X,), {"shift": 1.5, "axis": 0}, "roll: "),
    (sa.broadcast_to, (X,), {"shape": (4, 4)}, "broadcast_to: "),
    (sa.squeeze, (X,), {"axis": 0}, "squeeze: "),
    (sa.expand_dims, (X,), {"axis": 5}, "expand_dims: "),
    (sa.embedding, (X, np.array([4])), {}, "embedding: "),
    (sa.embedding, (X, np.array([-1])), {}, "embedding: "),
    (sa.softmax_cross_entropy, (X, np.array([0, 1, 2, 3])), {}, "softmax_cross_entropy: "),
    (sa.circular_shift, (W3, W3 / 3), {"layout": "sideways"}, "circular_shift: layout must be"),
    (sa.cosine_addressing, (X, X, np.ones(4)), {"form": "round"}, "cosine_addressing: form must be"),
    (sa.softmax_attention, (X, X, X), {"causal": "left"}, "softmax_attention: causal must be"),
    (sa.softmax_attention, (X, X, X), {"dropout_rate": 1.0}, "softmax_attention: dropout_rate must be"),
    (sa.softmax_attention, (X, X, X), {"soft_cap": 0.0}, "softmax_attention: soft_cap must be"),
    (sa.softmax_attention, (X, X, X), {"window": -1}, "softmax_attention: window must be"),
    (sa.clip, (X,), {}, "clip: "),
    (sa.clip_cotangent, (X,), {"limit": -1.0}, "clip_cotangent: limit must be"),
    # the tape
    (sa.Tensor, ([1.0],), {}, "an array expected, got list"),
    (sa.Tensor, (np.arange(3),), {}, "Tensor: a floating or complex array expected, got int64"),
    (sa.vjp, (sa.exp, [1.0]), {}, "vjp: primal 0: an array expected, got list"),
    (sa.vjp, (sa.exp, np.arange(3)), {}, "vjp: primal 0: Tensor: a floating"),
    (sa.vjp, (lambda x: 3.0, W3), {}, "vjp: f must return tensors made from its arguments, got float"),
    (sa.vjp(sa.exp, W3)[1], (), {}, "pullback: 1 cotangents expected, got 0"),
    (sa.vjp(sa.exp, W3)[1], (X,), {}, "pull_back: cotangent (4, 3) float64 given for (3,) float64"),
    (sa.vjp(sa.exp, W3)[1], ([1.0] * 3,), {}, "pull_back: cotangent list given for (3,) float64"),
    (sa.vjp(sa.exp, W3)[1], (W3.astype("f"),), {}, "pull_back: cotangent (3,) float32 given for (3,) float6"),
    (sa.jacobian, (sa.exp, "x"), {}, "vjp: primal 0: an array expected, got str"),
    (sa.jacobian, (sa.exp, 1.0), {}, "vjp: primal 0: at least one array expected"),
    (sa.hvp, (sa.sum, (W3,), ()), {}, "hvp: 1 tangents expected, got 0"),
    (sa.hvp, (sa.sum, (W3,), (X,)), {}, "hvp: tangent 0 must be (3,) float64, got (4, 3) float64"),
    (sa.hvp, (sa.sum, (W3,), ([1.0],)), {}, "hvp: tangent 0 must be (3,) float64, got list"),
    (sa.hvp, (sa.sum, ([1.0],), (W3,)), {}, "hvp: primal 0: an array expected, got list"),
    (sa.hvp, (sa.exp, (W3,), (W3,)), {}, "hvp: f must return a scalar, got shape (3,)"),
    (sa.exp(sa.Tensor(W3)).backward, (), {}, "backward() starts from a scalar, not shape (3,)"),
    # parameters and backends
    (sa.backend.use, ("torch",), {}, "use: library must be 'numpy' or 'cupy', got 'torch'"),
    (sa.Params, ([("w", (2,))],), {}, "Params: shapes must be a mapping of names to shapes, got list"),
    (sa.Params, ({"w": 2},), {}, "Params: the shape of w must be a tuple of sizes, got 2"),
    (sa.Params, ({"w": (2, -1)},), {}, "Params: the shape of w must be a tuple of sizes, got (2, -1)"),
    (sa.Params, ({"w": (2,)}, np.ones(3)), {}, "Params: flat must have shape (2,), got (3,)"),
    (sa.Params, ({"w": (2,)}, [1.0, 2.0]), {}, "Params: flat must have shape (2,), got list"),
    (sa.Params, ({"w": (2,)}, np.ones(4)[::2]), {}, "Params: flat must be contiguous"),
    (P.__getitem__, ("v",), {}, "Params: no parameter 'v'; there are w, b"),
    (P.assign, ({"w": np.ones(2)},), {}, "Params: names ['b', 'w'] expected, got ['w']"),
    (P.assign, ({"w": np.ones(3), "b": np.ones(())},), {}, "Params: w must have shape (2,), got (3,)"),
    (P.assign, ({"w": [1.0, 2.0], "b": np.ones(())},), {}, "Params: w must have shape (2,), got list"),
    (P.assign, ({"w": np.ones(2, "f"), "b": np.ones(())},), {}, "Params: w must be float64, got float32"),
    (P.gradient, (1.0, P.tensors()), {}, "Params.gradient: loss must be a Tensor, got float"),
    (P.gradient, (P.tensors()["w"], P.tensors()), {}, "Params.gradient: loss must be a scalar, got shape (2"),
    # layers
    *[(sa.nn.lstm.lstm, put(LSTM, i, None), {}, f"lstm: {name} must be an array, got None")
      for i, name in enumerate("x hidden cell input_weights hidden_weights bias".split())],
    (sa.nn.lstm.lstm, put(LSTM, 0, np.ones((2, 3))), {}, "lstm: x must have the axes (t,b,d), got shape (2,"),
    (sa.nn.lstm.lstm, put(LSTM, 0, np.ones((1, 4, 2, 3))), {}, "lstm: x must have the axes (t,b,d) and no o"),
    (sa.nn.lstm.lstm, put(LSTM, 1, np.ones((3, 5))), {}, "lstm: b is both 2 and 3 in x (4, 2, 3), hidden (3"),
    (sa.nn.lstm.lstm, put(LSTM, 5, np.ones(19)), {}, "lstm: 4h must be 20, got 19 in bias (19,)"),
    (sa.nn.lstm.lstm, put(LSTM, 5, np.ones(20, "f")), {}, "lstm: one precision expected"),
    (sa.nn.lstm.lstm, (*LSTM, np.ones(2)), {}, "lstm: lengths must be integer, got an array of float64"),
    (sa.nn.lstm.lstm, (*LSTM, np.ones(3, int)), {}, "lstm: b is both 2 and 3"),
    (sa.nn.lstm.lstm, (), {}, "lstm: missing a required argument: 'x'; it takes x(t,b,d)"),
    (sa.nn.linear.linear, (X, W3, W3), {}, "linear: weights must have the axes (i,o), got shape (3,)"),
    (sa.nn.linear.linear, (X, np.ones((3, 2)), W3), {}, "linear: o is both 2 and 3"),
    (sa.nn.linear.linear, (X, np.ones((4, 2)), np.ones(2)), {}, "linear: i is both 3 and 4"),
    (sa.nn.embedding.embed, (X, X), {}, "embed: tokens must be integer, got an array of float64"),
    (sa.nn.embedding.embed, (np.array([7]), X), {}, "embedding: "),
    *[(sa.nn.gru.gru, put(GRU, i, [1.0]), {}, f"gru: {name} must be an array, got list")
      for i, name in enumerate("x hidden input_weights hidden_weights bias".split())],
    (sa.nn.gru.gru, GRU, {"reset": "later"}, "gru_cell: reset must be 'before' or 'after', got"),
    (sa.nn.ntm_cell.ntm_step, (np.ones((2, 3)), STATE, WEIGHTS), {}, "ntm_step: b is both 2 and 1"),
    (sa.nn.ntm_cell.ntm_step, (np.ones((1, 1, 3)), STATE, WEIGHTS), {}, "ntm_step: x must have the axes"),
    *[(sa.nn.ntm_cell.ntm_sequence, (np.ones((2, 1, 3)), STATE._replace(**{name: None}), WEIGHTS), {},
       f"ntm_sequence: {name} must be an array, got None") for name in ("reads", "memory", "weightings")],
    (sa.nn.ntm_cell.ntm_sequence, (np.ones((2, 1, 3)), STATE, WEIGHTS, np.ones(2, int)), {},
     "ntm_sequence: b is both 1 and 2"),
    *[(sa.nn.dnc_cell.dnc_sequence, (np.ones((2, 1, 2)), DNC._replace(**{name: BIG}), DNCW), {},
       "dnc_sequence: ") for name in ("memory", "usage", "precedence", "reads")],
    (sa.nn.dnc_cell.dnc_step, (np.ones((2, 2)), DNC, DNCW), {}, "dnc_step: b is both 2 and 1"),
    (sa.nn.dnc_cell.dnc_step, (np.ones((1, 2)), DNC, DNCW), {"colour": 1},
     "DNCConvention: no setting is called 'colour'"),
    # models, tasks, training
    *[(sa.models.NTM, (3, 2), {name: 0}, f"NTM: {name} must be at least 1, got 0")
      for name in "rows width units read_heads write_heads shifts".split()],
    (sa.models.NTM, (0, 2), {}, "NTM: inputs must be at least 1, got 0"),
    (sa.models.NTM, (3, 2.0), {}, "NTM: outputs must be an int, got 2.0"),
    (sa.models.NTM, (3, 2), {"rows": "many"}, "NTM: rows must be an int, got 'many'"),
    (sa.models.NTM, (3, 2), {"rows": True}, "NTM: rows must be an int, got True"),
    (sa.models.NTM, (3, 2), {"shifts": 4}, "NTM: shifts must be odd, got 4"),
    (sa.models.NTM, (3, 2), {"controller": "gru"}, "NTM: controller must be one of ['lstm', 'feedforward'],"),
    (sa.models.NTM, (3, 2), {"engine": "fast"}, "NTM: engine must be one of ['fused', 'reference'], got 'fa"),
    (sa.models.NTM, (3, 2), {"memory": "empty"}, "NTM: memory must be one of"),
    (sa.models.NTM, (3, 2), {"dtype": "float16"}, "NTM: dtype must be one of ['float32', 'float64'], got"),
    (NTM.sequence, (SMALL, STATE, np.ones((2, 3))), {}, "ntm_lstm: x must have the axes (t,b,i)"),
    (NTM.sequence, (SMALL, STATE, np.ones((2, 1, 4))), {}, "ntm_lstm: input_weights must have 6 rows, got 5"),
    (NTM.sequence, (SMALL, STATE, np.ones((2, 2, 3))), {}, "ntm_lstm: b is both 2 and 1"),
    (NTM.sequence, (SMALL, STATE, np.ones((2, 1, 3), "f")), {}, "ntm_lstm: one precision expected"),
    (NTM.sequence, (SMALL, STATE, np.ones((2, 1, 3)), np.ones(1)), {}, "ntm_lstm: lengths must be integer"),
    (sa.tasks.Copy, (0,), {}, "Copy: bits must be at least 1, got 0"),
    (sa.tasks.Copy, (8, 5, 4), {}, "Copy: longest must be at least shortest, 5, got 4"),
    (sa.tasks.Copy, (8, 1, 2.5), {}, "Copy: longest must be an int, got 2.5"),
    (sa.tasks.Copy, (), {"together": 1}, "Copy: together must be True or False, got 1"),
    (sa.tasks.Copy().batch, (np.random.default_rng(0), -1), {}, "Copy.batch: size must be an int, at least"),
    *[(sa.training.Settings, (), {name: 0}, f"Settings: {name} must be at least 1, got 0")
      for name in "steps batch shards eval_every eval_batch log_every".split()],
    *[(sa.training.Settings, (), {name: bad}, f"Settings: {name} must be")
      for name in ("learning_rate", "clip") for bad in (-1.0, float("nan"), "fast", None)],
    (sa.training.Settings, (), {"learning_rate": 0}, "Settings: learning_rate must be positive and finite"),
    (sa.training.Settings, (), {"optimiser": "adamant"}, "Settings: optimiser must be one of ['"),
    (sa.training.Settings, (), {"decay": 1.5}, "Settings: decay must be from 0 to 1, got 1.5"),
    (sa.training.Settings, (), {"seed": -1}, "Settings: seed must be at least 0, got -1"),
    (sa.training.optimisers.RMSprop(P).step, (SMALL,), {}, "RMSprop: gradient must have the names and shape"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "args", "kwargs", "words"), TABLE, ids=[row[3][:60] for row in TABLE])
def test_what_no_signature_states_is_refused_too(function, args, kwargs, words):
    message = str(refused(function, *args, **kwargs)).strip('"')
    assert message.startswith(words), message


def test_there_are_more_than_two_hundred_wrong_calls():
    assert len(TABLE) + sum(1 for op in sa.REGISTRY.values() for _ in wrong_calls(op)) > 1_500
