"""Buffers that fused ops write into: leased, so that none is ever shared by two recordings.

A forward leases what it needs and keeps the lease in ``saved``.  While the recording lives,
nobody else gets those buffers; when it dies, they go back to the pool and the next forward of
the same shape finds them, page tables warm.  So two forwards of one shape may precede their
backwards, and a pullback may be called twice.  What an op returns is never leased memory.

The layout of the inputs is never that of the buffers, or the next call of those sizes would have
other last bits.
"""

from collections import OrderedDict

from .backend import array_module


class Pool:
    """Leases that came back, by key; those longest unused are dropped beyond ``most`` of them."""

    def __init__(self, most=64):
        self.most, self._idle = most, OrderedDict()

    def lease(self, key, build):
        """Buffers that nobody else holds: idle ones of this ``key``, or new ones from ``build()``."""
        waiting = self._idle.get(key)
        buffers = waiting.pop() if waiting else build()
        if waiting is not None and not waiting:
            del self._idle[key]
        return Lease(self, key, buffers)

    def _take_back(self, key, buffers):
        self._idle.setdefault(key, []).append(buffers)
        self._idle.move_to_end(key)
        while sum(map(len, self._idle.values())) > self.most:
            oldest = next(iter(self._idle))
            self._idle[oldest].pop()
            if not self._idle[oldest]:
                del self._idle[oldest]


class Lease:
    """The right to write into ``buffers`` for as long as this object lives."""

    __slots__ = ("buffers", "_key", "_pool")

    def __init__(self, pool, key, buffers):
        self._pool, self._key, self.buffers = pool, key, buffers

    def __del__(self):
        self._pool._take_back(self._key, self.buffers)


POOL = Pool()


def lease(build, like, sizes):
    """A Lease of ``build(new, sizes)``, where ``new(*shape)`` makes an array of the kind of ``like``.

    ``sizes`` is hashable and says all that the shapes depend on.
    """
    xp = array_module(like)

    def new(*shape):
        return xp.empty_like(like, shape=shape, order="C")

    return POOL.lease((build, type(like), like.dtype, sizes), lambda: build(new, sizes))
