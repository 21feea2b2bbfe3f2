"""What a caller says that sequences start from, in the place of what a model's settings say."""

from ..ops.axes import broadcast_to


def refuse_unfit(who, given, shapes):
    """ValueError unless ``given``, name -> array of one sequence, has names and shapes of ``shapes``."""
    for name, array in given.items():
        if shapes.get(name) != getattr(array, "shape", None):
            expected = shapes.get(name, f"one of {', '.join(shapes)}")
            came = getattr(array, "shape", type(array).__name__)
            raise ValueError(f"{who}: {name} must be {expected}, got {came}")


def for_each(batch, array):
    """The array of one sequence for ``batch`` of them."""
    return broadcast_to(array, shape=(batch, *array.shape))


def units_shape(model):
    """The shape of hidden units and of cells of one sequence, (h) or (l, h)."""
    return (model.units,) if model.layers == 1 else (model.layers, model.units)
