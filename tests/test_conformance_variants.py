"""Conventions of others, written by hand in PyTorch: the kit names the right one."""

import pytest

import gradcheck

pytestmark = pytest.mark.peers


def conventions():
    """name -> (function, op, names of the variant that are right)"""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def shifted(offsets, circular=True):
        def function(weights, shift):
            out = 0
            for k, o in enumerate(offsets(shift.shape[-1])):
                moved = torch.roll(weights, o, -1)
                if not circular:
                    n = weights.shape[-1]
                    place = torch.arange(n) - o
                    moved = torch.where((place >= 0) & (place < n), moved, 0)
                out = out + moved * shift[..., k, None]
            return out

        return function

    ahead = lambda s: range(-((s - 1) // 2), s // 2 + 1)

    def norm(eps, annotated=False):
        def function(x):
            centred = x - x.mean(-1, keepdim=True)
            if annotated:
                return centred / (x.std(-1, keepdim=True) + eps)
            return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)

        return function

    def cosine(similarity):
        def function(key, memory, strength):
            return torch.softmax(
                strength[..., None] * similarity(key[..., :, None, :], memory[..., None, :, :]), -1
            )

        return function

    def added(eps):
        return lambda k, m: (
            (k * m).sum(-1) / (torch.linalg.norm(k, dim=-1) * torch.linalg.norm(m, dim=-1) + eps)
        )

    def attention(scale=None, causal=False, cap=None):
        def function(query, key, value):
            z = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
            z = z if cap is None else cap * torch.tanh(z / cap)
            if causal:
                keep = torch.ones(z.shape[-2:], dtype=torch.bool).tril()
                z = z.masked_fill(~keep, -torch.inf)
            return torch.softmax(z, -1) @ value

        return function

    def allocation(usage):
        usage = 1e-6 + (1 - 1e-6) * usage
        ordered, order = torch.sort(usage, dim=-1, stable=True)
        before = torch.cumprod(torch.cat([torch.ones_like(ordered[..., :1]), ordered[..., :-1]], -1), -1)
        return torch.zeros_like(usage).scatter(-1, order, (1 - ordered) * before)

    def written(memory, weights, erase, write_vector):
        for h in range(weights.shape[-2]):
            w = weights[..., h, :, None]
            memory = memory * (1 - w * erase[..., h, None, :]) + w * write_vector[..., h, None, :]
        return memory

    def summed(memory, weights, erase, write_vector):
        return memory * (1 - weights.mT @ erase) + weights.mT @ write_vector

    def gru(after, takes):
        def function(x, hidden, input_weights, hidden_weights, bias):
            h = hidden.shape[-1]
            a, b = x @ input_weights + bias[..., None, :], hidden @ hidden_weights
            r, z = torch.sigmoid(a[..., : 2 * h] + b[..., : 2 * h]).chunk(2, -1)
            inner = r * b[..., 2 * h :] if after else (r * hidden) @ hidden_weights[..., 2 * h :]
            new = torch.tanh(a[..., 2 * h :] + inner)
            return (1 - z) * hidden + z * new if takes else z * hidden + (1 - z) * new

        return function

    def reads(order):
        def function(content, forward_weights, backward_weights, modes):
            k = forward_weights.shape[-3]
            parts = {"b": backward_weights, "f": forward_weights, "c": content[..., None, :, :]}
            out, at = 0, 0
            for letter in order:
                n = 1 if letter == "c" else k
                share = modes[..., at : at + n].mT if False else modes[..., at : at + n].movedim(-1, -2)
                out = out + (share[..., None] * parts[letter]).sum(-3)
                at += n
            return out

        return function

    def root(x):
        return x / (torch.sqrt((x * x).mean(-1, keepdim=True)) + 1e-8)

    return {
        "shift, mirrored": (shifted(lambda s: [-o for o in ahead(s)]), "circular_shift", "pytorch_ntm"),
        "shift, Fourier's order": (
            shifted(lambda s: [*range((s - 1) // 2 + 1), *range(-(s // 2), 0)]),
            "circular_shift",
            "collier",
        ),
        "shift, off the end": (shifted(ahead, circular=False), "circular_shift", "ntm_lasagne"),
        "norm, 1e-6": (norm(1e-6), "layer_norm", "tensor2tensor"),
        "norm, 1e-12": (norm(1e-12), "layer_norm", "bert"),
        "norm, of the deviation": (norm(1e-6, True), "layer_norm", "annotated"),
        "cosine, PyTorch's": (
            cosine(lambda k, m: functional.cosine_similarity(k, m, dim=-1)),
            "cosine_addressing",
            "torch",
        ),
        "cosine, 1e-6 added": (cosine(added(1e-6)), "cosine_addressing", "pytorch_dnc"),
        "cosine, 1e-3 added": (cosine(added(1e-3)), "cosine_addressing", "carpedm20"),
        "cosine, 1e-5 added": (cosine(added(1e-5)), "cosine_addressing", "shawntan"),
        "attention, not scaled": (attention(scale=1.0), "softmax_attention", "t5"),
        "attention, causal": (attention(causal=True), "softmax_attention", "torch_is_causal"),
        "attention, capped": (attention(cap=50.0), "softmax_attention", "gemma_2"),
        "allocation, 1e-6": (allocation, "dnc_allocation", "deepmind"),
        "write, one head after another": (written, "memory_write", "pytorch_ntm"),
        "write, erasures summed": (summed, "memory_write", "shawntan"),
        "gru, PyTorch's": (gru(True, False), "gru_cell", "torch"),
        "gru, Chung's": (gru(False, True), "gru_cell", "chung"),
        "gru, Lasagne's": (gru(True, True), "gru_cell", "lasagne"),
        "rms norm, the authors'": (root, "rms_norm", "authors"),
        "reads, DeepMind's order": (reads("bfc"), "dnc_read_weighting", "deepmind"),
        "reads, ADNC's order": (reads("fcb"), "dnc_read_weighting", "adnc"),
        "gelu, by tanh": (lambda a: functional.gelu(a, approximate="tanh"), "gelu", "gpt_2"),
    }


NAMES = [
    "shift, mirrored",
    "shift, Fourier's order",
    "shift, off the end",
    "norm, 1e-6",
    "norm, 1e-12",
    "norm, of the deviation",
    "cosine, PyTorch's",
    "cosine, 1e-6 added",
    "cosine, 1e-3 added",
    "cosine, 1e-5 added",
    "attention, not scaled",
    "attention, causal",
    "attention, capped",
    "allocation, 1e-6",
    "write, one head after another",
    "write, erasures summed",
    "gru, PyTorch's",
    "gru, Chung's",
    "gru, Lasagne's",
    "rms norm, the authors'",
    "reads, DeepMind's order",
    "reads, ADNC's order",
    "gelu, by tanh",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_right_convention_is_named(name):
    function, op, variant = conventions()[name]
    report = gradcheck.verify(function, op, framework="torch", dtype="float64", seeds=2)
    assert (report.variant, report.conforms) == (variant, False), report
    assert report.verdict in ("follows", "crashes")
    assert max(report.distances.values()) < 6 and f"variant {variant}" in report.sentence()
