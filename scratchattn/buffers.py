"""Buffers that fused ops write into: leased, so that none is ever shared by two recordings.

A forward leases what it needs and keeps the lease in ``saved``.  While the recording lives,
nobody else gets those buffers; when it dies, they go back to the pool and the next forward of
the same shape finds them, page tables warm.  So two forwards of one shape may precede their
backwards, and a pullback may be called twice.  What an op returns is never leased memory.

A sequence also gets buffers that were made for a longer one, and then uses their beginning: batches of all
lengths hold no more memory than one of the longest.

The layout of the inputs is never that of the buffers, or the next call of those sizes would have
other last bits.
"""

from collections import OrderedDict
from types import SimpleNamespace

from .backend import array_module


class Pool:
    """Leases that came back, by key; those longest unused are dropped beyond ``most`` of them."""

    def __init__(self, most=64):
        self.most, self._idle = most, OrderedDict()

    def lease(self, key, build, room=0):
        """Buffers that nobody else holds: the smallest idle ones of this ``key`` with ``room``, or new ones.

        New ones come from ``build()``, in the place of some of this key that are too small.
        """
        waiting = self._idle.get(key, [])
        fitting = [i for i, (size, _) in enumerate(waiting) if size >= room]
        place = min(reversed(fitting), key=lambda i: waiting[i][0], default=-1)
        found = waiting.pop(place) if waiting else None
        if key in self._idle and not waiting:
            del self._idle[key]
        if not fitting:
            found = None  # before others are built
            found = room, build()
        return Lease(self, key, *found)

    def _take_back(self, key, room, buffers):
        self._idle.setdefault(key, []).append((room, buffers))
        self._idle.move_to_end(key)
        while sum(map(len, self._idle.values())) > self.most:
            oldest = next(iter(self._idle))
            self._idle[oldest].pop()
            if not self._idle[oldest]:
                del self._idle[oldest]


class Lease:
    """The right to write into ``buffers``, which have ``room``, for as long as this object lives."""

    __slots__ = ("buffers", "room", "_whole", "_key", "_pool")

    def __init__(self, pool, key, room, buffers):
        self._pool, self._key, self.room, self._whole, self.buffers = pool, key, room, buffers, buffers

    def __del__(self):
        self._pool._take_back(self._key, self.room, self._whole)


POOL = Pool()


def lease(build, like, sizes):
    """A Lease of ``build(new, sizes)``, where ``new(*shape)`` makes an array of the kind of ``like``.

    ``sizes`` is a hashable named tuple that says all that the shapes depend on.  Where its ``steps`` are what
    a first axis is made of, buffers for more steps serve too: such arrays and views of all their steps then
    end where these end, and so does ``views``, a list with an entry for each step, also within namespaces.
    """
    xp = array_module(like)

    def new(*shape):
        array = xp.empty_like(like, shape=tuple(map(int, shape)), order="C")
        if type(shape[0]) is _Steps:
            over_time[id(array)] = array  # held, so that no other array gets its id
        return array

    def make():
        return build(new, sizes._replace(steps=_Steps(sizes.steps))), over_time

    over_time: dict = {}
    held = POOL.lease((build, type(like), like.dtype, sizes._replace(steps=0)), make, sizes.steps)
    held.buffers = _beginning(*held.buffers, held.room - sizes.steps)
    return held


class _Steps(int):
    """A number of steps, and this and one more, which a builder hands on to ``new`` as it is."""

    def __add__(self, other):
        return _Steps(int(self) + other)


def _beginning(buffers, over_time, spare):
    """``buffers`` without so many steps at their end."""
    if not spare:
        return buffers

    def has_all(value):
        owner = value if getattr(value, "base", None) is None else value.base
        along = id(owner) in over_time and (owner.shape[0], owner.strides[0])
        return along and along == (value.shape[0], value.strides[0])

    def cut(name, value):
        if name == "views" or has_all(value):
            return value[:-spare]
        if type(value) is list and value and type(value[0]) is SimpleNamespace:
            return [_beginning(each, over_time, spare) for each in value]
        return value

    return SimpleNamespace(**{name: cut(name, value) for name, value in vars(buffers).items()})
