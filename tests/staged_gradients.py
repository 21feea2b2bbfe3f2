"""One process of an MPI job whose gradients are on a GPU: ``staged_gradients.py host|device``.

The GPU is ``recorded_cupy``.  With "device", MPI is one that takes the memory of that GPU: it looks whether
all that was queued there is done.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
from recorded_cupy import namespace, ndarray, reads

from scratchattn import backend
from scratchattn.training.mpi import Group

SHARDS, SIZE = 11, 37  # parts of unlike size, whose trees are not those of so many shards alone
waits = []


class TakesDevices:
    """MPI's processes, which are given arrays of the device."""

    def __init__(self, world):
        self._world = world

    def Sendrecv(self, sent, other, recvbuf, source):  # noqa: N802 - MPI's name
        assert type(sent) is type(recvbuf) is ndarray, "the device's own memory was asked for"
        assert waits and waits.pop() == "waited", "MPI must not read what is still being computed"
        found = np.empty(recvbuf.shape, str(recvbuf.dtype))
        self._world.Sendrecv(sent.host(), other, recvbuf=found, source=source)
        recvbuf[...] = namespace.asarray(found)


def main(device):
    stream = SimpleNamespace(synchronize=lambda: waits.append("waited"))
    namespace.cuda = SimpleNamespace(get_current_stream=lambda: stream)
    sys.modules["cupy"] = namespace
    backend.use("cupy")
    rows = np.random.default_rng(0).normal(size=(SHARDS, SIZE)).astype(np.float32)
    group = Group(device_buffers=device)
    own = group.own(SHARDS)
    if device:
        group._world = TakesDevices(group._world)
    found = group.total(namespace.asarray(rows[own.start : own.stop]))
    if group.rank == 0:
        told = {"on the device": type(found) is ndarray, "downloads": len(reads)}
        print(json.dumps(told | {"sum": found.host().tolist()}))


if __name__ == "__main__":
    main(sys.argv[1] == "device")
