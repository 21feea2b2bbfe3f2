"""An embedding layer: one learned row for each token.

Source: Bengio, Ducharme, Vincent, Jauvin, "A neural probabilistic language model", JMLR 3 (2003) 1137.
"""

from ..op import REGISTRY
from .checked import checked


def embedding_shapes(tokens, features):
    """Parameter shapes of ``embed``."""
    return {"table": (tokens, features)}


@checked("tokens!(), table(v,d)", leading=True, tokens="integer")
def embed(tokens, table):
    """Rows of ``table``: integers (...), (v, d) -> (..., d)."""
    return REGISTRY["embedding"](table, tokens)
