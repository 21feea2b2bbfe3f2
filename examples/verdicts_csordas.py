"""Adapters of RobertCsordas/dnc."""

import torch
from verdicts_adapters import Row, in_one_batch, module_of, replaced, weighting
from verdicts_dnc import ONE_WRITE_HEAD, USAGE_WITH_RETENTION


def dnc(folder):
    module = module_of(folder, "Models/DNC.py")

    def content(key, memory, strength):
        return module.ContentAddressGenerator()(memory, key, strength)

    def allocate(usage):
        """After a step that writes and frees nothing, which leaves usage as it is."""
        manager, nothing = module.AllocationManager(), torch.zeros_like(usage)
        manager.usages = usage
        return manager(nothing, nothing[:, None], nothing[:, :1])[0]

    def use(usage, write, gates, read):
        manager = module.AllocationManager()
        manager.usages = usage
        manager.update_usages(write[:, 0], read, gates)
        return manager.usages

    def linkage_of(link, precedence, write):
        linkage = module.TemporalMemoryLinkage()
        linkage._init_link(write)
        linkage.temp_link_mat, linkage.precedence_weighting = link, precedence
        return linkage

    def link(link, precedence, write):
        linkage = linkage_of(link, precedence, write)
        linkage._update_links(write)
        linkage._update_precedence(write)
        return linkage.temp_link_mat, linkage.precedence_weighting

    def sharpen(weights, sharpness):
        """The power itself is given, and a copy of the weights, which are written into."""
        with replaced(module, oneplus=lambda x: x):
            return module.DistSharpnessEnhancer(1)(sharpness[:, None], weights.clone())[0]

    def write(memory, weights, erase, vector):
        return module.WriteHead.mem_update(memory, weights[:, 0], erase[:, 0], vector[:, 0], None)

    def read(content, forward, backward, modes):
        head = module.ReadHead()
        vars(head)["content_addr_generator"] = lambda *_, **__: content
        memory = content.new_zeros(len(content), content.shape[2], 1)
        head(memory, None, modes[..., 0], forward[:, 0], backward[:, 0], modes)
        return head.read_dist

    one_head = lambda case: case.inputs[1].shape[-2] == 1
    return [
        Row("`ContentAddressGenerator`", in_one_batch(content, 2, 2, 1), "cosine_addressing"),
        Row("`AllocationManager.forward`", in_one_batch(allocate, 1), "dnc_allocation"),
        Row("`AllocationManager.update_usages`", in_one_batch(use, 1, 2, 1, 2), USAGE_WITH_RETENTION),
        Row("`TemporalMemoryLinkage`", in_one_batch(link, 2, 1, 1), "dnc_linkage"),
        Row("`DistSharpnessEnhancer`", in_one_batch(sharpen, 1, 0), "sharpening", weighting),
        Row("`WriteHead.mem_update`", in_one_batch(write, 2, 2, 2, 2), "memory_write", one_head),
        Row("`ReadHead`, weighting", in_one_batch(read, 2, 3, 3, 2), "dnc_read_weighting", ONE_WRITE_HEAD),
    ]
