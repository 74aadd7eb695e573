"""Questions about, and changes of, one bucket's configuration, through the client of botocore (that of boto3).

Its errors become ours here. Endpoints that lack a call say so in many ways, some of them by answering another question:
SeaweedFS takes PutBucketReplication for the creation of a bucket that is already there.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from drkeeper.buckets.errors import BucketUnreachable, CallLacking
from drkeeper.buckets.options import BucketOptions
from drkeeper.errors import PolicyInvalid, ToolMissing

CONNECT_SECONDS = 10.0
NO_PROFILE = {"profile": (None, None, None, None)}
"""For a session of botocore: where it looks for a profile's name."""
LACKING_CODES = frozenset({
    "NotImplemented", "XNotImplemented", "MethodNotAllowed", "UnsupportedOperation", "NotSupported", "501", "405",
    "BucketAlreadyOwnedByYou", "BucketAlreadyExists",
})  # fmt: skip
UNSET_CODES = frozenset({
    "ReplicationConfigurationNotFoundError", "NoSuchReplicationConfiguration", "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLockConfiguration", "ServerSideEncryptionConfigurationNotFoundError",
})  # fmt: skip
DENIED_CODES = frozenset({"AccessDenied", "AllAccessDisabled", "Forbidden"})
MISSING_CODES = frozenset({"NoSuchBucket", "404"})
MALFORMED = b"<"
"""Not even XML: Ceph looks for the elements that it knows, and takes a document of others for an empty one."""


class CallRefused(BucketUnreachable):
    """The endpoint answers, and says no.

    Attributes:
        code: S3's word for why.
        said: The answer, without the bucket.
    """

    retryable = False

    def __init__(self, message: str, *, code: str, said: str) -> None:
        super().__init__(message)
        self.code = code
        self.said = said


class Configuration:
    """One bucket's configuration. Connects at its first call."""

    def __init__(self, options: BucketOptions) -> None:
        self.url = options.url
        self._bucket = options.bucket
        self._client = _client(options)

    def ask(self, call: str, **arguments: Any) -> Mapping[str, Any]:
        """Make one call of S3 (`GetBucketVersioning`) about the bucket.

        Raises:
            CallLacking: The endpoint does not know it.
            CallRefused: It knows it, and says no.
            BucketUnreachable: It does not answer, or there are no credentials.
        """
        return _ask(self._client, self.url, call, {"Bucket": self._bucket, **arguments})

    def insist_known(self, call: str, **arguments: Any) -> None:
        """Find out whether the endpoint knows a call that changes something, without a change.

        The call is sent with a body that no endpoint can read, so whoever knows it says that the body is malformed.

        Raises:
            CallLacking: It does not.
            BucketUnreachable: It does not answer.
        """

        def spoil(params: dict[str, Any], **_more: Any) -> None:
            params["body"] = MALFORMED

        event = f"before-call.s3.{call}"
        self._client.meta.events.register(event, spoil)
        try:
            self.ask(call, **arguments)
        except CallRefused:
            pass
        finally:
            self._client.meta.events.unregister(event, spoil)


def _client(options: BucketOptions) -> Any:
    try:
        from botocore.config import Config
        from botocore.session import get_session
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"the configuration of {options.url} is read through boto3, which is not installed",
            hint="`pip install 'drkeeper[objects]'`",
        ) from error
    config = Config(
        connect_timeout=min(CONNECT_SECONDS, options.timeout_seconds),
        read_timeout=options.timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": options.retries + 1},
        signature_version="s3v4",
        s3={"addressing_style": "virtual" if options.virtual_hosted or options.endpoint is None else "path"},
    )
    secret, token = options.secret_key, options.session_token
    # Where the policy gives keys, nobody asks for a profile that the environment names (AWS_PROFILE).
    session = get_session(NO_PROFILE if secret else None)
    session.register_component("data_loader", _service_models())
    return session.create_client(
        "s3",
        region_name=options.region,
        endpoint_url=options.endpoint,
        aws_access_key_id=options.access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        verify=str(options.ca_certificate) if options.ca_certificate else None,
        config=config,
    )


@cache
def _service_models() -> Any:
    """Of botocore's own files, read once a process: that takes half a second."""
    from botocore.session import get_session

    return get_session(NO_PROFILE).get_component("data_loader")


def _ask(client: Any, url: str, call: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
    from botocore.parsers import ResponseParserError

    try:
        answer: Mapping[str, Any] = getattr(client, xform_name(call))(**arguments)
    except ClientError as error:
        raise _refusal(url, call, error.response) from error
    except ParamValidationError as error:
        raise PolicyInvalid(f"{url}: {call} cannot say this: {_brief(error)}") from error
    except ResponseParserError as error:
        raise CallLacking(f"its answer is none: {_brief(error)}") from error
    except BotoCoreError as error:
        raise BucketUnreachable(f"{url} does not answer {call}: {_brief(error)}") from error
    return answer


def _refusal(url: str, call: str, response: Mapping[str, Any]) -> CallLacking | CallRefused:
    error, status = response.get("Error", {}), response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    code = str(error.get("Code", status))
    said = " ".join(str(part) for part in dict.fromkeys((status, code, error.get("Message", ""))) if part)[:300]
    if code in LACKING_CODES or str(status) in LACKING_CODES:
        return CallLacking(f"it answered {status} {code}" if code != str(status) else f"it answered {status}")
    return CallRefused(f"{url}, {call}: {said}", code=code, said=said)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
