"""Weights of other people's NTMs: machines in their layouts, written here in eager PyTorch, beside ours.

The modules have the names and shapes of theirs and their order of things; how they compute is their papers'
and not their code.  ``examples/interop_ntm.py`` asks the code itself.
"""

import numpy as np
import pytest

import scratchattn as sa
from scratchattn.interop.ntm import LoadedNTM, load_jingweiz_ntm, load_pytorch_ntm
from scratchattn.interop.safetensors import read_arrays
from scratchattn.models import NTM
from scratchattn.training.archive import Damaged

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


def loudinthecloud(torch, kinds):
    """A module with the arrays of pytorch-ntm's, heads in the order of ``kinds``, and what runs it."""
    nn, fun, readers = torch.nn, torch.nn.functional, kinds.count("r")
    ntm, controller = nn.Module(), nn.Module()
    controller.lstm = nn.LSTM(INPUTS + readers * WIDTH, UNITS)
    for state in "hc":
        controller.register_parameter(f"lstm_{state}_bias", nn.Parameter(torch.randn(1, 1, UNITS)))
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


AUTHORS = {
    "pytorch_ntm": (loudinthecloud, load_pytorch_ntm),
    "jingweiz": (jingweiz, lambda source: load_jingweiz_ntm(source, rows=ROWS)),
}


def apart(torch, name, kinds, source=lambda module: module.state_dict()):
    """name -> distance, of the outputs and of the gradient by each of their parameters and by the inputs."""
    author, load = AUTHORS[name]
    module, run = author(torch, kinds)
    loaded, rng = load(source(module)), np.random.default_rng(0)
    xs, cotangent = rng.normal(size=(STEPS, BATCH, INPUTS)), rng.normal(size=(STEPS, BATCH, OUTPUTS))
    given = torch.tensor(xs, requires_grad=True)
    theirs = run(given)
    (theirs * torch.tensor(cotangent)).sum().backward()

    def ours(xs, *leaves):
        named = dict(zip(loaded.params, leaves))
        return loaded.model.sequence(named, loaded.initial_state(BATCH, named), xs)[0]

    y, pullback = sa.vjp(ours, xs, *[loaded.params[each] for each in loaded.params])
    dxs, *gradients = pullback(cotangent)
    found = loaded.theirs(dict(zip(loaded.params, gradients)))
    pairs = {"outputs": (y, theirs.detach().numpy()), "inputs": (dxs, given.grad.numpy())}
    for each, parameter in module.named_parameters():
        assert abs(parameter.grad).max() > 0, f"vacuous: {each}"
        pairs[each] = found[each], parameter.grad.numpy().reshape(found[each].shape)
    assert set(found) == {each for each, _ in module.named_parameters()}
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
def test_a_state_dict_of_the_encapsulated_machine_and_a_file_hold_the_same(torch, tmp_path):
    """There every name has ntm. before it, and the memory stands under the name of each head as well."""
    from safetensors.numpy import save_file

    def encapsulated(module):
        names = {f"ntm.{name}": array for name, array in module.state_dict().items()}
        return names | {"memory.mem_bias": names["ntm.memory.mem_bias"]}

    def file(module):
        arrays = {
            name: array.numpy() for name, array in module.state_dict().items() if "heads.0.mem" not in name
        }
        save_file(arrays, tmp_path / "theirs.safetensors")
        return tmp_path / "theirs.safetensors"

    for source in (encapsulated, file):
        torch.manual_seed(1)
        errors = apart(torch, "pytorch_ntm", "rwrw", source)
        assert max(errors.values()) <= 1e-12, errors


@pytest.mark.peers
@pytest.mark.parametrize("name", AUTHORS)
def test_weights_go_back_as_they_came(torch, name):
    author, load = AUTHORS[name]
    module, _ = author(torch, "rwrw")
    arrays = module.state_dict()
    loaded = load(arrays)
    for each, array in loaded.theirs(loaded.params).items():
        first, second = (
            each.replace("bias_ih", bias).replace("bias_hh", bias) for bias in ("bias_ih", "bias_hh")
        )
        there = arrays[each] if first == second else arrays[first] + arrays[second]
        assert (array == there.numpy().reshape(array.shape)).all(), each
    if name == "pytorch_ntm":
        assert (loaded.start["memory"] == arrays["memory.mem_bias"].numpy()).all()
        assert (loaded.initial_state(3).reads[2, 1] == arrays["read1_bias"].numpy()[0]).all()


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
def test_a_loaded_machine_runs_in_its_own_precision_and_can_be_trained(dtype):
    loaded = load_pytorch_ntm(arrays_of("rwrw", dtype))
    assert isinstance(loaded, LoadedNTM) and loaded.model.dtype == dtype
    assert loaded.model == NTM(INPUTS, OUTPUTS, ROWS, WIDTH, UNITS, read_heads=2, write_heads=2, dtype=dtype,
                               convention="pytorch_ntm", turns="rwrw")  # fmt: skip
    assert {"memory", "reads"} == set(loaded.start) and "initial_memory" not in loaded.params
    y, state = loaded.model.sequence(loaded.params, loaded.initial_state(2), np.ones((3, 2, INPUTS), dtype))
    assert y.dtype == state.memory.dtype == dtype and np.isfinite(y).all()
    assert (loaded.initial_state(2).memory[1] == loaded.start["memory"]).all()


@pytest.mark.parametrize(
    "altered, told",
    [
        ({"fc.weight": None}, "fc.weight is missing"),
        ({"fc.extra": np.zeros(3)}, "there is no place for fc.extra"),
        ({"fc.weight": np.zeros((2, 8))}, r"fc.weight must be \(2, 9\), got \(2, 8\)"),
        ({"memory.mem_bias": None}, "the memory, mem_bias, expected, of two axes"),
        ({"memory.mem_bias": np.zeros(3)}, "the memory, mem_bias, expected, of two axes"),
        (
            {"heads.1.memory.mem_bias": np.zeros((ROWS, WIDTH))},
            "one memory, mem_bias, expected, got 2 of other numbers",
        ),
        ({"read0_bias": np.zeros((1, 3))}, r"read0_bias must be \(1, 4\), got \(1, 3\)"),
        (
            {"heads.0.fc_read.weight": None, "heads.0.fc_read.bias": None},
            "no such machine: .* at least 1, got 0",
        ),
        ({"controller.lstm.weight_ih_l1": np.zeros((20, 5))}, "a controller of one LSTM layer expected"),
    ],
)
def test_arrays_that_are_no_such_machine_are_named(altered, told):
    with pytest.raises(ValueError, match=f"load_pytorch_ntm: {told}"):
        load_pytorch_ntm(arrays_of(**altered))


def test_kinds_that_are_none_are_named(tmp_path):
    with pytest.raises(TypeError, match="all float32 or all float64 expected, got float32, float64"):
        load_pytorch_ntm(arrays_of(**{"fc.bias": np.zeros(OUTPUTS, "float32")}))
    with pytest.raises(
        TypeError, match=r"load_jingweiz_ntm: source must be a state dict or the path .* got int"
    ):
        load_jingweiz_ntm(3, rows=4)
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(b"x")
    for read in (read_arrays, load_pytorch_ntm):
        with pytest.raises(Damaged, match="it is damaged"):
            read(path)
