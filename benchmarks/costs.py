"""What a corpus of so many hours costs: blocks, bytes, memory and time, from constants that were measured or published.

docs/scale.md tells how each constant came about.
"""

from dataclasses import dataclass

from benchmarks.recordings import NOTES_PER_BLOCK
from pipeline.codecs.piano import N_SLICES
from pipeline.config import (
    FlowSettings,
    LSTMSettings,
    NotesFirstSettings,
    PianoSettings,
    Settings,
    SpectrumSettings,
    note_rows,
)
from pipeline.models import notes
from pipeline.models.heads import flow
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.performance import N_KEYS

BLOCKS_PER_HOUR = 3600 * SAMPLE_RATE // BLOCK_SIZE  # 14 400
WAV_BYTES_PER_HOUR = 3600 * SAMPLE_RATE * 2  # 16 bits, one channel
N_WEIGHTS = 8_525_634  # of the preset flow
GRADIENT_BYTES = 4 * N_WEIGHTS  # float32

MINUTES_PER_RECORDING = 4  # assumed
BYTES_PER_RECORDING = 1307  # in memory
BYTES_PER_NOTE = 32  # in memory
NOTES_PER_HOUR = NOTES_PER_BLOCK * BLOCKS_PER_HOUR
HEADER_BYTES_PER_RECORDING = 210  # of a recording in a checkpoint's header: its name twice, its digest and its work
HEADER_BYTES = 100_000_000  # that safetensors allows

