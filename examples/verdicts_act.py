"""Adapters of zphang/adaptive-computation-time-pytorch."""

from types import SimpleNamespace

import torch
from verdicts_adapters import Row, in_one_batch, module_of, replaced


def act_pytorch(folder):
    models = module_of(folder, "act/models.py")

    class States(torch.nn.LSTMCell):
        """Step n has the n-th unit vector as its state, so that a mean of states is their weights."""

        def forward(self, x, state):
            self.n += 1
            unit = torch.eye(self.hidden_size, dtype=x.dtype)[self.n - 1 : self.n]
            return (unit, unit) if self.lstm else unit

    def halt(halting, lstm):
        """Weights (m), remainder and steps of halting values (m), which the unit gives as they are."""
        cell = States(1, len(halting))
        cell.n, cell.lstm = 0, lstm
        act = models.ACTFromCell(cell, max_ponder=len(halting))
        act._is_lstm = lstm
        vars(act)["ponder_linear"] = lambda state: torch.sum(state * halting, dim=1, keepdim=True)
        with replaced(models, F=SimpleNamespace(sigmoid=lambda x: x)):
            states, _, told = act(halting.detach().new_zeros(1, 1, 1))
        weights = (states[1] if lstm else states)[0, 0]
        steps = weights.new_tensor(told["ponder_times"][0][0])
        return weights, 1 + told["ponder_cost"][0], steps

    def halted(lstm):
        def batch(halting):
            return tuple(map(torch.stack, zip(*[halt(row, lstm) for row in halting], strict=True)))

        return in_one_batch(batch, 1)

    def ponder(x, state, input_weights, hidden_weights, bias, halting_weights, halting_bias, *, limit=100):
        """A whole step around a cell of PyTorch's; what it makes of the remainder is R - 1."""
        act = models.ACTFromCell(torch.nn.RNNCell(x.shape[1] + 1, state.shape[1]), max_ponder=limit)
        named = {
            "rnn_cell.weight_ih": input_weights.mT,
            "rnn_cell.weight_hh": hidden_weights.mT,
            "rnn_cell.bias_ih": bias,
            "rnn_cell.bias_hh": torch.zeros_like(bias),
            "ponder_linear.weight": halting_weights.mT,
            "ponder_linear.bias": halting_bias,
        }
        # It writes into the state that it is given.
        states, _, told = torch.func.functional_call(act, named, (x[None], state.clone()))
        return states[0], 1 + told["ponder_cost"], torch.as_tensor(told["ponder_times"][0])

    return [
        Row("`ACTFromCell`, mean of the hidden states", halted(False), "halting"),
        Row("`ACTFromCell`, mean of an LSTM's cells", halted(True), "halting"),
        Row("`ACTFromCell`, a step around a tanh cell", ponder, "act"),
    ]
