"""The sound to be expected of notes: a dictionary of every key at every age, in which powers add.

    P[t, band] = floor[band] + sum over sounding notes of  gain(velocity) * D[key, age(t), band] * release(t)

Incoherent partials add in power, so the sound of a chord follows from the sounds of its keys. It is non-negative matrix
factorisation with the activations known (Smaragdis & Brown 2003; score-informed: Ewert & Müller 2012), fitted by
gradient on the error that a listener hears, that of companded log magnitudes.

Loud touches are brighter than soft ones: D has two spectra, and a note lies between them by its velocity. After its
damper falls a note decays at its key's own rate, over a tail that the room keeps up. A recording's own gain, colour and
noise floor, smooth curves over the frequency axis, are its `profile`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from waveforms import SAMPLE_RATE
from waveforms.dsp.bands import CENTRES, N_BANDS, compand, transposition
from waveforms.dsp.blocks import FRAMES_PER_BLOCK, HOP
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH, LOWEST_UNDAMPED_PITCH, N_KEYS

FRAME_RATE = SAMPLE_RATE / HOP  # 100 frames a second
# Frames after the onset at which the dictionary is kept; in between it is interpolated. A window reaches 2 frames back.
AGES = tuple(range(-3, 12)) + tuple(round(12 * (900 / 12) ** (n / 21)) for n in range(22))
N_AGES = len(AGES)  # 37
RELEASED = 150  # frames that a note is still heard after its damper has fallen
RESTRIKE_RATE = 2.3  # nepers of power a frame: a hammer takes 60 dB off its own string in 60 ms
N_CURVES = 8  # cosines over log frequency that a profile's colour, and its floor, are made of
_LOWEST = 27.5  # Hz; what lies below is coloured as this
N_VELOCITY_KNOTS = 9  # of the gain, 16 steps of velocity apart
N_TOUCHES = 2
FAINTEST = 1e-13  # power, -130 dB

N_CHUNK = 512  # frames in a step of the fit
RATE, RATE_OF_SHARED, LAST_RATE = 0.25, 0.05, 0.005  # of Adam, in nepers of power a step
PROFILE_RIDGE = 1e-3
NEIGHBOUR_KEYS, NEIGHBOUR_REACH = 12, 1.5  # keys that lend a row theirs: how far away at most, and e-folding distance
NEIGHBOUR_WEIGHT = 4.0  # observations that the neighbours count for
MOST_FROM_ONE = 60.0  # observations of a neighbour that count
N_PROFILE_ROUNDS = 6
# How far what was heard may be wrong, as deviations: the log power of a note, and its offset in frames.
GAIN_DOUBT, OFFSET_DOUBT = 1.0, 30.0
DOUBT_WEIGHT = 1e-3  # of one deviation against the mean squared error of the levels
REFINE_ROUNDS, REFINE_RATE = 8, 0.1  # passes over an excerpt, and the step in deviations
SHORTEST_FRAMES = 3.0  # of a refined note


class NoteExcerpt(NamedTuple):
    """Notes of one recording in a sequence.

    Attributes:
        notes: in the recording's own time.
        row: the sequence that they are heard in.
        seconds: where in the sequence the recording begins; below 0 where it began before.
        silenced: where in the sequence it ends, if another one follows.
    """

    notes: Notes
    row: int = 0
    seconds: float = 0.0
    silenced: float = math.inf


@dataclass(frozen=True)
class NoteTable:
    """The notes of several sequences, in frames from the sequences' beginnings.

    Attributes:
        row: which sequence, int64 (n_notes,).
        key: 0 to 87, int64 (n_notes,).
        onset: float32 (n_notes,), below zero where the note began earlier.
        offset: when its damper falls, float32 (n_notes,).
        restrike: when its key is struck again, inf where it is not, float32 (n_notes,).
        velocity: float32 (n_notes,).
        silenced: when nothing of it is heard any more since its recording ends, inf where it does not, float32
            (n_notes,).
    """

    row: Tensor
    key: Tensor
    onset: Tensor
    offset: Tensor
    restrike: Tensor
    velocity: Tensor
    silenced: Tensor

    @classmethod
    def of(cls, excerpts: Sequence["NoteExcerpt"]) -> "NoteTable":
        """Gather the notes of excerpts."""

        def gathered(column: Callable[[NoteExcerpt], NDArray[Any]], dtype: torch.dtype) -> Tensor:
            return torch.from_numpy(np.concatenate([*map(column, excerpts), np.zeros(0)])).to(dtype)

        return cls(
            gathered(lambda e: np.full(len(e.notes), e.row), torch.int64),
            gathered(lambda e: e.notes.pitches - LOWEST_PITCH, torch.int64),
            gathered(lambda e: (e.notes.onsets + e.seconds) * FRAME_RATE, torch.float32),
            gathered(lambda e: (e.notes.offsets + e.seconds) * FRAME_RATE, torch.float32),
            gathered(lambda e: (_restrikes(e.notes) + e.seconds) * FRAME_RATE, torch.float32),
            gathered(lambda e: e.notes.velocities, torch.float32),
            gathered(lambda e: np.full(len(e.notes), e.silenced * FRAME_RATE), torch.float32),
        )

    def to(self, device: torch.device) -> "NoteTable":
        """The same on a device."""
        return NoteTable(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Activations:
    """Which rows of the dictionary sound in which frames: one entry for each note, frame and neighbouring age.

    Attributes:
        frame: row * n_frames + frame, int64 (n,).
        entry: key * N_AGES + age, int64 (n,).
        share: of the interpolation between ages, float32 (n,).
        note: its place in the table, int64 (n,).
        released: frames since the note ended, 0 while it sounds, float32 (n,).
        restruck: whether the hammer ended it, and not the damper, bool (n,).
    """

    frame: Tensor
    entry: Tensor
    share: Tensor
    note: Tensor
    released: Tensor
    restruck: Tensor


def activations(notes: NoteTable, n_frames: int, *, causal: bool = False) -> Activations:
    """Where notes sound within the first `n_frames` of their sequences. Frame t is centred on t + 1/2.

    A window that ends after an onset hears it up to three frames early. Where it is `causal`, not in an earlier
    block: a roll-out does not know the next block's notes.
    """
    undamped = notes.key >= LOWEST_UNDAMPED_PITCH - LOWEST_PITCH
    damped_at = torch.where(undamped, torch.inf, notes.offset)
    restruck = notes.restrike <= damped_at
    end = torch.minimum(notes.restrike, damped_at)
    last = torch.where(restruck, end + 13.8 / RESTRIKE_RATE, end + RELEASED)  # beyond, nothing is heard
    last = torch.minimum(torch.minimum(last, notes.onset + AGES[-1]), notes.silenced)
    first_frame = (notes.onset - 0.5 + AGES[0]).ceil()
    if causal:
        first_frame = torch.maximum(first_frame, (notes.onset / FRAMES_PER_BLOCK).floor() * FRAMES_PER_BLOCK)
    first_frame = first_frame.clamp(min=0).long()
    n_each = (last.ceil().clamp(max=n_frames).long() - first_frame).clamp(min=0)
    note = torch.repeat_interleave(torch.arange(len(n_each), device=n_each.device), n_each)
    within = torch.arange(len(note), device=note.device) - (n_each.cumsum(0) - n_each)[note]
    frame = first_frame[note] + within
    ages = torch.tensor(AGES, dtype=torch.float32, device=note.device)
    age = (frame - (notes.onset[note] - 0.5)).clamp(ages[0], ages[-1])
    below = (torch.searchsorted(ages, age, right=True) - 1).clamp(0, N_AGES - 2)
    share = (age - ages[below]) / (ages[below + 1] - ages[below])
    entry = notes.key[note] * N_AGES + below
    released = (frame + 0.5 - end[note]).clamp(min=0)
    at = notes.row[note] * n_frames + frame
    return Activations(
        torch.cat([at, at]),
        torch.cat([entry, entry + 1]),
        torch.cat([1 - share, share]),
        torch.cat([note, note]),
        torch.cat([released, released]),
        torch.cat([restruck[note], restruck[note]]),
    )


class Instrument(nn.Module):
    """The fitted dictionary. All is in nepers of power, so that a step of any number is as large as of another.

    Before `fit` everything is silence.
    """

    table: Tensor  # (N_KEYS * N_AGES, N_BANDS): log power at velocity 64
    touches: Tensor  # (N_TOUCHES, N_BANDS): what a soft and a loud touch add to it
    floor: Tensor  # (N_BANDS,): log power of what is there without notes
    gains: Tensor  # (N_VELOCITY_KNOTS,): added to the square law of velocity
    release: Tensor  # (N_KEYS,): softplus of it is the rate at which a damped note decays, a tenth of a second
    tail: Tensor  # (N_KEYS,): sigmoid of it is the share of a damped note's power that the room keeps up
    tail_rate: Tensor  # (1,)
    curves: Tensor  # (N_CURVES, N_BANDS)

    FITTED = ("table", "touches", "floor", "gains", "release", "tail", "tail_rate")

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.full((N_KEYS * N_AGES, N_BANDS), -11.0))
        self.register_buffer("touches", torch.zeros(N_TOUCHES, N_BANDS))
        self.register_buffer("floor", torch.full((N_BANDS,), -14.0))
        self.register_buffer("gains", torch.zeros(N_VELOCITY_KNOTS))
        self.register_buffer("release", torch.full((N_KEYS,), 1.5))
        self.register_buffer("tail", torch.full((N_KEYS,), -4.0))
        self.register_buffer("tail_rate", torch.zeros(1))
        self.register_buffer("curves", _curves(), persistent=False)

    def forward(self, notes: NoteTable, profiles: Tensor) -> Tensor:
        """The levels to be expected in each band, for all blocks knowing the notes that have begun by their ends.

        Args:
            notes: of the sequences.
            profiles: of the recording that each block is from, (n_rows, n_blocks, 2 * N_CURVES); zeros are the average
                recording.

        Returns:
            (n_rows, n_blocks, FRAMES_PER_BLOCK, N_BANDS)
        """
        n_rows, n_blocks, _ = profiles.shape
        n_frames = n_blocks * FRAMES_PER_BLOCK
        active = activations(notes, n_frames, causal=True)
        colour, floor = self._spread(profiles)  # each (n_rows, n_blocks, N_BANDS)
        power = self._of_notes(active, notes.velocity, n_rows * n_frames, self.table.exp())
        power = power.view(n_rows, n_blocks, FRAMES_PER_BLOCK, N_BANDS)
        return _levels(power * colour.exp()[:, :, None] + (floor + self.floor).exp()[:, :, None])

    def fit(
        self,
        bands: Sequence[Tensor],
        notes: Sequence[Notes],
        recordings: Sequence[int],
        n_steps: int,
        fitting: Callable[[int, int], None],
    ) -> None:
        """Learn everything from excerpts whose notes are known.

        Args:
            bands: of each excerpt, log magnitude in nepers, (n_frames, N_BANDS).
            notes: of each, in seconds from its first frame.
            recordings: a number for the recording that each is from.
            n_steps: of Adam (Kingma & Ba 2015), each over N_CHUNK frames.
            fitting: is called with (steps done, steps in all).
        """
        chunks = [(e, at) for e, excerpt in enumerate(bands) for at in range(0, len(excerpt), N_CHUNK)]
        of_excerpt = [
            _Excerpt(activations(NoteTable.of([NoteExcerpt(n)]), len(b)), len(b))
            for b, n in zip(bands, notes, strict=True)
        ]
        velocities = [torch.from_numpy(n.velocities).float() for n in notes]
        learned = [getattr(self, name).requires_grad_(True) for name in self.FITTED]
        profiles = torch.zeros(max(recordings) + 1, 2 * N_CURVES, requires_grad=True)
        groups = [{"params": learned[:1]}, {"params": [*learned[1:], profiles]}]
        optimiser = torch.optim.Adam(groups, RATE, betas=(0.9, 0.99))
        generator = torch.Generator().manual_seed(0)
        order: list[int] = []
        for step in range(n_steps):
            cosine = (1 + math.cos(math.pi * step / n_steps)) / 2
            for group, peak in zip(optimiser.param_groups, (RATE, RATE_OF_SHARED), strict=True):
                group["lr"] = peak * cosine + LAST_RATE * (1 - cosine)
            order = order or torch.randperm(len(chunks), generator=generator).tolist()
            excerpt, at = chunks[order.pop()]
            wanted = compand(bands[excerpt][at : at + N_CHUNK].float())
            active = of_excerpt[excerpt].between(at, at + len(wanted))
            power = self._of_notes(active, velocities[excerpt], len(wanted), self.table.exp())
            colour, floor = self._spread(profiles[recordings[excerpt]])
            power = power * colour.exp() + (floor + self.floor).exp()
            loss = (_levels(power) - wanted).square().mean() + PROFILE_RIDGE * profiles.square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            fitting(step + 1, n_steps)
        for parameter in learned:
            parameter.requires_grad_(False)
        self._lend_between_keys([excerpt.active for excerpt in of_excerpt])
        self._make_average([self.profile(b, n) for b, n in zip(bands, notes, strict=True)])

    @torch.enable_grad()
    def refined(self, bands: Tensor, notes: Notes, profile: Tensor) -> Notes:
        """Velocities and offsets that were heard, fitted to the sound: analysis by synthesis.

        Every note's gain and end follow the gradient of the same error as in `fit`, held back by how far they may be
        wrong.

        Args:
            bands: log magnitude in nepers, (n_frames, N_BANDS).
            notes: as heard, in seconds from the first frame.
            profile: of the recording.
        """
        if not len(notes):
            return notes
        table = NoteTable.of([NoteExcerpt(notes)])
        excerpt = _Excerpt(activations(table, len(bands)), len(bands))
        wanted = compand(bands.float())
        louder, later = (torch.zeros(len(notes), requires_grad=True) for _ in range(2))
        optimiser = torch.optim.Adam([louder, later], REFINE_RATE)
        spectra, (colour, floor) = self.table.exp(), self._spread(profile)
        ends = torch.minimum(table.offset, table.restrike)
        for _ in range(REFINE_ROUNDS):
            for first in range(0, len(wanted), N_CHUNK):
                part = wanted[first : first + N_CHUNK]
                active = excerpt.between(first, first + len(part))
                moved = (active.frame + first + 0.5 - (ends + OFFSET_DOUBT * later)[active.note]).clamp(min=0)
                active = replace(active, released=torch.where(active.restruck, active.released, moved))
                power = self._of_notes(active, table.velocity, len(part), spectra, GAIN_DOUBT * louder)
                power = power * colour.exp() + (floor + self.floor).exp()
                doubt = (louder.square() + later.square()).mean()
                loss = (_levels(power) - part).square().mean() + DOUBT_WEIGHT * doubt
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.no_grad():
            velocities = self._velocity(self._gain(table.velocity) + GAIN_DOUBT * louder)
            offsets = table.offset + torch.where(table.restrike > table.offset, OFFSET_DOUBT * later, 0.0)
            offsets = torch.maximum(offsets, table.onset + SHORTEST_FRAMES)
        seconds = (offsets / FRAME_RATE).double().numpy()
        rows = zip(notes.onsets, seconds, notes.pitches, velocities.tolist(), strict=True)
        return Notes.of((float(on), float(off), int(pitch), velocity) for on, off, pitch, velocity in rows)

    @torch.no_grad()
    def profile(self, bands: Tensor, notes: Notes) -> Tensor:
        """A recording's gain, colour and floor, from an excerpt of it.

        Where notes are well above the floor their bands tell the colour, where they are well below it the floor: each
        is a ridge regression on the curves, a few times in turn.

        Shape:
            (n_frames, N_BANDS), in nepers -> (2 * N_CURVES,)
        """
        table = NoteTable.of([NoteExcerpt(notes)])
        power = self._of_notes(activations(table, len(bands)), table.velocity, len(bands), self.table.exp())
        heard = 2 * bands.float()
        profile = bands.new_zeros(2 * N_CURVES, dtype=torch.float32)
        for _ in range(N_PROFILE_ROUNDS):
            colour, floor = self._spread(profile)
            of_notes, of_floor = power * colour.exp(), (floor + self.floor).exp()
            expected = of_notes + of_floor
            missing = (heard - expected.clamp(min=FAINTEST).log()).clamp(-3, 3)
            counted = torch.sigmoid(0.6 * (expected.clamp(min=FAINTEST).log() / 2 + 5)).square()
            share = of_notes / expected
            profile[:N_CURVES] += self._regressed(missing, counted * (share > 0.8))
            profile[N_CURVES:] += self._regressed(missing, (share < 0.2).float())
        return profile

    def _of_notes(
        self, active: Activations, velocity: Tensor, n_frames: int, table: Tensor, louder: Tensor | None = None
    ) -> Tensor:
        """Power without floor and colour, (n_frames, N_BANDS); `louder` is added to the notes' log power."""
        key, over = active.entry // N_AGES, active.released
        tail = self.tail[key].sigmoid()
        damped = torch.exp(-F.softplus(self.release[key]) * over / 10) * (1 - tail)
        damped = damped + tail * torch.exp(-F.softplus(self.tail_rate) * over / 25)
        damped = torch.where(active.restruck, torch.exp(-RESTRIKE_RATE * over), damped)
        gain = self._gain(velocity) if louder is None else self._gain(velocity) + louder
        weight = active.share * torch.where(over > 0, damped, 1.0) * gain[active.note].exp()
        loud = (velocity / 127)[active.note]
        power = torch.zeros(n_frames, N_BANDS, device=table.device)
        order, bags = _bags(active.frame, n_frames)
        for touch, part in enumerate((1 - loud, loud)):
            of_touch = F.embedding_bag(
                active.entry[order], table, bags, mode="sum", per_sample_weights=(weight * part)[order]
            )
            power = power + of_touch * self.touches[touch].exp()
        return power

    def _gain(self, velocity: Tensor) -> Tensor:
        """Log power of a velocity against that of 64: the square law, corrected."""
        at = velocity / 16
        below = at.long().clamp(max=N_VELOCITY_KNOTS - 2)
        corrected = torch.lerp(self.gains[below], self.gains[below + 1], at - below)
        power: Tensor = 2 * (velocity.clamp(min=1) / 64).log() + corrected
        return power

    def _velocity(self, gain: Tensor) -> Tensor:
        """The velocity of a log power: the inverse of `_gain` where that rises."""
        velocities = torch.arange(1, 128, device=gain.device, dtype=gain.dtype)
        rising = self._gain(velocities).cummax(0).values
        return velocities[torch.searchsorted(rising, gain).clamp(max=126)]

    def _spread(self, profile: Tensor) -> tuple[Tensor, Tensor]:
        """A profile's colour and floor, in nepers of power; (..., 2 * N_CURVES) -> twice (..., N_BANDS)."""
        return profile[..., :N_CURVES] @ self.curves, profile[..., N_CURVES:] @ self.curves

    def _regressed(self, missing: Tensor, counted: Tensor) -> Tensor:
        """Ridge regression of what is missing on the curves; (n_frames, N_BANDS) twice -> (N_CURVES,)."""
        weight = counted.sum(0)
        normal = (self.curves * weight) @ self.curves.T
        ridge = (1.0 + 1e-3 * weight.sum()) * torch.eye(N_CURVES, device=weight.device)
        coefficients: Tensor = torch.linalg.solve(normal + ridge, self.curves @ (counted * missing).sum(0))
        return coefficients

    @torch.no_grad()
    def _lend_between_keys(self, excerpts: Sequence[Activations]) -> None:
        """Rows that were seldom seen lean on those of neighbouring keys, transposed; unseen ones are nothing else."""
        seen = torch.zeros(N_KEYS * N_AGES)
        for active in excerpts:
            seen.index_add_(0, active.entry, active.share * (active.released == 0))
        seen = seen.view(N_KEYS, N_AGES, 1)
        own = self.table.view(N_KEYS, N_AGES, N_BANDS)
        lent = torch.empty_like(own)
        for key in range(N_KEYS):
            total, weight = torch.zeros(N_AGES, N_BANDS), torch.zeros(N_AGES, 1)
            for other in range(max(0, key - NEIGHBOUR_KEYS), min(N_KEYS, key + NEIGHBOUR_KEYS + 1)):
                if other != key:
                    near = math.exp(-abs(other - key) / NEIGHBOUR_REACH)
                    counts = (seen[other].clamp(max=MOST_FROM_ONE) + 1e-6) * near
                    total += counts * (own[other] @ transposition(float(key - other), own.device))
                    weight += counts
            counted = weight.clamp(max=NEIGHBOUR_WEIGHT)
            lent[key] = (seen[key] * own[key] + counted * total / weight) / (seen[key] + counted)
        self.table.copy_(lent.flatten(0, 1))

    def _make_average(self, profiles: Sequence[Tensor]) -> None:
        """Let the profile of zeros be the average one."""
        colour, floor = self._spread(torch.stack(list(profiles)).mean(0))
        self.table += colour
        self.floor += floor


