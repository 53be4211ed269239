"""What a corpus of so many hours costs: blocks, bytes, memory and time, from constants that were measured or published.

docs/scale.md tells how each constant came about.
"""

from dataclasses import dataclass

from pipeline.predictors.flow import N_WAVES, TIME_WIDTH
from pipeline.predictors.keys import WIDTH
from pipeline.predictors.traces import n_traces
from pipeline.representations.tiles import N_SLICES
from pipeline.settings import FlowSettings, LSTMSettings, Settings, TileSettings
from waveforms import BLOCK_SIZE, SAMPLE_RATE
from waveforms.keys import N_KEYS

BLOCKS_PER_HOUR = 3600 * SAMPLE_RATE // BLOCK_SIZE  # 14 400
WAV_BYTES_PER_HOUR = 3600 * SAMPLE_RATE * 2  # 16 bits, one channel
N_WEIGHTS = 20_586_585  # of the preset flow
GRADIENT_BYTES = 4 * N_WEIGHTS  # float32
STRUCK = 0.3  # keys in a slice

MINUTES_PER_RECORDING = 4  # assumed
BYTES_PER_RECORDING = 1307  # in memory
BYTES_PER_WINDOW = 212  # in memory
HEADER_BYTES_PER_RECORDING = 210  # of a recording in a checkpoint's header: its name twice, its digest and its work
HEADER_BYTES = 100_000_000  # that safetensors allows

SURVEY_TIMES_REAL_TIME = 1000  # first opening, a core
OPEN_SECONDS_PER_FILE = 6e-5  # later ones
PLAN_SECONDS_PER_WINDOW = 1e-5


@dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
        name: as tables show it.
        blocks_per_second: that its processors can train on.
        most_blocks_per_second: that its processes read, if it is a limit.
    """

    name: str
    blocks_per_second: float
    most_blocks_per_second: float = float("inf")

    @property
    def rate(self) -> float:
        """Blocks a second, read and trained on."""
        return min(self.blocks_per_second, self.most_blocks_per_second)


@dataclass(frozen=True)
class Costs:
    """What so many hours cost before and while they are learned from.

    Attributes:
        n_recordings: of MINUTES_PER_RECORDING.
        n_blocks: in all of them.
        wav_bytes: 16 bits, one channel.
        index_bytes: of all recordings' findings in each process's memory.
        plan_bytes: of an epoch's windows in each process's memory.
        header_bytes: of the recordings' names in a checkpoint.
        survey_seconds: of the first opening, on a core.
        open_seconds: of a later one.
        plan_seconds: in which an epoch begins.
    """

    n_recordings: float
    n_blocks: float
    wav_bytes: float
    index_bytes: float
    plan_bytes: float
    header_bytes: float
    survey_seconds: float
    open_seconds: float
    plan_seconds: float


def costs_of(hours: float, sequence_blocks: int = 40) -> Costs:
    """What so many hours cost."""
    n_recordings = hours * 60 / MINUTES_PER_RECORDING
    n_blocks = hours * BLOCKS_PER_HOUR
    n_windows = n_blocks / sequence_blocks
    return Costs(
        n_recordings=n_recordings,
        n_blocks=n_blocks,
        wav_bytes=hours * WAV_BYTES_PER_HOUR,
        index_bytes=n_recordings * BYTES_PER_RECORDING,
        plan_bytes=n_windows * BYTES_PER_WINDOW,
        header_bytes=n_recordings * HEADER_BYTES_PER_RECORDING,
        survey_seconds=hours * 3600 / SURVEY_TIMES_REAL_TIME,
        open_seconds=n_recordings * OPEN_SECONDS_PER_FILE,
        plan_seconds=n_windows * PLAN_SECONDS_PER_WINDOW,
    )


def training_seconds(hours: float, n_passes: float, machine: Machine) -> float:
    """How long a machine trains."""
    return hours * BLOCKS_PER_HOUR * n_passes / machine.rate


def forward_flops(settings: Settings, n_struck: float = STRUCK) -> int:
    """Operations of the network for a block, two a weight that is used: of the LSTM once, of the head for each slice.

    Args:
        settings: all of them.
        n_struck: keys struck in a slice.

    Raises:
        TypeError: the settings are not of a flow over tiles.
    """
    lstm, head, tiles = settings.predictor, settings.head, settings.representation
    if not (isinstance(lstm, LSTMSettings) and isinstance(head, FlowSettings) and isinstance(tiles, TileSettings)):
        raise TypeError("settings must be of a flow over tiles")
    size, guide, width, depth = tiles.dims, head.guide, head.flow_width, head.flow_depth
    heard, traces = size + N_KEYS, n_traces(N_KEYS)
    block = N_SLICES * heard * lstm.width + lstm.layers * 8 * lstm.width**2 + 2 * (lstm.width + traces) * guide
    read = (2 * N_SLICES - 1) * (size**2 + heard * guide + 6 * guide**2)  # by the GRU, under noise
    keys = (guide + traces + size) * WIDTH + (1 + n_struck) * (N_KEYS * WIDTH + WIDTH**2 + WIDTH * (N_KEYS + 1))
    led = (guide + traces + heard) * (depth + 1) * width
    innovations = heard * size + size**2
    turn = 2 * size * width + 2 * depth * width**2
    time = 2 * N_WAVES * TIME_WIDTH + TIME_WIDTH * (3 * depth + 2) * width
    return round(2 * (block + read + head.moments * time + N_SLICES * (keys + led + innovations + head.moments * turn)))


def step_flops(settings: Settings, n_struck: float = STRUCK) -> int:
    """Operations of training on a block: those of the way back are twice those of the way forward."""
    return 3 * forward_flops(settings, n_struck)
