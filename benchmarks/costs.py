"""What a corpus costs in blocks, bytes, memory and time, and what a training step costs in operations.

The constants were measured or published; docs/scale.md gives the source of each.
"""

from dataclasses import dataclass

from benchmarks.recordings import NOTES_PER_BLOCK
from pipeline.codecs.piano import N_PATCHES
from pipeline.config import (
    FlowSettings,
    LSTMSettings,
    NotesFirstSettings,
    PianoSettings,
    Settings,
    SpectrumSettings,
)
from pipeline.models import notes
from pipeline.models.heads import flow
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.performance import N_KEYS

BLOCKS_PER_HOUR = 3600 * SAMPLE_RATE // BLOCK_SIZE  # 14 400
WAV_BYTES_PER_HOUR = 3600 * SAMPLE_RATE * 2  # 16 bits, one channel
N_WEIGHTS = 8_525_634  # in the preset flow
GRADIENT_BYTES = 4 * N_WEIGHTS  # float32

MINUTES_PER_RECORDING = 4  # assumed
BYTES_PER_RECORDING = 1307  # in memory
BYTES_PER_NOTE = 32  # in memory
NOTES_PER_HOUR = NOTES_PER_BLOCK * BLOCKS_PER_HOUR
HEADER_BYTES_PER_RECORDING = 210  # in a checkpoint's header: a recording's name twice, its digest and its work
HEADER_BYTES = 100_000_000  # the most that safetensors allows

SURVEY_SPEED = 1000  # times real time, on one core: the first opening
OPEN_SECONDS_PER_FILE = 6e-5  # later openings
TRANSCRIPTION_SPEED = 27  # times real time, on one core, once
PROFILE_SECONDS_PER_RECORDING = 0.14  # on one core, whenever training begins
REFINING_SPEED = 24  # times real time, on one core, whenever training begins: transcribed notes


@dataclass(frozen=True)
class Machine:
    """A machine that trains.

    Attributes:
        name: its name in tables.
        blocks_per_second: the blocks that its processors can train on.
        most_blocks_per_second: the blocks that its processes can read.
    """

    name: str
    blocks_per_second: float
    most_blocks_per_second: float = float("inf")

    @property
    def rate(self) -> float:
        """The blocks that it reads and trains on in a second."""
        return min(self.blocks_per_second, self.most_blocks_per_second)


@dataclass(frozen=True)
class Costs:
    """The cost of a corpus; seconds are of one core.

    Attributes:
        n_recordings: the number of recordings of MINUTES_PER_RECORDING.
        n_blocks: the blocks in all of them.
        wav_bytes: the size of the files, in 16 bits, with one channel.
        index_bytes: the findings about all recordings, in the memory of each process.
        notes_bytes: all notes, in the memory of each process.
        header_bytes: the names of the recordings in a checkpoint.
        survey_seconds: the first opening.
        open_seconds: a later opening.
        transcription_seconds: the first transcription of recordings without MIDI files.
        profile_seconds: finding the gain, colour and noise of every recording.
        refining_seconds: fitting transcribed notes to the sound.
    """

    n_recordings: float
    n_blocks: float
    wav_bytes: float
    index_bytes: float
    notes_bytes: float
    header_bytes: float
    survey_seconds: float
    open_seconds: float
    transcription_seconds: float
    profile_seconds: float
    refining_seconds: float


def costs_of(hours: float) -> Costs:
    """Compute what a corpus of this length costs."""
    n_recordings = hours * 60 / MINUTES_PER_RECORDING
    n_blocks = hours * BLOCKS_PER_HOUR
    return Costs(
        n_recordings=n_recordings,
        n_blocks=n_blocks,
        wav_bytes=hours * WAV_BYTES_PER_HOUR,
        index_bytes=n_recordings * BYTES_PER_RECORDING,
        notes_bytes=hours * NOTES_PER_HOUR * BYTES_PER_NOTE,
        header_bytes=n_recordings * HEADER_BYTES_PER_RECORDING,
        survey_seconds=hours * 3600 / SURVEY_SPEED,
        open_seconds=n_recordings * OPEN_SECONDS_PER_FILE,
        transcription_seconds=hours * 3600 / TRANSCRIPTION_SPEED,
        profile_seconds=n_recordings * PROFILE_SECONDS_PER_RECORDING,
        refining_seconds=hours * 3600 / REFINING_SPEED,
    )


