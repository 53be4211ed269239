"""The spectrogram that both networks hear: power in mel bands, log10(1 + 10000 power)."""

import torch
from torch import Tensor, nn

_SCALE = 10_000.0


class LogMel(nn.Module):
    """Turns windows of samples into log power in mel bands.

    Args:
        bands: (n_bins, n_bands) weights of the power spectrum's bins, n_bins = n_fft // 2 + 1.
        taper: (n_fft,) window function of a frame.
        hop: samples from frame to frame.

    Attributes:
        n_fft: samples in a frame.
        hop: see above.
    """

    bands: Tensor
    taper: Tensor

    def __init__(self, bands: Tensor, taper: Tensor, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = len(taper), hop
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("taper", taper, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Frames lie wholly inside the window; whoever cuts the windows pads the recording's ends.

        Shape:
            (n, n_samples) -> (n, n_frames, n_bands), n_frames = (n_samples - n_fft) // hop + 1
        """
        frames = windows.unfold(-1, self.n_fft, self.hop) * self.taper
        power = torch.fft.rfft(frames).abs().square()  # (n, n_frames, n_bins)
        return torch.log10(1.0 + _SCALE * (power @ self.bands))
