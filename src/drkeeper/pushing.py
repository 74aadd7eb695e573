"""Puts the gauges to a Pushgateway: for CronJobs, which end before anybody could scrape them.

One group for each policy (https://github.com/prometheus/pushgateway: PUT replaces all of a group), so that what was
said before is gone. The gateway says it for ever; `drkeeper_scrape_timestamp_seconds` tells how old it is.
"""

import threading
from urllib.parse import quote, urlsplit

from drkeeper._exporter.http import CONTENT_TYPE
from drkeeper.errors import DrkeeperError, UsageInvalid

GROUP = "/metrics/job/"
TIMEOUT_SECONDS = 20.0
OK = range(200, 300)


class PushFailed(DrkeeperError):
    """The gateway did not take the figures."""

    default_hint = "the address is that of a Prometheus Pushgateway, such as http://pushgateway:9091"


def push(gateway: str, policy: str, text: str) -> None:
    """Put the text there.

    Args:
        gateway: Its address; may hold user and password, which are not shown, or the whole path of a group.
        policy: Names the group.
        text: In Prometheus' format.

    Raises:
        UsageInvalid: That is no address.
        PushFailed: It did not answer, or refused.
    """
    from drkeeper.buckets.transport import NoAnswer, Transport

    expected = UsageInvalid("--push expects an address such as http://pushgateway:9091")
    try:
        parts = urlsplit(gateway)
        gateway.encode("ascii")
    except ValueError:
        raise expected from None  # its words may hold the password
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise expected
    url = gateway if GROUP in parts.path else f"{gateway.rstrip('/')}{GROUP}drkeeper/policy/{quote(policy, safe='')}"
    headers = {"content-type": CONTENT_TYPE, "user-agent": "drkeeper"}
    try:
        reply = Transport(TIMEOUT_SECONDS).send("PUT", url, headers, text.encode(), threading.Event())
    except NoAnswer as error:
        raise PushFailed(f"the gateway at {parts.hostname} did not answer: {error}") from error
    if reply.status not in OK:
        raise PushFailed(f"the gateway at {parts.hostname} answered {reply.status}")
