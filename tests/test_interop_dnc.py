"""Weights of published DNCs: modules in the layouts of theirs, written here, give what our model gives."""

import numpy as np
import pytest
from adjoint import flat
from dnc_by_hand import torch_memory
from dnc_machines import drawn_inputs, nested
from drawing import below_simplex, equal, free, gate, link, same

import scratchattn as sa
from scratchattn.interop import renaming
from scratchattn.interop.dnc import dnc_gradients, dnc_weights_for, read_dnc
from scratchattn.nn.dnc_cell import DNCState
from scratchattn.nn.dnc_convention import convention_of
from scratchattn.nn.named_conventions import dnc_settings

INPUTS, OUTPUTS, UNITS, ROWS, WIDTH, READERS = 3, 2, 4, 5, 3, 2
PAPER = (
    ("read_keys", (READERS, WIDTH)), ("read_strengths", (READERS,)), ("write_keys", (1, WIDTH)),
    ("write_strengths", (1,)), ("erase", (1, WIDTH)), ("write_vectors", (1, WIDTH)),
    ("free_gates", (READERS,)), ("allocation_gates", (1,)), ("write_gates", (1,)),
    ("read_modes", (READERS, 3)),
)  # fmt: skip


def cut(xi, parts):
    """name -> part of an interface in which ``parts``, (name, shape), stand side by side."""
    pieces = xi.split([int(np.prod(shape)) for _, shape in parts], 1)
    return {name: piece.reshape(-1, *shape) for (name, shape), piece in zip(parts, pieces, strict=True)}


def like_ixaxaar(torch, independent=False):
    """PyTorch's LSTM of two layers; one linear layer for the interface, or one for each part of it."""
    linear = torch.nn.Linear
    names = dict(
        read_keys="read_keys", read_strengths="read_strengths", write_keys="write_key",
        write_strengths="write_strength", erase="erase_vector", write_vectors="write_vector",
        free_gates="free_gates", allocation_gates="allocation_gate", write_gates="write_gate",
        read_modes="read_modes",
    )  # fmt: skip
    columns = {name: int(np.prod(shape)) for name, shape in PAPER}
    if independent:
        layers = {f"{names[name]}_transform": linear(UNITS, size) for name, size in columns.items()}
    else:
        layers = {"interface_weights": linear(UNITS, sum(columns.values()))}
    module = torch.nn.Module()
    module.lstm_layer_0 = torch.nn.LSTM(INPUTS + READERS * WIDTH, UNITS, 2)
    module.rnn_layer_memory_shared = torch.nn.ModuleDict(layers)
    module.output = linear(UNITS + READERS * WIDTH, INPUTS)

    def run(xs, state, c):
        first, controller, outputs = state.reads.flatten(1), state.controller, []
        hidden, cell = (torch.stack([layer[i] for layer in controller]) for i in (0, 1))
        for x in xs:
            shown, (hidden, cell) = module.lstm_layer_0(torch.cat([x, first], 1)[None], (hidden, cell))
            shown = shown[0].clamp(-20, 20)
            if independent:
                xi = torch.cat([layers[f"{names[name]}_transform"](shown) for name, _ in PAPER], 1)
            else:
                xi = layers["interface_weights"](shown)
            memory = torch_memory(torch, cut(xi, PAPER), state, c)
            state = DNCState(*memory)
            outputs.append(module.output(torch.cat([shown, state.reads.flatten(1)], 1)))
        return torch.stack(outputs)

    return module, run


