"""How the objects of an inventory are brought back without drkeeper: for the point's runbook."""

from shlex import quote

_HINT = r"""while read -r line; do
  key=$(jq -r .key <<<"$line"); from={replica}"$key"
  version=$(aws --endpoint-url "$REPLICA_URL" s3api list-object-versions --bucket "$REPLICA_BUCKET" --prefix "$from" \
    --output json </dev/null | jq -r --arg key "$from" --arg etag "\"$(jq -r .etag <<<"$line")\"" \
    'first(.Versions[] | select(.Key == $key and .ETag == $etag)) | .VersionId')
  aws --endpoint-url "$REPLICA_URL" s3api get-object --bucket "$REPLICA_BUCKET" --key "$from" \
    --version-id "$version" object.part </dev/null >/dev/null || {{ echo "FAILED: $key"; exit 1; }}
  aws --endpoint-url "$TARGET_URL" s3api put-object --bucket "$TARGET_BUCKET" --key {prefix}"$key" --body object.part \
    --content-type "$(jq -r '.content_type // "binary/octet-stream"' <<<"$line")" \
    --metadata "$(jq -c '.metadata // {{}}' <<<"$line")" \
    --tagging "$(jq -r '.tags // {{}} | to_entries | map("\(.key | @uri)=\(.value | @uri)") | join("&")' <<<"$line")" \
    </dev/null >/dev/null || {{ echo "FAILED: $key"; exit 1; }}
done"""


def restore_hint(prefix: str, replica_prefix: str) -> str:
    """Shell commands that take the inventory on stdin; objects of more than 5 GiB need `aws s3 cp` instead."""
    return _HINT.format(prefix=_text(prefix), replica=_text(replica_prefix))


def _text(prefix: str) -> str:
    return quote(prefix) if prefix else ""
