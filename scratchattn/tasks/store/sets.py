"""The data sets that tasks ask for by name: of which kind they are, what for, and who gives them out."""

from typing import NamedTuple

from .digests import DIGESTS


class DataSet(NamedTuple):
    kind: str
    used_for: str
    comes_from: str
    places: tuple[str, ...] = ()  # what makes it complete, without .gz; empty: any file of the kind


_BABI = (*DIGESTS["babi"], "en-10k/qa3_three-supporting-facts_train.txt")  # one whose digest we do not have

SETS = {
    "babi": DataSet(
        "babi",
        "questions about stories",
        "the bAbI tasks, version 1.2, folders en and en-10k (Weston et al., arXiv:1502.05698)",
        _BABI,
    ),
    "mnist": DataSet(
        "mnist",
        "glimpses at digits, and drawing them",
        "the MNIST database, four idx files (LeCun, Cortes, Burges)",
        tuple(DIGESTS["mnist"]),
    ),
    "multi30k": DataSet(
        "parallel",
        "translation, English and German",
        "Multi30k, task 1, raw (Elliott et al., arXiv:1605.00459)",
        tuple(DIGESTS["multi30k"]),
    ),
    "tinyshakespeare": DataSet(
        "text",
        "language models of characters",
        "tiny Shakespeare, the input.txt of char-rnn (Karpathy)",
        tuple(DIGESTS["tinyshakespeare"]),
    ),
    "strokes": DataSet(
        "strokes",
        "handwriting and drawing with a pen",
        "pen strokes of Omniglot and KanjiVG, e.g. from sketch-rnn-datasets, as arrays without pickle",
    ),
    "iam_ondb": DataSet(
        "iam_ondb",
        "handwriting of a given text",
        "IAM-OnDB, its folders lineStrokes and ascii (Liwicki, Bunke; after registration)",
    ),
}
