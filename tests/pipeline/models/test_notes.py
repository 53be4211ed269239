"""The note decoder: what it calls likely, what it samples, and whether these are one distribution."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from pipeline.codecs.events import END, MOST_EVENTS, N_FRAMES, N_LENGTHS, N_VELOCITIES, EventBatch
from pipeline.config import Sampling
from pipeline.models import notes as module
from pipeline.models.notes import REPEAT_BLOCKS, SIZES, NoteDecoder
from tests.pipeline.models import small
from waveforms.notes.events import Notes
from waveforms.notes.performance import N_KEYS

WIDTH, CONTEXT = 12, 6


def decoder(*, fitted: bool = False) -> NoteDecoder:
    """With weights of chance, unless it is only fitted."""
    torch.manual_seed(0)
    made = NoteDecoder(WIDTH, CONTEXT, 0.5).eval()
    if fitted:
        made.fit([small.events_of([small.music(n, 6) for n in range(3)], 6)])
    else:
        for weight in made.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return made


def context(n_rows: int, n_blocks: int, seed: int = 0) -> Tensor:
    return torch.randn(n_rows, n_blocks, CONTEXT, generator=Generator().manual_seed(seed))


@torch.no_grad()
def loss_of(made: NoteDecoder, batch: EventBatch, of_blocks: Tensor, hidden: Tensor | None = None) -> Tensor:
    before, _ = made.read(batch, made.init_state(len(batch.ends)) if hidden is None else hidden)
    return made.loss(batch, before, of_blocks)


@torch.no_grad()
def sampled_losses(
    made: NoteDecoder, events: Tensor, of_block: Tensor, hidden: Tensor, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], Tensor]:
    """-log P of one block's events, by attribute, where `sample` is made to sample these, and the state after them."""
    script = iter(events.flatten().tolist())
    losses = [0.0] * 4
    at = 0

    def forced(logits: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        nonlocal at
        value, attribute = next(script), at % 4
        if attribute == 0 or events[at // 4, 0] != END:
            losses[attribute] -= logits.log_softmax(-1)[0, value].item()
        at += 1
        return torch.tensor([value])

    monkeypatch.setattr(module, "sample", forced)
    sampled, n_events, after = made.sample(hidden, of_block, Generator(), Sampling())
    assert torch.equal(sampled[0], events)
    assert n_events.tolist() == [len(events)]
    return losses, after


def test_the_loss_is_that_of_sampling_exactly_these_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Event by event, by the code that samples, masks and all; to 1e-4 of a few hundred nats."""
    made, n_blocks = decoder(), 5
    notes = Notes.of([*small.music(0, n_blocks).table.tolist(), (0.3, 1.0, 108, 64), (0.305, 1.0, 60, 64)])
    batch, of_blocks = small.events_of([notes], n_blocks), context(1, n_blocks)
    hidden, total = made.init_state(1), np.zeros(4)
    for block in range(n_blocks):
        events = batch.events[0, batch.block[0] == block]
        losses, hidden = sampled_losses(made, events, of_blocks[:, block], hidden, monkeypatch)
        total += losses
    assert batch.n_notes > 8
    np.testing.assert_allclose(loss_of(made, batch, of_blocks), total, rtol=1e-4)
    _, after = made.read(batch, made.init_state(1))
    torch.testing.assert_close(after[:, -1], hidden, atol=1e-5, rtol=0)


def test_blocks_in_two_parts_are_blocks_in_one() -> None:
    made, of_blocks = decoder(), context(2, 8)
    rows = [small.music(n, 8) for n in range(2)]
    whole = loss_of(made, small.events_of(rows, 8), of_blocks)
    first, second = small.events_of(rows, 3), small.events_of(rows, 5, first=3)
    with torch.no_grad():
        _, after = made.read(first, made.init_state(2))
    parts = loss_of(made, first, of_blocks[:, :3]) + loss_of(made, second, of_blocks[:, 3:], after[:, -1])
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-3)


def test_padding_changes_nothing() -> None:
    """A row by itself, and beside one with many more events."""
    made, of_blocks = decoder(), context(2, 4)
    few, many = small.music(0, 4, 1.0), small.music(1, 4, 9.0)
    together = loss_of(made, small.events_of([few, many], 4), of_blocks)
    alone = [loss_of(made, small.events_of([row], 4), of_blocks[n : n + 1]) for n, row in enumerate((few, many))]
    torch.testing.assert_close(together, alone[0] + alone[1], rtol=1e-5, atol=1e-3)


def test_a_fresh_decoder_knows_how_often_classes_come_but_for_what_is_ruled_out() -> None:
    """Velocities and lengths to the bit of rounding; frames and keys are the likelier for what cannot come."""
    made = decoder(fitted=True)
    batch = small.events_of([small.music(n, 6) for n in range(3)], 6)
    loss, mean = loss_of(made, batch, context(3, 6)), made.baselines(batch)["mean"]
    torch.testing.assert_close(loss[2:], mean[2:], rtol=1e-5, atol=0)
    assert (loss[:2] < mean[:2]).all()
    assert (loss[:2] > 0.8 * mean[:2]).all()
    with torch.no_grad():
        shares = [share.tolist() for share in torch.split(made.frequencies, list(SIZES))]
    expected, last = np.zeros(2), (0, -1)
    for event in (batch.events[row, at] for row, at in (batch.block < 6).nonzero().tolist()):
        frame, key = event[0].item(), event[1].item()
        expected[0] -= math.log(shares[0][frame] / sum(shares[0][last[0] :]))
        if frame != END:
            lowest = last[1] + 1 if frame == last[0] else 0
            expected[1] -= math.log(shares[1][key] / sum(shares[1][lowest:]))
        last = (0, -1) if frame == END else (frame, key)
    np.testing.assert_allclose(loss[:2], expected, rtol=1e-4)


def test_the_mean_is_that_of_counting() -> None:
    """Each class is counted once more than it came."""
    made = decoder(fitted=True)
    batch = small.events_of([small.music(n, 6) for n in range(3)], 6)
    events = [batch.events[row, at].tolist() for row, at in (batch.block < 6).nonzero().tolist()]
    notes = [event for event in events if event[0] != END]
    expected = []
    for attribute, size in enumerate(SIZES):
        came = [event[attribute] for event in (notes if attribute else events)]
        counts = Counter(came)
        expected.append(-sum(math.log((counts[value] + 1) / (len(came) + size)) for value in came))
    np.testing.assert_allclose(made.baselines(batch)["mean"], expected, rtol=1e-4)


def test_music_that_repeats_exactly_costs_its_first_bar_alone() -> None:
    """Of twelve bars: what nobody can know is a twelfth, and copying costs next to nothing."""
    bar = small.music(0, REPEAT_BLOCKS).table
    rows = np.concatenate([bar + np.array([2.0 * n, 2.0 * n, 0, 0]) for n in range(12)])
    rows[:, 1] = np.minimum(rows[:, 1], rows[:, 0] + 0.2)
    made, n_blocks = decoder(fitted=True), 12 * REPEAT_BLOCKS
    found = made.baselines(small.events_of([Notes.of(map(tuple, rows.tolist()))], n_blocks))
    torch.testing.assert_close(found["repeat"], found["mean"] / 12, rtol=0.05, atol=0)


def test_repeating_is_the_best_of_all_probabilities_to_repeat() -> None:
    """The mixture of copies and of how often classes come, its probability found by trying all."""
    made = decoder(fitted=True)
    rows = [small.music(n, 6) for n in range(3)]
    rows = [rows[0].joined(rows[2].moved(seconds=2.0)), rows[1].joined(rows[1].moved(seconds=2.0))]  # one repeats
    for notes in rows:
        notes.velocities[:] = np.where(notes.velocities < 64, 30, 100)  # of two classes: half of the copies are chance
    batch = small.events_of(rows, 14)
    made.fit([batch])
    found = made.baselines(batch)["repeat"]
    shares = torch.split(made.frequencies, list(SIZES))
    for attribute in range(4):
        hits, chances, copies = [], [], []
        for row in range(2):
            blocks = [batch.events[row, batch.block[row] == block].tolist() for block in range(14)]
            for block, events in enumerate(blocks):
                for place, event in enumerate(events):
                    if attribute and event[0] == END:
                        continue
                    earlier = blocks[block - REPEAT_BLOCKS] if block >= REPEAT_BLOCKS else []
                    copy = earlier[min(place, len(earlier) - 1)] if earlier else None
                    there = copy is not None and not (attribute and copy[0] == END)
                    copies.append(there)
                    hits.append(bool(there and copy is not None and copy[attribute] == event[attribute]))
                    chances.append(shares[attribute][event[attribute]].item())
        copied = np.linspace(1e-4, 1 - 1e-4, 2001)[:, None] * np.array(copies)
        losses = -np.log(copied * np.array(hits) + (1 - copied) * np.array(chances)).sum(1)
        assert found[attribute].item() == pytest.approx(losses.min(), rel=0.01)


def test_the_first_note_may_be_the_lowest_key_at_once() -> None:
    """As may any: nothing lies before it that would rule keys out."""
    made = decoder()
    with torch.no_grad():
        for n in (0, 1):
            made.logits[n].weight.zero_()
            made.logits[n].bias.copy_(-30.0 * torch.arange(SIZES[n]))
        events, *_ = made.sample(made.init_state(3), context(3, 1)[:, 0], Generator().manual_seed(0), Sampling())
    assert events[:, 0, :2].tolist() == [[0, 0]] * 3


def sampled(sampling: Sampling, n_rows: int = 400, seed: int = 0) -> tuple[Tensor, Tensor]:
    made = decoder()
    with torch.no_grad():
        made.logits[0].weight *= 0.3  # several notes a block
        events, n_events, _ = made.sample(
            made.init_state(n_rows), context(n_rows, 1)[:, 0], Generator().manual_seed(seed), sampling
        )
    return events, n_events


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(2.0), Sampling(0.0), Sampling(top_k=2)])
def test_nothing_illegal_is_ever_sampled(sampling: Sampling) -> None:
    """Frames never go back, keys ascend within a frame, and each block ends once."""
    events, n_events = sampled(sampling)
    assert n_events.max() > 5
    for row, n in zip(events.tolist(), n_events.tolist(), strict=True):
        *notes, end = row[:n]
        assert end == [END, 0, 0, 0]
        assert all(event == end for event in row[n:])
        places = [(frame, key) for frame, key, _, _ in notes]
        assert places == sorted(set(places))
        for frame, key, velocity, length in notes:
            assert (0 <= frame < N_FRAMES - 1, 0 <= key < N_KEYS) == (True, True)
            assert (0 <= velocity < N_VELOCITIES, 0 <= length < N_LENGTHS) == (True, True)


def test_a_block_ends_though_the_decoder_never_would() -> None:
    made = decoder()
    with torch.no_grad():
        made.logits[0].bias[END] = -1e4
        made.logits[0].bias[0] = 1e3  # all at once: the highest key may come first, and nothing is above it
        events, n_events, _ = made.sample(
            made.init_state(20), context(20, 1)[:, 0], Generator().manual_seed(0), Sampling()
        )
    assert n_events.max() <= MOST_EVENTS + 1
    assert (events.gather(1, n_events[:, None, None].expand(-1, 1, 4) - 1)[:, 0, 0] == END).all()


def test_a_row_does_not_depend_on_the_others() -> None:
    """But for the generator, so nothing is left to chance here; rows that have ended wait for the others."""
    made = decoder()
    of_rows = context(6, 1)[:, 0]
    with torch.no_grad():
        for each in made.logits:
            each.bias.copy_(torch.linspace(-40, 40, len(each.bias)).roll(5) * torch.ones_like(each.bias))
            each.weight *= 30
        events, n_events, hidden = made.sample(made.init_state(6), of_rows, Generator().manual_seed(0), Sampling(0.0))
        for n in range(6):
            alone = made.sample(made.init_state(1), of_rows[n : n + 1], Generator().manual_seed(1), Sampling(0.0))
            assert torch.equal(alone[0][0], events[n, : n_events[n]])
            torch.testing.assert_close(alone[2][0], hidden[n], atol=1e-5, rtol=0)


def test_samples_are_as_likely_as_the_loss_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first event of a block, by its frame: shares to four deviations of 4000 samples."""
    monkeypatch.setattr(module, "MOST_EVENTS", 1)
    made = decoder()
    with torch.no_grad():
        one = context(1, 1)
        events, _, _ = made.sample(
            made.init_state(4000), one[0].expand(4000, -1), Generator().manual_seed(0), Sampling()
        )
        logits = made._logits(
            made.from_context(one[0]) + made.from_events(made.init_state(1)), torch.zeros(1, 4).long()
        )
    shares = torch.bincount(events[:, 0, 0], minlength=N_FRAMES) / 4000
    torch.testing.assert_close(shares, logits[0][0].softmax(-1), atol=0.032, rtol=0)


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(top_k=1), Sampling(top_p=1e-6)])
def test_careful_sampling_is_about_what_is_played_and_not_about_when(
    sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames stay as many as they are; of keys only the likeliest is left."""
    monkeypatch.setattr(module, "MOST_EVENTS", 1)
    made = decoder()
    with torch.no_grad():
        events, _, _ = made.sample(
            made.init_state(500), context(1, 1)[0].expand(500, -1), Generator().manual_seed(0), sampling
        )
    first = events[events[:, 0, 0] != END, 0]
    assert len(first[:, 0].unique()) > 5
    for frame in first[:, 0].unique():
        of_frame = first[first[:, 0] == frame]
        assert (of_frame == of_frame[0]).all()  # one key, velocity and length for each frame
