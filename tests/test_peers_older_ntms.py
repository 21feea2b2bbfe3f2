"""NTMs of other frameworks, written down anew in eager PyTorch, from their own start and in their own order.

Each runs whole sequences with the parameters of the model of ours that has its name: outputs and the gradient
by every parameter, by what sequences start from as well.
"""

import dataclasses

import numpy as np
import pytest

import scratchattn as sa
from scratchattn.conventions import PRESETS
from scratchattn.models import NTM
from scratchattn.models.ntm_start import NTMStart, fixed
from scratchattn.nn.ntm_heads import head_sizes

pytestmark = pytest.mark.peers
STEPS, BATCH, ROWS, WIDTH, UNITS = 6, 3, 5, 4, 4


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


class Machine:
    """Parameters by our names, cut as ``head_sizes`` has them."""

    def __init__(self, torch, named, heads, shifts=3):
        self.torch, self.named, self.heads = torch, named, heads
        only_read, write = heads
        sizes = head_sizes(WIDTH, only_read, write, shifts)
        self.columns = dict(zip(sizes._fields, np.cumsum([0, *sizes])[:-1]))

    def emitted(self, hidden):
        return hidden @ self.named["head_weights"] + self.named["head_bias"]

    def told(self, raw, name, head, size=1):
        first = self.columns[name] + size * head
        return raw[:, first : first + size]

    def controlled(self, x, reads):
        seen = self.torch.cat([x, *reads], 1)
        return seen @ self.named["input_weights"] + self.named["bias"]

    def outputs(self, hidden):
        return hidden @ self.named["output_weights"] + self.named["output_bias"]

    def start(self, name):
        return self.named[f"initial_{name}"].expand(BATCH, *self.named[f"initial_{name}"].shape)


def read(w, memory):
    return (w[:, :, None] * memory).sum(1)


def shawntan(torch, xs, named):
    """Weightings as logarithms; read heads gate with where the write head was; reads when the next begins."""
    machine = Machine(torch, named, (1, 1))
    rows = machine.start("memory")
    memory = rows / (rows**2).sum(2, keepdim=True).sqrt()
    reading, writing = machine.start("weightings").softmax(2).unbind(1)
    windows = [[(i - offset) % ROWS for i in range(ROWS)] for offset in (1, 0, -1)]  # entry 0 moves ahead

    def look(raw, head, memory, before):
        key = machine.told(raw, "key", head, WIDTH).tanh()
        lengths = (key**2).sum(1, keepdim=True).sqrt() * (memory**2).sum(2).sqrt() + 1e-5
        strength = torch.nn.functional.softplus(machine.told(raw, "strength", head))
        content = (strength * (memory @ key[:, :, None])[..., 0] / lengths).log_softmax(1)
        gate = (1 - 1e-8) * machine.told(raw, "gate", head).sigmoid() + 1e-8 * 0.5
        kept = ((1 - 1e-8) * before + 1e-8 / ROWS).log()
        gated = torch.logaddexp(gate.log() + content, (1 - gate).log() + kept)
        shift = machine.told(raw, "shift", head, 3).log_softmax(1)
        moved = (shift[:, :, None] + gated[:, windows]).logsumexp(1)
        return ((1 + torch.nn.functional.softplus(machine.told(raw, "sharpness", head))) * moved).softmax(1)

    ys = []
    for x in xs:
        hidden = machine.controlled(x, [read(reading, memory)]).tanh()
        raw = machine.emitted(hidden)
        reading, writing = look(raw, 0, memory, writing), look(raw, 1, memory, writing)
        erase = machine.told(raw, "erase", 0, WIDTH).sigmoid()[:, None]
        add = machine.told(raw, "write_vector", 0, WIDTH).tanh()[:, None]
        memory = memory * (1 - writing[:, :, None] * erase) + writing[:, :, None] * add
        ys.append(machine.outputs(hidden))
    return torch.stack(ys)


