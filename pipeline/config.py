"""Every setting there is: frozen dataclasses, checked when they are made, and the presets that name complete sets.

The command line's flags, defaults and help come from here, and a checkpoint carries its settings as JSON, so this
file imports nothing heavy. A field's metadata holds its `help`; its check stands in `__post_init__`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import SettingsError
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE

LAST, BEST = "last.safetensors", "best.safetensors"  # of a run: to go on from, and to render from
CLIP_SECONDS = 10
MAX_SEQ_LEN = SAMPLE_RATE * CLIP_SECONDS // BLOCK_SIZE  # 40 blocks in a 10-second clip


def setting(default: Any, help: str, *, choices: tuple[str, ...] | None = None) -> Any:
    """A dataclass field with the words and choices that the command line shows."""
    return field(default=default, metadata={"help": help, "choices": choices})


def _check_types(settings: Any) -> None:
    """Each field has the type of its default; a whole number may stand for a real one."""
    for f in dataclasses.fields(settings):
        value, wanted = getattr(settings, f.name), type(f.default)
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise SettingsError(f"{f.name} must be of type {wanted.__name__} and not {value!r}")


def _check(settings: Any, name: str, legal: bool, rule: str) -> None:
    if not legal:
        raise SettingsError(f"{name} must be {rule} and not {getattr(settings, name)}")


def _check_choice(settings: Any, name: str) -> None:
    fields = {f.name: f for f in dataclasses.fields(settings)}
    choices = fields[name].metadata["choices"]
    _check(settings, name, getattr(settings, name) in choices, "one of " + ", ".join(choices))


@dataclass(frozen=True)
class SpectrumSettings:
    """The codec by whole-block FFT vectors."""

    lap: int = setting(0, "samples by which neighbouring blocks cross-fade; 0 joins them hard, as the ancestor did")

    def __post_init__(self) -> None:
        _check_types(self)
        _check(self, "lap", 0 <= self.lap <= BLOCK_SIZE, f"between 0 and {BLOCK_SIZE} samples")


@dataclass(frozen=True)
class PianoSettings:
    """The codec by notes and what their expected sound leaves over."""

    dims: int = setting(
        128, "numbers kept of a slice's residual, 50 ms; more keep more detail and are harder to predict"
    )
    expected_dims: int = setting(96, "numbers by which a slice's expected sound is read")
    fit_steps: int = setting(1700, "optimiser steps in which the sounds of keys are learned")

    def __post_init__(self) -> None:
        _check_types(self)
        _check(self, "dims", 1 <= self.dims <= 1045, "between 1 and 1045, as many as a slice has")
        _check(self, "expected_dims", 1 <= self.expected_dims <= 1045, "between 1 and 1045, as many as a slice has")
        _check(self, "fit_steps", self.fit_steps >= 1, "at least 1")


@dataclass(frozen=True)
class LSTMSettings:
    """The stacked LSTM that reads latents alone and gives one best guess."""

    layers: int = setting(2, "LSTM layers on top of each other")
    width: int = setting(1024, "units in each LSTM layer")
    dropout: float = setting(0.2, "share of units silenced between layers while training")
    error: str = setting(
        "absolute", "what the point prediction is trained to make small", choices=("absolute", "squared")
    )

    def __post_init__(self) -> None:
        _check_types(self)
        _check(self, "layers", self.layers >= 1, "at least 1")
        _check(self, "width", self.width >= 1, "at least 1")
        _check(self, "dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        _check_choice(self, "error")


@dataclass(frozen=True)
class NotesFirstSettings:
    """The stacked LSTM that reads notes and latents, and its decoders."""

    layers: int = setting(2, "LSTM layers on top of each other")
    width: int = setting(384, "units in each LSTM layer")
    note_width: int = setting(256, "units of the recurrent network over notes")
    dropout: float = setting(0.2, "share of units silenced between layers while training")
    latents_kept: float = setting(0.5, "share of training sequences whose latents the LSTM reads beside the notes")
    residual_width: int = setting(384, "units of the recurrent network from slice to slice")
    residual_noise: float = setting(0.5, "noise on the slice before while training, in deviations at most")
    residual_blocks: int = setting(8, "blocks of a training sequence whose residual is predicted")
    note_rows: int = setting(
        16, "sequences of notes alone in a step, transposed, faster or slower, beside those of sound"
    )

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("layers", "width", "note_width", "residual_width", "residual_blocks"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        _check(self, "dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        _check(self, "latents_kept", 0 <= self.latents_kept <= 1, "between 0 and 1")
        for name in ("residual_noise", "note_rows"):
            _check(self, name, getattr(self, name) >= 0, "at least 0")


@dataclass(frozen=True)
class NoSettings:
    """Of a model that has no head."""


@dataclass(frozen=True)
class FlowSettings:
    """The density head: flow matching, slice after slice."""

    flow_width: int = setting(384, "units in each layer of the flow")
    flow_depth: int = setting(3, "residual layers of the flow")
    moments: int = setting(2, "moments of the flow looked at for each slice in a step")
    flow_steps: int = setting(5, "steps from noise to a slice when sampling")

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("flow_width", "flow_depth", "moments", "flow_steps"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")


@dataclass(frozen=True)
class CodesSettings:
    """The softmax head: a codebook for each stage, slice after slice."""

    codes: int = setting(1024, "entries in each codebook")
    codebooks: int = setting(8, "codebooks, each of what those before it have left over")
    code_width: int = setting(384, "units in each layer of a codebook's network")

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("codebooks", "code_width"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        _check(self, "codes", self.codes >= 2, "at least 2")


@dataclass(frozen=True)
class Sampling:
    """How distributions are sampled from; `classic` has none and always gives its one guess."""

    temperature: float = setting(1.0, "of notes: above 1 more daring, below 1 more careful; near 0 the likeliest")
    top_k: int = setting(0, "sample notes from the likeliest so many alone; 0 is all")
    top_p: float = setting(1.0, "sample notes from the fewest that have this probability together")
    sound_temperature: float = setting(1.0, "of what sounds besides the notes: below 1 cleaner, above 1 noisier")

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("temperature", "sound_temperature"):
            _check(self, name, 0 <= getattr(self, name) <= 2, "between 0 and 2")
        _check(self, "top_k", self.top_k >= 0, "at least 0")
        _check(self, "top_p", 0 < self.top_p <= 1, "above 0 and at most 1")


@dataclass(frozen=True)
class TrainingSettings:
    """How the weights are found."""

    steps: int = setting(400, "optimiser steps at most; early stopping may end sooner")
    batch_size: int = setting(16, "sequences in a step")
    sequence_blocks: int = setting(MAX_SEQ_LEN, "blocks predicted in a sequence")
    optimiser: str = setting("adamw", "the optimiser", choices=("adamw", "rmsprop"))
    learning_rate: float = setting(3e-4, "peak learning rate; rises linearly, then falls as a cosine to a tenth")
    warmup_steps: int = setting(20, "steps of the linear rise")
    weight_decay: float = setting(0.01, "decay of the weights towards zero (adamw)")
    averaging: float = setting(0.0, "share of the averaged weights kept in a step, 0.998 say; 0 averages none")
    clip_norm: float = setting(1.0, "the gradient's norm is cut to this")
    validate_every: int = setting(25, "steps between validations")
    validation_sequences: int = setting(256, "held-out sequences looked at in a validation, spread evenly")
    patience: int = setting(4, "validations without a better loss before training stops")
    held_out_share: float = setting(0.1, "share of the recordings held out for validation and prompts")
    precision: str = setting("float32", "arithmetic of the network", choices=("float32", "bfloat16"))
    seed: int = setting(0, "of every random number in training")

    def __post_init__(self) -> None:
        _check_types(self)
        for name in (
            "steps",
            "batch_size",
            "sequence_blocks",
            "validate_every",
            "validation_sequences",
            "patience",
        ):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "weight_decay", "seed"):
            _check(self, name, getattr(self, name) >= 0, "at least 0")
        for name in ("learning_rate", "clip_norm"):
            _check(self, name, getattr(self, name) > 0, "above 0")
        _check(self, "averaging", 0 <= self.averaging < 1, "at least 0 and below 1")
        _check(self, "held_out_share", 0 < self.held_out_share < 1, "between 0 and 1")
        _check_choice(self, "optimiser")
        _check_choice(self, "precision")


@dataclass(frozen=True)
class Settings:
    """A complete set: what blocks are encoded as, what learns, and how."""

    preset: str
    codec: SpectrumSettings | PianoSettings
    model: LSTMSettings | NotesFirstSettings
    head: FlowSettings | CodesSettings | NoSettings
    training: TrainingSettings

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries. The inverse is `from_json`."""
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
        """These settings with some fields changed, named as on the command line (`layers`, `lap`, ...).

        Raises:
            SettingsError: the preset has no such setting, or the value is not legal.
        """
        changed = self
        for name, value in values.items():
            section = next((s for s in SECTIONS if hasattr(getattr(self, s), name)), None)
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
    averaging=0.998,
    validate_every=100,
    validation_sequences=24,
    patience=5,
)

