"""A decoder that looks back at its source at every step: Bahdanau's.

A batch of ``b`` sequences, each with a source of ``k`` annotations h_j.  Before the first step, once,

    s      = tanh(start W_s + b_s)                    from where the backward encoder ended
    keys   = annotations U                            of the attention, in ``additive_attention``

and at every step, given the embedding y of the symbol before it,

    e_j    = v . tanh(s W + keys_j + b_a)             how well each annotation fits
    c      = sum_j softmax_j(e) h_j                   context
    s'     = cell([y, c], s)                          a GRU, or an LSTM
    t      = s U_o + y V_o + c C_o + b_o              what the output is made of
    o      = maxout(t) W_o + b_y                      logits; maxout: the larger of two neighbours

Conventions
-----------
``query``          what asks: the state "before" the step, or one "between" two cells (the conditional GRU),

                       s~ = cell(y, s),     c = attend(s~),     s' = second(c, s~)

``readout_state``  whose s is in t: that "before" the step, or the one "after" it, which is s'
``readout``        "maxout", "tanh" (a layer), or "linear": t itself; without W_o it is the logits
``start``          "backward": the last columns of the first annotation, as many as W_s has rows; or
                   "mean": of all annotations

                           query    readout, of          start      cell
    paper, GroundHog       before   maxout, before       backward   gru, "before", "takes"
    dl4mt, Nematus         between  tanh, after          mean       gru, "after", "keeps"
    bentrevett             before   linear, after        a state    gru, "after", "keeps"; without W_o
    PyTorch's tutorial     before   linear, after        a state    the same; of s' alone: without V_o, C_o

The text of the paper, eq. 4, has s' in the output; its appendix, and its authors' code, the s before.  The
first symbol has none before it: dl4mt embeds that as zeros.  ``reset`` and ``update`` are the GRU's (see
``gru_cell``), ``activation`` and ``shifted`` the attention's.  An LSTM's cell starts at zero.

Luong's decoder, which asks with s' and feeds t back (OpenNMT-py, Joey NMT), is another.

What ``keep`` leaves out of a source is never read, and a source of which nothing is kept has the context
zero.  A target that has ended keeps its state and shows zeros.  One source serves a whole beam: its leading
axis may be one.

Source: Bahdanau, Cho, Bengio, "Neural machine translation by jointly learning to align and translate",
arXiv:1409.0473, section 3 and appendix A; maxout: Goodfellow et al., arXiv:1302.4389.
"""

from typing import Any, NamedTuple

from ..backend import arange_like
from ..op import REGISTRY
from ..ops.additive_attention import additive_attention
from ..ops.axes import expand_dims, squeeze
from ..ops.choice import where
from ..ops.exponential import tanh
from ..ops.gru_cell import gru_cell
from ..ops.lstm_cell import lstm_cell
from ..ops.shaping import concat, reshape, stack, unstack
from ..ops.softmax import softmax
from .lstm import keep_ended

_CHOICES = {
    "cell": ("gru", "lstm"),
    "query": ("before", "between"),
    "readout": ("maxout", "tanh", "linear"),
    "readout_state": ("before", "after"),
    "start": ("backward", "mean"),
}


class AttentionDecoderWeights(NamedTuple):
    """The parameters; g is 3 for a GRU and 4 for an LSTM, i is m + v, or m if the query is "between"."""

    query_weights: Any  # (h, a): W
    key_weights: Any  # (v, a): U
    vector: Any  # (a): v
    input_weights: Any  # (i, g h)
    hidden_weights: Any  # (h, g h)
    bias: Any  # (g h)
    readout_hidden_weights: Any  # (h, l): U_o
    readout_embedding_weights: Any = None  # (m, l): V_o
    readout_context_weights: Any = None  # (v, l): C_o
    readout_bias: Any = None  # (l)
    output_weights: Any = None  # (l / 2, o) after maxout, else (l, o); None: t is the logits
    output_bias: Any = None  # (o)
    start_weights: Any = None  # (s, h): W_s; None for those who bring a state
    start_bias: Any = None  # (h)
    attention_bias: Any = None  # (a)
    hidden_bias: Any = None  # (3h), of a GRU
    second_input_weights: Any = None  # (v, g h)
    second_hidden_weights: Any = None  # (h, g h)
    second_bias: Any = None  # (g h)
    second_hidden_bias: Any = None  # (3h), of a GRU