def ntm_lasagne(torch, xs, named):
    """First write and read where the last step addressed, told by its hidden units; then control, address."""
    machine = Machine(torch, named, (2, 2))
    hidden = torch.tensor(fixed("uniform", UNITS)).expand(BATCH, UNITS)
    memory = machine.start("memory")
    weights = [torch.eye(ROWS, dtype=xs.dtype)[0].expand(BATCH, ROWS)] * 4  # read heads first
    hard = lambda a: (0.2 * a + 0.5).clamp(0, 1)

    def look(raw, head, memory, before):
        key = machine.told(raw, "key", head, WIDTH).clamp(0, 1)
        squares = (key**2).sum(1, keepdim=True) * (memory**2).sum(2) + 1e-6
        alike = (memory @ key[:, :, None])[..., 0] / squares.sqrt()
        content = (machine.told(raw, "strength", head).relu() * alike).softmax(1)
        gate = hard(machine.told(raw, "gate", head))
        gated = gate * content + (1 - gate) * before
        shift = machine.told(raw, "shift", head, 3).softmax(1)
        padded = torch.nn.functional.pad(gated, (1, 1))
        moved = sum(shift[:, k : k + 1] * padded[:, 2 - k : 2 - k + ROWS] for k in range(3))
        powers = (moved + 1e-6) ** (1 + machine.told(raw, "sharpness", head).relu())
        return powers / powers.sum(1, keepdim=True)

    ys = []
    for x in xs:
        raw, kept, added = machine.emitted(hidden), 1.0, 0.0
        for j, w in enumerate(weights[2:]):
            kept = kept * (1 - w[:, :, None] * hard(machine.told(raw, "erase", j, WIDTH))[:, None])
            added = added + w[:, :, None] * machine.told(raw, "write_vector", j, WIDTH).clamp(0, 1)[:, None]
        memory = memory * kept + added
        hidden = machine.controlled(x, [read(w, memory) for w in weights[:2]]).relu()
        raw = machine.emitted(hidden)
        weights = [look(raw, head, memory, w) for head, w in enumerate(weights)]
        ys.append(machine.outputs(hidden))
    return torch.stack(ys)


def fumin(torch, xs, named):
    """Each head reads the memory it found and writes, by one weighting that moves by one number."""
    machine = Machine(torch, named, (0, 2), shifts=1)
    memory = machine.start("memory")
    weights = machine.start("weightings").softmax(2).unbind(1)
    reads, ys = [read(w, memory) for w in weights], []

    def look(raw, head, memory, before):
        key = machine.told(raw, "key", head, WIDTH)
        alike = (memory @ key[:, :, None])[..., 0] / (key.norm(dim=1, keepdim=True) * memory.norm(dim=2))
        content = (machine.told(raw, "strength", head).exp() * alike).softmax(1)
        gate = machine.told(raw, "gate", head).sigmoid()
        gated = gate * content + (1 - gate) * before
        z = torch.fmod(2 * machine.told(raw, "shift", head).sigmoid() - 1 + ROWS, ROWS)
        whole = z.detach().floor()
        there = (torch.arange(ROWS) + whole.long()) % ROWS
        near, far = gated.gather(1, there), gated.gather(1, (there + 1) % ROWS)
        powers = (near * (1 - (z - whole)) + far * (z - whole)) ** (
            1 + (1 + machine.told(raw, "sharpness", head).exp()).log()
        )
        return powers / powers.sum(1, keepdim=True)

    for x in xs:
        hidden = machine.controlled(x, reads).sigmoid()
        raw = machine.emitted(hidden)
        weights = [look(raw, head, memory, w) for head, w in enumerate(weights)]
        reads, kept, added = [read(w, memory) for w in weights], 1.0, 0.0
        for j, w in enumerate(weights):
            kept = kept * (1 - w[:, :, None] * machine.told(raw, "erase", j, WIDTH).sigmoid()[:, None])
            added = added + w[:, :, None] * machine.told(raw, "write_vector", j, WIDTH).sigmoid()[:, None]
        memory = memory * kept + added
        ys.append(machine.outputs(hidden))
    return torch.stack(ys)


