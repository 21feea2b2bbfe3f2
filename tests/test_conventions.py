"""Presets: every word of theirs is a switch, every switch is felt, and the cells are those that they name."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from adjoint import flat
from dnc_machines import CONVENTIONS as DNC_MACHINES
from dnc_machines import machine

import scratchattn as sa
from scratchattn import cli
from scratchattn.conventions import PRESETS, Preset, op_params, preset, presets, variant_of
from scratchattn.models import DNC, NTM
from scratchattn.models.dnc_start import DNCStart
from scratchattn.models.ntm_start import NTMStart
from scratchattn.nn.dnc_cell import dnc_step, dnc_weights
from scratchattn.nn.dnc_convention import DNCConvention
from scratchattn.nn.named_conventions import DNC_NAMES, NTM_NAMES, dnc_settings, ntm_settings
from scratchattn.nn.ntm_cell import ntm_sequence
from scratchattn.nn.ntm_convention import NTMConvention, convention_of
from scratchattn.report.conventions import SWITCHES, conventions_page

EVERY = pytest.mark.parametrize("name", PRESETS)
NTMS = pytest.mark.parametrize("name", NTM_NAMES)
DNCS = pytest.mark.parametrize("name", DNC_NAMES)
REQUIRED = {"paper", "pytorch_ntm", "pytorch_dnc", "deepmind_dnc", "torch"}


# ---- the data ---------------------------------------------------------------


def problems(chosen):
    """What is wrong with a preset, in words."""
    if not chosen.source or not chosen.files:
        yield "names no source"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", chosen.source) and not chosen.commit:
        yield "names no commit"
    if chosen.variant is not None:
        named = [v for op in sa.REGISTRY.values() for v in op.variants if v.name == chosen.variant]
        if not named:
            yield f"no op has a variant {chosen.variant}"
        repository = chosen.source.partition("/")[2] and chosen.variant not in ("torch", "paper")
        for strange in (v.source for v in named if repository and chosen.source not in v.source):
            yield f"a variant of that name is of {strange}"
    for op, variant in chosen.by_op.items():
        if op not in sa.REGISTRY or variant not in [v.name for v in sa.REGISTRY[op].variants]:
            yield f"{op} has no variant {variant}"
    cells = (NTMConvention, chosen.ntm), (DNCConvention, chosen.dnc)
    starts = (NTMStart, chosen.ntm_start), (DNCStart, chosen.dnc_start)
    for kind, settings in cells + starts:
        try:
            kind(**(settings or {}))
        except (TypeError, ValueError) as wrong:
            yield str(wrong)
    if (chosen.ntm is None and chosen.ntm_start) or (chosen.dnc is None and chosen.dnc_start):
        yield "starts what it has not"


def test_the_presets_that_must_be_there_are_there():
    assert REQUIRED <= set(PRESETS) and all(name == chosen.name for name, chosen in PRESETS.items())
    assert "pytorch_ntm" in NTM_NAMES and {"paper", "pytorch_dnc", "deepmind_dnc"} <= set(DNC_NAMES)


@EVERY
def test_every_word_of_a_preset_is_real(name):
    assert list(problems(preset(name))) == []


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"source": ""}, "names no source"),
        ({"commit": ""}, "names no commit"),
        ({"variant": "pytorch_nmt"}, "no op has a variant pytorch_nmt"),
        ({"variant": "collier"}, "is of MarkPKCollier"),
        ({"by_op": {"sharpening": "sharp"}}, "sharpening has no variant sharp"),
        ({"by_op": {"sharpen": "paper"}}, "sharpen has no variant paper"),
        ({"ntm": {"heads": "sideways"}}, "heads must be one of"),
        ({"ntm": {"head": "in_turn"}}, "unexpected keyword argument 'head'"),
        ({"dnc": {"strength": "relu"}}, "strength must be one of"),
        ({"ntm_start": {"reads": "one_hot"}}, "reads must be one of"),
        ({"dnc": {}, "dnc_start": {"memory": "1e-6"}}, "memory must be one of"),
        ({"dnc_start": {"memory": "tiny"}}, "starts what it has not"),
    ],
)
def test_a_word_that_is_not_is_found(wrong, told):
    assert any(told in line for line in problems(dataclasses.replace(preset("pytorch_ntm"), **wrong)))


@EVERY
def test_the_params_of_its_variants_are_taken_by_the_ops(name):
    followed = [op for op in sa.REGISTRY.values() if variant_of(name, op)]
    assert followed or preset(name).variant is None
    for op in followed:
        assert set(op_params(name, op)) <= set(op._params)


def test_what_an_op_decides_is_taken_from_its_variant():
    assert op_params("pytorch_ntm", sa.sharpening) == {"denominator_eps": 1e-16}
    assert op_params("torch", sa.softplus) == {"threshold": 20.0}  # under another name there
    assert variant_of("deepmind_dnc", sa.dnc_usage).source == "google-deepmind/dnc dnc/addressing.py"
    assert variant_of("pytorch_ntm", sa.softmax_attention) is None
    assert op_params("pytorch_ntm", sa.softmax_attention) == {}
    assert ntm_settings("pytorch_ntm")["write_order"] == "sequential"
    assert dnc_settings("adnc")["mode_order"] == "forward_content_backward"


def test_params_are_copies():
    op_params("pytorch_ntm", sa.sharpening)["denominator_eps"] = 7
    ntm_settings("pytorch_ntm")["heads"] = "together"
    assert op_params("pytorch_ntm", sa.sharpening) == {"denominator_eps": 1e-16}
    assert ntm_settings("pytorch_ntm")["heads"] == "in_turn"


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: preset("pytorch"), "no convention is called 'pytorch'; there are smoothed, paper,"),
        (lambda: op_params("x", sa.softplus), "no convention is called 'x'"),
        (lambda: ntm_settings("torch"), "the convention torch has no NTM; those that have: smoothed"),
        (lambda: dnc_settings("collier"), "the convention collier has no DNC; those that have"),
        (lambda: NTM(3, 2, convention="adnc"), r"NTM: convention must be one of \['smoothed'"),
        (lambda: NTM(3, 2, convention="paper", engine="fused"), "paper runs by engine='reference' only"),
        (lambda: NTM(3, 2, memory="blank"), "NTM: memory must be one of"),
        (lambda: NTMConvention(smoothing=1), "smoothing must be below 1"),
        (lambda: NTMConvention(clip_heads=-1.0), "clip_heads must not be negative"),
        (lambda: NTMConvention(eps=0), "eps must be positive"),
    ],
)
def test_wrong_values_are_named(call, told):
    with pytest.raises(ValueError, match=told):
        call()


def test_wrong_kinds_are_named():
    with pytest.raises(TypeError, match="no setting is called 'epsilon'; there are key, write_vector"):
        convention_of({"epsilon": 1})
    with pytest.raises(TypeError, match="NTMConvention: offset must be a number, got '1'"):
        NTMConvention(offset="1")
    with pytest.raises(TypeError, match="softplus_threshold must be None or a number"):
        NTMConvention(softplus_threshold="20")


def test_the_page_is_what_the_presets_say():
    page = Path(__file__).parent.parent / "docs" / "conventions.md"
    assert page.read_text(encoding="utf-8") == conventions_page()


def test_the_page_follows_the_presets(monkeypatch):
    new = Preset("new", "somebody/something", ("a.py",), "abc", ntm={"key": "relu"}, not_covered=("sings",))
    monkeypatch.setitem(presets.PRESETS, "new", new)
    row = "| `new` | somebody/something at abc: a.py | key relu | nothing | - | - |"
    assert row in conventions_page() and "- `new`: sings" in conventions_page()


def test_the_page_lists_every_switch_with_who_turns_it():
    page = conventions_page()
    for title, kind, choices, _, _ in SWITCHES:
        section = page.partition(f"## Switches of the {title},")[2].partition("\n##")[0]
        for field in dataclasses.fields(kind):
            (line,) = [line for line in section.splitlines() if line.startswith(f"- `{field.name}`: **")]
            words = [v for v in choices.get(field.name, ()) if not isinstance(v, tuple)]
            assert all(str(v) in line for v in words), line
    assert "- `heads`: **together**; read_last (shawntan, ntm_lasagne); write_first (paper, jingweiz)" in page
    assert "- `roles`: **separate**; both (fumin)" in page and "- `turns`: **none**\n" in page


# ---- the model --------------------------------------------------------------


def small(**settings):
    return NTM(3, 2, **dict(rows=5, width=4, units=4, dtype="float64") | settings)


@NTMS
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_a_named_model_runs_learns_all_it_has_and_goes_on_where_it_stopped(name, controller):
    ntm = small(convention=name, controller=controller, read_heads=2, write_heads=2)
    assert ntm.engine == ("fused" if name == "smoothed" else "reference")
    params, xs = ntm.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(5, 2, 3))
    whole, last = ntm.sequence(params, ntm.initial_state(params, 2), xs)
    first, state = ntm.sequence(params, ntm.initial_state(params, 2), xs[:2])
    second, end = ntm.sequence(params, state, xs[2:])
    for a, b in zip([np.concatenate([first, second]), *end], [whole, *last], strict=True):
        assert a is b is None or (abs(a - b).max() <= 1e-12 if name == "smoothed" else (a == b).all())
    leaves = params.tensors()
    y, _ = ntm.sequence(leaves, ntm.initial_state(leaves, 2), xs)
    for learned, gradient in zip(leaves, sa.pull_back([y], [np.ones(y.shape)], list(leaves.values()))):
        assert np.isfinite(gradient).all() and abs(gradient).max() > 0, learned


def test_the_default_is_the_convention_smoothed():
    assert ntm_settings("smoothed") == {} and small() == small(convention="smoothed", engine="fused")
    ntm = small(engine="reference")
    params, xs = ntm.init(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(3, 2, 3))
    y, last = ntm.sequence(params, ntm.initial_state(params, 2), xs)
    again, end = ntm_sequence(xs, ntm.initial_state(params, 2), ntm.weights(params), eps=1e-6)
    assert (y == again).all() and all((a == b).all() for a, b in zip(last, end, strict=True))


def test_where_sequences_start():
    for name, weightings, memory in (
        ("pytorch_ntm", np.zeros(5), None),
        ("jingweiz", np.eye(5)[0], 1e-6),
        ("collier", None, 1e-6),
    ):
        ntm = small(convention=name)
        state = ntm.initial_state(ntm.init(np.random.default_rng(0)), 3)
        assert weightings is None or (state.weightings == weightings).all()
        assert memory is None or (state.memory == memory).all()
    ntm = small(convention="carpedm20")
    params = ntm.init(np.random.default_rng(0))
    params["initial_reads"][...] = params["initial_hidden"][0] = 0.7
    state = ntm.initial_state(params, 3)
    assert (state.reads == np.tanh(0.7)).all() and (state.hidden[:, 0] == np.tanh(0.7)).all()
    assert (state.memory == np.tanh(params["initial_memory"])).all()
    ntm = small(convention="pytorch_ntm")
    state = ntm.initial_state(ntm.init(np.random.default_rng(0)), 3)
    assert 0 < abs(state.memory).max() <= 1 / 3 and 0 < abs(state.reads).max() < 0.05
    assert set(ntm.shapes()) & {"initial_memory", "initial_reads", "initial_weightings"} == set()
    blank = small(convention="pytorch_ntm", memory="constant")
    assert (blank.initial_state(blank.init(np.random.default_rng(0)), 1).memory == 1e-6).all()
    assert "initial_memory" in small(memory="learned").shapes()


def test_the_command_trains_a_named_model(tmp_path, capsys):
    words = (
        "convention=pytorch_ntm",
        "steps=2",
        "rows=6",
        "width=3",
        "units=4",
        "longest=2",
        "eval_batches=1",
    )
    out = tmp_path / "run"
    status = cli.main(["train", "ntm", "copy", "--json", "--out", str(out), *[f"--set={w}" for w in words]])
    assert status == 0 and json.loads(capsys.readouterr().out)["steps"] == 2
    model = json.loads((out / "config.json").read_text())["model"]
    assert model["convention"] == "pytorch_ntm" and model["engine"] == "reference"


# ---- the DNC ----------------------------------------------------------------


@DNCS
def test_a_named_dnc_steps_from_its_start_and_amid_things(name):
    said = dnc_settings(name)
    params, amid = machine(said)
    dnc = DNC(2, 2, rows=4, width=3, units=3, layers=2, read_heads=2, convention=name, dtype="float64")
    named = {k: v.shape for k, v in params.items()}
    assert {k: v for k, v in dnc.shapes().items() if not k.endswith(("face_bias", "put_bias"))} == named
    for state in (amid, dnc.initial_state(None, 2)):
        y, new = dnc_step(np.ones((2, 2)), state, dnc_weights(params), **said)
        assert all(np.isfinite(a).all() for a in flat((y, new)))
        if name != "smoothed" and named == {k: v.shape for k, v in machine()[0].items()}:
            there, _ = dnc_step(np.ones((2, 2)), state, dnc_weights(params))
            assert name == "paper" or abs(y - there).max() > 1e-9


@pytest.mark.parametrize(
    "name, there",
    [("deepmind_dnc", "deepmind"), ("pytorch_dnc", "ixaxaar"), ("csordas", "csordas"), ("adnc", "adnc")],
)
def test_two_who_read_the_same_code_read_the_same(name, there):
    """The conventions that the tests of the cell were written with, by another hand."""
    other = DNCConvention(**DNC_MACHINES[there] | {"mask_min": 0.0})
    assert DNCConvention(**dnc_settings(name)) == other
