"""Questions about a random graph described edge by edge: where does a path lead, which is the shortest?

Nodes lie at random in a square, and each has edges to its nearest neighbours, ``least_edges`` to
``most_edges`` of them.  Nodes have different labels of ``digits`` decimal digits, and so have the edges that
leave one node.  A step shows or asks for a triple of labels: source, edge, destination; each digit is one of
ten channels, and a label that is not given is all zero.

    phase          input                                                 target
    description    all edges as triples, in random order                 -
    question       traversal:      (start, edge 1, -), (-, edge 2, -)…   -
                   shortest_path:  (start, -, end)                       -
    planning       nothing, ``planning`` steps                           -
    answer         nothing                                               the edges of the path as triples

Two more channels: one is 1 at the first step of the question and at the first of planning and answer, the
other at every step of the answer.  A path has ``shortest`` to ``longest`` edges.  For a shortest path that is
the distance wanted between start and end: where no node is that far, the nearest to it counts.  Of several
shortest paths the one is asked for whose edges have the smallest labels, the first edge deciding first.

The loss is the cross-entropy of the ten channels of every asked digit.  ``sequence_error`` is 1 for an answer
with any digit wrong, ``wrong_triples`` counts the edges that are not right.

Conventions
-----------
The vectors, 92 in and 90 out, the geometry of graphs and both questions are the paper's; the rule for ties,
the place of the marks and how distances are drawn are ours.  The paper trains shortest paths by what the
network itself has answered so far; here the answer is asked for without a hint.

Source: Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature 538
(2016) 471, Methods.
"""

from dataclasses import dataclass

import numpy as np

from ..refusals import check_settings
from . import one_hot
from .bits import BitsTask, answered_last, refuse_disorder

NONE = -1  # a label that is not given


@dataclass(frozen=True)
class Graph(BitsTask):
    """Settings: the question, and ranges, both ends included, of what is drawn."""

    question: str = "traversal"
    """"traversal": follow these edges from here; "shortest_path": the way from here to there."""
    fewest: int = 5
    """Nodes, at least."""
    most: int = 10
    """Nodes, at most."""
    least_edges: int = 2
    """Edges that leave a node, at least."""
    most_edges: int = 4
    """Edges that leave a node, at most; and never more than to all others."""
    shortest: int = 2
    """Edges of the path, at least."""
    longest: int = 4
    """Edges of the path, at most."""
    planning: int = 0
    """Steps between question and answer; the paper gives shortest paths ten."""
    digits: int = 3
    """Decimal digits of a label."""

    metric = "sequence_error"
    classes = 10
    together = False

    def __post_init__(self):
        names = ("least_edges", "most_edges", "shortest", "longest", "digits")
        least = dict.fromkeys(names, 1) | {"fewest": 2, "most": 2, "planning": 0}
        check_settings(self, at_least=least, one_of={"question": ("traversal", "shortest_path")})
        refuse_disorder(self, ("fewest", "most"), ("least_edges", "most_edges"), ("shortest", "longest"))
        if max(self.most, self.most_edges) > 10**self.digits:
            raise ValueError(
                f"Graph: digits must give {max(self.most, self.most_edges)} labels, got {self.digits}"
            )

    outputs = property(lambda self: 30 * self.digits)
    inputs = property(lambda self: self.outputs + 2)

    def sizes(self, rng, count):
        """Nothing is drawn before the graph itself."""
        return [()] * count

    def sequence(self, rng):
        """One graph, question and answer."""
        edges = self._graph(rng)
        described = np.array([(a, e, b) for a in edges for e, b in edges[a].items()])
        length = int(rng.integers(self.shortest, self.longest + 1))
        start = list(edges)[rng.integers(len(edges))]
        if self.question == "traversal":
            path = _walk(rng, edges, start, length)
            question = np.array([(a if i == 0 else NONE, e, NONE) for i, (a, e, _) in enumerate(path)])
        else:
            path = _shortest_path(rng, edges, start, length)
            question = np.array([(start, NONE, path[-1][2])])
        nothing = np.full((self.planning, 3), NONE)
        said = [rng.permutation(described), question, nothing]
        shown = np.zeros((sum(map(len, said)), self.inputs))
        shown[:, : self.outputs] = self.encoded(np.concatenate(said))
        inputs, targets, asked = answered_last(shown, self.encoded(np.array(path)))
        inputs[asked, -1] = 1
        inputs[[len(described), len(described) + len(question), len(shown)], -2] = 1
        return inputs, targets, asked

    def encoded(self, triples):
        """Triples of labels (s, 3) -> channels (s, 3 * digits * 10), the highest digit first."""
        powers = 10 ** np.arange(self.digits)[::-1]
        digit = triples[:, :, None] // powers % 10
        channels = (digit[..., None] == np.arange(10)) & (triples != NONE)[:, :, None, None]
        return channels.reshape(len(triples), self.outputs).astype(float)

    def _graph(self, rng):
        """node -> edge -> node, all by their labels."""
        n = int(rng.integers(self.fewest, self.most + 1))
        places = rng.random((n, 2))
        labels = rng.choice(10**self.digits, size=n, replace=False).tolist()
        edges = {}
        for i, label in enumerate(labels):
            count = min(int(rng.integers(self.least_edges, self.most_edges + 1)), n - 1)
            distance = ((places - places[i]) ** 2).sum(axis=1)
            distance[i] = np.inf
            names = rng.choice(10**self.digits, size=count, replace=False).tolist()
            edges[label] = {e: labels[j] for e, j in zip(names, np.argsort(distance, kind="stable"))}
        return edges

    def loss(self, outputs, batch):
        """Cross-entropy of the asked digits in nats per sequence, a scalar tensor; outputs are logits."""
        return one_hot.cross_entropy(outputs, batch, self.classes)

    def metrics(self, outputs, batch):
        """``sequence_error`` and ``wrong_triples`` of each sequence, on the host; outputs are logits."""
        wrong = one_hot.wrong(outputs, batch, self.classes).sum(axis=0)
        return {"sequence_error": (wrong > 0).astype(float), "wrong_triples": wrong}


def _walk(rng, edges, node, length):
    path = []
    for _ in range(length):
        names = list(edges[node])
        edge = names[rng.integers(len(names))]
        path.append((node, edge, edges[node][edge]))
        node = edges[node][edge]
    return path


def _shortest_path(rng, edges, start, length):
    """From ``start`` to a node drawn of those whose distance is nearest to ``length``."""
    ways, newest = {start: []}, [start]  # breadth first: where a node is met first, no way is shorter
    while newest:
        met = []
        for node in newest:
            for edge in sorted(edges[node]):
                if edges[node][edge] not in ways:
                    ways[edges[node][edge]] = [*ways[node], (node, edge, edges[node][edge])]
                    met.append(edges[node][edge])
        newest = met
    del ways[start]
    nearest = min(abs(len(way) - length) for way in ways.values())
    ends = [end for end, way in ways.items() if abs(len(way) - length) == nearest]
    return ways[ends[rng.integers(len(ends))]]
