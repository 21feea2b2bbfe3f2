"""Weights of other people's NTMs: machines in their layouts, written here in eager PyTorch, beside ours.

The modules have the names and shapes of theirs and their order of things; how they compute is their papers'
and not their code.  ``examples/interop_ntm.py`` asks the code itself.
"""

from dataclasses import replace

import numpy as np
import pytest

import scratchattn as sa
from scratchattn.interop.ntm import LoadedNTM, ntm_gradients, read_ntm
from scratchattn.models import NTM
from scratchattn.report.pictures import pictures
from scratchattn.tasks import Copy
from scratchattn.training import RMSprop, Settings
from scratchattn.training.step import derive, update

INPUTS, OUTPUTS, UNITS, ROWS, WIDTH, STEPS, BATCH = 3, 2, 5, 6, 4, 7, 2


@pytest.fixture
def torch():
    library = pytest.importorskip("torch")
    before = library.get_default_dtype()
    library.set_default_dtype(library.float64)
    library.manual_seed(0)
    yield library
    library.set_default_dtype(before)


def focused(torch, memory, before, key, strength, gate, shift, sharpness, cosine):
    """Equations 5 to 9 for one head: keys (b, w), numbers (b, 1), shifts (b, 3) of which the first is +1."""
    content = torch.softmax(strength * cosine(key, memory), dim=1)
    gated = gate * content + (1 - gate) * before
    moved = sum(s[:, None] * gated.roll(offset, 1) for s, offset in zip(shift.T, (1, 0, -1)))
    powers = moved**sharpness
    return powers / (powers.sum(1, keepdim=True) + 1e-16)


def loudinthecloud(torch, kinds, layers=1):
    """A module with the arrays of pytorch-ntm's, heads in the order of ``kinds``, and what runs it."""
    nn, fun, readers = torch.nn, torch.nn.functional, kinds.count("r")
    ntm, controller = nn.Module(), nn.Module()
    controller.lstm = nn.LSTM(INPUTS + readers * WIDTH, UNITS, layers)
    for state in "hc":
        controller.register_parameter(f"lstm_{state}_bias", nn.Parameter(torch.randn(layers, 1, UNITS)))
    ntm.controller, ntm.memory, ntm.heads = controller, nn.Module(), nn.ModuleList()
    ntm.memory.register_buffer("mem_bias", torch.randn(ROWS, WIDTH))
    sizes = [WIDTH, 1, 1, 3, 1]
    for kind in kinds:
        head = nn.Module()
        head.memory = ntm.memory
        if kind == "r":
            head.fc_read = nn.Linear(UNITS, sum(sizes))
        else:
            head.fc_write = nn.Linear(UNITS, sum(sizes) + 2 * WIDTH)
        ntm.heads.append(head)
    for i in range(readers):
        ntm.register_buffer(f"read{i}_bias", torch.randn(1, WIDTH))
    ntm.fc = nn.Linear(UNITS + readers * WIDTH, OUTPUTS)

    def alike(key, memory):
        return fun.cosine_similarity(memory + 1e-16, key[:, None] + 1e-16, dim=-1)

    def run(xs):
        batch, ys = xs.shape[1], []
        memory = ntm.memory.mem_bias.repeat(batch, 1, 1)
        reads = [getattr(ntm, f"read{i}_bias").repeat(batch, 1) for i in range(readers)]
        before = [torch.zeros(batch, ROWS) for _ in kinds]
        state = tuple(a.repeat(1, batch, 1) for a in (controller.lstm_h_bias, controller.lstm_c_bias))
        for x in xs:
            shown, state = controller.lstm(torch.cat([x, *reads], 1)[None], state)
            reads = []
            for i, kind in enumerate(kinds):
                layer = ntm.heads[i].fc_read if kind == "r" else ntm.heads[i].fc_write
                raw = layer(shown[0])
                key, strength, gate, shift, sharpness, rest = raw.split(
                    [*sizes, raw.shape[1] - sum(sizes)], 1
                )
                told = fun.softplus(strength), gate.sigmoid(), shift.softmax(1), 1 + fun.softplus(sharpness)
                before[i] = w = focused(torch, memory, before[i], key, *told, alike)
                if kind == "r":
                    reads.append(torch.einsum("bn,bnw->bw", w, memory))
                else:
                    erase, add = rest.chunk(2, 1)
                    kept = 1 - w[:, :, None] * erase.sigmoid()[:, None]
                    memory = memory * kept + w[:, :, None] * add[:, None]
            ys.append(ntm.fc(torch.cat([shown[0], *reads], 1)))
        return torch.stack(ys)

    return ntm, run