PRESETS = {
    "flow": Settings("flow", PianoSettings(), NotesFirstSettings(), FlowSettings(), _MUSIC),
    "codes": Settings("codes", PianoSettings(), NotesFirstSettings(), CodesSettings(), _MUSIC),
    "classic": Settings("classic", SpectrumSettings(), LSTMSettings(), NoSettings(), TrainingSettings()),
}
DEFAULT_PRESET = "flow"


def preset_named(name: str) -> Settings:
    """The preset of that name.

    Raises:
        SettingsError: there is none.
    """
    if name not in PRESETS:
        raise SettingsError(f"preset must be one of {', '.join(PRESETS)} and not {name}")
    return PRESETS[name]


def note_rows(settings: Settings) -> int:
    """Rows of notes alone in a training step; `classic` has none."""
    return settings.model.note_rows if isinstance(settings.model, NotesFirstSettings) else 0


def n_blocks_in(seconds: float) -> int:
    """Blocks in a clip of that length.

    Raises:
        SettingsError: the length is not a whole number of blocks, at least one.
    """
    n_blocks = round(seconds * SAMPLE_RATE / BLOCK_SIZE)
    block_seconds = BLOCK_SIZE / SAMPLE_RATE
    if n_blocks < 1 or abs(n_blocks * block_seconds - seconds) > 1e-6:
        raise SettingsError(f"a length must be a multiple of {block_seconds} s (one block), not {seconds} s")
    return n_blocks


def _check_names(where: str, legal: set[str], came: set[str]) -> None:
    if missing := sorted(legal - came):
        raise SettingsError(f"{where} lack {', '.join(missing)}")
    if unknown := sorted(came - legal):
        raise SettingsError(f"{where} hold unknown {', '.join(unknown)}")
