"""Whole cells held against ours: honest ones, ones with an error in them, ones of another convention."""

import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import gradcheck
from gradcheck.conformance import CELLS
from gradcheck.numbers.balls import BallArray, Undecided, digits
from scratchattn import REGISTRY, cli
from scratchattn.conventions import PRESETS
from scratchattn.nn.named_conventions import ntm_settings
from scratchattn.nn.ntm_cell import NTMState, NTMWeights, ntm_step

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TORCH = {
    "multi_head_attention": ("multi_head_attention_torch", "attention", {}),
    "transformer_block": ("transformer_torch", "encoder", {}),
    "transformer_decoder_block": ("transformer_torch", "decoder", {}),
    "ntm_cell": ("ntm_step", "step", {"convention": "pytorch_ntm"}),
    "dnc_cell": ("dnc_step", "step", {"convention": "deepmind_dnc"}),
    "act": ("act_torch", "ponder", {}),
}


def own(name, slip=()):
    """Our cell itself as a stranger's pair; the gradients that ``slip`` names are off by a factor."""
    op = CELLS[name]
    active = [n for n, kind in zip(op.inputs, op.kinds) if kind is None]

    def forward(*given, **named):
        told = op.__signature__.bind(*given, **named)
        told.apply_defaults()
        return op.forward(*told.args, **told.kwargs)

    def backward(saved, dout):
        grads = op.backward(saved, dout)
        return [None if g is None else g * g.dtype.type(dict(slip).get(n, 1)) for n, g in zip(active, grads)]

    forward.__signature__ = op.__signature__
    return forward, backward


def judged(name, function, backward=None, **rest):
    return gradcheck.verify(function, name, framework="numpy", backward=backward, seeds=1, **rest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELLS)
def test_our_own_text_conforms_in_every_case(name, dtype):
    report = judged(name, *own(name), dtype=dtype)
    assert report.conforms and report.variant is None, report
    assert not report.not_asked, report.not_asked
    inputs = {f"d{n}" for n, kind in zip(CELLS[name].inputs, CELLS[name].kinds) if kind is None}
    assert set(report.distances) == inputs | set(CELLS[name].outputs)


@pytest.mark.parametrize("name", CELLS)
def test_a_relative_error_of_one_in_ten_thousand_is_found_in_the_gradient_it_is_in(name):
    wrong = next(n for n in CELLS[name].inputs if n.endswith("weights"))
    report = judged(name, *own(name, [(wrong, 1 + 1e-4)]))
    assert report.verdict == "differs" and f"d{wrong}" in report.sentence(), report
    assert [n for n, distance in report.distances.items() if distance > 6] == [f"d{wrong}"]


def lstm_layer(x, hidden, cell, input_weights, hidden_weights, bias, forget=0.0):
    """Written down again, in NumPy."""
    shown, squashed = [], lambda a: 1 / (1 + np.exp(-a))
    for row in x:
        i, f, o, c = np.split(row @ input_weights + hidden @ hidden_weights + bias, 4, axis=-1)
        cell = squashed(f + row.dtype.type(forget)) * cell + squashed(i) * np.tanh(c)
        hidden = squashed(o) * np.tanh(cell)
        shown.append(hidden)
    return np.stack(shown), hidden, cell


def test_a_layer_in_numpy_conforms_and_one_with_another_gate_differs():
    for dtype in ("float32", "float64"):
        assert judged("lstm", lstm_layer, dtype=dtype).conforms
    report = judged("lstm", partial(lstm_layer, forget=1.0))
    assert report.verdict == "differs" and "last_cell" in report.sentence()


@gradcheck.parametrize("lstm", framework="numpy", seeds=1)
def test_a_cell_as_tests_case_by_case(judge):
    assert judge(lstm_layer).conforms


