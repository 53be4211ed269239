"""A grid of settings: flags that take several values, and the settings of every combination.

--layers 1,2 --width 384,768  ->  layers-1-width-384, layers-1-width-768, layers-2-width-384, layers-2-width-768
"""

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.cli.flags import each_setting
from pipeline.config import DEFAULT_PRESET, PRESETS, Settings, preset_named

_KEPT = "several_"  # begins the names of a grid's values in the namespace, where `seed` is that of clips
_FLAGS = {"seed": "training-seed"}  # where a flag is not named as its setting


def add_grid_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `flags.add_settings_flags`, each for one value or for several, separated by commas."""
    presets = tuple(PRESETS)
    _add_flag(parser, "preset", str, presets, f"complete sets of settings (default: {DEFAULT_PRESET})")
    for group, field, shown in each_setting(parser):
        help_text = f"{field.metadata['help']} (default: {shown})"
        _add_flag(group, field.name, type(field.default), field.metadata["rule"].choices, help_text)


def given_grid(args: argparse.Namespace) -> dict[str, list[Any]]:
    """The values that the user gave, by setting and by `preset`, in the order of the flags."""
    return {name.removeprefix(_KEPT): values for name, values in vars(args).items() if name.startswith(_KEPT)}


def flag_of(name: str) -> str:
    """`--batch-size` for `batch_size`."""
    return "--" + _FLAGS.get(name, name.replace("_", "-"))


def settings_of(grid: Mapping[str, Sequence[Any]]) -> dict[str, Settings]:
    """The settings of every combination, by what differs from the others; the last setting changes fastest.

    Raises:
        SettingsError: a value is not legal, or a preset has no such setting.
    """
    combinations = {}
    for chosen in itertools.product(*grid.values()):
        values = dict(zip(grid, chosen, strict=True))
        name = "-".join(f"{name.replace('_', '-')}-{values[name]}" for name in grid if len(grid[name]) > 1)
        preset = preset_named(values.pop("preset", DEFAULT_PRESET))
        combinations[name] = preset.with_values(values)
    return combinations


def _add_flag(group: Any, name: str, kind: type, choices: tuple[str, ...] | None, help_text: str) -> None:
    group.add_argument(
        flag_of(name),
        type=_several(kind, choices),
        default=argparse.SUPPRESS,
        dest=_KEPT + name,
        help=help_text,
        metavar=("{" + ",".join(choices) + "}" if choices else kind.__name__.upper()) + ",...",
    )


def _several(kind: type, choices: tuple[str, ...] | None) -> Callable[[str], list[Any]]:
    def read(text: str) -> list[Any]:
        values = [_value(part, kind, choices) for part in text.split(",")]
        if twice := next((value for n, value in enumerate(values) if value in values[:n]), None):
            raise argparse.ArgumentTypeError(f"{twice} is given twice")
        return values

    return read


def _value(text: str, kind: type, choices: tuple[str, ...] | None) -> Any:
    """One value, or argparse's own words for what is wrong with it."""
    try:
        value = kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"invalid {kind.__name__} value: {text!r}") from error
    if choices and value not in choices:
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(choices)})")
    return value
