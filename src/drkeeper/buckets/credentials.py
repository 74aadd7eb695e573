"""Whose requests they are: the policy's keys, or what the environment gives (variables, files, an instance's role)."""

from collections.abc import Callable

from drkeeper.buckets.errors import BucketUnreachable
from drkeeper.buckets.options import BucketOptions
from drkeeper.buckets.signing import Credentials
from drkeeper.errors import ToolMissing


def credentials_for(options: BucketOptions) -> Callable[[], Credentials]:
    """A function that gives the present credentials; called for each request, as temporary ones are renewed."""
    if options.access_key is not None and options.secret_key is not None:
        token = options.session_token.get_secret_value() if options.session_token else ""
        fixed = Credentials(options.access_key, options.secret_key.get_secret_value(), token)
        return lambda: fixed
    return _Environment(options.url)


class _Environment:
    """The chain of botocore, asked at the first request."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._chain: Callable[[], Credentials] | None = None

    def __call__(self) -> Credentials:
        if self._chain is None:
            self._chain = self._open()
        return self._chain()

    def _open(self) -> Callable[[], Credentials]:
        try:
            from botocore.session import get_session
        except ModuleNotFoundError as error:
            raise ToolMissing(
                f"credentials for {self._url} are to come from the environment, and botocore is not installed",
                hint="`pip install 'drkeeper[objects]'`, or give access_key and secret_key",
            ) from error
        found = get_session().get_credentials()
        if found is None:
            raise BucketUnreachable(
                f"no credentials for {self._url}: the policy gives none, and neither does the environment",
                hint="give access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )

        def present() -> Credentials:
            frozen = found.get_frozen_credentials()
            return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")

        return present