def jingweiz(torch, kinds):
    """The same of jingweiz/pytorch-dnc's NTM: all write, then all read what was written."""
    nn, fun, count = torch.nn, torch.nn.functional, {kind: kinds.count(kind) for kind in "rw"}
    ntm, controller, accessor = nn.Module(), nn.Module(), nn.Module()
    controller.in_2_hid = nn.LSTMCell(INPUTS + count["r"] * WIDTH, UNITS)
    ntm.controller, ntm.accessor = controller, accessor
    sizes = {"key": WIDTH, "beta": 1, "gate": 1, "shift": 3, "gamma": 1}
    for name, kind in (("write_heads", "w"), ("read_heads", "r")):
        heads = nn.Module()
        for part, size in {**sizes, **({"erase": WIDTH, "add": WIDTH} if kind == "w" else {})}.items():
            setattr(heads, f"hid_2_{part}", nn.Linear(UNITS, count[kind] * size))
        setattr(accessor, name, heads)
    ntm.hid_to_out = nn.Linear(UNITS + count["r"] * WIDTH, OUTPUTS)

    def alike(key, memory):
        lengths = ((key**2).sum(1, keepdim=True) + 1e-6).sqrt() * ((memory**2).sum(2) + 1e-6).sqrt()
        return (memory @ key[:, :, None])[..., 0] / (lengths + 1e-6)

    def look(heads, kind, i, shown, memory, before):
        cut = lambda part: getattr(heads, f"hid_2_{part}")(shown).chunk(count[kind], 1)[i]
        told = fun.softplus(cut("beta")), cut("gate").sigmoid(), cut("shift").softmax(1)
        return focused(
            torch, memory, before, cut("key").tanh(), *told, 1 + fun.softplus(cut("gamma")), alike
        ), cut

    def run(xs):
        batch, ys = xs.shape[1], []
        memory, reads = torch.full((batch, ROWS, WIDTH), 1e-6), torch.full((batch, count["r"] * WIDTH), 1e-6)
        start = torch.eye(ROWS)[0].repeat(batch, 1)
        before, state = {kind: [start] * count[kind] for kind in "rw"}, None
        for x in xs:
            state = controller.in_2_hid(torch.cat([x, reads], 1), state)
            shown, kept, added = state[0], 1.0, 0.0
            for i in range(count["w"]):
                w, cut = look(accessor.write_heads, "w", i, shown, memory, before["w"][i])
                before["w"] = [*before["w"][:i], w, *before["w"][i + 1 :]]
                kept = kept * (1 - w[:, :, None] * cut("erase").sigmoid()[:, None])
                added = added + w[:, :, None] * cut("add").tanh()[:, None]
            memory = memory * kept + added
            looked = [
                look(accessor.read_heads, "r", i, shown, memory, w)[0] for i, w in enumerate(before["r"])
            ]
            before["r"], reads = looked, torch.cat([torch.einsum("bn,bnw->bw", w, memory) for w in looked], 1)
            ys.append(ntm.hid_to_out(torch.cat([shown, reads], 1)).clamp(-20, 20))
        return torch.stack(ys)

    return ntm, run


AUTHORS = {"pytorch_ntm": (loudinthecloud, None), "jingweiz": (jingweiz, ROWS)}


def apart(torch, name, *machine, source=lambda module: module.state_dict(), prefix=""):
    """name -> distance, of the outputs and of the gradient by each of their parameters and by the inputs."""
    author, rows = AUTHORS[name]
    module, run = author(torch, *machine)
    (model, params), rng = read_ntm(name, source(module), rows=rows), np.random.default_rng(0)
    xs, cotangent = rng.normal(size=(STEPS, BATCH, INPUTS)), rng.normal(size=(STEPS, BATCH, OUTPUTS))
    shown = torch.tensor(xs, requires_grad=True)
    theirs = run(shown)
    (theirs * torch.tensor(cotangent)).sum().backward()

    def ours(xs, *leaves):
        named = dict(zip(params, leaves))
        return model.sequence(named, model.initial_state(named, BATCH), xs)[0]

    y, pullback = sa.vjp(ours, xs, *[params[each] for each in params])
    dxs, *gradients = pullback(cotangent)
    found = ntm_gradients(name, source(module), dict(zip(params, gradients)))
    pairs = {"outputs": (y, theirs.detach().numpy()), "inputs": (dxs, shown.grad.numpy())}
    for each, parameter in module.named_parameters():
        assert abs(parameter.grad).max() > 0, f"vacuous: {each}"
        pairs[each] = found.pop(prefix + each), parameter.grad.numpy()
    assert not found and all(a.shape == b.shape for a, b in pairs.values())
    return {each: abs(a - b).max() / abs(b).max() for each, (a, b) in pairs.items()}


