"""Just enough of the language of Containerfiles to check one: there is no container runtime where tests run."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    @property
    def words(self):
        """Of COPY, without its options; of an exec form, the list."""
        if self.text.startswith("["):
            return json.loads(self.text)
        return [word for word in shlex.split(self.text) if not word.startswith("--")]

    @property
    def options(self):
        return dict(word[2:].split("=", 1) for word in shlex.split(self.text) if word.startswith("--") and "=" in word)


@dataclass
class Stage:
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name):
        return [each for each in self.instructions if each.name == name]


def read_stages(file: Path):
    """The stages of a Containerfile, with global ARGs put in their FROM lines."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    arguments, stages = {}, []
    for line in filter(None, (each.strip() for each in text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            base, _, label = rest.partition(" AS ")
            stages.append(Stage(re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base), label))
        elif name == "ARG" and not stages:
            key, _, value = rest.partition("=")
            arguments[key] = value
        else:
            stages[-1].instructions.append(Instruction(name, rest.strip()))
    return stages