def carpedm20(torch, xs, named, normal=0.0):
    """An LSTM of four gates apart; outputs of its hidden units alone; all read and then all write."""
    machine = Machine(torch, named, (2, 2))
    memory, reads = machine.start("memory").tanh(), machine.start("reads").tanh().unbind(1)
    weights = machine.start("weightings").softmax(2).unbind(1)
    hidden, cell = machine.start("hidden").tanh(), machine.start("cell").tanh()
    fun, ys = torch.nn.functional, []

    def look(raw, head, memory, before):
        key = machine.told(raw, "key", head, WIDTH).tanh()
        lengths = (memory**2).sum(2).sqrt() * (key**2).sum(1, keepdim=True).sqrt() + 1e-3
        alike = (memory @ key[:, :, None])[..., 0] / lengths
        content = (alike * fun.softplus(machine.told(raw, "strength", head))).softmax(1)
        gate = machine.told(raw, "gate", head).sigmoid()
        gated, shift = content * gate + before * (1 - gate), machine.told(raw, "shift", head, 3).softmax(1)
        moved = torch.stack(
            [sum(gated[:, (i + 1 - k) % ROWS] * shift[:, k] for k in range(3)) for i in range(ROWS)], 1
        )
        powers = moved ** (fun.softplus(machine.told(raw, "sharpness", head)) + 1)
        return powers / (powers.sum(1, keepdim=True) + normal)

    for x in xs:
        sums = machine.controlled(x, reads) + hidden @ named["hidden_weights"]
        i, f, o, c = sums.chunk(4, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * c.tanh()
        hidden = o.sigmoid() * cell.tanh()
        raw = machine.emitted(hidden)
        weights = [look(raw, head, memory, w) for head, w in enumerate(weights)]
        reads, kept, added = [read(w, memory) for w in weights[:2]], 1.0, 0.0
        for j, w in enumerate(weights[2:]):
            kept = kept * (1 - w[:, :, None] * machine.told(raw, "erase", j, WIDTH).sigmoid()[:, None])
            added = added + w[:, :, None] * machine.told(raw, "write_vector", j, WIDTH).tanh()[:, None]
        memory = memory * kept + added
        ys.append(machine.outputs(hidden))
    return torch.stack(ys)


def kaishengtai(torch, xs, named):
    """The same, with the guard of nn.Normalize."""
    return carpedm20(torch, xs, named, normal=1e-10)


AUTHORS = {
    "shawntan": (shawntan, 1, "feedforward"),
    "ntm_lasagne": (ntm_lasagne, 2, "feedforward"),
    "fumin": (fumin, 2, "feedforward"),
    "carpedm20": (carpedm20, 2, "lstm"),
    "kaishengtai": (kaishengtai, 2, "lstm"),
}


def apart(torch, name, convention=None, seed=0, size=0.6):
    """name -> how far outputs, and the gradients by inputs and each parameter, are apart."""
    author, heads, controller = AUTHORS[name]
    rng = np.random.default_rng(seed)
    ntm = NTM(
        3, 2, rows=ROWS, width=WIDTH, units=UNITS, read_heads=heads, write_heads=heads, dtype="float64",
        controller=controller, convention=convention or name,
    )  # fmt: skip
    params = ntm.init(rng)
    values = {each: params[each] + size * rng.normal(size=params[each].shape) for each in params}
    xs, u = rng.normal(size=(STEPS, BATCH, 3)), rng.normal(size=(STEPS, BATCH, 2))

    def ours(xs, *leaves):
        named = dict(zip(values, leaves))
        return ntm.sequence(named, ntm.initial_state(named, BATCH), xs)[0]

    y, pullback = sa.vjp(ours, xs, *values.values())
    found = dict(zip(["xs", *values], pullback(u)))
    leaves = {each: torch.tensor(value, requires_grad=True) for each, value in {"xs": xs, **values}.items()}
    theirs = author(torch, leaves["xs"], {each: leaves[each] for each in values})
    (theirs * torch.tensor(u)).sum().backward()
    pairs = {"outputs": (y, theirs.detach().numpy())}
    for each, leaf in leaves.items():
        assert abs(leaf.grad).max() > 0, f"vacuous: no gradient by {each}"
        pairs[each] = found[each], leaf.grad.numpy()
    return {each: abs(a - b).max() / abs(b).max() for each, (a, b) in pairs.items()}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", AUTHORS)
def test_a_whole_sequence_is_theirs(torch, name, seed):
    errors = apart(torch, name, seed=seed)
    assert max(errors.values()) <= 1e-11, errors


@pytest.mark.parametrize(
    "name, other",
    [("kaishengtai", "carpedm20"), ("carpedm20", "kaishengtai")],
)
def test_no_other_convention_of_the_same_parameters_is(torch, name, other):
    assert apart(torch, name, other)["outputs"] > 1e-11


@pytest.mark.parametrize(
    "name, altered",
    [
        ("shawntan", {"heads": "together"}),
        ("shawntan", {"heads": "write_first"}),
        ("shawntan", {"previous": "own"}),
        ("shawntan", {"smoothing": 0.0}),
        ("shawntan", {"activation": "sigmoid"}),
        ("shawntan", {"memory": "learned"}),
        ("ntm_lasagne", {"heads": "together"}),
        ("ntm_lasagne", {"boundary": "circular"}),
        ("ntm_lasagne", {"base_eps": 0.0}),
        ("ntm_lasagne", {"gate": "sigmoid"}),
        ("ntm_lasagne", {"key": "relu"}),
        ("ntm_lasagne", {"before": "read"}),
        ("fumin", {"shift_sign": 1}),
        ("fumin", {"heads": "read_last"}),
        ("fumin", {"strength": "softplus"}),
        ("fumin", {"write_vector": "tanh"}),
        ("fumin", {"memory": "learned_tanh"}),
        ("carpedm20", {"write_order": "sequential"}),
        ("carpedm20", {"form": "smoothed"}),
        ("carpedm20", {"reads": "learned"}),
    ],
)
def test_a_machine_with_one_switch_turned_is_not(torch, monkeypatch, name, altered):
    chosen, ((field, value),) = PRESETS[name], altered.items()
    part = "ntm_start" if field in NTMStart.__dataclass_fields__ else "ntm"
    turned = dataclasses.replace(chosen, **{part: {**getattr(chosen, part), field: value}})
    monkeypatch.setitem(PRESETS, name, turned)
    assert apart(torch, name)["outputs"] > 1e-11