@pytest.mark.peers
@pytest.mark.parametrize("kinds", ["rw", "rwrw", "rwwrr", "wwr"])
def test_outputs_and_gradients_of_pytorch_ntm(torch, kinds):
    errors = apart(torch, "pytorch_ntm", kinds)
    assert max(errors.values()) <= 1e-12, errors


@pytest.mark.peers
@pytest.mark.parametrize("kinds", ["rw", "rrw", "rwwww", "rrrww"])
def test_outputs_and_gradients_of_jingweiz(torch, kinds):
    errors = apart(torch, "jingweiz", kinds)
    assert max(errors.values()) <= 1e-12, errors


@pytest.mark.peers
@pytest.mark.parametrize("layers", [2, 3])
def test_outputs_and_gradients_of_pytorch_ntm_with_several_layers(torch, layers):
    errors = apart(torch, "pytorch_ntm", "rw", layers)
    assert max(errors.values()) <= 1e-12, errors


@pytest.mark.peers
def test_a_state_dict_of_the_encapsulated_machine_and_a_file_hold_the_same(torch, tmp_path):
    """There every name has ntm. before it, and the memory stands under the name of each head as well."""
    from safetensors.numpy import save_file

    def encapsulated(module):
        names = {f"ntm.{name}": array for name, array in module.state_dict().items()}
        return names | {"memory.mem_bias": names["ntm.memory.mem_bias"]}

    def file(module):
        arrays = {name: array.numpy() for name, array in module.state_dict().items()}
        save_file(
            {n: a for n, a in arrays.items() if "heads.0.mem" not in n}, tmp_path / "theirs.safetensors"
        )
        return tmp_path / "theirs.safetensors"

    for source, prefix in ((encapsulated, "ntm."), (file, "")):
        errors = apart(torch, "pytorch_ntm", "rwrw", source=source, prefix=prefix)
        assert max(errors.values()) <= 1e-12, errors


