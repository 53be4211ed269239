"""The network musicnn: 50 tags of what music is played, and the 200 numbers that the tags are computed from.

    16 kHz -> 96 mel bands x 187 frames (3 s)
      -> front end: 2 shapes of timbre (7 frames x 38 and 67 bands), 3 of time (128, 64, 32 frames); maximum over bands
      -> 3 layers along time, each added to the one before; what follows reads all of them and the front end
      -> maximum and mean over time -> dense 200 -> dense 50

Pons & Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (ISMIR 2019,
late-breaking; weights ISC): the weights learned from MagnaTagATune. The original rounds its spectrogram
to float16, which overflows where music is loud; here it stays float32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from pipeline.pretrained.weights import Published, State, load_weights, tensorflow_variables

PIANO = 9  # the index of that tag

_N_BANDS = 96
_N_FRAMES = 187
_N_FFT, _HOP = 512, 256
_TIMBRE = (38, 67)  # bands: 0.4 and 0.7 of all
_TIME = (128, 64, 32)  # frames
_N_TIMBRE, _N_TIME, _N_MIDDLE = 204, 51, 64  # channels of each
_N_FRONT = 2 * _N_TIMBRE + 3 * _N_TIME  # 561
_N_POOLED = 2 * (_N_FRONT + 3 * _N_MIDDLE)  # 1506
_N_TAGS = 50


class Musicnn(nn.Module):
    """The network, in evaluation mode from the beginning: there is nothing to train."""

    name = "musicnn"
    dim = 200
    sample_rate = 16_000
    n_fft = _N_FFT
    n_samples = (_N_FRAMES - 1) * _HOP + _N_FFT  # in a window, 3.0 s
    hop = 93 * _HOP  # from window to window: half of one

    bands: Tensor
    taper: Tensor

    def __init__(self) -> None:
        super().__init__()
        bands = melscale_fbanks(
            _N_FFT // 2 + 1, 0.0, self.sample_rate / 2, _N_BANDS, self.sample_rate, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("taper", torch.hann_window(_N_FFT), persistent=False)
        self.timbre = nn.ModuleList([nn.Conv2d(1, _N_TIMBRE, (7, n), padding=(3, 0)) for n in _TIMBRE])
        self.time = nn.ModuleList([nn.Conv2d(1, _N_TIME, (n, 1)) for n in _TIME])
        self.middle = nn.ModuleList([nn.Conv1d(n, _N_MIDDLE, 7, padding=3) for n in (_N_FRONT, _N_MIDDLE, _N_MIDDLE)])
        self.dense = nn.Linear(_N_POOLED, self.dim)
        self.out = nn.Linear(self.dim, _N_TAGS)
        # In the order of the network, as the published names count them.
        n_channels = [1, *[_N_TIMBRE] * 2, *[_N_TIME] * 3, *[_N_MIDDLE] * 3, _N_POOLED, self.dim]
        self.norms = nn.ModuleList([_Norm(n) for n in n_channels])
        self.eval().requires_grad_(False)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows of n_samples or more.

        Shape:
            (n, n_samples) -> (n, 200)
        """
        power = torch.stft(windows, _N_FFT, _HOP, window=self.taper, center=False, return_complex=True).abs().square()
        log_mel = torch.log10(1.0 + 10_000.0 * (power.mT @ self.bands))
        spectrogram = self.norms[0](log_mel.unsqueeze(1))  # (n, 1, n_frames, 96)
        front = torch.cat([*self._timbre(spectrogram), *self._time(spectrogram)], dim=1)  # (n, 561, n_frames)
        layers = [front]
        for norm, layer in zip(self.norms[6:9], self.middle, strict=True):
            x = norm(F.relu(layer(layers[-1])))
            layers.append(x if len(layers) == 1 else x + layers[-1])
        features = torch.cat(layers, dim=1)  # (n, 753, n_frames)
        pooled = torch.stack((features.amax(2), features.mean(2)), dim=2).flatten(1)  # maximum, mean, maximum, ...
        embedding: Tensor = self.norms[10](F.relu(self.dense(self.norms[9](pooled))))
        return embedding

    def tags(self, embeddings: Tensor) -> Tensor:
        """Return the probabilities of the 50 tags.

        Shape:
            (..., 200) -> (..., 50)
        """
        return torch.sigmoid(self.out(embeddings))

    def _timbre(self, spectrogram: Tensor) -> list[Tensor]:
        pairs = zip(self.norms[1:3], self.timbre, strict=True)
        return [norm(F.relu(layer(spectrogram))).amax(3) for norm, layer in pairs]

    def _time(self, spectrogram: Tensor) -> list[Tensor]:
        features = []
        for n_frames, norm, layer in zip(_TIME, self.norms[3:6], self.time, strict=True):
            before = (n_frames - 1) // 2  # as many frames come out as went in; the odd one is added behind
            padded = F.pad(spectrogram, (0, 0, before, n_frames - 1 - before))
            features.append(norm(F.relu(layer(padded))).amax(3))
        return features


class _Norm(nn.Module):
    """Batch normalisation with learned statistics, whatever dimensions follow the channels."""

    beta: Tensor
    gamma: Tensor
    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        for name, value in {"beta": 0.0, "gamma": 1.0, "moving_mean": 0.0, "moving_variance": 1.0}.items():
            self.register_buffer(name, torch.full((n_channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_channels, ...) -> the same."""
        return F.batch_norm(x, self.moving_mean, self.moving_variance, self.gamma, self.beta, eps=1e-3)


def load_musicnn() -> Musicnn:
    """Build the network with its published weights.

    Raises:
        EvaluationError: see `weights.load_weights`.
    """
    network = Musicnn()
    load_weights(network, PUBLISHED)
    return network


def _read(data: bytes) -> State:
    """Read the published variables, which lie sorted by TensorFlow's names; behind what was trained are its moments.

    TensorFlow calls norms "batch_normalization", then "batch_normalization_1" and so on, convolutions "conv2d" and
    dense layers "dense": `norms.10` comes before `norms.2`.
    """
    like = Musicnn().state_dict()
    norms = [f"norms.{number}" for number in sorted(range(11), key=str)]
    parts = (*("beta",) * 3, *("gamma",) * 3, "moving_mean", "moving_variance")
    layers = [*(f"timbre.{n}" for n in range(2)), *(f"time.{n}" for n in range(3)), *(f"middle.{n}" for n in range(3))]
    trained = [
        f"{layer}.{part}" for layer in (*layers, "dense", "out") for part in ("bias", "weight") for _ in range(3)
    ]
    state = tensorflow_variables(data, [f"{norm}.{part}" for norm in norms for part in parts], like)
    return state | tensorflow_variables(data[_N_NORMS:], trained, like)


_N_NORMS = 78_728  # bytes of all norms, and of two numbers of the optimiser
PUBLISHED = Published(
    package="musicnn",
    version="0.1.0",
    sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
    member="musicnn/MTT_musicnn/.data-00000-of-00001",
    read=_read,
)
