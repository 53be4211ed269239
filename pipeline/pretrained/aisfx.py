"""The network aisfx, whose embedding follows fidelity: 512 numbers from the full band at 44.1 kHz.

    44.1 kHz -> 96 mel bands to 22 050 Hz x 100 frames (2.3 s) -> 4 blocks of two 3 x 3 convolutions -> mean, maximum

Ma & Lerch, "Representation learning for the automatic indexing of sound effects libraries" (ISMIR 2022;
weights CC BY 4.0), the model X-Sequential-CE, without the classifiers that it was trained with. It was
trained on spectrograms by Essentia, whose mel bands and taper are used here, too; nothing is normalised
by its peak.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.pretrained.weights import Published, State, load_weights
from waveforms import SAMPLE_RATE

_N_BANDS = 96
_N_FRAMES = 100
_N_FFT, _HOP = 2048, 1024
_LOUDEST = 9.457798957824707  # the greatest number in the spectrograms of the training data, which were scaled to 0..1
_WIDTHS = (64, 128, 256, 512)
_PREFIX = "embedding_net."


class Aisfx(nn.Module):
    """The network, in evaluation mode from the beginning: there is nothing to train.

    Args:
        widths: channels of the four blocks; the last is the dimension of the embedding.
    """

    name = "aisfx"
    sample_rate = SAMPLE_RATE
    n_fft = _N_FFT
    n_samples = (_N_FRAMES - 1) * _HOP + _N_FFT  # in a window, 2.3 s
    hop = _N_FRAMES // 2 * _HOP  # from window to window: half of one, as published

    bands: Tensor
    taper: Tensor

    def __init__(self, widths: tuple[int, int, int, int] = _WIDTHS) -> None:
        super().__init__()
        self.register_buffer("bands", mel_bands(_N_FFT, _N_BANDS, self.sample_rate), persistent=False)
        self.register_buffer("taper", torch.hann_window(_N_FFT, periodic=False), persistent=False)
        for number, (n_in, n_out) in enumerate(zip((1, *widths), widths, strict=False), start=1):
            self.add_module(f"conv_block{number}", _Block(n_in, n_out))
        self.eval().requires_grad_(False)

    def forward(self, windows: Tensor) -> Tensor:
        """Embed windows of n_samples or more.

        Shape:
            (n, n_samples) -> (n, widths[-1])
        """
        power = torch.stft(windows, _N_FFT, _HOP, window=self.taper, center=False, return_complex=True).abs().square()
        log_mel = torch.log10(1.0 + 10_000.0 * (power.mT @ self.bands))
        x: Tensor = log_mel.unsqueeze(1) / _LOUDEST  # (n, 1, n_frames, 96)
        for number in range(1, 5):
            x = self.get_submodule(f"conv_block{number}")(x)
            if number < 4:
                x = F.max_pool2d(x, 2)
        return x.mean(3).amax(2)


class _Block(nn.Module):
    """Two convolutions, each normalised and rectified. The modules' names are the published ones."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, n_frames, n_bands) -> (n, n_out, n_frames, n_bands)."""
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


def mel_bands(n_fft: int, n_bands: int, sample_rate: int) -> Tensor:
    """Weigh the bins of a power spectrum for each mel band, as Essentia's MelBands does by default.

    The bands are triangles on the mel scale itself (HTK's formula). torchaudio's and librosa's are triangles on the
    scale of frequencies, which differ below 1 kHz, where a band is hardly wider than a bin. Each band's weights sum
    to 1.

    Returns:
        (n_fft // 2 + 1, n_bands) float32, for frequencies up to sample_rate / 2.
    """
    frequencies = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    mels = 1127.01048 * np.log1p(frequencies / 700.0)
    edges = np.linspace(0.0, mels[-1], n_bands + 2)
    width = edges[1]
    weights = np.clip(1.0 - np.abs(mels[:, None] - edges[1:-1]) / width, 0.0, None)  # (n_bins, n_bands)
    return torch.from_numpy(weights / weights.sum(0)).float()


def load_aisfx() -> Aisfx:
    """Build the network with its published weights.

    Raises:
        EvaluationError: see `weights.load_weights`.
    """
    network = Aisfx()
    load_weights(network, PUBLISHED)
    return network


def _read(content: bytes) -> State:
    """Read the embedding's tensors from the published pickle, in torch's mode that runs no code of the pickle's.

    Beside the tensors it holds a table of the classifiers, with numpy's scalars. That mode does not allow them, and
    nobody needs them: `_Ignored` is made in their place.
    """
    unneeded: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_Ignored, "numpy.core.multiarray.scalar"),
        (_Ignored, "numpy.dtype"),
    ]
    with torch.serialization.safe_globals(unneeded):
        tensors, _ = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    return {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)}


class _Ignored:
    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


PUBLISHED = Published(
    package="aisfx",
    version="0.1.2",
    sha256="bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
    member="aisfx/models/checkpoint.pth",
    read=_read,
)
