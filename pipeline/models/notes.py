"""The note decoder: the next block's notes, one after the other.

A recurrent network runs over all events, block after block (as Performance RNN does: Simon & Oore 2017); its state
after a block is how the stacked LSTM reads that block's notes. What comes next is predicted from this state and
from that of the LSTM: first when, then which key, how loud and how long, each knowing those before it.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.codecs.events import END, MOST_EVENTS, N_FRAMES, N_LENGTHS, N_VELOCITIES, EventBatch
from pipeline.config import Sampling
from pipeline.models.sampling import sample
from waveforms.notes.performance import N_KEYS

SIZES = (N_FRAMES, N_KEYS, N_VELOCITIES, N_LENGTHS)
WIDTH = 256  # of the layer before each softmax
EM_ROUNDS = 20  # of expectation-maximisation for the baseline (Dempster, Laird & Rubin 1977)
REPEAT_BLOCKS = 8  # two seconds, about a bar: what the baseline plays again
_NEVER = float("-inf")


class NoteDecoder(nn.Module):
    """Events -> hidden states -> distributions of the next event.

    Args:
        width: of the recurrent network over events.
        context: of the stacked LSTM's state.
        dropout: of what the softmax layers read.
    """

    shares: Tensor  # (sum(SIZES),): how often each class comes

    def __init__(self, width: int, context: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.ModuleList(nn.Embedding(size, WIDTH) for size in SIZES)
        self.gru = nn.GRU(WIDTH, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.from_events = nn.Linear(width, WIDTH * len(SIZES))
        self.from_context = nn.Linear(context, WIDTH * len(SIZES), bias=False)
        self.known = nn.ModuleList(
            nn.Embedding(size, WIDTH * (len(SIZES) - 1 - n)) for n, size in enumerate(SIZES[:-1])
        )
        self.deep = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in SIZES)
        self.logits = nn.ModuleList(nn.Linear(WIDTH, size) for size in SIZES)
        self.register_buffer("shares", torch.cat([torch.full((size,), 1 / size) for size in SIZES]))

    def fit(self, events: Iterable[EventBatch]) -> None:
        """Begin with how often each class comes."""
        counts = [torch.ones(size) for size in SIZES]
        for batch in events:
            for n, values in enumerate(_valid(batch)):
                counts[n] += torch.bincount(values, minlength=SIZES[n])
        shares = [count / count.sum() for count in counts]
        self.shares.copy_(torch.cat(shares))
        with torch.no_grad():
            for layer, share in zip(self.logits, shares, strict=True):
                assert isinstance(layer, nn.Linear)
                nn.init.zeros_(layer.weight)
                layer.bias.copy_(share.log())

    def start(self, n_rows: int) -> Tensor:
        """The hidden state before the first event, (n_rows, width)."""
        return self.shares.new_zeros(n_rows, self.width)

    def read(self, batch: EventBatch, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Run over the events of some blocks.

        Returns:
            the hidden state before each event, (batch, n_events, width), and after each block,
            (batch, n_blocks, width)
        """
        outputs, _ = self.gru(self._embedded(batch.events), hidden[None].contiguous())
        before = torch.cat([hidden[:, None], outputs[:, :-1]], dim=1)
        return before, outputs.gather(1, batch.ends[..., None].expand(-1, -1, self.width))

    def loss(self, batch: EventBatch, before: Tensor, context: Tensor) -> Tensor:
        """-log P of all events, summed by attribute, in nats.

        Args:
            batch: the events.
            before: what is known before each, from `read`.
            context: the stacked LSTM's state before each block, (batch, n_blocks, context).

        Returns:
            (4,): of frames, keys, velocities and lengths; the first says how many notes there are, too
        """
        row, at = (batch.block < context.shape[1]).nonzero(as_tuple=True)
        events = batch.events[row, at]
        last = batch.events[row, (at - 1).clamp(min=0)]
        begins = (at == 0) | (last[:, 0] == END)
        earliest, highest = torch.where(begins, 0, last[:, 0]), torch.where(begins, -1, last[:, 1])
        place = row * context.shape[1] + batch.block[row, at]
        of_context = self.from_context(context.flatten(0, 1)).index_select(0, place)
        at_event = row * before.shape[1] + at
        x = of_context + self.from_events(self.dropout(before.flatten(0, 1).index_select(0, at_event)))
        losses = []
        is_note = events[:, 0] != END
        # What `sample` rules out is ruled out: a key that is the highest leaves nothing above it in its frame.
        for n, logits in enumerate(self._logits(x, events)):
            if n == 0:
                logits = _from(logits, earliest + (highest == N_KEYS - 1))
            else:
                logits = logits[is_note]
                if n == 1:
                    lowest = torch.where(events[:, 0] == earliest, highest + 1, 0)[is_note]
                    logits = _from(logits, lowest)
            target = events[:, n] if n == 0 else events[is_note, n]
            losses.append(F.cross_entropy(logits.float(), target, reduction="sum"))
        return torch.stack(losses)

    def baselines(self, batch: EventBatch) -> dict[str, Tensor]:
        """What `loss` would be if each class came as often as in training, and if the last bar were played again.

        The latter copies each event from REPEAT_BLOCKS blocks before with a probability, and draws as the former
        otherwise. The probability is the one that suits these events best, which flatters it.

        Returns:
            each (4,)
        """
        shares = torch.split(self.shares, list(SIZES))
        mean = [-shares[n][values].log().sum() for n, values in enumerate(_valid(batch))]
        again = [_copied(values, copies, shares[n]) for n, (values, copies) in enumerate(_with_copies(batch))]
        return {"mean": torch.stack(mean), "repeat": torch.stack(again)}

    def sample(
        self, hidden: Tensor, context: Tensor, generator: Generator, sampling: Sampling
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sample a block's events, and give the hidden state after them.

        When notes come, and how many, is left to chance whatever `sampling` says: at a low temperature the likeliest is
        that none comes. It is about which keys, how loud and how long.

        Shape:
            (n_clips, width), (n_clips, context) -> events (n_clips, n_events, 4), how many of them count
            (n_clips,), END included, and (n_clips, width)
        """
        n_clips, device = len(context), context.device
        of_context = self.from_context(context)
        frame, key = torch.zeros(2, n_clips, dtype=torch.int64, device=device)
        key = key - 1
        over = torch.zeros(n_clips, dtype=torch.bool, device=device)
        n_events = torch.zeros(n_clips, dtype=torch.int64, device=device)
        events: list[Tensor] = []
        while not over.all():
            x = of_context + self.from_events(hidden)
            event = torch.zeros(n_clips, 4, dtype=torch.int64, device=device)
            parts = self._split(x)
            for n in range(len(SIZES)):
                logits = self._out(n, parts[n])
                if n == 0:
                    if len(events) == MOST_EVENTS:
                        logits = _from(logits, torch.full_like(frame, END))
                    # a key that is the highest leaves nothing above it in its frame
                    event[:, 0] = sample(_from(logits, frame + (key == N_KEYS - 1)), generator, Sampling())
                else:
                    if n == 1:
                        logits = _from(logits, torch.where(event[:, 0] == frame, key + 1, 0))
                    event[:, n] = sample(logits, generator, sampling)
                if n + 1 < len(SIZES):
                    parts = self._with_known(parts, n, event[:, n])
            ended = event[:, 0] == END
            event[ended] = event.new_tensor([END, 0, 0, 0])
            event[over] = event.new_tensor([END, 0, 0, 0])
            n_events = n_events + ~over
            outputs, _ = self.gru(self._embedded(event[:, None]), hidden[None].contiguous())
            hidden = torch.where(over[:, None], hidden, outputs[:, 0])
            frame, key = event[:, 0], event[:, 1]
            over = over | ended
            events.append(event)
        return torch.stack(events, dim=1), n_events, hidden

    def _embedded(self, events: Tensor) -> Tensor:
        """(..., 4) -> (..., WIDTH); of END the frame alone."""
        parts = [embed(events[..., n]) for n, embed in enumerate(self.embed)]
        is_note = (events[..., :1] != END).to(parts[0].dtype)
        total: Tensor = parts[0] + is_note * (parts[1] + parts[2] + parts[3])
        return total

    def _split(self, x: Tensor) -> list[Tensor]:
        return list(x.chunk(len(SIZES), dim=-1))

    def _with_known(self, parts: list[Tensor], n: int, value: Tensor) -> list[Tensor]:
        """What the parts after the n-th know of it; (n_rows,) values."""
        added = self.known[n](value).chunk(len(SIZES) - 1 - n, dim=-1)
        return [part if m <= n else part + added[m - n - 1] for m, part in enumerate(parts)]

    def _out(self, n: int, part: Tensor) -> Tensor:
        x = F.silu(part)
        x = x + F.silu(self.deep[n](x))
        logits: Tensor = self.logits[n](x)
        return logits

    def _logits(self, x: Tensor, events: Tensor) -> list[Tensor]:
        """Of all attributes at once, where the events are known."""
        parts = self._split(x)
        for n in range(len(SIZES) - 1):
            parts = self._with_known(parts, n, events[:, n])
        return [self._out(n, part) for n, part in enumerate(parts)]


def _valid(batch: EventBatch) -> list[Tensor]:
    """The classes of all events, attribute by attribute: of END the frame alone."""
    events = batch.events[batch.block < batch.ends.shape[1]]
    notes = events[events[:, 0] != END]
    return [events[:, 0], notes[:, 1], notes[:, 2], notes[:, 3]]


def _with_copies(batch: EventBatch) -> list[tuple[Tensor, Tensor]]:
    """As `_valid`, each class beside that of the event at the same place of the block REPEAT_BLOCKS before, or -1."""
    n_blocks = batch.ends.shape[1]
    begins = F.pad(batch.ends[:, :-1] + 1, (1, 0))
    row, at = (batch.block < n_blocks).nonzero(as_tuple=True)
    block = batch.block[row, at]
    earlier = (block - REPEAT_BLOCKS).clamp(min=0)
    place = torch.minimum(begins[row, earlier] + at - begins[row, block], batch.ends[row, earlier])
    events, copies = batch.events[row, at], batch.events[row, place].clone()
    copies[block < REPEAT_BLOCKS] = -1
    copies[copies[:, 0] == END, 1:] = -1
    is_note = events[:, 0] != END
    rows = [(events[:, 0], copies[:, 0])]
    return rows + [(events[is_note, n], copies[is_note, n]) for n in range(1, len(SIZES))]


def _copied(values: Tensor, copies: Tensor, shares: Tensor) -> Tensor:
    """-log P of values that are copies with the likeliest probability, and otherwise come by their shares."""
    hit, chance = (values == copies).float(), shares[values]
    has_copy = (copies >= 0).float()
    probability = torch.tensor(0.5)
    for _ in range(EM_ROUNDS):
        of_copy = probability * hit
        probability = (of_copy / (of_copy + (1 - probability) * chance)).sum() / has_copy.sum().clamp(min=1)
        probability = probability.clamp(1e-4, 1 - 1e-4)
    weight = probability * has_copy
    return -(weight * hit + (1 - weight) * chance).log().sum()


def _from(logits: Tensor, lowest: Tensor) -> Tensor:
    """Rule out what lies below; (n, size), (n,) -> (n, size)."""
    return logits.masked_fill(torch.arange(logits.shape[-1], device=logits.device) < lowest[:, None], _NEVER)
