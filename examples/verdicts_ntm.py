"""Adapters of loudinthecloud/pytorch-ntm."""

import torch
from verdicts_adapters import Row, in_one_batch, module_of, one_by_one, shaped, weighting


def pytorch_ntm(folder):
    module = module_of(folder, "ntm/memory.py")

    def memory_with(content):
        """A memory that holds content (b, n, w)."""
        memory = module.NTMMemory(*content.shape[-2:])
        memory.batch_size, memory.memory = len(content), content
        return memory

    def similarity(key, content, strength):
        memory = memory_with(content)
        heads = [memory._similarity(key[:, h], strength[:, h, None]) for h in range(key.shape[1])]
        return torch.stack(heads, dim=1)

    def write(content, weights, erase, write_vector):
        """Its heads write one after the other, each by this call."""
        memory = memory_with(content)
        for h in range(weights.shape[1]):
            memory.write(weights[:, h], erase[:, h], write_vector[:, h])
        return memory.memory

    def read(weights, content):
        memory = memory_with(content)
        return torch.stack([memory.read(weights[:, h]) for h in range(weights.shape[1])], dim=1)

    def of_memory(name):
        """A method of the memory that does not look at its content."""

        def method(*arguments):
            b, n = arguments[0].shape
            return getattr(memory_with(arguments[0].new_zeros(b, n, 1)), name)(*arguments)

        return method

    def sharpen(weights, sharpness):
        return of_memory("_sharpen")(weights, sharpness[:, None])

    def interpolate(content, previous, gate):
        return of_memory("_interpolate")(previous, content, gate[:, None])

    some = lambda case: all(0 not in x.shape for x in case.inputs if x is not None)
    three = shaped((None,), (3,))
    convolve = in_one_batch(one_by_one(module._convolve), 1, 1)
    shift, reversed_shift = in_one_batch(of_memory("_shift"), 1, 1), {"variant": "pytorch_ntm"}
    return [
        Row("`_convolve`, three offsets", convolve, "circular_shift", three),
        Row("`_convolve`, any offsets", convolve, "circular_shift", dtypes=("float32",)),
        Row("`NTMMemory._shift`", shift, "circular_shift", three, dtypes=("float32",)),
        Row("`NTMMemory._shift`", shift, "circular_shift", three, reversed_shift, dtypes=("float64",)),
        Row("`NTMMemory._sharpen`", in_one_batch(sharpen, 1, 0), "sharpening", weighting),
        Row("`NTMMemory._similarity`", in_one_batch(similarity, 2, 2, 1), "cosine_addressing", some),
        Row("`NTMMemory._interpolate`", in_one_batch(interpolate, 1, 1, 0), "interpolation"),
        Row("`NTMMemory.write`", in_one_batch(write, 2, 2, 2, 2), "memory_write"),
        Row("`NTMMemory.read`", in_one_batch(read, 2, 2), "memory_read", some),
    ]
