"""The note decoder: the next block's notes, one after the other.

A recurrent network reads all events, block after block (like Performance RNN: Simon & Oore 2017), and the stacked LSTM
reads its hidden state after each block. The two hidden states condition the next event: first its frame, then its key,
velocity and length, each conditioned on the previous ones as well.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.codecs.events import END, MOST_EVENTS, N_FRAMES, N_LENGTHS, N_VELOCITIES, EventBatch
from pipeline.config import Sampling
from pipeline.models.sampling import sample
from waveforms.notes.performance import N_KEYS

SIZES = (N_FRAMES, N_KEYS, N_VELOCITIES, N_LENGTHS)  # classes of each attribute of an event
WIDTH = 256  # units of the layer before each softmax
EM_ROUNDS = 20  # of expectation-maximisation for the baseline (Dempster, Laird & Rubin 1977)
REPEAT_BLOCKS = 8  # two seconds, about a bar, which the baseline repeats
_NEVER = float("-inf")


class NoteDecoder(nn.Module):
    """Events -> hidden states -> distributions of the next event.

    Args:
        width: units of the recurrent network over events.
        context: units of the stacked LSTM.
        dropout: on the hidden state over events.
    """

    frequencies: Tensor  # (sum(SIZES),): relative, of each class

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
        self.register_buffer("frequencies", torch.cat([torch.full((size,), 1 / size) for size in SIZES]))

    def fit(self, events: Iterable[EventBatch]) -> None:
        """Fit the frequency of each class, which an untrained decoder predicts."""
        counts = [torch.ones(size) for size in SIZES]
        for batch in events:
            for n, values in enumerate(_valid(batch)):
                counts[n] += torch.bincount(values, minlength=SIZES[n])
        frequencies = [count / count.sum() for count in counts]
        self.frequencies.copy_(torch.cat(frequencies))
        with torch.no_grad():
            for layer, of_classes in zip(self.logits, frequencies, strict=True):
                assert isinstance(layer, nn.Linear)
                nn.init.zeros_(layer.weight)
                layer.bias.copy_(of_classes.log())

    def init_state(self, n_rows: int) -> Tensor:
        """Return the hidden state before the first event, (n_rows, width)."""
        return self.frequencies.new_zeros(n_rows, self.width)

    def read(self, batch: EventBatch, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Read the events of blocks.

        Returns:
            the hidden state before each event, (batch, n_events, width), and after each block,
            (batch, n_blocks, width)
        """
        outputs, _ = self.gru(self._embedded(batch.events), hidden[None].contiguous())
        before = torch.cat([hidden[:, None], outputs[:, :-1]], dim=1)
        return before, outputs.gather(1, batch.ends[..., None].expand(-1, -1, self.width))

    def loss(self, batch: EventBatch, before: Tensor, context: Tensor) -> Tensor:
        """Return -log P of all events, summed by attribute, in nats.

        Args:
            batch: the events.
            before: the hidden state before each event, from `read`.
            context: the stacked LSTM's output before each block, (batch, n_blocks, context).

        Returns:
            (4,): of frames, keys, velocities and lengths; frames include END, and with it the number of notes
        """
        row, at = (batch.block < context.shape[1]).nonzero(as_tuple=True)
        events = batch.events[row, at]
        last = batch.events[row, (at - 1).clamp(min=0)]
        begins = (at == 0) | (last[:, 0] == END)
        earliest, highest = torch.where(begins, 0, last[:, 0]), torch.where(begins, -1, last[:, 1])
        at_block = row * context.shape[1] + batch.block[row, at]
        of_context = self.from_context(context.flatten(0, 1)).index_select(0, at_block)
        at_event = row * before.shape[1] + at
        x = of_context + self.from_events(self.dropout(before.flatten(0, 1).index_select(0, at_event)))
        losses = []
        is_note = events[:, 0] != END
        # The loss masks what `sample` masks: the highest key leaves no key for a second note of its frame.
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
        """Return what `loss` would be for the classes' frequencies, and for a repetition of the last bar.

        The latter copies each event from REPEAT_BLOCKS blocks before with a probability, and samples by the
        frequencies otherwise. The probability maximises the likelihood of these very events, which favours it.

        Returns:
            each (4,)
        """
        frequencies = torch.split(self.frequencies, list(SIZES))
        mean = [-frequencies[n][values].log().sum() for n, values in enumerate(_valid(batch))]
        repeat = [_copied(values, copies, frequencies[n]) for n, (values, copies) in enumerate(_with_copies(batch))]
        return {"mean": torch.stack(mean), "repeat": torch.stack(repeat)}

    def sample(
        self, hidden: Tensor, context: Tensor, generator: Generator, sampling: Sampling
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sample a block's events, and return them with the hidden state after them.

        `sampling` applies to keys, velocities and lengths. Frames, and with them the number of notes, are always
        sampled at a temperature of 1: at a low temperature the likeliest event is END.

        Shape:
            (n_clips, width), (n_clips, context) -> events (n_clips, n_events, 4), the number of each clip's events
            with END (n_clips,), and (n_clips, width)
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
                    # the highest key leaves no key for a second note of its frame
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
        """Embed events, (..., 4) -> (..., WIDTH); END has a frame only."""
        parts = [embed(events[..., n]) for n, embed in enumerate(self.embed)]
        is_note = (events[..., :1] != END).to(parts[0].dtype)
        total: Tensor = parts[0] + is_note * (parts[1] + parts[2] + parts[3])
        return total

    def _split(self, x: Tensor) -> list[Tensor]:
        return list(x.chunk(len(SIZES), dim=-1))

    def _with_known(self, parts: list[Tensor], n: int, value: Tensor) -> list[Tensor]:
        """Condition the attributes behind the n-th on its value, (n_rows,)."""
        added = self.known[n](value).chunk(len(SIZES) - 1 - n, dim=-1)
        return [part if m <= n else part + added[m - n - 1] for m, part in enumerate(parts)]

    def _out(self, n: int, part: Tensor) -> Tensor:
        x = F.silu(part)
        x = x + F.silu(self.deep[n](x))
        logits: Tensor = self.logits[n](x)
        return logits

    def _logits(self, x: Tensor, events: Tensor) -> list[Tensor]:
        """Return the logits of all attributes of known events (teacher forcing)."""
        parts = self._split(x)
        for n in range(len(SIZES) - 1):
            parts = self._with_known(parts, n, events[:, n])
        return [self._out(n, part) for n, part in enumerate(parts)]


def _valid(batch: EventBatch) -> list[Tensor]:
    """Return the classes of all events by attribute; END has a frame only."""
    events = batch.events[batch.block < batch.ends.shape[1]]
    notes = events[events[:, 0] != END]
    return [events[:, 0], notes[:, 1], notes[:, 2], notes[:, 3]]


def _with_copies(batch: EventBatch) -> list[tuple[Tensor, Tensor]]:
    """Return `_valid`, each class with that of the same event of the block REPEAT_BLOCKS before, or with -1."""
    n_blocks = batch.ends.shape[1]
    begins = F.pad(batch.ends[:, :-1] + 1, (1, 0))
    row, at = (batch.block < n_blocks).nonzero(as_tuple=True)
    block = batch.block[row, at]
    earlier = (block - REPEAT_BLOCKS).clamp(min=0)
    source = torch.minimum(begins[row, earlier] + at - begins[row, block], batch.ends[row, earlier])
    events, copies = batch.events[row, at], batch.events[row, source].clone()
    copies[block < REPEAT_BLOCKS] = -1
    copies[copies[:, 0] == END, 1:] = -1
    is_note = events[:, 0] != END
    rows = [(events[:, 0], copies[:, 0])]
    return rows + [(events[is_note, n], copies[is_note, n]) for n in range(1, len(SIZES))]


def _copied(values: Tensor, copies: Tensor, frequencies: Tensor) -> Tensor:
    """Return -log P of values that are copies with the likeliest probability, and sampled by frequency otherwise."""
    hit, chance = (values == copies).float(), frequencies[values]
    has_copy = (copies >= 0).float()
    probability = torch.tensor(0.5)
    for _ in range(EM_ROUNDS):
        of_copy = probability * hit
        probability = (of_copy / (of_copy + (1 - probability) * chance)).sum() / has_copy.sum().clamp(min=1)
        probability = probability.clamp(1e-4, 1 - 1e-4)
    weight = probability * has_copy
    return -(weight * hit + (1 - weight) * chance).log().sum()


def _from(logits: Tensor, lowest: Tensor) -> Tensor:
    """Mask the classes below `lowest`; (n, size), (n,) -> (n, size)."""
    return logits.masked_fill(torch.arange(logits.shape[-1], device=logits.device) < lowest[:, None], _NEVER)
