"""Where a repository is, from the URL of the policy: pure, and never with a password in it."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from drkeeper.errors import PolicyInvalid

# `git@host:path`, as git itself reads it: no slash before the first colon.
_SCP_LIKE = re.compile(r"(?:(?P<user>[^@/:]+)@)?(?P<host>\[[^\]]+\]|[^:/@\[]+):(?P<path>[^/].*|/.*)")


@dataclass(frozen=True)
class Address:
    """A repository's place.

    Args:
        how: Which transport.
        host, port, user: For ssh and https.
        path: On that host, or here.
    """

    how: Literal["ssh", "https", "local"]
    path: str
    host: str = ""
    port: int | None = None
    user: str | None = None

    @property
    def shown(self) -> str:
        """For people: no credential, ever."""
        if self.how == "local":
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.how}://{host}{f':{self.port}' if self.port else ''}/{self.path.lstrip('/')}"


def parse(url: str) -> Address:
    """Read `ssh://`, `user@host:path`, `https://`, `file://` or a path.

    Raises:
        PolicyInvalid: Another scheme, no host, or a password in the URL (which is not repeated).
    """
    if "://" not in url:
        match = _SCP_LIKE.fullmatch(url)
        if match is None or url.startswith((".", "/")):
            return Address("local", url)
        return _checked(Address("ssh", match["path"], match["host"].strip("[]"), user=match["user"]))
    scheme = url.partition("://")[0].lower()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise PolicyInvalid("git.url cannot be read as a URL") from None
    if parts.password is not None:
        raise PolicyInvalid(
            "git.url holds a password",
            hint="take it out of the URL and set git.token to ${file:PATH} or ${env:NAME}; change that password",
        )
    if scheme == "file":
        return Address("local", unquote(parts.path))
    if scheme == "ssh":
        return _checked(Address("ssh", unquote(parts.path), parts.hostname or "", port, parts.username))
    if scheme == "https":
        return _checked(Address("https", parts.path, parts.hostname or "", port, parts.username))
    raise PolicyInvalid(
        f"git.url has the scheme {scheme}, which is not supported",
        hint="use ssh://, git@host:path, https://, file:// or a path; http:// would send the token in clear",
    )


def _checked(address: Address) -> Address:
    # A host or user that begins with a dash would be an option to ssh.
    if not address.host or address.host.startswith("-") or (address.user or "").startswith("-"):
        raise PolicyInvalid("git.url names no host that can be used")
    if not address.path.strip("/"):
        raise PolicyInvalid("git.url names no repository on its host")
    return address
