"""The network musicnn, which tells what music is heard: 50 tags, and the 200 numbers they are told from.

    16 kHz -> 96 mel bands x 187 frames (3 s)
      -> front end: 2 shapes of timbre (7 frames x 38 and 67 bands), 3 of time (128, 64, 32 frames); maximum over bands
      -> 3 layers along time, each added to the one before; what follows hears all of them and the front end
      -> maximum and mean over time -> dense 200 -> dense 50

Pons & Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (ISMIR 2019,
late-breaking; weights ISC): the weights learned from MagnaTagATune. The original rounds its spectrogram
to float16, which overflows where music is loud; here it stays float32.
"""

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.evaluation.bundle import read_bundle
from pipeline.evaluation.log_mel import LogMel
from pipeline.evaluation.weights import Published, State, fill, obtain

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
    """See the module. In evaluation mode from the beginning: there is nothing to train."""

    name = "musicnn"
    dim = 200
    sample_rate = 16_000
    n_fft = _N_FFT
    n_samples = (_N_FRAMES - 1) * _HOP + _N_FFT  # of a window, 3.0 s
    hop = 93 * _HOP  # from window to window: half of one

    def __init__(self) -> None:
        super().__init__()
        bands = torchaudio.functional.melscale_fbanks(
            _N_FFT // 2 + 1, 0.0, self.sample_rate / 2, _N_BANDS, self.sample_rate, norm="slaney", mel_scale="slaney"
        )
        self.log_mel = LogMel(bands, torch.hann_window(_N_FFT), _HOP)
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
        """Embed windows, which are as long as they like beside `n_samples`.

        Shape:
            (n, n_samples) -> (n, 200)
        """
        spectrogram = self.norms[0](self.log_mel(windows).unsqueeze(1))  # (n, 1, n_frames, 96)
        front = torch.cat([*self._timbre(spectrogram), *self._time(spectrogram)], dim=1)  # (n, 561, n_frames)
        heard = [front]
        for norm, layer in zip(self.norms[6:9], self.middle, strict=True):
            further = norm(F.relu(layer(heard[-1])))
            heard.append(further if len(heard) == 1 else further + heard[-1])
        features = torch.cat(heard, dim=1)  # (n, 753, n_frames)
        pooled = torch.stack((features.amax(2), features.mean(2)), dim=2).flatten(1)  # maximum, mean, maximum, ...
        embedding: Tensor = self.norms[10](F.relu(self.dense(self.norms[9](pooled))))
        return embedding

    def tags(self, vectors: Tensor) -> Tensor:
        """Tell the probabilities of the 50 tags from embeddings.

        Shape:
            (..., 200) -> (..., 50)
        """
        return torch.sigmoid(self.out(vectors))

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
    """Batch normalisation with learned statistics, whatever follows the channels."""

    gamma: Tensor
    beta: Tensor
    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        for name, value in {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}.items():
            self.register_buffer(name, torch.full((n_channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_channels, ...) -> the same."""
        return F.batch_norm(x, self.moving_mean, self.moving_variance, self.gamma, self.beta, eps=1e-3)


def load_musicnn() -> Musicnn:
    """Build the network with its published weights.

    Raises:
        EvaluationError: see `weights.obtain` and `weights.fill`.
    """
    network = Musicnn()
    fill(network, _renamed(obtain(PUBLISHED)), PUBLISHED)
    return network


def _read_checkpoint(index: bytes, data: bytes) -> State:
    """Read the published variables, without the optimiser's."""
    variables = read_bundle(index, data)
    return {name: tensor for name, tensor in variables.items() if "Adam" not in name and not name.endswith("_power")}


def _renamed(published: State) -> State:
    """Give the published variables our names and torch's layouts.

    They are named by kind and counted in the order of the network: conv2d, conv2d_1, ..., dense, dense_1.
    """
    places = {"batch_normalization": [f"norms.{n}" for n in range(11)], "dense": ["dense", "out"]}
    places["conv2d"] = [
        f"{room}.{n}" for room, n_rooms in (("timbre", 2), ("time", 3), ("middle", 3)) for n in range(n_rooms)
    ]
    state = {}
    for kind, modules in places.items():
        for number, module in enumerate(modules):
            prefix = f"{kind}_{number}/" if number else f"{kind}/"
            for name, tensor in published.items():
                if name.startswith(prefix):
                    part = name.removeprefix(prefix)
                    state[f"{module}.{'weight' if part == 'kernel' else part}"] = _laid_out(module, tensor)
    return state


def _laid_out(module: str, tensor: Tensor) -> Tensor:
    """Turn a kernel (height, width, in, out) or (in, out) to torch's layout; what has one dimension stays."""
    if tensor.ndim == 4:
        tensor = tensor.permute(3, 2, 0, 1)  # (out, in, height, width)
        return tensor.squeeze(1).transpose(1, 2).contiguous() if module.startswith("middle") else tensor.contiguous()
    return tensor.t().contiguous() if tensor.ndim == 2 else tensor


_MODEL = "musicnn/MTT_musicnn/"
PUBLISHED = Published(
    package="musicnn",
    version="0.1.0",
    sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
    members=(_MODEL + ".index", _MODEL + ".data-00000-of-00001"),
    read=_read_checkpoint,
)
