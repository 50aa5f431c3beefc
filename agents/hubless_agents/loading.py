"""Finds the agents in a user's module, given as a path to a file or as a dotted name."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from .contract import ContractError
from .decorators import marked_functions

# Not the file's own name: a file called like an installed package (agents.py beside openai-agents) must
# neither hide that package nor be taken for it.
_MODULE_NAME = "__hubless_agents__"


def load(target: str) -> list[Callable[..., Any]]:
    """Import the target and return its agent functions. Whatever the import raises is passed on."""
    module = _from_file(Path(target)) if target.endswith(".py") else _from_name(target)
    functions = marked_functions(vars(module).values())
    if not functions:
        raise ContractError(
            f"{target} has no agents: decorate a function with @agent (from hubless import agent)"
        )
    return functions


def _from_file(path: Path) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    # Like a script's folder the file's own comes first, so that its neighbours can be imported; last if the
    # file is named like something installed, which its imports then mean.
    stem_is_taken = importlib.util.find_spec(path.stem) is not None if path.stem.isidentifier() else False
    if stem_is_taken:
        sys.path.append(str(path.parent))
    else:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(_MODULE_NAME, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE_NAME] = module
    spec.loader.exec_module(module)
    return module


def _from_name(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(name)
