"""Feast's generated messages, imported without Feast: `import feast` costs 7 s of CPU, its messages 0.1 s."""

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

from drkeeper.errors import ToolMissing

MESSAGES = "feast.protos.feast.core"
_importing = Lock()


@cache
def message_type(module: str, name: str) -> Any:
    """A class of Feast's messages, such as `Registry_pb2`, `Registry`.

    Raises:
        ToolMissing: Feast is not installed.
    """
    with _importing:
        if "feast" in sys.modules:
            return getattr(import_module(f"{MESSAGES}.{module}"), name)
        return getattr(_imported_alone(f"{MESSAGES}.{module}"), name)


def _imported_alone(module: str) -> ModuleType:
    """The module, below a package `feast` whose own code does not run.

    Nothing of it stays in `sys.modules`, so that a later `import feast` is a real one. It finds the same messages:
    protobuf keeps each description, and the class made from it, once for a process.
    """
    spec = find_spec("feast")
    if spec is None or spec.submodule_search_locations is None:
        raise ToolMissing("Feast is not installed", hint="install it with `pip install 'drkeeper[feast]'`")
    stub = ModuleType("feast")
    stub.__path__ = list(spec.submodule_search_locations)
    sys.modules["feast"] = stub
    try:
        return import_module(module)
    except ImportError as error:
        raise ToolMissing(f"the messages of the installed Feast cannot be imported: {error}") from error
    finally:
        for name in [name for name in sys.modules if name == "feast" or name.startswith("feast.")]:
            del sys.modules[name]
