"""Adapters of ixaxaar/pytorch-dnc."""

from dataclasses import replace

from verdicts_adapters import Row, in_one_batch, module_of, shaped

from scratchattn import REGISTRY
from scratchattn.op import Case

RETENTION, USAGE = REGISTRY["retention"], REGISTRY["dnc_usage"]


def _forward(usage, write_weights, free_gate, read_weights, *, stop_write_gradient=False):
    kept, saved = RETENTION.forward(free_gate, read_weights)
    out, rest = USAGE.forward(usage, write_weights, kept, stop_write_gradient=stop_write_gradient)
    return out, (saved, rest)


def _backward(saved, dout):
    dusage, dwrite_weights, dkept = USAGE.backward(saved[1], dout)
    return dusage, dwrite_weights, *RETENTION.backward(saved[0], dkept)


def _cases(rng):
    for heads in (1, 3):
        usage, gates = rng.random((2, 4)), rng.random((2, heads))
        weights = [w / w.sum(-1, keepdims=True) for w in rng.random((2, 2, heads, 4))]
        rest = weights[0][:, :1], gates, weights[1]
        yield Case(f"{heads} read heads", (usage, *rest))
        yield Case(f"{heads} read heads, blank", (0 * usage, *rest))
        yield Case(f"{heads} read heads, all in use", (0 * usage + 1, *rest))
        yield Case(f"{heads} read heads, nothing is freed", (usage, rest[0], 0 * gates, rest[2]))


# Both write usage and retention as one function: ours are two ops, here one after the other.
USAGE_WITH_RETENTION = replace(
    USAGE,
    name="retention, dnc_usage",
    signature="usage(n), write_weights(h,n), free_gate(r), read_weights(r,n) -> new_usage(n)",
    forward=_forward,
    backward=_backward,
    cases=_cases,
    detached=None,
    loops=None,
    properties=(),
)
ONE_WRITE_HEAD = shaped((), (1, None, None), (1, None, None))


def pytorch_dnc(folder):
    module = module_of(folder, "dnc/memory.py")
    memory = lambda n, w=1, r=1: module.Memory(1, nr_cells=n, cell_size=w, read_heads=r)

    def content(key, content, strength):
        return memory(content.shape[1], content.shape[2]).content_weightings(content, key, strength)

    def link(link, precedence, write):
        given = link[:, None], write[:, None], precedence[:, None]
        whole = memory(write.shape[1])
        return whole.get_link_matrix(*given)[:, 0], whole.update_precedence(given[2], given[1])[:, 0]

    def directions(link, read):
        return tuple(w[:, :, 0] for w in memory(read.shape[2]).directional_weightings(link[:, None], read))

    def write(allocation, content, allocation_gate, write_gate):
        given = content[:, None], allocation[:, None], write_gate[:, None], allocation_gate[:, None]
        return memory(content.shape[1]).write_weighting(None, *given)[:, 0]

    def read(content, forward, backward, modes):
        """With the weightings along the link as given."""
        whole = memory(content.shape[2])
        whole.directional_weightings = lambda *_: (forward.transpose(1, 2), backward.transpose(1, 2))
        return whole.read_weightings(None, content, None, modes, None)

    def usage(usage, write, gates, read):
        return memory(usage.shape[1]).get_usage_vector(usage, gates, read, write)

    def allocate(usage):
        return memory(usage.shape[1]).allocate(usage, None)[0][:, 0]

    return [
        Row("`Memory.content_weightings`", in_one_batch(content, 2, 2, 1), "cosine_addressing"),
        Row("`Memory.allocate`", in_one_batch(allocate, 1), "dnc_allocation"),
        Row("`Memory.get_usage_vector`", in_one_batch(usage, 1, 2, 1, 2), USAGE_WITH_RETENTION),
        Row("`Memory.get_link_matrix`, `update_precedence`", in_one_batch(link, 2, 1, 1), "dnc_linkage"),
        Row("`Memory.directional_weightings`", in_one_batch(directions, 2, 2), "directional_weightings"),
        Row("`Memory.write_weighting`", in_one_batch(write, 1, 1, 0, 0), "dnc_write_weighting"),
        Row("`Memory.read_weightings`", in_one_batch(read, 2, 3, 3, 2), "dnc_read_weighting", ONE_WRITE_HEAD),
    ]
