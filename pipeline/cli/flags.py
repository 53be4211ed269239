"""Settings as command-line flags, made from the dataclasses of `pipeline.config`."""

import argparse
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.config import DEFAULT_PRESET, PRESETS, SECTIONS, Sampling, Settings, preset_named
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.models import Model


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--preset` and a flag for each setting of any preset, grouped by section."""
    parser.add_argument(
        "--preset", choices=list(PRESETS), help=f"a complete set of settings (default: {DEFAULT_PRESET})"
    )
    for group, field, shown in each_setting(parser):
        _add_flag(group, field, argparse.SUPPRESS, shown)


def each_setting(parser: argparse.ArgumentParser) -> Iterator[tuple[Any, Any, str]]:
    """Each setting of any preset, once: a group of the parser for its section, its field, and the default to show."""
    for section in SECTIONS:
        group = parser.add_argument_group(f"{section} settings (shown: defaults of {DEFAULT_PRESET})")
        fields = {
            field.name: field for preset in PRESETS.values() for field in dataclasses.fields(getattr(preset, section))
        }
        for name, field in fields.items():
            yield group, field, _shown_default(section, name)


def add_held_out_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--held-out`."""
    parser.add_argument(
        "--held-out",
        action="append",
        metavar="NAME",
        help="hold out recordings of this name or pattern, and all of the same works; may be given again",
    )


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each field of `Sampling`."""
    group = parser.add_argument_group("sampling")
    for field in dataclasses.fields(Sampling):
        _add_flag(group, field, field.default, field.default)


def sampling_of(args: argparse.Namespace) -> Sampling:
    """How the user wants to draw.

    Raises:
        SettingsError: a value is not legal.
    """
    return Sampling(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Sampling)})


def check_sampled_by(model: "Model", sampling: Sampling, preset: str) -> None:
    """Refuse what would change nothing.

    Raises:
        SettingsError: a setting is not the default, and the preset does not draw by it.
    """
    changed = [f.name for f in dataclasses.fields(Sampling) if getattr(sampling, f.name) != f.default]
    if idle := [name for name in changed if name not in model.sampled_by]:
        known = " and ".join(model.sampled_by) or "no setting: it gives its one guess"
        raise SettingsError(f"preset {preset} samples by {known}; leave out {', '.join(idle)}")


def _add_flag(group: Any, field: Any, default: Any, shown: Any) -> None:
    group.add_argument(
        f"--{field.name.replace('_', '-')}",
        type=type(field.default),
        choices=field.metadata["choices"],
        default=default,
        help=f"{field.metadata['help']} (default: {shown})",
        metavar=None if field.metadata["choices"] else type(field.default).__name__.upper(),
    )


def _shown_default(section: str, name: str) -> str:
    """Of the default preset, or of the first that has such a setting, which is named."""
    of_presets = {preset: getattr(settings, section) for preset, settings in PRESETS.items()}
    if hasattr(of_presets[DEFAULT_PRESET], name):
        return str(getattr(of_presets[DEFAULT_PRESET], name))
    preset = next(preset for preset, settings in of_presets.items() if hasattr(settings, name))
    return f"{getattr(of_presets[preset], name)}, in {preset}"


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that the user gave, by name."""
    names = {f.name for p in PRESETS.values() for s in SECTIONS for f in dataclasses.fields(getattr(p, s))}
    return {name: value for name, value in vars(args).items() if name in names}


def settings_of(args: argparse.Namespace) -> Settings:
    """The chosen preset with what the user changed in it.

    Raises:
        SettingsError: a value is not legal, or the preset has no such setting.
    """
    return preset_named(args.preset or DEFAULT_PRESET).with_values(given_settings(args))
