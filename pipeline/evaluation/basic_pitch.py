"""The network basic-pitch, which tells which keys sound and which begin.

    constant-Q spectrogram -> 8 harmonics (1/2, 1, ..., 7) beside one another
      -> contour: 3 frames x 39 bins, 5 x 5 -> note: 7 x 7, every third bin; 7 x 3 -> probability that a key sounds
      -> attack: 5 x 5, every third bin; with the note's -> 3 x 3 -> probability that it begins

Bittner, Bosch, Rubinstein, Meseguer-Brocal & Ewert, "A lightweight instrument-agnostic model for polyphonic
note transcription and multipitch estimation" (ICASSP 2022; weights Apache 2.0). 17 000 weights.
"""

import torch
from torch import Tensor, nn

from pipeline.evaluation.bundle import read_bundle
from pipeline.evaluation.constant_q import BINS_PER_SEMITONE, HOP, SAMPLE_RATE, ConstantQ, scaled_level
from pipeline.evaluation.weights import Published, State, fill, obtain

N_KEYS = 88
N_SAMPLES = 2 * SAMPLE_RATE - HOP  # 43844, of a window; other lengths would be scaled by other loudest bins
N_FRAMES = N_SAMPLES // HOP + 1  # 172

_N_CONTOUR = N_KEYS * BINS_PER_SEMITONE  # 264
_SHIFTS = (-36, 0, 36, 57, 72, 84, 93, 101)  # bins from a note to its harmonics: round(36 log2 h)
_LOWEST = slice(1, 4)  # of those: 1, 2, 3
_EPSILON = 1e-3  # of the batch normalisation that it was trained with


class BasicPitch(nn.Module):
    """See the module. In evaluation mode from the beginning: there is nothing to train."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = ConstantQ()
        self.norm = nn.BatchNorm2d(1, eps=_EPSILON)
        self.contour = nn.Sequential(
            nn.Conv2d(8, 8, (3, 39), padding=(1, 19)), nn.BatchNorm2d(8, eps=_EPSILON), nn.ReLU(),
            nn.Conv2d(8, 1, 5, padding=2), nn.Sigmoid(),
        )  # fmt: skip
        self.note = nn.Sequential(
            nn.Conv2d(1, 32, 7, stride=(1, 3), padding=(3, 2)), nn.ReLU(),
            nn.Conv2d(32, 1, (7, 3), padding=(3, 1)), nn.Sigmoid(),
        )  # fmt: skip
        self.attack = nn.Sequential(
            nn.Conv2d(8, 32, 5, stride=(1, 3), padding=(2, 1)), nn.BatchNorm2d(32, eps=_EPSILON), nn.ReLU()
        )
        self.onset = nn.Sequential(nn.Conv2d(33, 1, 3, padding=1), nn.Sigmoid())
        self.eval().requires_grad_(False)

    def forward(self, windows: Tensor) -> Tensor:
        """Tell for each frame and key the probability that it sounds, and that it begins; and its power.

        The power, of the three lowest harmonics, is not the network's: a note's loudness is not in its
        probabilities.

        Shape:
            (n, N_SAMPLES) -> (n, N_FRAMES, 3, 88)
        """
        power = self.spectrogram(windows).unsqueeze(1)  # (n, 1, n_frames, N_BINS)
        stacked = _harmonics(self.norm(scaled_level(power.squeeze(1)).unsqueeze(1)))  # (n, 8, n_frames, 264)
        # Five times as fast with the channels last: there are too few of them for torch's other layout.
        stacked = stacked.contiguous(memory_format=torch.channels_last)
        note = self.note(self.contour(stacked))  # (n, 1, n_frames, 88)
        onset = self.onset(torch.cat((note, self.attack(stacked)), dim=1))
        sounding = _harmonics(power)[:, _LOWEST, :, ::BINS_PER_SEMITONE].sum(1, keepdim=True)
        return torch.cat((note, onset, sounding), dim=1).transpose(1, 2)


def _harmonics(spectrogram: Tensor) -> Tensor:
    """Lay a note's harmonics over it, (n, 1, n_frames, N_BINS) -> (n, 8, n_frames, 264); 0 where there is no bin."""
    n_bins = spectrogram.shape[3]
    padded = nn.functional.pad(spectrogram, (-min(_SHIFTS), max(_SHIFTS)))
    first = -min(_SHIFTS)
    shifted = [padded[..., first + shift : first + shift + n_bins][..., :_N_CONTOUR] for shift in _SHIFTS]
    return torch.cat(shifted, dim=1)


def load_basic_pitch() -> BasicPitch:
    """Build the network with its published weights.

    Raises:
        EvaluationError: see `weights.obtain` and `weights.fill`.
    """
    network = BasicPitch()
    fill(network, _renamed(obtain(PUBLISHED)), PUBLISHED)
    return network


def _read_checkpoint(index: bytes, data: bytes) -> State:
    """Read the published variables, without the optimiser's."""
    variables = read_bundle(index, data)
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    layers = {name.removesuffix(end): tensor for name, tensor in variables.items() if name.startswith(_LAYER)}
    return {name: tensor for name, tensor in layers.items() if "OPTIMIZER" not in name}


def _renamed(published: State) -> State:
    """Give the published variables our names and torch's layouts; they are numbered in the order of the network."""
    state = {}
    for name, tensor in published.items():
        number, _, part = name.removeprefix(_LAYER).partition("/")
        place = _PLACES[int(number)] if number.isdecimal() and int(number) < len(_PLACES) else name
        kernel = tensor.ndim == 4  # (height, width, in, out)
        state[f"{place}.{_PARTS.get(part, part)}"] = tensor.permute(3, 2, 0, 1).contiguous() if kernel else tensor
        if part == "gamma":
            state[f"{place}.num_batches_tracked"] = torch.tensor(0)
    return state


_LAYER = "layer_with_weights-"
_PLACES = ("norm", "contour.0", "contour.1", "contour.3", "note.0", "attack.0", "attack.1", "note.2", "onset.0")
_PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_MODEL = "basic_pitch/saved_models/icassp_2022/nmp/variables/variables"
PUBLISHED = Published(
    package="basic-pitch",
    version="0.4.0",
    sha256="738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    members=(_MODEL + ".index", _MODEL + ".data-00000-of-00001"),
    read=_read_checkpoint,
)
