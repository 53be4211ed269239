"""Settings as command-line flags, made from the dataclasses of `pipeline.config`."""

import argparse
import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.config import DEFAULT_PRESET, PRESETS, SECTIONS, Sampling


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--preset` and a flag for each setting of any preset, grouped by section."""
    parser.add_argument(
        "--preset", choices=list(PRESETS), help=f"a complete set of settings (default: {DEFAULT_PRESET})"
    )
    for group, field, shown in each_setting(parser):
        _add_flag(group, field, argparse.SUPPRESS, shown)


def each_setting(parser: argparse.ArgumentParser) -> Iterator[tuple[Any, Any, str]]:
    """Yield each setting of any preset once: a group of the parser for its section, its field, the default to show."""
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
    """Return the sampling settings of the flags.

    Raises:
        SettingsError: a value is not legal.
    """
    return Sampling(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Sampling)})


def _add_flag(group: Any, field: Any, default: Any, shown: Any) -> None:
    group.add_argument(
        f"--{field.name.replace('_', '-')}",
        type=type(field.default),
        choices=field.metadata["rule"].choices,
        default=default,
        help=f"{field.metadata['help']} (default: {shown})",
        metavar=None if field.metadata["rule"].choices else type(field.default).__name__.upper(),
    )


def _shown_default(section: str, name: str) -> str:
    """Return the default of the default preset, or of the first that has such a setting, with that preset's name."""
    of_presets = {preset: getattr(settings, section) for preset, settings in PRESETS.items()}
    if hasattr(of_presets[DEFAULT_PRESET], name):
        return str(getattr(of_presets[DEFAULT_PRESET], name))
    preset = next(preset for preset, settings in of_presets.items() if hasattr(settings, name))
    return f"{getattr(of_presets[preset], name)}, in {preset}"


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the user gave, by name."""
    names = {f.name for p in PRESETS.values() for s in SECTIONS for f in dataclasses.fields(getattr(p, s))}
    return {name: value for name, value in vars(args).items() if name in names}