def gru_layer(x, hidden, *, weights_beside=None, **weights):
    """A GRU of PyTorch's kind, its weights taken together by their names."""
    shown, squashed = [], lambda a: 1 / (1 + np.exp(-a))
    for row in x:
        r, z, n = np.split(row @ weights["input_weights"] + weights["bias"], 3, axis=-1)
        hr, hz, hn = np.split(hidden @ weights["hidden_weights"] + weights["hidden_bias"], 3, axis=-1)
        z = squashed(z + hz)
        hidden = z * hidden + (1 - z) * np.tanh(n + squashed(r + hr) * hn)
        shown.append(hidden)
    return np.stack(shown), hidden


def test_weights_may_be_taken_together_by_name_and_another_convention_is_named():
    report = judged("gru", gru_layer)
    assert report.verdict == "follows" and report.variant == "torch", report
    assert judged("gru", gru_layer, variant="torch").conforms

    def lacks_the_state(x, *, anything, **weights):
        return gru_layer(x, **weights)

    assert "needs the argument 'anything'" in judged("gru", lacks_the_state).sentence()


def test_an_act_of_another_rule_is_named():
    rule = {"clamped": True, "at_cap": "value_alone", "mixing": "mean_of_more"}

    def step(x, state, input_weights, hidden_weights, bias, halting_weights, halting_bias, *, limit=100):
        weights = input_weights, hidden_weights, bias, halting_weights, halting_bias
        out, _ = CELLS["act"].forward(x, state, *weights, limit=limit, flag="later", **rule)
        return out

    report = judged("act", step)
    assert report.verdict == "follows" and report.variant == "zphang_hidden", report


def test_an_unknown_cell_names_the_nearest():
    with pytest.raises(ValueError, match="no op or cell is called 'ntm_cel'; did you mean ntm_cell"):
        gradcheck.verify(lstm_layer, "ntm_cel")
    with pytest.raises(ValueError, match="variant 'loudinthecloud'; it has paper, pytorch_ntm"):
        gradcheck.verify(lstm_layer, "ntm_cell", variant="loudinthecloud")


@pytest.mark.parametrize(("name", "part"), [("ntm_cell", "ntm"), ("dnc_cell", "dnc")])
def test_every_preset_with_such_a_cell_is_a_variant_of_it(name, part):
    there = {variant.name for variant in CELLS[name].variants}
    presets = [p for p in PRESETS.values() if getattr(p, part) is not None and p.variant is not None]
    assert presets and {p.variant for p in presets} <= there


def test_one_ball_is_one_number_and_two_that_overlap_are_undecided():
    with digits(20):
        third = BallArray.of(np.array([1.0, 2.0])) / 3
        row, column = third[:, None], third[None]
        assert np.asarray(row.real > column).tolist() == [[False, False], [True, False]]
        assert np.asarray(row >= column).tolist() == [[True, False], [True, True]]
        with pytest.raises(Undecided):
            _ = third > BallArray.of(np.array([1.0, 2.0])) / 3


def test_a_plan_may_name_the_stages_that_the_parts_of_a_cell_have():
    plan = gradcheck.Plan(probabilities="bfloat16", intermediates="bfloat16", outputs="bfloat16")
    with pytest.raises(ValueError, match="lstm has no probabilities"):
        judged("lstm", lstm_layer, dtype="bfloat16", plan=plan)
    pytest.importorskip("ml_dtypes")
    report = judged("multi_head_attention", lambda query, key, value, *, heads, **weights: query, plan=plan)
    assert report.verdict == "differs" and "out" in report.sentence()


def test_the_command_takes_cells_and_names_the_nearest(capsys):
    layer = f"{__file__}:lstm_layer"
    assert cli.gradcheck_main(["verify", layer, "--against", "lstm", "--seeds", "1"]) == 0
    assert "lstm_layer conforms to lstm" in capsys.readouterr().out
    assert cli.gradcheck_main(["verify", layer, "--against", "dnc_cel"]) == 2
    assert "did you mean dnc_cell" in capsys.readouterr().err


# ---- in PyTorch -------------------------------------------------------------


def example(name):
    pytest.importorskip("torch")
    file, function, rest = TORCH[name]
    return runpy.run_path(str(EXAMPLES / f"verify_{file}.py"))[function], rest