class _Excerpt:
    """Activations of an excerpt in the order of its frames, to be cut into chunks."""

    def __init__(self, active: Activations, n_frames: int) -> None:
        order, self._bags = _bags(active.frame, n_frames + 1)
        self.active = Activations(*(getattr(active, name)[order] for name in active.__dataclass_fields__))

    def between(self, first: int, beyond: int) -> Activations:
        """Those of some frames, which count from the first of them."""
        part = slice(int(self._bags[first]), int(self._bags[beyond]))
        cut = {name: getattr(self.active, name)[part] for name in self.active.__dataclass_fields__}
        return Activations(**(cut | {"frame": cut["frame"] - first}))


def _bags(frame: Tensor, n_frames: int) -> tuple[Tensor, Tensor]:
    """The order in which entries follow their frames, and where each frame begins in it."""
    ordered, order = frame.sort(stable=True)
    return order, torch.searchsorted(ordered, torch.arange(n_frames, device=frame.device))


def _restrikes(notes: Notes) -> NDArray[np.float64]:
    """When each note's key is struck again, in seconds; inf where it is not."""
    following: dict[int, float] = {}
    times = []
    for onset, pitch in zip(notes.onsets[::-1], notes.pitches[::-1], strict=True):
        times.append(following.get(int(pitch), np.inf))
        following[int(pitch)] = float(onset)
    return np.array(times[::-1], np.float64)


def _levels(power: Tensor) -> Tensor:
    return compand(power.clamp(min=FAINTEST).log() / 2)


def _curves() -> Tensor:
    """Cosines over log frequency, from constant on: (N_CURVES, N_BANDS)."""
    place = torch.tensor(CENTRES).clamp(min=_LOWEST).log2()
    place = (place - place[0]) / (place[-1] - place[0])
    return torch.stack([(math.pi * n * place).cos() for n in range(N_CURVES)])
