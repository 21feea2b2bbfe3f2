"""Several processes that share the shards of every batch, by MPI.

    mpiexec -n 4 python -m mpi4py -m scratchattn train ntm copy --set batch=16 --set shards=4 --parallel mpi

Each process holds all parameters and computes some of the shards.  Gradients are added along one tree over
the shards, whoever computed them, so the bits do not depend on how many processes there are.  Where these are
a power of two, each is a branch: they swap halves of their sums with a neighbour, quarters with one two
places on, and so forth, and then the other way round.  Each sends less than two gradients, however many
there are, and most of it to its neighbour.  Otherwise each gathers the gradients of all shards and adds them.

``Group(fast=True)`` lets MPI add: one all-reduce, and other last bits for another number of processes.

``python -m mpi4py`` ends the whole job when one process raises; without it the others wait for ever.
Gradients on a GPU go through the host, unless ``device_buffers`` says that MPI takes them as they are.
"""

import sys

from .. import backend
from ..backend import array_module, to_numpy
from .step import tree_sum


def rank_and_size():
    """Which process of how many this is in a job that ``python -m mpi4py`` started; (0, 1) elsewhere."""
    if "mpi4py" not in sys.modules:
        return 0, 1
    from mpi4py import MPI

    return MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()


class Group:
    """All processes of the job; like ``step.Alone``."""

    def __init__(self, *, fast=False, device_buffers=False):
        try:
            from mpi4py import MPI
        except ImportError as missing:
            raise ImportError("training by MPI needs mpi4py: install scratchattn[mpi]") from missing
        self._world, self._sum = MPI.COMM_WORLD, MPI.SUM
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        self.fast, self.device_buffers = fast, device_buffers
        self._shards = 1

    def own(self, shards):
        """Numbers of the shards that this process computes; ValueError for more processes than shards."""
        if self.size > shards:
            raise ValueError(
                f"{self.size} processes share {shards} shard(s): set shards to at least {self.size}, "
                "or start fewer"
            )
        self._shards = shards
        return self._of(self.rank)

    def total(self, rows):
        """Rows (own shards, n) of this process, overwritten -> the sum (n) of those of all shards."""
        if self.size & (self.size - 1) and not self.fast:
            return backend.asarray(tree_sum(self.gathered(rows), self._shards))
        mine = self._sendable(tree_sum(rows, self._shards, self.rank, self.size))
        if not self.fast:
            return backend.asarray(self._added_in_halves(mine))
        found = array_module(mine).empty_like(mine)
        self._world.Allreduce(mine, found, self._sum)
        return backend.asarray(found)

    def _added_in_halves(self, mine):
        """``mine`` (n), overwritten, of a power of two of processes -> their sum.

        Sums of branches are made where half of them is, a quarter...: a sum of two has the same bits in both
        orders.  Then each has a part of the whole, and they hand them back.
        """
        low, high, ways, distance = 0, len(mine), [], 1
        spare = array_module(mine).empty_like(mine[: (high + 1) // 2])
        while distance < self.size:
            middle = (low + high) // 2
            kept, given = slice(low, middle), slice(middle, high)
            if self.rank & distance:
                kept, given = given, kept
            theirs = spare[: kept.stop - kept.start]
            self._swap(mine[given], theirs, distance)
            total = mine[kept]
            total += theirs
            ways.append((kept, given, distance))
            low, high, distance = kept.start, kept.stop, 2 * distance
        for kept, given, distance in reversed(ways):
            self._swap(mine[kept], mine[given], distance)
        return mine

    def _swap(self, sent, received, distance):
        """Send to the process at ``distance``, and receive from it."""
        _settled(sent)
        other = self.rank ^ distance
        self._world.Sendrecv(sent, other, recvbuf=received, source=other)

    def gathered(self, rows):
        """Rows (own shards, n) of this process -> those of all shards (shards, n), in order."""
        mine = self._sendable(rows)
        found = array_module(mine).empty((self._shards, mine.shape[1]), dtype=mine.dtype)
        counts = [len(self._of(rank)) * mine.shape[1] for rank in range(self.size)]
        self._world.Allgatherv(mine, [found, counts])
        return found

    def collected(self, facts):
        """A list of what each process gave, picklable, in the order of the processes."""
        return self._world.allgather(facts)

    def _of(self, rank):
        return range(rank * self._shards // self.size, (rank + 1) * self._shards // self.size)

    def _sendable(self, array):
        """``array`` where MPI may read it, contiguous."""
        array = array if self.device_buffers else to_numpy(array)
        return _settled(array_module(array).ascontiguousarray(array))


def _settled(array):
    """``array``, once what is queued on a GPU is done: MPI does not wait for it."""
    xp = array_module(array)
    if xp.__name__ == "cupy":
        xp.cuda.get_current_stream().synchronize()
    return array
