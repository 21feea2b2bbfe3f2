"""Embedding: each token is replaced by its learned row.

Forward
-------
    row_i = s E_(token_i),    s = sqrt(d) if ``scaled``, else 1

which is the product of a one-hot matrix and the table, without the matrix.

Backward
--------
Row j of the table is read at every place i whose token is j, and nowhere else:

    g(E_j) = s sum over the i with token_i = j of g(row_i)

A token that occurs twice gets the sum of both; a row that no token names gets zero.

Accuracy
--------
The sum is ``scatter_add``'s, in an order that depends on the tokens alone: the same bits each time.

Conventions
-----------
``scaled`` is section 3.4 of "Attention is all you need": sqrt(d) brings rows of variance 1 / d to the size of
the position encodings that are added to them.  GPT and BERT do not scale.  No row is set aside for
padding: padded steps get no cotangent from what masks them, and so give their row no gradient.

Tokens have any shape and the table has two axes; it is shared by the batch.

Source: Bengio, Ducharme, Vincent, Jauvin, "A neural probabilistic language model", JMLR 3 (2003) 1137;
Vaswani et al., "Attention is all you need", arXiv:1706.03762, section 3.4.
"""

import numpy as np

from ..backend import array_module, constant, gather, scatter_add
from ..op import Case, Op, Variant, register
from ..refusals import refuse_outside


def embedding_forward(table, tokens, *, scaled=False):
    """Rows of table, (v, d), at integers (...) in 0..v-1: (..., d); times sqrt(d) if ``scaled``."""
    xp = array_module(table, tokens)
    embedding_shapes(table.shape, tokens.shape, scaled=scaled)
    refuse_outside("embedding: tokens", tokens, table.shape[0])
    rows = gather(table, tokens)
    scale = xp.sqrt(constant(table, table.shape[1])) if scaled else None
    return (rows * scale if scaled else rows), (tokens, table.shape[0], scale)


def embedding_backward(saved, drows):
    """The gradient for the table, given drows of shape (..., d)."""
    tokens, n, scale = saved
    dtable = scatter_add(drows, tokens, n)
    return (dtable if scale is None else dtable * scale,)


def embedding_loops(table, tokens, *, scaled=False, math=None):
    vocabulary, width = table.shape
    rows = []
    for place in np.ndindex(tokens.shape):
        one_hot = [1 if j == tokens[place] else 0 for j in range(vocabulary)]
        for k in range(width):
            entry = sum(one_hot[j] * table[j, k] for j in range(vocabulary))
            rows.append(math.sqrt(width) * entry if scaled else entry)
    return rows


def embedding_shapes(table, tokens, *, scaled=False):
    """The shape of the rows; ValueError unless the table has two axes."""
    if len(table) != 2:
        raise ValueError(f"embedding: table must have two axes, (v, d), got shape {table}")
    if type(scaled) is not bool:
        raise ValueError(f"embedding: scaled must be True or False, got {scaled!r}")
    return [(*tokens, table[1])]


# ---- evidence ---------------------------------------------------------------


def cases(rng):
    table = rng.normal(size=(5, 3))
    yield Case("a sentence", (table, np.array([4, 0, 2])))
    yield Case("scaled", (table, np.array([1, 3])), {"scaled": True})
    yield Case("a word that comes back", (table, np.array([1, 4, 1, 1])))
    yield Case("a word that comes back, scaled", (table, np.array([1, 4, 1])), {"scaled": True})
    yield Case("a batch", (table, np.array([[0, 1, 0], [2, 0, 4]])))
    yield Case("two batch axes", (table, np.array([[[3], [1]], [[0], [3]]])))
    yield Case("one token", (table, np.array(3)))
    yield Case("no tokens", (table, np.array([[0]])[:0]), zero_gradient=("table",))
    yield Case("a vocabulary of one", (table[:1], np.array([0, 0])))
    yield Case("rows of one number", (table[:, :1], np.array([2, 0, 2])), {"scaled": True})


def equal_tokens_have_equal_rows(inputs, params, out):
    tokens = inputs[1].reshape(-1)
    rows = out.reshape(len(tokens), out.shape[-1])
    for token in set(tokens):
        assert (rows[tokens == token] == rows[tokens == token][:1]).all()


def it_is_the_one_hot_product(inputs, params, out):
    table, tokens = inputs
    scale = table.shape[1] ** 0.5 if params.get("scaled") else 1.0
    product = np.eye(len(table))[tokens] @ table * scale
    assert out.shape == product.shape and np.allclose(out, product, rtol=1e-15, atol=0)


def a_gradient_of_ones_counts_the_tokens(inputs, params, out):
    table, tokens = inputs
    _, saved = embedding_forward(table, tokens)
    (dtable,) = embedding_backward(saved, np.ones_like(out))
    assert (dtable == [[(tokens == j).sum()] for j in range(len(table))]).all()


embedding = register(
    Op(
        name="embedding",
        signature="table(...), tokens!(...) -> rows(...)",
        forward=embedding_forward,
        backward=embedding_backward,
        cases=cases,
        loops=embedding_loops,
        shape_rule=embedding_shapes,
        passive={"tokens": "integer"},
        properties=(
            equal_tokens_have_equal_rows,
            it_is_the_one_hot_product,
            a_gradient_of_ones_counts_the_tokens,
        ),
        variants=(
            Variant("plain", {"scaled": False}, "karpathy/nanoGPT; google-research/bert"),
            Variant("scaled", {"scaled": True}, "harvardnlp/annotated-transformer"),
        ),
        source="JMLR 3 (2003) 1137; arXiv:1706.03762 section 3.4",
    )
)