def like_csordas(torch, masked=False, sharpen_links=False, bias=True):
    """Gates f i o g of two layers, which both see x and reads; the write head's parts first."""
    linear, seen = torch.nn.Linear, INPUTS + READERS * WIDTH
    write = [("write_keys", 1), ("erase", 1), ("write_vectors", 1)]
    write = [("write_masks", 1)] * masked + write
    parts = [(name, (heads, WIDTH)) for name, heads in write]
    parts += [("free_gates", (READERS,)), ("write_strengths", (1,)), ("allocation_gates", (1,))]
    parts += [("write_gates", (1,))] + [("read_masks", (READERS, WIDTH))] * masked
    parts += [("read_keys", (READERS, WIDTH)), ("read_strengths", (READERS,)), ("read_modes", (READERS, 3))]
    if sharpen_links:
        parts += [("forward_sharpness", (1, READERS)), ("backward_sharpness", (1, READERS))]
    module = torch.nn.Module()
    module.controller = torch.nn.ModuleDict(
        {
            **{f"in_to_all_{k}": linear(seen, 4 * UNITS) for k in (0, 1)},
            **{f"out_to_all_{k}": linear(UNITS, 4 * UNITS, bias=False) for k in (0, 1)},
            "prev_to_all_0": linear(UNITS, 4 * UNITS, bias=False),
        }
    )
    module.controller_to_controls = linear(2 * UNITS, sum(int(np.prod(s)) for _, s in parts), bias=bias)
    module.controller_to_out = linear(2 * UNITS, OUTPUTS, bias=bias)
    module.read_to_out = linear(READERS * WIDTH, OUTPUTS, bias=bias)

    def run(xs, state, c):
        outputs, layers, controller = [], module.controller, list(state.controller)
        for x in xs:
            chi, shown = torch.cat([x, state.reads.flatten(1)], 1), []
            for k, (hidden, cell) in enumerate(controller):
                z = layers[f"in_to_all_{k}"](chi) + layers[f"out_to_all_{k}"](hidden)
                z = z + layers["prev_to_all_0"](shown[0]) if k else z
                f, i, o = z[:, : 3 * UNITS].sigmoid().chunk(3, 1)
                cell = cell * f + i * z[:, 3 * UNITS :].tanh()
                shown.append(o * cell.tanh())
                controller[k] = shown[-1], cell
            shown = torch.cat(shown, 1)
            said = cut(module.controller_to_controls(shown).clamp(-20, 20), parts)
            state = DNCState(*torch_memory(torch, said, state, c))
            outputs.append(module.controller_to_out(shown) + module.read_to_out(state.reads.flatten(1)))
        return torch.stack(outputs)

    return module, run


def like_jingweiz(torch, writers=2):
    """PyTorch's LSTM cell; a linear layer for each part of the interface, of both kinds of heads."""
    linear = torch.nn.Linear
    wide, one = writers * WIDTH, writers
    write = dict(hid_2_key=wide, hid_2_beta=one, hid_2_alloc_gate=one, hid_2_write_gate=one)
    write |= dict(hid_2_erase=wide, hid_2_add=wide)
    read = dict(hid_2_key=READERS * WIDTH, hid_2_beta=READERS, hid_2_free_gate=READERS)
    read |= dict(hid_2_read_mode=READERS * (1 + 2 * writers))
    module = torch.nn.Module()
    module.controller = torch.nn.ModuleDict({"in_2_hid": torch.nn.LSTMCell(INPUTS + READERS * WIDTH, UNITS)})
    heads = {"write_heads": write, "read_heads": read}
    module.accessor = torch.nn.ModuleDict(
        {
            kind: torch.nn.ModuleDict({n: linear(UNITS, size) for n, size in of.items()})
            for kind, of in heads.items()
        }
    )
    module.hid_to_out = linear(UNITS + READERS * WIDTH, OUTPUTS)

    def run(xs, state, c):
        ((hidden, cell),), outputs = state.controller, []
        for x in xs:
            chi = torch.cat([x, state.reads.flatten(1)], 1)
            hidden, cell = module.controller["in_2_hid"](chi, (hidden, cell))
            hidden = hidden.clamp(-20, 20)
            w, r = ({n: f(hidden) for n, f in of.items()} for of in module.accessor.values())
            words = lambda v: v.reshape(len(v), -1, WIDTH)
            said = dict(
                read_keys=words(r["hid_2_key"]), read_strengths=r["hid_2_beta"],
                write_keys=words(w["hid_2_key"]), write_strengths=w["hid_2_beta"],
                erase=words(w["hid_2_erase"]), write_vectors=words(w["hid_2_add"]),
                free_gates=r["hid_2_free_gate"], allocation_gates=w["hid_2_alloc_gate"],
                write_gates=w["hid_2_write_gate"],
                read_modes=r["hid_2_read_mode"].reshape(len(x), READERS, -1),
            )  # fmt: skip
            state = DNCState(*torch_memory(torch, said, state, c))
            y = module.hid_to_out(torch.cat([hidden, state.reads.flatten(1)], 1))
            outputs.append(y.clamp(-20, 20))
        return torch.stack(outputs)

    return module, run


