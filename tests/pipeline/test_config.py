import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codecs import make_codec
from pipeline.codecs.piano import PATCH_SIZE
from pipeline.config import MAX_SEQ_LEN, PRESETS, Settings, preset_named
from pipeline.errors import SettingsError

CLASSIC = PRESETS["classic"]
CODEC = make_codec(CLASSIC.codec)


def test_a_ten_second_clip_is_forty_blocks() -> None:
    assert MAX_SEQ_LEN == 40
    assert CODEC.n_blocks_in(10) == 40


@given(n_blocks=st.integers(1, 100_000))
def test_blocks_and_seconds(n_blocks: int) -> None:
    assert CODEC.n_blocks_in(n_blocks * 0.25) == n_blocks


@pytest.mark.parametrize("seconds", [0, -1, 0.1, 0.3, 10.1])
def test_a_length_that_is_no_whole_block_is_refused(seconds: float) -> None:
    with pytest.raises(SettingsError) as caught:
        CODEC.n_blocks_in(seconds)
    assert str(caught.value) == f"a length must be a multiple of 0.25 s (one block), not {seconds} s"


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "overlap": st.integers(0, 11025),
            "layers": st.integers(1, 9),
            "dropout": st.floats(0, 0.99),
            "error": st.sampled_from(["absolute", "squared"]),
            "learning_rate": st.floats(1e-9, 1),
            "seed": st.integers(0, 2**40),
        },
    )
)
def test_settings_survive_json(values: dict[str, object]) -> None:
    settings = CLASSIC.with_values(values)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_json(preset: str) -> None:
    settings = PRESETS[preset]
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert settings.model.note_sequences == (0 if preset == "classic" else 16)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "dims",
            PATCH_SIZE + 1,
            f"dims must be between 1 and {PATCH_SIZE}, as many as a patch has and not {PATCH_SIZE + 1}",
        ),
        ("fit_steps", 0, "fit_steps must be at least 1 and not 0"),
        ("latents_kept", 1.5, "latents_kept must be between 0 and 1 and not 1.5"),
        ("note_rows", -1, "note_rows must be at least 0 and not -1"),
        ("residual_noise", -0.1, "residual_noise must be at least 0 and not -0.1"),
        ("flow_steps", 0, "flow_steps must be at least 1 and not 0"),
        ("codes", 9, "preset flow has no setting codes"),
    ],
)
def test_what_is_not_legal_of_notes_first_is_said(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PRESETS["flow"].with_values({name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("overlap", -1, "overlap must be between 0 and 11025 samples and not -1"),
        ("layers", 0, "layers must be at least 1 and not 0"),
        ("dropout", 1.0, "dropout must be at least 0 and below 1 and not 1.0"),
        ("error", "cubed", "error must be one of absolute, squared and not cubed"),
        ("held_out_share", 1.0, "held_out_share must be between 0 and 1 and not 1.0"),
        ("learning_rate", 0.0, "learning_rate must be above 0 and not 0.0"),
        ("steps", 0, "steps must be at least 1 and not 0"),
        ("layers", 2.5, "layers must be of type int and not 2.5"),
        ("precision", 16, "precision must be of type str and not 16"),
        ("colour", 1, "preset classic has no setting colour"),
    ],
)
def test_what_is_not_legal_is_said(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        CLASSIC.with_values({name: value})
    assert str(caught.value) == message


def test_names_are_read_strictly() -> None:
    data = CLASSIC.to_json()
    data["model"]["heads"] = 3
    with pytest.raises(SettingsError, match=r"^model hold unknown heads$"):
        Settings.from_json(data)
    del data["model"]["heads"], data["training"]["steps"]
    with pytest.raises(SettingsError, match=r"^training lack steps$"):
        Settings.from_json(data)
    with pytest.raises(SettingsError, match=r"^model must be a section of names and values and not 3$"):
        Settings.from_json(CLASSIC.to_json() | {"model": 3})
    with pytest.raises(SettingsError, match=r"^preset must be one of flow, codes, classic and not baroque$"):
        preset_named("baroque")