class AttentionDecoderState(NamedTuple):
    """What a step hands to the next."""

    hidden: Any  # (b, h)
    cell: Any = None  # (b, h) of an LSTM, None of a GRU


class DecoderSource(NamedTuple):
    """A source as all steps see it."""

    annotations: Any  # (b|1, k, v)
    keys: Any  # (b|1, k, a)
    keep: Any = None  # (b|1, k) booleans, True for what is there; None: all is


class AttentionDecoderOutputs(NamedTuple):
    """What a step shows, and a sequence with a leading axis t."""

    logits: Any  # (b, o)
    context: Any  # (b, v)
    weights: Any  # (b, k): the alignment


def attention_decoder_shapes(
    embedding, annotation, units, attention, readout_units, outputs, *,
    cell="gru", query="before", readout="maxout", start="backward", biases=True,
):  # fmt: skip
    """Parameter shapes by name; ``embedding`` is m, ``annotation`` v, ``attention`` a, ``readout_units`` l.

    ``start`` "backward" takes half of an annotation, "mean" all.  ``biases``: of attention, readout and
    output; the cells and the start have theirs always.
    """
    _check(cell=cell, query=query, readout=readout, start=start)
    columns = (3 if cell == "gru" else 4) * units
    shapes = {
        "query_weights": (units, attention),
        "key_weights": (annotation, attention),
        "vector": (attention,),
        "input_weights": (embedding if query == "between" else embedding + annotation, columns),
        "hidden_weights": (units, columns),
        "bias": (columns,),
        "readout_hidden_weights": (units, readout_units),
        "readout_embedding_weights": (embedding, readout_units),
        "readout_context_weights": (annotation, readout_units),
        "output_weights": (readout_units // 2 if readout == "maxout" else readout_units, outputs),
        "start_weights": (annotation if start == "mean" else annotation // 2, units),
        "start_bias": (units,),
    }
    if biases:
        shapes |= {
            "attention_bias": (attention,),
            "readout_bias": (readout_units,),
            "output_bias": (outputs,),
        }
    if query == "between":
        shapes |= {
            "second_input_weights": (annotation, columns),
            "second_hidden_weights": (units, columns),
            "second_bias": (columns,),
        }
    return shapes


def decoder_source(annotations, weights, keep=None, *, lengths=None):
    """A DecoderSource of annotations (b, k, v): padding made zero, keys projected.

    ``keep`` (b, k): booleans; or ``lengths`` (b): integers in 0..k, of which the first are kept; or neither.
    """
    if keep is not None and lengths is not None:
        raise ValueError("decoder_source: keep or lengths expected, got both")
    if lengths is not None:
        keep = arange_like(lengths, annotations.shape[1]) < lengths[:, None]
    if keep is not None:
        annotations = where(keep[:, :, None], annotations, 0.0)
    return DecoderSource(annotations, annotations @ weights.key_weights, keep)


def decoder_start(source, weights, *, start="backward", cell="gru"):
    """The AttentionDecoderState before the first step: tanh of an affine map of ``start``."""
    _check(start=start, cell=cell)
    if start == "backward":
        columns = weights.start_weights.shape[0]
        first = source.annotations[:, :1, source.annotations.shape[-1] - columns :]
        first = REGISTRY["sum"](first, axis=1)  # of one annotation, or of none
    else:
        alike = softmax(0.0 * REGISTRY["sum"](source.annotations, axis=-1), source.keep)  # zeros for none
        first = squeeze(expand_dims(alike, axis=1) @ source.annotations, axis=1)
    hidden = tanh(_affine(first, weights.start_weights, weights.start_bias))
    return AttentionDecoderState(hidden, None if cell == "gru" else 0.0 * hidden)


def attention_decoder_step(
    y, state, source, weights, *,
    query="before", readout="maxout", readout_state="before",
    reset="before", update="takes", activation="tanh", shifted=True,
):  # fmt: skip
    """One step: y (b, m), a state, a DecoderSource, weights -> AttentionDecoderOutputs, the next state.

    The cell is an LSTM if the state has one.  ValueError for conventions that are none of those above.
    """
    _check(query=query, readout=readout, readout_state=readout_state)
    gates = {"reset": reset, "update": update}
    first = (weights.input_weights, weights.hidden_weights, weights.bias, weights.hidden_bias)
    asks = state if query == "before" else _advance(y, state, first, gates)
    context, alignment = additive_attention(
        expand_dims(asks.hidden, axis=1), source.keys, source.annotations, weights.vector,
        weights.query_weights, None, weights.attention_bias,
        None if source.keep is None else source.keep[:, None, :],
        activation=activation, shifted=shifted,
    )  # fmt: skip
    context, alignment = squeeze(context, axis=1), squeeze(alignment, axis=1)
    if query == "before":
        new = _advance(concat(y, context, axis=-1), state, first, gates)
    else:
        second = (weights.second_input_weights, weights.second_hidden_weights, weights.second_bias)
        new = _advance(context, asks, (*second, weights.second_hidden_bias), gates)
    told = state.hidden if readout_state == "before" else new.hidden
    return AttentionDecoderOutputs(_logits(told, y, context, weights, readout), context, alignment), new


def attention_decoder_sequence(ys, state, source, weights, lengths=None, **conventions):
    """The steps one after the other: ys (t, b, m) -> AttentionDecoderOutputs (t, b, ...), the last state.

    ``lengths``: b integers in 0..t, of the targets, or None.  A target that has ended keeps its state and
    shows zeros, and its padding is never read.  ``conventions`` are those of the step.
    """
    shown = []
    for t, y in enumerate(unstack(ys)):
        running = None if lengths is None else lengths > t
        out, new = attention_decoder_step(keep_ended(running, y, 0.0), state, source, weights, **conventions)
        pairs = zip(new, state)
        state = AttentionDecoderState(*[a if a is None else keep_ended(running, a, old) for a, old in pairs])
        shown.append([keep_ended(running, x, 0.0) for x in out])
    if shown:
        return AttentionDecoderOutputs(*[stack(*each) for each in zip(*shown)]), state
    last = weights.readout_hidden_weights if weights.output_weights is None else weights.output_weights
    widths = last.shape[-1], source.annotations.shape[-1], source.annotations.shape[-2]
    nothing, batch = state.hidden[:0], state.hidden.shape[0]
    return AttentionDecoderOutputs(*[reshape(nothing, shape=(0, batch, n)) for n in widths]), state


def _advance(x, state, parameters, gates):
    """The next state of one cell: an LSTM if the state has a cell, else a GRU."""
    *parameters, hidden_bias = parameters
    if state.cell is not None:
        return AttentionDecoderState(*lstm_cell(x, *state, *parameters))
    return AttentionDecoderState(gru_cell(x, state.hidden, *parameters, hidden_bias, **gates))


def _logits(hidden, y, context, weights, readout):
    t = _affine(hidden, weights.readout_hidden_weights, weights.readout_bias)
    if weights.readout_embedding_weights is not None:
        t = t + y @ weights.readout_embedding_weights
    if weights.readout_context_weights is not None:
        t = t + context @ weights.readout_context_weights
    if readout == "maxout":
        if t.shape[1] % 2:
            raise ValueError(
                f"attention_decoder: maxout must have an even number of columns, got {t.shape[1]}"
            )
        t = REGISTRY["max"](reshape(t, shape=(t.shape[0], t.shape[1] // 2, 2)), axis=-1)
    elif readout == "tanh":
        t = tanh(t)
    return t if weights.output_weights is None else _affine(t, weights.output_weights, weights.output_bias)


def _affine(x, weights, bias):
    return x @ weights if bias is None else x @ weights + bias


def _check(**choices):
    for name, value in choices.items():
        if value not in _CHOICES[name]:
            allowed = ", ".join(_CHOICES[name])
            raise ValueError(f"attention_decoder: {name} must be one of {allowed}, got {value!r}")