def in_torch(name, function, **rest):
    return gradcheck.verify(function, name, framework="torch", **{"seeds": 1, **rest})


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TORCH)
def test_honest_cells_in_pytorch_conform(name, dtype):
    function, rest = example(name)
    report = in_torch(name, function, dtype=dtype, **rest)
    assert report.conforms and report.variant == rest.get("convention"), report
    assert not report.not_asked and all(m["refused"] for m in report.misfits), report


@pytest.mark.peers
@pytest.mark.parametrize(("name", "variant"), [("ntm_cell", "pytorch_ntm"), ("dnc_cell", "deepmind")])
def test_whose_step_it_is_is_found_without_being_told(name, variant):
    report = in_torch(name, example(name)[0])
    assert report.verdict == "follows" and report.variant == variant, report


@pytest.mark.peers
@pytest.mark.parametrize("name", ["multi_head_attention", "transformer_block", "ntm_cell"])
def test_honest_cells_conform_in_bfloat16(name):
    function, rest = example(name)
    report = in_torch(name, function, dtype="bfloat16", **rest)
    assert report.conforms and report.lines, report


@pytest.mark.peers
@pytest.mark.parametrize(("name", "other"), [("lstm", None), ("gru", "torch")])
def test_pytorchs_own_recurrent_modules_with_mapped_weights(name, other):
    torch = pytest.importorskip("torch")

    def called(x, *states, **weights):
        module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name]
        module = module(x.shape[-1], states[0].shape[-1], dtype=x.dtype)
        mapped = gradcheck.torch_parameters(name, weights)
        given = tuple(state[None] for state in states)
        out, last = torch.func.functional_call(module, mapped, (x, given if len(given) > 1 else given[0]))
        return out, *[state[0] for state in (last if len(given) > 1 else (last,))]

    def of_lstm(x, hidden, cell, **weights):
        return called(x, hidden, cell, **weights)

    def of_gru(x, hidden, **weights):
        return called(x, hidden, **weights)

    for dtype in ("float32", "float64"):
        report = in_torch(name, of_lstm if name == "lstm" else of_gru, variant=other, dtype=dtype)
        assert report.conforms, report


