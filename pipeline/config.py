"""Every setting: frozen dataclasses, checked when they are made, and the presets that name complete sets.

The command line takes its flags, defaults and help from here, and a checkpoint carries its settings as JSON, so this
file imports nothing heavy. A field's metadata holds its help and the rule that legal values keep.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import SettingsError

LAST, BEST = "last.safetensors", "best.safetensors"  # files of a run: to resume it, and to render from it
CLIP_SECONDS = 10
MAX_SEQ_LEN = 40  # blocks in a clip of CLIP_SECONDS


@dataclass(frozen=True)
class Rule:
    """A test of a setting's value, and what it asks for in words."""

    is_legal: Callable[[Any], bool]
    words: str
    choices: tuple[str, ...] | None = None


def at_least(least: float) -> Rule:
    """Return the rule of numbers from `least` on."""
    return Rule(lambda value: value >= least, f"at least {least}")


def between(least: float, most: float, words: str = "") -> Rule:
    """Return the rule of numbers from `least` to `most`, both legal; `words` go behind the numbers."""
    return Rule(lambda value: least <= value <= most, f"between {least} and {most}{words}")


def one_of(*choices: str) -> Rule:
    """Return the rule of a choice."""
    return Rule(lambda value: value in choices, "one of " + ", ".join(choices), choices)


ABOVE_ZERO = Rule(lambda value: value > 0, "above 0")
FRACTION = Rule(lambda value: 0 <= value < 1, "at least 0 and below 1")
PART = Rule(lambda value: 0 < value < 1, "between 0 and 1")
PROBABILITY = Rule(lambda value: 0 < value <= 1, "above 0 and at most 1")
PATCH = between(1, 1045, ", as many as a patch has")


def setting(default: Any, help: str, rule: Rule) -> Any:
    """Return a dataclass field with its help and its rule."""
    return field(default=default, metadata={"help": help, "rule": rule})


@dataclass(frozen=True)
class Section:
    """A group of settings; each is checked when it is made.

    Raises:
        SettingsError: a value is not of its default's type, or breaks its rule. An int may stand for a float.
    """

    def __post_init__(self) -> None:
        """Check every field."""
        for f in dataclasses.fields(self):
            value, wanted, rule = getattr(self, f.name), type(f.default), f.metadata["rule"]
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise SettingsError(f"{f.name} must be of type {wanted.__name__} and not {value!r}")
            if not rule.is_legal(value):
                raise SettingsError(f"{f.name} must be {rule.words} and not {value}")


class CodecSettings(Section):
    """What every codec's settings derive from."""


class ModelSettings(Section):
    """What every model's settings derive from."""

    @property
    def note_sequences(self) -> int:
        """Sequences in a training step that hold notes without a recording."""
        return 0


class HeadSettings(Section):
    """What every head's settings derive from; itself, the settings of a model without a head."""


@dataclass(frozen=True)
class SpectrumSettings(CodecSettings):
    """The codec of whole-block FFT vectors."""

    overlap: int = setting(
        0,
        "samples by which neighbouring blocks overlap and cross-fade; 0 joins them hard, as the ancestor did",
        between(0, 11025, " samples"),
    )


@dataclass(frozen=True)
class PianoSettings(CodecSettings):
    """The codec of notes and of the residual that their expected sound leaves."""

    dims: int = setting(
        128, "dimensions of the residual of a frame of 50 ms; more keep more detail and are harder to predict", PATCH
    )
    expected_dims: int = setting(96, "dimensions of the conditioning vector of a frame's expected sound", PATCH)
    fit_steps: int = setting(1700, "optimiser steps that fit the sounds of the keys", at_least(1))


@dataclass(frozen=True)
class LSTMSettings(ModelSettings):
    """The stacked LSTM that reads latents and predicts one point."""

    layers: int = setting(2, "stacked LSTM layers", at_least(1))
    width: int = setting(1024, "units of each LSTM layer", at_least(1))
    dropout: float = setting(0.2, "dropout between layers in training", FRACTION)
    error: str = setting("absolute", "the error that training minimises", one_of("absolute", "squared"))


@dataclass(frozen=True)
class NotesFirstSettings(ModelSettings):
    """The stacked LSTM that reads notes and latents, with its note decoder and its residual decoder."""

    layers: int = setting(2, "stacked LSTM layers", at_least(1))
    width: int = setting(384, "units of each LSTM layer", at_least(1))
    note_width: int = setting(256, "units of the recurrent network over notes", at_least(1))
    dropout: float = setting(0.2, "dropout between layers in training", FRACTION)
    latents_kept: float = setting(
        0.5, "share of training sequences whose latents the LSTM reads beside the notes", between(0, 1)
    )
    residual_width: int = setting(384, "units of the recurrent network from frame to frame", at_least(1))
    residual_noise: float = setting(
        0.5, "largest noise on the previous frame in training, in standard deviations", at_least(0)
    )
    residual_blocks: int = setting(8, "blocks of a training sequence whose residual is predicted", at_least(1))
    note_rows: int = setting(
        16,
        "training sequences of notes without a recording, transposed, faster or slower, beside those of sound",
        at_least(0),
    )

    @property
    def note_sequences(self) -> int:
        """See `ModelSettings.note_sequences`."""
        return self.note_rows


@dataclass(frozen=True)
class FlowSettings(HeadSettings):
    """The density head: flow matching, one frame after the other."""

    flow_width: int = setting(384, "units of each layer of the flow", at_least(1))
    flow_depth: int = setting(3, "residual layers of the flow", at_least(1))
    flow_times: int = setting(2, "times of the flow that a training step evaluates for each frame", at_least(1))
    flow_steps: int = setting(5, "solver steps from noise to a frame when sampling", at_least(1))