SURVEY_TIMES_REAL_TIME = 1000  # first opening, a core
OPEN_SECONDS_PER_FILE = 6e-5  # later ones
LISTEN_TIMES_REAL_TIME = 27  # the transcriber, once, a core
PROFILE_SECONDS_PER_RECORDING = 0.14  # whenever training begins, a core
REFINE_TIMES_REAL_TIME = 24  # of notes that were heard, whenever training begins, a core


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
        notes_bytes: of all notes in each process's memory.
        header_bytes: of the recordings' names in a checkpoint.
        survey_seconds: of the first opening, on a core.
        open_seconds: of a later one.
        listen_seconds: of the first listening to recordings that have no MIDI files.
        profile_seconds: of finding every recording's gain, colour and noise.
        refine_seconds: of fitting notes that were heard to the sound.
    """

    n_recordings: float
    n_blocks: float
    wav_bytes: float
    index_bytes: float
    notes_bytes: float
    header_bytes: float
    survey_seconds: float
    open_seconds: float
    listen_seconds: float
    profile_seconds: float
    refine_seconds: float


def costs_of(hours: float) -> Costs:
    """What so many hours cost."""
    n_recordings = hours * 60 / MINUTES_PER_RECORDING
    n_blocks = hours * BLOCKS_PER_HOUR
    return Costs(
        n_recordings=n_recordings,
        n_blocks=n_blocks,
        wav_bytes=hours * WAV_BYTES_PER_HOUR,
        index_bytes=n_recordings * BYTES_PER_RECORDING,
        notes_bytes=hours * NOTES_PER_HOUR * BYTES_PER_NOTE,
        header_bytes=n_recordings * HEADER_BYTES_PER_RECORDING,
        survey_seconds=hours * 3600 / SURVEY_TIMES_REAL_TIME,
        open_seconds=n_recordings * OPEN_SECONDS_PER_FILE,
        listen_seconds=hours * 3600 / LISTEN_TIMES_REAL_TIME,
        profile_seconds=n_recordings * PROFILE_SECONDS_PER_RECORDING,
        refine_seconds=hours * 3600 / REFINE_TIMES_REAL_TIME,
    )


def training_seconds(hours: float, n_passes: float, machine: Machine) -> float:
    """How long a machine trains."""
    return hours * BLOCKS_PER_HOUR * n_passes / machine.rate


@dataclass(frozen=True)
class Products:
    """Multiplications by weights, forward, counted from a model's shapes.

    Attributes:
        given: of numbers that were not learned, which need no gradient.
        hidden: of what earlier layers give.
    """

    given: int
    hidden: int

    @property
    def forward_flops(self) -> int:
        """Operations of a forward pass: a multiplication and an addition each."""
        return 2 * (self.given + self.hidden)

    @property
    def step_flops(self) -> int:
        """Operations of training: each gradient of a product, by weights and by input, costs as much again."""
        return 4 * self.given + 6 * self.hidden


def products_of(settings: Settings, notes_per_block: float = NOTES_PER_BLOCK) -> Products:
    """The products of one training step, all rows of it.

    Args:
        settings: all of them.
        notes_per_block: that the music has.

    Raises:
        TypeError: the settings are of a head that is not counted.
    """
    model, codec, head = settings.model, settings.codec, settings.head
    n_blocks = settings.training.batch_size * settings.training.sequence_blocks  # that have sound
    if isinstance(model, LSTMSettings) and isinstance(codec, SpectrumSettings):
        dims = 2 * ((BLOCK_SIZE + codec.lap) // 2 + 1)
        ends, lstm = dims * model.width, model.layers * 8 * model.width**2
        return Products(n_blocks * ends, n_blocks * (lstm + ends))
    if not (
        isinstance(model, NotesFirstSettings) and isinstance(codec, PianoSettings) and isinstance(head, FlowSettings)
    ):
        raise TypeError("settings must be of a point or a flow")
    n_rows = settings.training.batch_size + note_rows(settings)
    n_all = n_rows * settings.training.sequence_blocks
    n_events = round(n_all * (notes_per_block + 1))  # each block has an end
    n_sampled = settings.training.batch_size * min(model.residual_blocks, settings.training.sequence_blocks)
    parts = (
        (n_events, _note_decoder(model)),
        (n_all, _context(model)),
        (n_blocks, Products(N_SLICES * codec.dims * model.width, 0)),  # latents, as the LSTM reads them
        (n_sampled, _residual_decoder(model, codec)),
        (n_sampled * N_SLICES, _flow(model, codec, head)),
    )
    return Products(sum(n * of_one.given for n, of_one in parts), sum(n * of_one.hidden for n, of_one in parts))


def _note_decoder(model: NotesFirstSettings) -> Products:
    """Of an event: the recurrent network over events, and the layers before each softmax."""
    width, inner, n_attributes = model.note_width, notes.WIDTH, len(notes.SIZES)
    recurrent = 3 * width * (inner + width)
    return Products(0, recurrent + width * n_attributes * inner + n_attributes * inner**2 + inner * sum(notes.SIZES))


def _context(model: NotesFirstSettings) -> Products:
    """Of a block: what the LSTM reads of its notes, the LSTM, and what the note decoder reads of its state."""
    width, lstm = model.width, model.layers * 8 * model.width**2
    return Products(N_KEYS * width, model.note_width * width + lstm + width * len(notes.SIZES) * notes.WIDTH)


def _residual_decoder(model: NotesFirstSettings, codec: PianoSettings) -> Products:
    """Of a block: context and expected sound, read for the recurrent network and for the head, and its slices."""
    width = model.residual_width
    given = N_SLICES * (2 * codec.expected_dims + codec.dims) * width
    return Products(given, 2 * model.width * width + N_SLICES * 6 * width**2)


def _flow(model: NotesFirstSettings, codec: PianoSettings, head: FlowSettings) -> Products:
    """Of a slice, at each of its moments."""
    width, depth, dims = head.flow_width, head.flow_depth, codec.dims
    conditioning = (model.residual_width + dims + codec.expected_dims) * (depth + 1) * width
    layers = 2 * depth * width**2 + width * dims + flow.TIME_WIDTH * (3 * depth + 2) * width
    given = dims * width + 2 * flow.N_WAVES * flow.TIME_WIDTH
    return Products(head.moments * given, conditioning + head.moments * layers)
