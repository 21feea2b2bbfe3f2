"""What tasks share whose answers are classes, one channel each: the loss, and which answers are wrong."""

from .. import backend
from ..backend import array_module
from ..op import REGISTRY
from ..ops.choice import where
from ..ops.losses import softmax_cross_entropy
from ..ops.shaping import reshape


def cross_entropy(outputs, batch, classes):
    """Nats per sequence of the asked answers, a scalar tensor.

    outputs, logits, and ``batch.targets`` are (t, b, groups * classes): the answers of a step side by side.
    """
    steps, size, channels = batch.targets.shape
    split = (steps, size, channels // classes, classes)
    xp = array_module(batch.targets)
    right = xp.argmax(xp.reshape(batch.targets, split), axis=-1)
    nats = softmax_cross_entropy(reshape(outputs, shape=split), right)
    return REGISTRY["sum"](where(batch.asked, nats, 0.0)) / float(size)


def wrong(outputs, batch, classes):
    """(t, b) booleans on the host: asked, and any group's largest output is not the right one."""
    outputs, targets, asked = (backend.to_numpy(a) for a in (outputs, batch.targets, batch.asked))
    split = (*targets.shape[:2], targets.shape[2] // classes, classes)
    found, right = (a.reshape(split).argmax(axis=-1) for a in (outputs, targets))
    return (found != right).any(axis=-1) & asked[:, :, 0]