MADE = {
    "ixaxaar": ("pytorch_dnc", like_ixaxaar, {}),
    "ixaxaar, independent": ("pytorch_dnc", like_ixaxaar, {"independent": True}),
    "csordas": ("csordas", like_csordas, {"masked": True, "sharpen_links": True}),
    "csordas_d": ("csordas_d", like_csordas, {}),
    "csordas_m, no biases": ("csordas_m", like_csordas, {"masked": True, "bias": False}),
    "jingweiz": ("jingweiz", like_jingweiz, {}),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", MADE)


def made(name):
    """A module with weights drawn in float64, how it runs, and the convention."""
    torch = pytest.importorskip("torch")
    convention, make, settings = MADE[name]
    module, run = make(torch, **settings)
    module.double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(0.7 * rng.normal(size=parameter.shape)))
    return torch, module, run, convention


def amid(model, batch=2, seed=3):
    """A state in the middle of things, of that model."""
    rng, heads = np.random.default_rng(seed), (model.write_heads, model.read_heads)
    weightings = [below_simplex(rng, (batch, h, ROWS)) for h in (heads[0], *heads)]
    units = tuple((free(rng, (batch, UNITS)), free(rng, (batch, UNITS))) for _ in range(model.layers))
    memory, usage = free(rng, (batch, ROWS, WIDTH)), gate(rng, (batch, ROWS))
    links = link(rng, (batch, heads[0], ROWS, ROWS))
    return DNCState(memory, usage, links, *weightings, free(rng, (batch, READERS, WIDTH)), units)


@pytest.mark.peers
@EVERY
def test_a_module_in_that_layout_gives_the_same_outputs_and_gradients(name):
    torch, module, run, convention = made(name)
    model, params = read_dnc(convention, module.state_dict(), rows=ROWS, read_heads=READERS)
    state, xs = amid(model), drawn_inputs(5, inputs=INPUTS)
    now = nested(state, [torch.from_numpy(a) for a in flat(state)])
    there = run(torch.from_numpy(xs), now, convention_of(dnc_settings(convention)))
    names = [key for key, _ in params.items()]
    ours, pullback = sa.vjp(
        lambda *values: model.sequence(dict(zip(names, values)), state, xs)[0],
        *[params[key] for key in names],
    )
    same(ours, there.detach().numpy(), 1e-13)
    cotangent = np.random.default_rng(5).normal(size=ours.shape)
    there.backward(torch.from_numpy(cotangent))
    gradients = dnc_gradients(convention, module.state_dict(), dict(zip(names, pullback(cotangent))))
    assert set(gradients) == {key for key, _ in module.named_parameters()}
    for key, parameter in module.named_parameters():
        assert abs(parameter.grad).max() > 0
        same(gradients[key], parameter.grad.numpy(), 1e-12)


@pytest.mark.peers
@EVERY
def test_our_weights_go_into_a_module_in_that_layout(name):
    """And come back as they were; of two biases that are added each has a half."""
    torch, module, run, convention = made(name)
    like, sizes = module.state_dict(), {"rows": ROWS, "read_heads": READERS}
    model, _ = read_dnc(convention, like, **sizes)
    params = model.init(np.random.default_rng(7))
    arrays = dnc_weights_for(convention, like, params)
    module.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    _, again = read_dnc(convention, module.state_dict(), **sizes)
    equal(again.flat, params.flat)
    state, xs = amid(model), drawn_inputs(4, inputs=INPUTS)
    now = nested(state, [torch.from_numpy(a) for a in flat(state)])
    with torch.no_grad():
        there = run(torch.from_numpy(xs), now, convention_of(dnc_settings(convention)))
    same(model.sequence(params, state, xs)[0], there.numpy(), 1e-13)
    if convention == "jingweiz":
        gates = arrays["controller.in_2_hid.bias_ih"]
        assert (gates == arrays["controller.in_2_hid.bias_hh"]).all() and gates.max() == 0.5


