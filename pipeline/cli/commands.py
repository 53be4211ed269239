"""The commands, one file each: HELP, DESCRIPTION, `add_arguments(parser)`, `run(args) -> exit status`.

What is heavy to import is imported inside `run`, so that `quarterwave --help` answers at once.
"""

from types import ModuleType

from pipeline.cli import compare, corpus, evaluate, generate, inspect, listen, notes, train

COMMANDS: dict[str, ModuleType] = {
    "corpus": corpus,
    "inspect": inspect,
    "notes": notes,
    "train": train,
    "generate": generate,
    "evaluate": evaluate,
    "compare": compare,
    "listen": listen,
}
