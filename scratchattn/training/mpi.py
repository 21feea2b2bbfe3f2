"""Several processes that share the shards of every batch, by MPI.

    mpiexec -n 4 python -m mpi4py -m scratchattn train ntm copy --set batch=16 --set shards=4 --parallel mpi

Each process holds all parameters, computes some of the shards, and gathers the gradients of all; then each
adds them in the order of the shards and makes the same step.  So the bits do not depend on how many
processes there are.  ``Group(fast=True)`` lets MPI add instead: one all-reduce, less to send and to add, and
other last bits for another number of processes.

``python -m mpi4py`` ends the whole job when one process raises; without it the others wait for ever.
Gradients on a GPU go through the host, unless ``device_buffers`` says that MPI takes them as they are.
"""

import sys

from .. import backend
from ..backend import array_module, to_numpy
from .step import in_order


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
        """Rows (own shards, n) of this process -> the sum (n) of those of all shards."""
        if not self.fast:
            return backend.asarray(in_order(self.gathered(rows)))
        mine = self._sendable(in_order(rows))
        found = array_module(mine).empty_like(mine)
        self._world.Allreduce(mine, found, self._sum)
        return backend.asarray(found)

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
        """``array`` where MPI may read it, contiguous; what is queued on a GPU is waited for."""
        if not self.device_buffers:
            array = to_numpy(array)
        xp = array_module(array)
        if xp.__name__ == "cupy":
            xp.cuda.get_current_stream().synchronize()
        return xp.ascontiguousarray(array)
