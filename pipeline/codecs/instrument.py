"""The expected sound of notes: a dictionary of every key at every age, in which powers add.

    P[t, band] = floor[band] + sum over sounding notes of  gain(velocity) * D[key, age(t), band] * release(t)

Incoherent partials add in power, so the sounds of a chord's keys give the chord's sound. The model is non-negative
matrix factorisation with known activations (Smaragdis & Brown 2003; score-informed: Ewert & Müller 2012), fitted by
gradient descent on the error of companded log magnitudes.

Loud notes are brighter than soft ones: two spectra scale D, and the velocity interpolates between them. After its
damper falls a note decays at the rate of its key, and the room adds a slower tail. Smooth curves over frequency model
the gain, the colour and the noise floor of each recording: its `profile`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.codecs.note_table import (
    FRAME_RATE,
    N_AGES,
    RESTRIKE_RATE,
    Activations,
    ActivationsByFrame,
    NoteExcerpt,
    NoteTable,
    activations,
    frame_bags,
)
from waveforms.dsp.bands import CENTRES, N_BANDS, compand, transposition
from waveforms.dsp.blocks import FRAMES_PER_BLOCK
from waveforms.notes.events import Notes
from waveforms.notes.performance import N_KEYS

N_CURVES = 8  # cosines over log frequency that add up to a profile's colour, and to its floor
_LOWEST = 27.5  # Hz; lower bands have the colour of this one
N_VELOCITY_KNOTS = 9  # of the gain, 16 steps of velocity apart
FAINTEST = 1e-13  # power, -130 dB

N_CHUNK = 512  # frames in a step of the fit
RATE, RATE_OF_SHARED, LAST_RATE = 0.25, 0.05, 0.005  # Adam's learning rates, in nepers of power
PROFILE_RIDGE = 1e-3
NEIGHBOUR_KEYS, NEIGHBOUR_REACH = 12, 1.5  # neighbours that smooth a key: largest distance, and e-folding distance
NEIGHBOUR_WEIGHT = 4.0  # observations that all neighbours together count for
MOST_FROM_ONE = 60.0  # observations of one neighbour that count
N_PROFILE_ROUNDS = 6
# Standard deviations of the transcriber's errors: in the log power of a note, and in its offset in frames.
GAIN_STD, OFFSET_STD = 1.0, 30.0
PRIOR_WEIGHT = 1e-3  # of a squared deviation against the mean squared error of the magnitudes
REFINE_ROUNDS, REFINE_RATE = 8, 0.1  # passes over an excerpt, and the learning rate in standard deviations
SHORTEST_FRAMES = 3.0  # of a refined note


class Instrument(nn.Module):
    """The fitted dictionary, in nepers of power, so that one learning rate suits all of its numbers.

    Before `fit` every key is silent.
    """

    table: Tensor  # (N_KEYS * N_AGES, N_BANDS): log power at velocity 64
    touches: Tensor  # (2, N_BANDS): log power that a soft and a loud touch add
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
        self.register_buffer("touches", torch.zeros(2, N_BANDS))
        self.register_buffer("floor", torch.full((N_BANDS,), -14.0))
        self.register_buffer("gains", torch.zeros(N_VELOCITY_KNOTS))
        self.register_buffer("release", torch.full((N_KEYS,), 1.5))
        self.register_buffer("tail", torch.full((N_KEYS,), -4.0))
        self.register_buffer("tail_rate", torch.zeros(1))
        self.register_buffer("curves", _curves(), persistent=False)

    def forward(self, notes: NoteTable, profiles: Tensor) -> Tensor:
        """Return the expected companded log magnitudes; a block depends on no note that begins after it.

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
        colour, floor = self._curves_of(profiles)  # each (n_rows, n_blocks, N_BANDS)
        power = self._power(active, notes.velocity, n_rows * n_frames, self.table.exp())
        power = power.view(n_rows, n_blocks, FRAMES_PER_BLOCK, N_BANDS)
        return _companded(power * colour.exp()[:, :, None] + (floor + self.floor).exp()[:, :, None])

    def fit(
        self,
        bands: Sequence[Tensor],
        notes: Sequence[Notes],
        recordings: Sequence[int],
        n_steps: int,
        report: Callable[[int, int], None],
    ) -> None:
        """Fit every number to excerpts whose notes are known.

        Args:
            bands: log magnitudes of each excerpt in nepers, (n_frames, N_BANDS).
            notes: of each excerpt, in seconds from its first frame.
            recordings: the number of each excerpt's recording.
            n_steps: of Adam (Kingma & Ba 2015), each over N_CHUNK frames.
            report: receives (steps done, steps in all).
        """
        chunks = [(e, at) for e, excerpt in enumerate(bands) for at in range(0, len(excerpt), N_CHUNK)]
        tables = [NoteTable.of([NoteExcerpt(n)]) for n in notes]
        of_excerpt = [ActivationsByFrame(activations(t, len(b)), len(b)) for t, b in zip(tables, bands, strict=True)]
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
            power = self._power(active, tables[excerpt].velocity, len(wanted), self.table.exp())
            colour, floor = self._curves_of(profiles[recordings[excerpt]])
            power = power * colour.exp() + (floor + self.floor).exp()
            loss = (_companded(power) - wanted).square().mean() + PROFILE_RIDGE * profiles.square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            report(step + 1, n_steps)
        for parameter in learned:
            parameter.requires_grad_(False)
        self._smooth_over_keys([excerpt.active for excerpt in of_excerpt])
        self._centre([self.profile(b, n) for b, n in zip(bands, notes, strict=True)])

    @torch.enable_grad()
    def refine(self, bands: Tensor, notes: Notes, profile: Tensor) -> Notes:
        """Fit the velocities and offsets of transcribed notes to the sound: analysis by synthesis.

        Gradient descent on the error of `fit` moves every note's gain and end, with a normal prior on the moves.

        Args:
            bands: log magnitudes in nepers, (n_frames, N_BANDS).
            notes: as transcribed, in seconds from the first frame.
            profile: of the recording.
        """
        if not len(notes):
            return notes
        table = NoteTable.of([NoteExcerpt(notes)])
        excerpt = ActivationsByFrame(activations(table, len(bands)), len(bands))
        wanted = compand(bands.float())
        louder, later = (torch.zeros(len(notes), requires_grad=True) for _ in range(2))
        optimiser = torch.optim.Adam([louder, later], REFINE_RATE)
        spectra, (colour, floor) = self.table.exp(), self._curves_of(profile)
        ends = torch.minimum(table.offset, table.restrike)
        for _ in range(REFINE_ROUNDS):
            for first in range(0, len(wanted), N_CHUNK):
                part = wanted[first : first + N_CHUNK]
                active = excerpt.between(first, first + len(part))
                moved = (active.frame + first + 0.5 - (ends + OFFSET_STD * later)[active.note]).clamp(min=0)
                active = replace(active, released=torch.where(active.restruck, active.released, moved))
                power = self._power(active, table.velocity, len(part), spectra, GAIN_STD * louder)
                power = power * colour.exp() + (floor + self.floor).exp()
                prior = (louder.square() + later.square()).mean()
                loss = (_companded(power) - part).square().mean() + PRIOR_WEIGHT * prior
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.no_grad():
            velocities = self._velocity(self._gain(table.velocity) + GAIN_STD * louder)
            offsets = table.offset + torch.where(table.restrike > table.offset, OFFSET_STD * later, 0.0)
            offsets = torch.maximum(offsets, table.onset + SHORTEST_FRAMES)
        seconds = (offsets / FRAME_RATE).double().numpy()
        rows = zip(notes.onsets, seconds, notes.pitches, velocities.tolist(), strict=True)
        return Notes.of((float(on), float(off), int(pitch), velocity) for on, off, pitch, velocity in rows)

    @torch.no_grad()
    def profile(self, bands: Tensor, notes: Notes) -> Tensor:
        """Estimate a recording's gain, colour and noise floor from an excerpt of it.

        Bands in which the notes lie well above the floor determine the colour, bands in which they lie well below it
        the floor: each is a ridge regression on the curves, repeated a few times in turn.

        Shape:
            (n_frames, N_BANDS), in nepers -> (2 * N_CURVES,)
        """
        table = NoteTable.of([NoteExcerpt(notes)])
        power = self._power(activations(table, len(bands)), table.velocity, len(bands), self.table.exp())
        recorded = 2 * bands.float()
        profile = bands.new_zeros(2 * N_CURVES, dtype=torch.float32)
        for _ in range(N_PROFILE_ROUNDS):
            colour, floor = self._curves_of(profile)
            of_notes, of_floor = power * colour.exp(), (floor + self.floor).exp()
            expected = of_notes + of_floor
            missing = (recorded - expected.clamp(min=FAINTEST).log()).clamp(-3, 3)
            counted = torch.sigmoid(0.6 * (expected.clamp(min=FAINTEST).log() / 2 + 5)).square()
            share = of_notes / expected
            profile[:N_CURVES] += self._regressed(missing, counted * (share > 0.8))
            profile[N_CURVES:] += self._regressed(missing, (share < 0.2).float())
        return profile

    def _power(
        self, active: Activations, velocity: Tensor, n_frames: int, table: Tensor, louder: Tensor | None = None
    ) -> Tensor:
        """Return the notes' power without floor and colour, (n_frames, N_BANDS); `louder` adds to their log power."""
        key, over = active.entry // N_AGES, active.released
        tail = self.tail[key].sigmoid()
        damped = torch.exp(-F.softplus(self.release[key]) * over / 10) * (1 - tail)
        damped = damped + tail * torch.exp(-F.softplus(self.tail_rate) * over / 25)
        damped = torch.where(active.restruck, torch.exp(-RESTRIKE_RATE * over), damped)
        gain = self._gain(velocity) if louder is None else self._gain(velocity) + louder
        weight = active.share * torch.where(over > 0, damped, 1.0) * gain[active.note].exp()
        loud = (velocity / 127)[active.note]
        power = torch.zeros(n_frames, N_BANDS, device=table.device)
        order, bags = frame_bags(active.frame, n_frames)
        for touch, part in enumerate((1 - loud, loud)):
            of_touch = F.embedding_bag(
                active.entry[order], table, bags, mode="sum", per_sample_weights=(weight * part)[order]
            )
            power = power + of_touch * self.touches[touch].exp()
        return power

    def _gain(self, velocity: Tensor) -> Tensor:
        """Return the log power of a velocity relative to 64: the square law and its fitted correction."""
        at = velocity / 16
        below = at.long().clamp(max=N_VELOCITY_KNOTS - 2)
        corrected = torch.lerp(self.gains[below], self.gains[below + 1], at - below)
        power: Tensor = 2 * (velocity.clamp(min=1) / 64).log() + corrected
        return power

    def _velocity(self, gain: Tensor) -> Tensor:
        """Return the velocity of a log power: the inverse of `_gain` where that rises."""
        velocities = torch.arange(1, 128, device=gain.device, dtype=gain.dtype)
        rising = self._gain(velocities).cummax(0).values
        return velocities[torch.searchsorted(rising, gain).clamp(max=126)]

    def _curves_of(self, profile: Tensor) -> tuple[Tensor, Tensor]:
        """Return a profile's colour and floor in nepers of power; (..., 2 * N_CURVES) -> (..., N_BANDS), the same."""
        return profile[..., :N_CURVES] @ self.curves, profile[..., N_CURVES:] @ self.curves

    def _regressed(self, missing: Tensor, counted: Tensor) -> Tensor:
        """Regress what is missing on the curves (ridge); (n_frames, N_BANDS) twice -> (N_CURVES,)."""
        weight = counted.sum(0)
        normal = (self.curves * weight) @ self.curves.T
        ridge = (1.0 + 1e-3 * weight.sum()) * torch.eye(N_CURVES, device=weight.device)
        coefficients: Tensor = torch.linalg.solve(normal + ridge, self.curves @ (counted * missing).sum(0))
        return coefficients

    @torch.no_grad()
    def _smooth_over_keys(self, excerpts: Sequence[Activations]) -> None:
        """Smooth rarely observed rows with the transposed rows of neighbouring keys."""
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

    def _centre(self, profiles: Sequence[Tensor]) -> None:
        """Make the profile of zeros the average one."""
        colour, floor = self._curves_of(torch.stack(list(profiles)).mean(0))
        self.table += colour
        self.floor += floor


def _companded(power: Tensor) -> Tensor:
    return compand(power.clamp(min=FAINTEST).log() / 2)


def _curves() -> Tensor:
    """Return cosines over log frequency, the first one constant: (N_CURVES, N_BANDS)."""
    position = torch.tensor(CENTRES).clamp(min=_LOWEST).log2()
    position = (position - position[0]) / (position[-1] - position[0])
    return torch.stack([(math.pi * n * position).cos() for n in range(N_CURVES)])