@pytest.mark.peers
@pytest.mark.parametrize("name", ["lstm_cell", "gru_cell"])
def test_steps_of_pytorch_with_mapped_weights(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, hidden, cell = (torch.tensor(rng.normal(size=(2, n))) for n in (3, 4, 4))
    gates = 4 if name == "lstm_cell" else 3
    weights = {"input_weights": (3, gates * 4), "hidden_weights": (4, gates * 4), "bias": (gates * 4,)}
    weights |= {"hidden_bias": (12,)} if name == "gru_cell" else {}
    ours = {key: torch.tensor(rng.normal(size=shape)) for key, shape in weights.items()}
    module = {"lstm_cell": torch.nn.LSTMCell, "gru_cell": torch.nn.GRUCell}[name](3, 4, dtype=x.dtype)
    states = (hidden, cell) if name == "lstm_cell" else (hidden,)
    given = states if name == "lstm_cell" else hidden
    found = torch.func.functional_call(module, gradcheck.torch_parameters(name, ours), (x, given))
    arrays = [a.numpy() for a in (x, *states, *ours.values())]
    wanted = REGISTRY[name](*arrays, **({} if name == "lstm_cell" else {"reset": "after"}))
    pairs = zip(found, wanted, strict=True) if name == "lstm_cell" else [(found, wanted)]
    for theirs, mine in pairs:
        np.testing.assert_allclose(theirs.numpy(), mine, rtol=1e-12)


@pytest.mark.peers
def test_torch_parameters_refuses_a_cell_that_torch_has_not():
    with pytest.raises(ValueError, match="name must be one of multi_head_attention"):
        gradcheck.torch_parameters("ntm_cell", {})


def slipped(torch, function, wrong, factor):
    """``function`` with the gradient by the weight ``wrong`` off by ``factor``."""

    class Slip(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, dout):
            return dout * factor

    def called(x, *state, **rest):
        return function(x, *state, **{**rest, wrong: Slip.apply(rest[wrong])})

    return called


@pytest.mark.peers
@pytest.mark.parametrize("wrong", ["head_weights", "output_weights", "hidden_weights"])
def test_an_error_in_one_weights_gradient_is_found_and_named(wrong):
    torch = pytest.importorskip("torch")
    step, rest = example("ntm_cell")

    def called(x, reads, memory, weightings, hidden, cell, **weights):
        return slipped(torch, step, wrong, 1 + 1e-4)(x, reads, memory, weightings, hidden, cell, **weights)

    report = in_torch("ntm_cell", called, **rest)
    assert report.verdict == "differs" and report.distances[f"d{wrong}"] > 6, report
    assert max(v for k, v in report.distances.items() if k != f"d{wrong}") < 6


@pytest.mark.peers
def test_a_missing_term_is_found():
    pytest.importorskip("torch")
    step, rest = example("ntm_cell")

    def forgets_where_it_was(x, reads, memory, weightings, hidden, cell, **weights):
        return step(x, reads, memory, weightings.detach(), hidden, cell, **weights)

    report = in_torch("ntm_cell", forgets_where_it_was, **rest)
    assert report.verdict == "differs"
    assert [n for n, distance in report.distances.items() if not distance < 6] == ["dweightings"]
    ponder, _ = example("act")
    report = in_torch("act", lambda x, state, **w: ponder(x, state, detached=True, **w))
    assert report.verdict == "differs" and "dhalting_weights" in report.sentence()
    assert max(report.distances[name] for name in ("new_state", "remainder", "steps")) < 6


@pytest.mark.peers
def test_wrong_conventions_are_named():
    pytest.importorskip("torch")
    encoder, _ = example("transformer_block")
    for settings, variant in (
        ({"norm_first": True}, "pre"),
        ({"activation": "gelu"}, "post, gelu"),
    ):
        report = in_torch("transformer_block", partial(encoder, **settings))
        assert report.verdict == "follows" and report.variant == variant, report
    dnc, _ = example("dnc_cell")
    report = in_torch("dnc_cell", partial(dnc, stopped=False), convention="deepmind_dnc")
    assert report.variant == "as asked, with stop_write_gradient=False", report


@pytest.mark.peers
def test_heads_in_the_wrong_order_are_told_from_those_in_the_right_one():
    pytest.importorskip("torch")
    script = runpy.run_path(str(EXAMPLES / "verify_ntm_step.py"))
    report = in_torch("ntm_cell", script["writes_first"], convention="pytorch_ntm")
    assert report.verdict == "differs" and "new_reads" in report.sentence(), report
    assert report.nearest[0] == "as asked, with heads=write_first", report


# ---- conventions that other shapes belong to ----------------------------------


def followed_by(name, **altered):
    """A step of the NTM's feed-forward cell in NumPy that follows a preset but for what is ``altered``."""

    def step(
        x,
        reads,
        memory,
        weightings,
        input_weights,
        bias,
        head_weights,
        head_bias,
        output_weights,
        output_bias,
    ):
        weights = NTMWeights(input_weights, bias, head_weights, head_bias, output_weights, output_bias)
        state, said = NTMState(reads, memory, weightings), ntm_settings(name) | altered
        y, new = ntm_step(x, state, weights, **said)
        return y, *new[:3]

    return step


@pytest.mark.parametrize("name", ["carpedm20", "shawntan", "ntm_lasagne", "fumin"])
def test_a_convention_of_other_shapes_has_cases_of_its_own(name):
    """Outputs of the controller alone, heads that read and write, a shift by one number."""
    report = judged("ntm_feed_forward_cell", followed_by(name), convention=name)
    assert report.conforms and not report.not_asked and len(report.cases) >= 4, report
    wrong = judged("ntm_feed_forward_cell", followed_by(name, key="sigmoid"), convention=name)
    assert wrong.verdict == "follows" and not wrong.not_asked, wrong
    assert "with key=sigmoid" in wrong.sentence() and f"not {name}" in wrong.sentence(), wrong