def training_seconds(hours: float, n_passes: float, machine: Machine) -> float:
    """Compute how long a machine trains."""
    return hours * BLOCKS_PER_HOUR * n_passes / machine.rate


@dataclass(frozen=True)
class Products:
    """Multiplications by weights in a forward pass, counted from a model's shapes.

    Attributes:
        given: multiplications of inputs, which need no gradient.
        hidden: multiplications of what earlier layers return.
    """

    given: int
    hidden: int

    @property
    def forward_flops(self) -> int:
        """Operations of a forward pass: each product is a multiplication and an addition."""
        return 2 * (self.given + self.hidden)

    @property
    def step_flops(self) -> int:
        """Operations of a training step: each gradient, by weights and by input, costs as much as the product."""
        return 4 * self.given + 6 * self.hidden


def products_of(settings: Settings, notes_per_block: float = NOTES_PER_BLOCK) -> Products:
    """Count the products of one training step, over all its rows.

    Args:
        settings: the settings of the run.
        notes_per_block: the mean number of notes in a block.

    Raises:
        TypeError: the settings have a head that is not counted.
    """
    model, codec, head = settings.model, settings.codec, settings.head
    n_blocks = settings.training.batch_size * settings.training.sequence_blocks  # with sound
    if isinstance(model, LSTMSettings) and isinstance(codec, SpectrumSettings):
        dims = 2 * ((BLOCK_SIZE + codec.overlap) // 2 + 1)
        ends, lstm = dims * model.width, model.layers * 8 * model.width**2
        return Products(n_blocks * ends, n_blocks * (lstm + ends))
    if not (
        isinstance(model, NotesFirstSettings) and isinstance(codec, PianoSettings) and isinstance(head, FlowSettings)
    ):
        raise TypeError("the head must be a point or a flow")
    n_rows = settings.training.batch_size + model.note_sequences
    n_all = n_rows * settings.training.sequence_blocks
    n_events = round(n_all * (notes_per_block + 1))  # each block has an end
    n_sampled = settings.training.batch_size * min(model.residual_blocks, settings.training.sequence_blocks)
    parts = (
        (n_events, _note_decoder(model)),
        (n_all, _context(model)),
        (n_blocks, Products(N_PATCHES * codec.dims * model.width, 0)),  # latents, as the LSTM reads them
        (n_sampled, _residual_decoder(model, codec)),
        (n_sampled * N_PATCHES, _flow(model, codec, head)),
    )
    return Products(sum(n * of_one.given for n, of_one in parts), sum(n * of_one.hidden for n, of_one in parts))


def _note_decoder(model: NotesFirstSettings) -> Products:
    """Count an event: the recurrent network over events, and the layers before each softmax."""
    width, inner, n_attributes = model.note_width, notes.WIDTH, len(notes.SIZES)
    recurrent = 3 * width * (inner + width)
    return Products(0, recurrent + width * n_attributes * inner + n_attributes * inner**2 + inner * sum(notes.SIZES))


def _context(model: NotesFirstSettings) -> Products:
    """Count a block: the projections of its notes, the LSTM, and the projections of its state to the note decoder."""
    width, lstm = model.width, model.layers * 8 * model.width**2
    return Products(N_KEYS * width, model.note_width * width + lstm + width * len(notes.SIZES) * notes.WIDTH)


def _residual_decoder(model: NotesFirstSettings, codec: PianoSettings) -> Products:
    """Count a block in the residual decoder: its context, its expected sound and its frames of 50 ms."""
    width = model.residual_width
    given = N_PATCHES * (2 * codec.expected_dims + codec.dims) * width
    return Products(given, 2 * model.width * width + N_PATCHES * 6 * width**2)


def _flow(model: NotesFirstSettings, codec: PianoSettings, head: FlowSettings) -> Products:
    """Count a frame of 50 ms, at each time of the flow."""
    width, depth, dims = head.flow_width, head.flow_depth, codec.dims
    conditioning = (model.residual_width + dims + codec.expected_dims) * (depth + 1) * width
    layers = 2 * depth * width**2 + width * dims + flow.TIME_WIDTH * (3 * depth + 2) * width
    given = dims * width + 2 * flow.N_WAVES * flow.TIME_WIDTH
    return Products(head.flow_times * given, conditioning + head.flow_times * layers)
