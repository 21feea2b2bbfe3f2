"""Whole cells of public implementations, written down anew in eager PyTorch from what they are known to do,
beside ours under their names: outputs and every gradient.

Each is a step (cell, x, state) -> (logits, state) in its author's order of things, one head at a time and
with its own guards against zero; ``Cell`` has the parameters by the names of ours.
"""

import numpy as np
import pytest

import scratchattn as sa
from scratchattn.models import NTM
from scratchattn.nn.named_conventions import ntm_settings
from scratchattn.nn.ntm_cell import ntm_sequence

pytestmark = pytest.mark.peers
STEPS, BATCH = 5, 3


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


class Cell:
    """Parameters, cut as ``head_sizes`` has them, and what all three implementations have in common."""

    def __init__(self, torch, ntm, named):
        self.torch, self.ntm, self.named = torch, ntm, named
        sizes = sa.nn.ntm_cell.head_sizes(ntm.width, ntm.read_heads, ntm.write_heads, ntm.shifts)
        self.columns = dict(zip(sizes._fields, np.cumsum([0, *sizes])[:-1]))

    def told(self, raw, name, head, width):
        """Columns of one head: ``head`` counts among all, or for erase and write_vector among writers."""
        first = self.columns[name] + head * width
        return raw[:, first : first + width]

    def control(self, x, reads, state):
        """An LSTM cell whose columns are input, forget, output, candidate."""
        torch, p = self.torch, self.named
        hidden, cell = state
        seen = torch.cat([x, *reads], dim=1)
        i, f, o, c = (seen @ p["input_weights"] + hidden @ p["hidden_weights"] + p["bias"]).chunk(4, dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
        return torch.sigmoid(o) * torch.tanh(cell), cell

    def outputs(self, hidden, reads):
        return (
            self.torch.cat([*reads, hidden], dim=1) @ self.named["output_weights"] + self.named["output_bias"]
        )

    def emitted(self, hidden):
        return hidden @ self.named["head_weights"] + self.named["head_bias"]


def rolled(torch, w, s):
    """A window of three slides over w, ends joined: a correlation, entry 0 of s meets the row before."""
    joined = torch.cat([w[:, -1:], w, w[:, :1]], dim=1)
    n = w.shape[1]
    return s[:, :1] * joined[:, :n] + s[:, 1:2] * joined[:, 1 : n + 1] + s[:, 2:] * joined[:, 2:]


def loudinthecloud(cell, x, state):
    """Read and write heads in turn on the live memory; keys and additions as they are emitted."""
    torch, fun, ntm = cell.torch, cell.torch.nn.functional, cell.ntm
    before, memory, weightings, *controller = state
    hidden, c = cell.control(x, before, controller)
    raw, reads, after = cell.emitted(hidden), [], list(weightings)

    def look(k):
        key = cell.told(raw, "key", k, ntm.width)[:, None]
        alike = fun.cosine_similarity(memory + 1e-16, key + 1e-16, dim=-1)
        content = torch.softmax(fun.softplus(cell.told(raw, "strength", k, 1)) * alike, dim=1)
        gate = torch.sigmoid(cell.told(raw, "gate", k, 1))
        gated = gate * content + (1 - gate) * weightings[k]
        moved = rolled(torch, gated, torch.softmax(cell.told(raw, "shift", k, 3), dim=1))
        powers = moved ** (1 + fun.softplus(cell.told(raw, "sharpness", k, 1)))
        return powers / (powers.sum(dim=1, keepdim=True) + 1e-16)

    for pair in range(ntm.read_heads):
        after[pair] = look(pair)
        reads.append((after[pair][:, None] @ memory)[:, 0])
        writer = ntm.read_heads + pair
        after[writer] = w = look(writer)
        erase = torch.sigmoid(cell.told(raw, "erase", pair, ntm.width))
        added = cell.told(raw, "write_vector", pair, ntm.width)
        memory = memory * (1 - w[:, :, None] * erase[:, None]) + w[:, :, None] * added[:, None]
    return cell.outputs(hidden, reads), (reads, memory, after, hidden, c)


def jingweiz(cell, x, state):
    """All heads write, all erasures first; then all read what was written."""
    torch, fun, ntm = cell.torch, cell.torch.nn.functional, cell.ntm
    before, memory, weightings, *controller = state
    hidden, c = cell.control(x, before, controller)
    raw, after = cell.emitted(hidden), list(weightings)

    def look(k):
        key = torch.tanh(cell.told(raw, "key", k, ntm.width))
        lengths = ((key**2).sum(1, keepdim=True) + 1e-6).sqrt() * ((memory**2).sum(2) + 1e-6).sqrt()
        alike = (memory @ key[:, :, None])[..., 0] / (lengths + 1e-6)
        content = torch.softmax(alike * fun.softplus(cell.told(raw, "strength", k, 1)), dim=1)
        gate = torch.sigmoid(cell.told(raw, "gate", k, 1))
        gated = content * gate + weightings[k] * (1 - gate)
        moved = rolled(torch, gated, torch.softmax(cell.told(raw, "shift", k, 3), dim=1))
        powers = moved.pow(1 + fun.softplus(cell.told(raw, "sharpness", k, 1)))
        return powers / powers.sum(dim=1, keepdim=True)

    kept, added = 1.0, 0.0
    for j in range(ntm.write_heads):
        after[ntm.read_heads + j] = w = look(ntm.read_heads + j)
        kept = kept * (1 - w[:, :, None] * torch.sigmoid(cell.told(raw, "erase", j, ntm.width))[:, None])
        added = added + w[:, :, None] * torch.tanh(cell.told(raw, "write_vector", j, ntm.width))[:, None]
    memory = memory * kept + added
    reads = []
    for k in range(ntm.read_heads):
        after[k] = look(k)
        reads.append((after[k][:, None] @ memory)[:, 0])
    return cell.outputs(hidden, reads).clamp(-20, 20), (reads, memory, after, hidden, c)


def collier(cell, x, state):
    """Everything clipped first; all address and read what was found, then write one after the other."""
    torch, fun, ntm = cell.torch, cell.torch.nn.functional, cell.ntm
    before, memory, weightings, *controller = state
    hidden, c = cell.control(x, before, controller)
    raw, after = cell.emitted(hidden).clamp(-20, 20), []
    n = memory.shape[1]
    for k, previous in enumerate(weightings):
        key = torch.tanh(cell.told(raw, "key", k, ntm.width))[:, :, None]
        lengths = (memory**2).sum(2).sqrt() * (key**2).sum(1).sqrt()
        grown = torch.exp(
            fun.softplus(cell.told(raw, "strength", k, 1)) * (memory @ key)[..., 0] / (lengths + 1e-8)
        )
        gate = torch.sigmoid(cell.told(raw, "gate", k, 1))
        gated = gate * grown / grown.sum(1, keepdim=True) + (1 - gate) * previous
        s = torch.softmax(cell.told(raw, "shift", k, 3), dim=1)
        spread = torch.cat(
            [s[:, :2], torch.zeros(len(s), n - 3, dtype=s.dtype), s[:, 2:]], dim=1
        )  # 0, 1, ..., -1
        there = [[(i - j) % n for j in range(n)] for i in range(n)]
        moved = (spread[:, there] * gated[:, None]).sum(2)
        powers = moved ** (1 + fun.softplus(cell.told(raw, "sharpness", k, 1)))
        after.append(powers / powers.sum(1, keepdim=True))
    reads = [(w[:, :, None] * memory).sum(1) for w in after[: ntm.read_heads]]
    for j, w in enumerate(after[ntm.read_heads :]):
        erase = torch.sigmoid(cell.told(raw, "erase", j, ntm.width))
        added = torch.tanh(cell.told(raw, "write_vector", j, ntm.width))
        memory = memory * (1 - w[:, :, None] * erase[:, None]) + w[:, :, None] * added[:, None]
    return cell.outputs(hidden, reads).clamp(-20, 20), (reads, memory, after, hidden, c)


AUTHORS = {"pytorch_ntm": loudinthecloud, "jingweiz": jingweiz, "collier": collier}


def theirs(torch, ntm, author, values, xs, state, cotangent):
    """Outputs, and gradients by parameters, by xs and by the initial memory, reads and weightings."""
    named = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    xs = torch.tensor(xs, requires_grad=True)
    start = [torch.tensor(a, requires_grad=True) for a in state]
    reads, memory, weightings, hidden, cell_ = start
    carried = list(reads.unbind(1)), memory, list(weightings.unbind(1)), hidden, cell_
    ys = []
    for x in xs:
        y, carried = author(Cell(torch, ntm, named), x, carried)
        ys.append(y)
    (torch.stack(ys) * torch.tensor(cotangent)).sum().backward()
    leaves = {**named, "xs": xs, **dict(zip(type(state)._fields, start))}
    return torch.stack(ys).detach().numpy(), {name: leaf.grad.numpy() for name, leaf in leaves.items()}


def ours(ntm, settings, values, xs, state, cotangent):
    named = {**values, "xs": xs, **dict(zip(type(state)._fields, state))}

    def outputs(*leaves):
        given = dict(zip(named, leaves))
        start = type(state)(*[given[name] for name in state._fields])
        return ntm_sequence(given["xs"], start, ntm.weights(given), **settings)[0]

    y, pull = sa.vjp(outputs, *named.values())
    return y, dict(zip(named, pull(cotangent)))


def apart(torch, name, heads=2, seed=0, altered=None, harsh=False):
    """name -> how far the outputs and each gradient are apart, relative to the largest entry of each."""
    ntm = NTM(
        3, 2, rows=6, width=4, units=5, read_heads=heads, write_heads=heads, dtype="float64", convention=name
    )  # fmt: skip
    rng, settings, author = np.random.default_rng(seed), ntm_settings(name) | (altered or {}), AUTHORS[name]
    params = ntm.init(rng)
    start = ntm.initial_state(params, BATCH)
    names = [name for name in params if not name.startswith("initial_")]
    values = {name: 0.8 * rng.normal(size=params[name].shape) for name in names}
    xs, u = rng.normal(size=(STEPS, BATCH, ntm.inputs)), rng.normal(size=(STEPS, BATCH, ntm.outputs))
    state = type(start)(*[np.array(a) for a in start])
    state = state._replace(hidden=rng.normal(size=state.hidden.shape), cell=rng.normal(size=state.cell.shape))
    if harsh:  # a row without length, and powers of about 12
        state.memory[:, 1] = 0.0
        first = Cell(torch, ntm, values).columns["sharpness"]
        values["head_bias"][first : first + ntm.heads] = 11.0
    y, grads = ours(ntm, settings, values, xs, state, u)
    there, truth = theirs(torch, ntm, author, values, xs, state, u)
    found = {"outputs": abs(y - there).max() / abs(there).max()}
    for name, gradient in truth.items():
        assert abs(gradient).max() > 0, f"vacuous: no gradient by {name}"
        found[name] = abs(grads[name] - gradient).max() / abs(gradient).max()
    return found


@pytest.mark.parametrize("name", AUTHORS)
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_the_cell_of_that_name_is_theirs(torch, name, heads):
    errors = apart(torch, name, heads, seed=heads)
    assert max(errors.values()) <= 1e-12, errors


@pytest.mark.parametrize(
    "name, altered",
    [
        ("pytorch_ntm", {"heads": "together"}),
        ("pytorch_ntm", {"heads": "write_first"}),
        ("pytorch_ntm", {"layout": "minus_to_plus"}),
        ("pytorch_ntm", {"strength": "oneplus"}),
        ("pytorch_ntm", {"form": "smoothed", "eps": 1e-6}),
        ("pytorch_ntm", {"denominator_eps": 1e-10}),
        ("jingweiz", {"heads": "together"}),
        ("jingweiz", {"write_order": "sequential"}),
        ("jingweiz", {"form": "smoothed"}),
        ("collier", {"write_order": "erase_all_then_add"}),
        ("collier", {"layout": "plus_to_minus"}),
        ("collier", {"key": "identity"}),
        ("collier", {"form": "none"}),
    ],
)
def test_a_cell_with_one_switch_turned_is_not(torch, name, altered):
    """Told by the outputs and by every gradient that passes through the memory."""
    errors = apart(torch, name, altered=altered)
    assert min(error for name, error in errors.items() if name != "output_bias") > 1e-12, errors


def test_the_guards_against_zero_are_theirs(torch):
    """Where the offset of the cosine and the eps of the sharpening decide.  The gradient by a row as short
    as that is apart by 1e-8, of what torch's cosine_similarity leaves out: see ``cosine_addressing``."""
    errors = apart(torch, "pytorch_ntm", harsh=True)
    assert errors.pop("memory") <= 1e-7
    assert max(errors.values()) <= 1e-12, errors
    for without in ("offset", "denominator_eps"):
        there = apart(torch, "pytorch_ntm", harsh=True, altered={without: 0.0})
        assert there["outputs"] > 1e-9, without