@dataclass(frozen=True)
class CodesSettings(HeadSettings):
    """The softmax head: residual vector quantisation, one codebook after the other."""

    codes: int = setting(1024, "entries of each codebook", at_least(2))
    codebooks: int = setting(8, "codebooks, each of the residual that the previous ones leave", at_least(1))
    code_width: int = setting(384, "units of each layer of a codebook's network", at_least(1))


@dataclass(frozen=True)
class Sampling(Section):
    """How a model samples; `classic` never samples and returns its point prediction."""

    temperature: float = setting(
        1.0, "temperature of notes: above 1 more daring, below 1 more careful; near 0 the likeliest", between(0, 2)
    )
    top_k: int = setting(0, "sample notes among the k likeliest only; 0 means all", at_least(0))
    top_p: float = setting(1.0, "sample notes among the fewest whose probabilities add up to this", PROBABILITY)
    sound_temperature: float = setting(
        1.0, "temperature of the sound besides the notes: below 1 cleaner, above 1 noisier", between(0, 2)
    )


@dataclass(frozen=True)
class TrainingSettings(Section):
    """How training finds the weights."""

    steps: int = setting(400, "optimiser steps at most; early stopping may end sooner", at_least(1))
    batch_size: int = setting(16, "sequences in a step", at_least(1))
    sequence_blocks: int = setting(MAX_SEQ_LEN, "blocks predicted in a sequence", at_least(1))
    optimiser: str = setting("adamw", "the optimiser", one_of("adamw", "rmsprop"))
    learning_rate: float = setting(
        3e-4, "peak learning rate; it rises linearly, then falls as a cosine to a tenth", ABOVE_ZERO
    )
    warmup_steps: int = setting(20, "steps of the linear rise", at_least(0))
    weight_decay: float = setting(0.01, "weight decay (adamw)", at_least(0))
    ema_decay: float = setting(0.0, "decay of the moving average of weights, such as 0.998; 0 averages none", FRACTION)
    clip_norm: float = setting(1.0, "largest norm of the gradient", ABOVE_ZERO)
    validate_every: int = setting(25, "steps between validations", at_least(1))
    validation_sequences: int = setting(256, "held-out sequences that a validation reads, spread evenly", at_least(1))
    patience: int = setting(4, "validations without a better loss before training stops", at_least(1))
    held_out_share: float = setting(0.1, "share of the recordings held out for validation and prompts", PART)
    precision: str = setting("float32", "arithmetic of the network", one_of("float32", "bfloat16"))
    seed: int = setting(0, "seed of every random number in training", at_least(0))


@dataclass(frozen=True)
class Settings:
    """A complete set: the codec, the model, its head, and their training."""

    preset: str
    codec: CodecSettings
    model: ModelSettings
    head: HeadSettings
    training: TrainingSettings

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries. The inverse is `from_json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Settings":
        """Read settings strictly.

        Raises:
            SettingsError: the preset is unknown, or a name is missing or unknown, or a value is not legal.
        """
        preset = preset_named(str(data.get("preset")))
        sections = {"preset": preset.preset}
        _check_names("settings", {f.name for f in dataclasses.fields(cls)}, set(data))
        for section in SECTIONS:
            default = getattr(preset, section)
            if not isinstance(data[section], Mapping):
                raise SettingsError(f"{section} must be a section of names and values and not {data[section]!r}")
            _check_names(section, {f.name for f in dataclasses.fields(default)}, set(data[section]))
            sections[section] = type(default)(**data[section])
        return cls(**sections)  # type: ignore[arg-type]

    def with_values(self, values: Mapping[str, Any]) -> "Settings":
        """Return these settings with some fields changed, named as on the command line (`layers`, `overlap`, ...).

        Raises:
            SettingsError: the preset has no such setting, or the value is not legal.
        """
        changed = self
        for name, value in values.items():
            section = next((s for s in SECTIONS if name in getattr(self, s).__dataclass_fields__), None)
            if section is None:
                raise SettingsError(f"preset {self.preset} has no setting {name}")
            changed = replace(changed, **{section: replace(getattr(changed, section), **{name: value})})
        return changed


SECTIONS = ("codec", "model", "head", "training")

_MUSIC = TrainingSettings(
    steps=2500,
    batch_size=6,
    sequence_blocks=32,
    learning_rate=1.5e-3,
    warmup_steps=50,
    weight_decay=0.01,
    ema_decay=0.998,
    validate_every=100,
    validation_sequences=24,
    patience=5,
)

# A new codec, model or head joins by a preset here and a line in the registry of its room.
PRESETS = {
    "flow": Settings("flow", PianoSettings(), NotesFirstSettings(), FlowSettings(), _MUSIC),
    "codes": Settings("codes", PianoSettings(), NotesFirstSettings(), CodesSettings(), _MUSIC),
    "classic": Settings("classic", SpectrumSettings(), LSTMSettings(), HeadSettings(), TrainingSettings()),
}
DEFAULT_PRESET = "flow"


def preset_named(name: str) -> Settings:
    """Return the preset of that name.

    Raises:
        SettingsError: there is none.
    """
    if name not in PRESETS:
        raise SettingsError(f"preset must be one of {', '.join(PRESETS)} and not {name}")
    return PRESETS[name]


def _check_names(where: str, legal: set[str], came: set[str]) -> None:
    if missing := sorted(legal - came):
        raise SettingsError(f"{where} lack {', '.join(missing)}")
    if unknown := sorted(came - legal):
        raise SettingsError(f"{where} hold unknown {', '.join(unknown)}")
