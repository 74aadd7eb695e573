"""Tell others: run a command, post to a URL, or run a program in a Pod; bounded in time, and no secret told.

A command gets the message on its standard input, no shell, and an environment of its own: what was given to drkeeper
by `${env:NAME}` is not in it, unless the hook names that variable. Of a URL nothing is shown but its host: the rest
of a webhook's address is often its only password. A program in a Pod gets no message: it is told by its arguments.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from drkeeper._policy.quantities import Duration
from drkeeper.errors import CaptureFailed, DrkeeperError, Interrupted, ToolMissing

if TYPE_CHECKING:
    from drkeeper.systems import Executing

PASSED_ON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
)
"""What a command's environment holds of ours in any case."""
POLL_SECONDS = 0.2
OK = range(200, 300)
NOWHERE: "Mapping[str, Executing]" = MappingProxyType({})
"""No system in which programs can be run."""


class HookFailed(DrkeeperError):
    """Somebody could not be told; the message says which hook, and how it failed."""


class InPod(BaseModel):
    """A program in a container, as `kubectl exec` runs it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str = Field(description="System of kind kubernetes in whose cluster it is")
    namespace: str = Field(description="Of the Pod")
    pod: str = Field("", description="Its name; or a selector")
    selector: str = Field("", description="Labels of the Pod (app=trainer); the first one that runs is taken")
    container: str = Field("", description="Of the Pod; may be left out where it has one")
    command: tuple[str, ...] = Field(min_length=1, description="Program and arguments, no shell, no standard input")

    @model_validator(mode="after")
    def _one_pod(self) -> Self:
        if bool(self.pod) == bool(self.selector):
            raise ValueError("give one of pod and selector")
        return self


class Hook(BaseModel):
    """One who is told: by a command, at a URL, or by a program in a Pod."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    command: tuple[str, ...] | None = Field(
        None, min_length=1, description="Program and arguments, no shell; the message comes on its standard input"
    )
    url: str | None = Field(None, description="https://…; the message is posted there as JSON")
    exec: InPod | None = Field(None, description="A program in a Pod; it gets no message")
    timeout: Duration = Field(default=timedelta(seconds=30), description="It has failed when it takes longer (30s)")
    environment: tuple[str, ...] = Field(
        (), description="Variables that the command gets of drkeeper's own, beside PATH, HOME and the like"
    )
    token: SecretStr | None = Field(None, description="Sent to the URL as `Authorization: Bearer …`")
    allow_http: bool = Field(default=False, description="Permit a URL without TLS")
    ca_certificate: Path | None = Field(None, description="PEM file of the URL's private certificate authority")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.command, self.url, self.exec)) != 1:
            raise ValueError("give one of command, url and exec")
        if self.url is None and (self.token or self.ca_certificate or self.allow_http):
            raise ValueError("token, ca_certificate and allow_http go with a url")
        if self.command is None and self.environment:
            raise ValueError("environment goes with a command")
        if self.url is None:
            return self
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected an address such as https://hooks.example/drkeeper")
        if parts.scheme == "http" and not self.allow_http:
            raise ValueError("the url has no TLS; say allow_http: true where that is meant")
        return self

    @property
    def label(self) -> str:
        """For people: the program's name and where it runs, or scheme and host."""
        if self.command is not None:
            return Path(self.command[0]).name
        if self.exec is not None:
            return f"{Path(self.exec.command[0]).name} in {self.exec.namespace}/{self.exec.pod or self.exec.selector}"
        parts = urlsplit(self.url or "")
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


def call(hook: Hook, message: Mapping[str, object], systems: "Mapping[str, Executing]" = NOWHERE) -> None:
    """Tell one of them.

    Args:
        hook: Whom, and how.
        message: What; plain data.
        systems: In which programs may be run, by name.

    Raises:
        HookFailed: It took too long, exited with another code than 0, or answered with another status than 2xx.
        Interrupted: The work was told to stop; a command was ended.
    """
    body = json.dumps(message, ensure_ascii=False).encode() + b"\n"
    if hook.command is not None:
        _run(hook, hook.command, body)
    elif hook.exec is not None:
        _execute(hook, hook.exec, systems)
    else:
        _post(hook, hook.url or "", body)


def _execute(hook: Hook, program: InPod, systems: "Mapping[str, Executing]") -> None:
    if program.system not in systems:
        raise HookFailed(f"hook {hook.label}: no program can be run in {program.system}")
    try:
        code, said = systems[program.system].execute(
            program.command,
            namespace=program.namespace,
            pod=program.pod,
            selector=program.selector,
            container=program.container,
            timeout_seconds=hook.timeout.total_seconds(),
        )
    except Interrupted:
        raise
    except DrkeeperError as error:
        raise HookFailed(f"hook {hook.label}: {error}", hint=error.hint) from error
    if code:
        raise HookFailed(f"hook {hook.label} exited with {code}", said=said)


def _run(hook: Hook, argv: tuple[str, ...], body: bytes) -> None:
    import os

    from drkeeper.process import check_exit, running, stderr_tail

    env = {name: os.environ[name] for name in (*PASSED_ON, *hook.environment) if name in os.environ}
    with tempfile.TemporaryFile() as message:  # not a pipe: a command that reads nothing must not block us
        message.write(body)
        message.seek(0)
        try:
            with running(argv, env=env, stdin=message, inherit=False) as process:
                if not _ends_within(process, hook.timeout.total_seconds()):
                    raise HookFailed(
                        f"hook {hook.label} took longer than {hook.timeout.total_seconds():g} s and was ended",
                        said=stderr_tail(process),
                    )
                try:
                    check_exit(process, argv)
                except CaptureFailed as error:
                    how, _, said = str(error).partition(": ")
                    raise HookFailed(f"hook {how}", said=said) from error
        except (ToolMissing, PermissionError) as error:
            raise HookFailed(f"hook {hook.label} is not installed, or may not be run") from error
        except OSError as error:
            raise HookFailed(f"hook {hook.label} cannot be run: {error.strerror}") from error


def _ends_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    from drkeeper import clock
    from drkeeper.throttle import current_stop

    stop, give_up_at = current_stop(), clock.monotonic_seconds() + seconds
    while (left := give_up_at - clock.monotonic_seconds()) > 0:
        try:
            process.wait(min(POLL_SECONDS, left))
        except subprocess.TimeoutExpired:
            if stop.is_set():
                raise Interrupted("interrupted") from None
        else:
            return True
    return process.poll() is not None


def _post(hook: Hook, url: str, body: bytes) -> None:
    from drkeeper.buckets.transport import NoAnswer, Transport
    from drkeeper.throttle import current_stop

    headers = {"content-type": "application/json", "user-agent": "drkeeper"}
    if hook.token is not None:
        headers["authorization"] = f"Bearer {hook.token.get_secret_value()}"
    transport = Transport(hook.timeout.total_seconds(), hook.ca_certificate)
    try:
        reply = transport.send("POST", url, headers, body, current_stop())
    except NoAnswer as error:
        raise HookFailed(f"hook {hook.label} did not answer: {error}") from error
    if reply.status not in OK:  # a redirection, too: whoever is told must be named
        raise HookFailed(f"hook {hook.label} answered {reply.status}")