def arrays_of(kinds="rw", dtype="float64", **altered):
    """Arrays in the layout of pytorch-ntm, without PyTorch."""
    rng, readers = np.random.default_rng(0), kinds.count("r")
    shapes = {"controller.lstm_h_bias": (1, 1, UNITS), "controller.lstm_c_bias": (1, 1, UNITS),
              "controller.lstm.weight_ih_l0": (4 * UNITS, INPUTS + readers * WIDTH),
              "controller.lstm.weight_hh_l0": (4 * UNITS, UNITS),
              "controller.lstm.bias_ih_l0": (4 * UNITS,), "controller.lstm.bias_hh_l0": (4 * UNITS,),
              "memory.mem_bias": (ROWS, WIDTH), "fc.weight": (OUTPUTS, UNITS + readers * WIDTH),
              "fc.bias": (OUTPUTS,)}  # fmt: skip
    for i, kind in enumerate(kinds):
        name, size = ("read", WIDTH + 6) if kind == "r" else ("write", 3 * WIDTH + 6)
        shapes |= {f"heads.{i}.fc_{name}.weight": (size, UNITS), f"heads.{i}.fc_{name}.bias": (size,)}
    shapes |= {f"read{i}_bias": (1, WIDTH) for i in range(readers)}
    arrays = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    arrays |= {name: value for name, value in altered.items() if value is not None}
    return {name: array for name, array in arrays.items() if altered.get(name, 0) is not None}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_machine_that_was_read_runs_in_its_own_precision_from_what_it_is_given(dtype):
    arrays = arrays_of("rwrw", dtype)
    model, params = read_ntm("pytorch_ntm", arrays)
    sizes = {"rows": ROWS, "width": WIDTH, "units": UNITS, "read_heads": 2, "write_heads": 2}
    assert model == LoadedNTM(INPUTS, OUTPUTS, **sizes, dtype=dtype, convention="pytorch_ntm", turns="rwrw")
    assert set(model.given) == {"memory", "reads"} and not {"initial_memory", "initial_reads"} & set(params)
    state = model.initial_state(params, 2)
    assert (state.memory[1] == arrays["memory.mem_bias"]).all() and (state.weightings == 0).all()
    assert (state.reads[1, 1] == arrays["read1_bias"][0]).all()
    assert (state.hidden[1] == arrays["controller.lstm_h_bias"][0, 0]).all()
    y, last = model.sequence(params, state, np.ones((3, 2, INPUTS), dtype))
    assert y.dtype == last.memory.dtype == dtype and np.isfinite(y).all()


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_training_on_starts_from_what_was_loaded(engine):
    """The trainer, which knows nothing of it, and a copy with another engine; ours would start elsewhere."""
    arrays = arrays_of("rw", "float32")
    model, params = read_ntm("pytorch_ntm", arrays)
    model = replace(model, engine=engine)
    task = Copy(bits=2, shortest=2, longest=2)
    batch = task.batch(np.random.default_rng(0), 3)
    plain = NTM(INPUTS, OUTPUTS, rows=ROWS, width=WIDTH, units=UNITS, convention="pytorch_ntm", turns="rw")
    state = plain.initial_state(params, 3, memory=arrays["memory.mem_bias"], reads=arrays["read0_bias"])
    expected = task.loss(plain.sequence(params, state, batch.inputs)[0], batch)
    loss, _, gradient, _ = derive(model, task, params, batch, None, Settings())
    assert loss == expected and set(gradient) == set(params)
    assert abs(derive(plain, task, params, batch, None, Settings())[0] - loss) > 1e-3
    optimiser = RMSprop(params)
    update(model, task, params, optimiser, batch, Settings(learning_rate=0.1))
    assert derive(model, task, params, batch, None, Settings())[0] < loss
    assert (model.initial_state(params, 3).memory == arrays["memory.mem_bias"]).all()
    assert (model.initial_state(params, 1, memory=np.zeros((ROWS, WIDTH), "f")).memory == 0).all()


def test_a_loaded_machine_is_drawn_as_any_other():
    model, params = read_ntm("pytorch_ntm", arrays_of("rw", "float32"))
    sections = pictures(model, params, Copy(bits=2, shortest=2, longest=2), np.random.default_rng(0))
    assert len(sections) > 1


@pytest.mark.parametrize(
    "altered, told",
    [
        ({"fc.weight": None}, "the weights lack fc.weight"),
        ({"fc.extra": np.zeros(3)}, "the weights have, and the layout has not, fc.extra"),
        ({"fc.weight": np.zeros((2, 8))}, r"output_weights must have shape \(9, 2\), got \(8, 2\)"),
        ({"memory.mem_bias": None}, "a memory, mem_bias, of two axes expected"),
        ({"memory.mem_bias": np.zeros(3)}, "a memory, mem_bias, of two axes expected"),
        ({"heads.1.memory.mem_bias": np.zeros((ROWS, WIDTH))}, "one memory expected, got 2 of other numbers"),
        ({"read0_bias": np.zeros((1, 3))}, r"read0_bias must have shape \(1, 4\), got \(1, 3\)"),
        ({"read0_bias": None}, r"read0_bias must have shape \(1, 4\), got nothing"),
    ],
)
def test_arrays_that_are_no_such_machine_are_named(altered, told):
    with pytest.raises(ValueError, match=rf"read_ntm\('pytorch_ntm'\): {told}"):
        read_ntm("pytorch_ntm", arrays_of(**altered))


def test_what_is_not_known_is_named():
    with pytest.raises(
        ValueError, match="no weights of 'collier' are known; there are those of pytorch_ntm and"
    ):
        read_ntm("collier", arrays_of())
    with pytest.raises(TypeError, match="read_ntm: source must be a mapping or a path, got int"):
        read_ntm("jingweiz", 3, rows=4)
    with pytest.raises(ValueError, match=r"read_ntm\('jingweiz'\): the weights lack accessor.read_heads"):
        read_ntm("jingweiz", arrays_of(), rows=4)
    with pytest.raises(ValueError, match="rows must be 6, as its memory has, got 7"):
        read_ntm("pytorch_ntm", arrays_of(), rows=7)
