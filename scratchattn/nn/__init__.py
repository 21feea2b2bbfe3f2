"""Layers and cells, one file each: their parameters, and the composition of ops that the papers tell.

Functions of arrays or tensors.  They run on the tape as they stand; what ``fused/`` lays out for speed must
equal them.
"""
