"""A step of the DNC, transcribed twice from the paper and from what others do: in loops, and in PyTorch."""

import numpy as np

from scratchattn.nn.dnc_cell import DNCState
from scratchattn.nn.dnc_interface import interface_shapes


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x, c):
    above = np.inf if c.softplus_threshold is None else c.softplus_threshold
    return np.where(x > above, x, np.log1p(np.exp(x)))


def on_the_simplex(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def of_the_largest(weights, largest):
    """All but the largest weights zero, and these over their sum."""
    order = sorted(range(len(weights)), key=lambda i: -weights[i])[:largest]
    return np.array([weights[i] / weights[order].sum() * (i in order) for i in range(len(weights))])


def paper_step(x, state, weights, c):
    """One step of one sequence, in the order of the paper's Methods; c: a DNCConvention."""
    rows, width = state.memory.shape
    readers, writers = len(state.read_weightings), len(state.link)
    turned = lambda name, a: a.T if name in c.heads_fastest else a
    chi, biased = np.concatenate([x, turned("reads", state.reads).ravel()]), weights.output_bias is not None
    within = lambda v, bound: np.clip(v, -bound, bound) if bound else v
    shown, controller = [], []
    for (hidden, cell), (w_x, w_h, bias) in zip(state.controller, weights.controller):
        below = [chi] if c.input_skips or not shown else []
        z = np.concatenate([*below, *shown[-1:]]) @ w_x + hidden @ w_h + bias
        i, f, o, candidate = np.split(z, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(candidate)
        hidden = sigmoid(o) * np.tanh(cell)
        shown.append(hidden)
        controller.append((within(hidden, c.clip_state), within(cell, c.clip_state)))
    shown = within(np.concatenate(shown if c.shown_layers == "all" else shown[-1:]), c.clip_controller)

    shapes = {
        **dict(read_keys=(readers, width), read_strengths=(readers,), write_keys=(writers, width)),
        **dict(write_strengths=(writers,), erase=(writers, width), write_vectors=(writers, width)),
        **dict(free_gates=(readers,), allocation_gates=(writers,), write_gates=(writers,)),
        **dict(read_modes=(readers, 1 + 2 * writers)),
        **(dict(write_masks=(writers, width), read_masks=(readers, width)) if c.masked else {}),
    }
    if c.sharpen_links:
        shapes |= dict.fromkeys(("forward_sharpness", "backward_sharpness"), (writers, readers))
    xi = within(
        shown @ weights.interface_weights + (weights.interface_bias if biased else 0), c.clip_interface
    )
    xi, said = list(xi), {}
    for part in c.interface_order:
        if part in shapes:
            shape = shapes[part][:: -1 if part in c.heads_fastest else 1]
            said[part] = turned(part, np.array([xi.pop(0) for _ in range(np.prod(shape))]).reshape(shape))
    assert not xi
    strength = lambda v: (c.strength == "oneplus") + softplus(v, c)
    word = np.tanh if c.keys == "tanh" else lambda v: v
    read_key, read_strength = word(said["read_keys"]), strength(said["read_strengths"])
    write_key, write_strength = word(said["write_keys"]), strength(said["write_strengths"])
    erase, vector = sigmoid(said["erase"]), word(said["write_vectors"])
    gates = ("free_gates", "allocation_gates", "write_gates")
    free_gate, allocation_gate, write_gate = (sigmoid(said[name]) for name in gates)
    modes = on_the_simplex(said["read_modes"])
    write_mask = read_mask = None
    if c.masked:
        masks = (sigmoid(said[name]) for name in ("write_masks", "read_masks"))
        write_mask, read_mask = (c.mask_min + (1 - c.mask_min) * mask for mask in masks)
    if c.sharpen_links:
        sharp = [1 + softplus(said[name], c) for name in ("forward_sharpness", "backward_sharpness")]

    def lookup(key, memory, strength, mask):
        if mask is not None:
            memory, key = memory * mask, key * mask if c.mask_keys else key
        kk, mm = (key**2).sum(), (memory**2).sum(-1)
        lengths, least = (np.sqrt(kk), np.sqrt(mm)), np.sqrt(c.eps)
        below = {
            "smoothed": np.sqrt((kk + c.eps) * (mm + c.eps)),
            "smoothed_added": np.sqrt((kk + c.eps) * (mm + c.eps)) + c.eps,
            "added": np.sqrt(kk * mm) + c.eps,
            "none": np.sqrt(kk * mm),
            "smoothed_product": np.sqrt(kk * mm + c.eps),
            "clamped_product": np.maximum(np.sqrt(kk * mm), c.eps),
            "clamped": np.maximum(lengths[0], c.eps) * np.maximum(lengths[1], c.eps),
            "normalised": np.maximum(lengths[0], least) * np.maximum(lengths[1], least),
        }[c.form]
        return on_the_simplex(strength * (memory @ key) / below)

    psi = np.prod([1 - f * w for f, w in zip(free_gate, state.read_weightings)], axis=0)
    written = 1 - np.prod([1 - w for w in state.write_weightings], axis=0)
    usage = (state.usage + written - state.usage * written) * psi

    simulated, writing = usage, []
    for h in range(writers):
        u, allocation, product = c.allocation_eps + (1 - c.allocation_eps) * simulated, np.zeros(rows), 1.0
        for j in sorted(range(rows), key=lambda j: u[j]):
            allocation[j] = (1 - u[j]) * product
            product *= u[j]
        gate = write_gate[h] * (allocation_gate[h] if c.simulated_gate == "both" else 1)
        simulated = simulated + (1 - simulated) * gate * allocation
        content = lookup(
            write_key[h], state.memory, write_strength[h], None if write_mask is None else write_mask[h]
        )
        writing.append(write_gate[h] * (allocation_gate[h] * allocation + (1 - allocation_gate[h]) * content))

    usage = simulated if c.keep_simulated_usage else usage
    memory = state.memory * psi[:, None] if c.deallocate else state.memory
    for h in range(writers):
        memory = memory * (1 - np.outer(writing[h], erase[h]))
    for h in range(writers):
        memory = memory + np.outer(writing[h], vector[h])

    new_link, precedence = np.zeros_like(state.link), np.zeros_like(state.precedence)
    for h, w in enumerate(writing):
        old, last = state.link[h], state.precedence[h]
        a, p = (
            (of_the_largest(w, c.link_rows), of_the_largest(last, c.link_rows)) if c.link_rows else (w, last)
        )
        for i in range(rows):
            for j in range(rows):
                grown = (1 - a[i] - a[j]) * old[i, j] + a[i] * p[j]
                if i != j and not (c.link_rows and grown < 1 / c.link_rows):
                    new_link[h, i, j] = grown
        precedence[h] = (1 - w.sum()) * last + w

    def along(matrix, weights, power):
        moved = matrix @ weights
        if not c.sharpen_links:
            return moved
        moved = ((moved + c.link_eps) / (moved + c.link_eps).max()) ** power
        return moved / moved.sum()

    reading = []
    for r, before in enumerate(state.read_weightings):
        powers = [(sharp[0][h, r], sharp[1][h, r]) if c.sharpen_links else (1, 1) for h in range(writers)]
        kinds = {
            "forward": [along(new_link[h], before, powers[h][0]) for h in range(writers)],
            "backward": [along(new_link[h].T, before, powers[h][1]) for h in range(writers)],
            "content": [
                lookup(read_key[r], memory, read_strength[r], None if read_mask is None else read_mask[r])
            ],
        }
        in_order = [w for kind in c.mode_order.split("_") for w in kinds[kind]]
        reading.append(sum(mode * w for mode, w in zip(modes[r], in_order, strict=True)))
    reads = np.array(reading) @ memory
    y = shown @ weights.output_weights + turned("reads", reads).ravel() @ weights.read_output_weights
    y = within(y + (weights.output_bias if biased else 0), c.clip_outputs)
    reads = reads if c.controller_reads == "last" else state.reads
    return y, DNCState(
        memory, usage, new_link, precedence, np.array(writing), np.array(reading), reads, tuple(controller)
    )


def torch_step(torch, x, state, weights, c):
    """One step in eager PyTorch, whole batches at once, as one would write it there."""
    sigmoid = torch.sigmoid
    within = lambda v, bound: v.clamp(-bound, bound) if bound else v
    turned = lambda name, v: v.mT if name in c.heads_fastest else v
    batch, readers, width = state.reads.shape
    writers = state.link.shape[1]
    chi, shown, controller = torch.cat([x, turned("reads", state.reads).flatten(1)], 1), [], []
    for (hidden, cell), (w_x, w_h, bias) in zip(state.controller, weights.controller):
        below = [chi] if c.input_skips or not shown else []
        z = torch.cat([*below, *shown[-1:]], 1) @ w_x + hidden @ w_h + bias
        i, f, o, candidate = z.chunk(4, 1)
        cell = sigmoid(f) * cell + sigmoid(i) * torch.tanh(candidate)
        hidden = sigmoid(o) * torch.tanh(cell)
        shown.append(hidden)
        controller.append((within(hidden, c.clip_state), within(cell, c.clip_state)))
    shown = within(torch.cat(shown if c.shown_layers == "all" else shown[-1:], 1), c.clip_controller)
    xi = shown @ weights.interface_weights
    xi = xi if weights.interface_bias is None else xi + weights.interface_bias
    shapes = interface_shapes(width, readers, writers, masked=c.masked, sharpen_links=c.sharpen_links)
    shapes = {name: shapes[name] for name in c.interface_order if name in shapes}
    pieces = within(xi, c.clip_interface).split([int(np.prod(shape)) for shape in shapes.values()], 1)
    said = {}
    for piece, (name, shape) in zip(pieces, shapes.items()):
        shape = shape[::-1] if name in c.heads_fastest else shape
        said[name] = turned(name, piece.reshape(batch, *shape))
    memory = torch_memory(torch, said, state, c)
    reads = memory[-1]
    read = turned("reads", reads).flatten(1)
    y = shown @ weights.output_weights + read @ weights.read_output_weights
    y = within(y if weights.output_bias is None else y + weights.output_bias, c.clip_outputs)
    reads = reads if c.controller_reads == "last" else state.reads
    return y, DNCState(*memory[:-1], reads, tuple(controller))


def torch_memory(torch, said, state, c):
    """What a step makes of the state, given the parts of the interface by name, each (b, heads, ...).

    Memory, usage, link, precedence, write weightings, read weightings, reads.
    """
    sigmoid, softplus, rows = torch.sigmoid, torch.nn.functional.softplus, state.memory.shape[1]
    writers = state.link.shape[1]
    word = torch.tanh if c.keys == "tanh" else lambda v: v

    def lookup(heads, memory):
        keys, beta = word(said[f"{heads}_keys"]), softplus(said[f"{heads}_strengths"])
        beta = beta + 1 if c.strength == "oneplus" else beta
        memory, keys = memory[:, None], keys[:, :, None]
        if c.masked:
            mask = c.mask_min + (1 - c.mask_min) * sigmoid(said[f"{heads}_masks"])[:, :, None]
            memory, keys = memory * mask, keys * mask
        kk, mm = keys.square().sum(-1), memory.square().sum(-1)
        if c.form in ("smoothed", "smoothed_added"):
            below = ((kk + c.eps) * (mm + c.eps)).sqrt() + (c.eps if c.form == "smoothed_added" else 0)
        else:
            below = kk.sqrt() * mm.sqrt() + (c.eps if c.form == "added" else 0)
        return torch.softmax(beta[..., None] * (memory * keys).sum(-1) / below, -1)

    w_write = state.write_weightings.detach() if c.stop_write_gradient else state.write_weightings
    psi = (1 - sigmoid(said["free_gates"])[..., None] * state.read_weightings).prod(1)
    usage = (1 - (1 - state.usage) * (1 - w_write).prod(1)) * psi
    g_a, g_w = (sigmoid(said[name])[..., None] for name in ("allocation_gates", "write_gates"))
    simulated, allocation = usage, []
    for h in range(writers):
        u, order = (c.allocation_eps + (1 - c.allocation_eps) * simulated).sort(dim=1, stable=True)
        before = torch.cat([torch.ones_like(u[:, :1]), u.cumprod(1)[:, :-1]], 1)
        allocation.append(torch.zeros_like(u).scatter(1, order, (1 - u) * before))
        taken = (g_w * g_a if c.simulated_gate == "both" else g_w)[:, h] * allocation[-1]
        simulated = simulated + (1 - simulated) * taken
    writing = g_w * (g_a * torch.stack(allocation, 1) + (1 - g_a) * lookup("write", state.memory))
    usage = simulated if c.keep_simulated_usage else usage
    memory = state.memory * psi[..., None] if c.deallocate else state.memory
    memory = memory * (1 - writing[..., None] * sigmoid(said["erase"])[:, :, None]).prod(1)
    memory = memory + torch.einsum("bhn,bhw->bnw", writing, word(said["write_vectors"]))

    new_link = (1 - writing[..., None] - writing[..., None, :]) * state.link
    new_link = new_link + writing[..., None] * state.precedence[..., None, :]
    new_link = new_link * (1 - torch.eye(rows, dtype=writing.dtype))
    precedence = (1 - writing.sum(-1, keepdim=True)) * state.precedence + writing
    kinds = {
        "forward": torch.einsum("bhij,brj->bhri", new_link, state.read_weightings),
        "backward": torch.einsum("bhij,bri->bhrj", new_link, state.read_weightings),
    }
    if c.sharpen_links:
        for name in kinds:
            raised = (kinds[name] + c.link_eps) ** (1 + softplus(said[f"{name}_sharpness"]))[..., None]
            kinds[name] = raised / raised.sum(-1, keepdim=True)
    kinds["content"] = lookup("read", memory)[:, None]
    in_order = torch.cat([kinds[kind] for kind in c.mode_order.split("_")], 1)  # (b, m, r, n)
    reading = torch.einsum("brm,bmrn->brn", torch.softmax(said["read_modes"], -1), in_order)
    reads = reading @ memory
    return memory, usage, new_link, precedence, writing, reading, reads