@pytest.mark.peers
def test_our_weights_that_theirs_have_no_place_for_are_named():
    _, module, _, convention = made("jingweiz")
    like = module.state_dict()
    _, params = read_dnc(convention, like, rows=ROWS, read_heads=READERS)
    alone = {key: value for key, value in like.items() if ".bias_" not in key}
    with pytest.raises(ValueError, match="theirs have no bias_1, and it is not zero"):
        dnc_weights_for(convention, alone, params)
    with pytest.raises(ValueError, match=r"output_bias of shape \(5,\) is \(2,\) in theirs"):
        dnc_weights_for(convention, like, dict(params.items()) | {"output_bias": np.ones(5)})


@pytest.mark.peers
def test_a_file_of_weights_is_read_like_the_module(tmp_path):
    theirs = pytest.importorskip("safetensors.torch")
    _, module, _, convention = made("jingweiz")
    theirs.save_file(module.state_dict(), tmp_path / "a.safetensors")
    sizes = {"rows": ROWS, "read_heads": READERS}
    (model, params), (_, again) = (
        read_dnc(convention, source, **sizes) for source in (module.state_dict(), tmp_path / "a.safetensors")
    )
    equal(params.flat, again.flat)
    assert (model.write_heads, model.width, model.inputs, model.outputs) == (2, WIDTH, INPUTS, OUTPUTS)
    assert model.dtype == "float64" and model.convention == "jingweiz"


@pytest.mark.peers
@EVERY
def test_no_two_of_their_numbers_become_one_and_none_is_lost(name):
    """The gradient of the sum of all of ours is one for every one of theirs."""
    _, module, _, convention = made(name)
    _, params = read_dnc(convention, module.state_dict(), rows=ROWS, read_heads=READERS)
    ones = {key: np.ones_like(value) for key, value in params.items()}
    for key, counted in dnc_gradients(convention, module.state_dict(), ones).items():
        assert (counted == 1).all(), key


@pytest.mark.peers
@pytest.mark.parametrize(
    "name, change, told",
    [
        ("ixaxaar", {"output.bias": None}, "lack output.bias; they have lstm_layer_0.weight_ih_l0"),
        ("ixaxaar", {"lstm_layer_1.weight_hh_l0": (3, 3)}, "has not, lstm_layer_1.weight_hh_l0$"),
        ("ixaxaar", {"output.weight": (3, 11)}, "read_heads must divide 7, the numbers that are read, got 2"),
        ("ixaxaar", {"output.weight": (3, 3)}, "output.weight must see 4 units and what is read"),
        ("ixaxaar", {"output.weight": (3,)}, r"output.weight must have two axes, got shape \(3,\)"),
        ("ixaxaar", {"output.bias": (4,)}, r"output_bias must have shape \(3,\), got \(4,\)"),
        ("csordas_d", {"controller_to_controls.weight": (29, 8)}, "interface has 29 columns; with 2 read"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(name, change, told):
    _, module, _, convention = made(name)
    arrays = {key: value.numpy() for key, value in module.state_dict().items()}
    for key, shape in change.items():
        arrays.pop(key, None)
        if shape is not None:
            arrays[key] = np.zeros(shape)
    with pytest.raises(ValueError, match=told):
        read_dnc(convention, arrays, rows=ROWS, read_heads=READERS)


def test_other_conventions_and_sources_are_refused():
    with pytest.raises(ValueError, match="no weights of 'paper' are known; there are those of pytorch_dnc,"):
        read_dnc("paper", {}, rows=4, read_heads=1)
    with pytest.raises(ValueError, match="no convention is called 'csordas_x'"):
        read_dnc("csordas_x", {}, rows=4, read_heads=1)
    with pytest.raises(TypeError, match="source must be a mapping or a path, got list"):
        read_dnc("jingweiz", [], rows=4, read_heads=1)


def test_gates_are_moved_to_where_they_belong():
    moved = renaming.columns(np.arange(8.0), (1, 0, 2, 3))
    assert moved.tolist() == [2, 3, 0, 1, 4, 5, 6, 7]
