"""What a policy may say about a Kubernetes cluster."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

# `kind/namespace/name` patterns of what controllers make later by themselves: a reference to such an object is
# not broken when it is missing. cert-manager writes the Secrets of its Certificates, Istio the CA's ConfigMap.
MADE_BY_OTHERS = (
    "configmap/*/istio-ca-root-cert",
    "configmap/*/kube-root-ca.crt",
    "secret/*/default-token-*",
    "secret/*/cert-manager-webhook-ca",
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretsOptions(_Section):
    """How Secrets are kept: encrypted in SOPS' age format, in git and in the vault alike."""

    recipients: tuple[str, ...] = Field(min_length=1, description="age public keys that can read the Secrets")
    key: SecretStr = Field(
        description="any 32 or more characters, kept secret: an unchanged Secret encrypts to the same bytes under it"
    )
    identity: SecretStr | None = Field(
        None, description="the age identity, `${file:path}`; only where Secrets are restored"
    )


class GitOptions(_Section):
    """The repository that manifests are exported to."""

    url: str = Field(description="ssh://, https://, file:// or a path; never with a password in it")
    branch: str = Field("main", min_length=1)
    folder: str = Field("", description="folder inside the repository that is ours; default: its root")
    username: str = Field("git", description="for https with a token")
    token: SecretStr | None = Field(None, description="password or access token for https")
    ssh_key: Path | None = Field(None, description="private key file for ssh")
    known_hosts: Path | None = Field(None, description="host keys that we trust; default: the user's own")
    ca: Path | None = Field(None, description="certificates that we trust for https, PEM")
    author: str = Field("drkeeper <drkeeper@localhost>", description="author of the commits")
    timeout_seconds: int = Field(60, ge=1, description="for each exchange with the remote")


class Transform(_Section):
    """A change of objects on their way back, as a JSON patch (RFC 6902)."""

    kind: str = Field("*", description="`deployments.apps`, `configmaps`, with `*` and `?`")
    namespace: str = Field("*", description="as it is in the recovery point, with `*` and `?`")
    name: str = Field("*", description="with `*` and `?`")
    patch: tuple[dict[str, Any], ...] = Field(
        min_length=1, description="operations; `test` that fails skips the object"
    )


class Options(_Section):
    """A cluster, what of it is protected, and how it is brought back."""

    # What a drill's own control plane gets from the policy: nothing that leads to the protected cluster or its git.
    SANDBOX_FIELDS: ClassVar = (
        "kinds",
        "exclude_kinds",
        "namespaces",
        "exclude_namespaces",
        "exclude_labels",
        "cluster_scoped",
        "secrets",
        "heartbeat_namespace",
        "hold",
        "hold_except",
        "established_seconds",
        "made_by_others",
    )

    kubeconfig: Path | None = Field(None, description="default: $KUBECONFIG, ~/.kube/config, or the Pod's own account")
    context: str | None = Field(None, description="of the kubeconfig; default: its current one")
    kinds: tuple[str, ...] = Field(("*",), description="`deployments.apps`, `configmaps`, `*.kubeflow.org`; `*`: all")
    exclude_kinds: tuple[str, ...] = Field((), description="left out, same words")
    namespaces: tuple[str, ...] | None = Field(None, description="only these (exact names); default: all")
    exclude_namespaces: tuple[str, ...] = Field((), description="left out, with `*` and `?`")
    exclude_labels: tuple[str, ...] = Field((), description="`key` or `key=value`: objects so labelled are left out")
    cluster_scoped: bool = Field(default=True, description="kinds outside namespaces too (CRDs, ClusterRoles …)")
    secrets: SecretsOptions | None = Field(None, description="left out: Secrets are not captured")
    git: GitOptions | None = Field(None, description="left out: manifests go to the vault only")
    page_size: int = Field(500, ge=1, le=5000, description="objects in one answer of the API server")
    timeout_seconds: int = Field(30, ge=1, description="for each request")
    heartbeat_namespace: str = Field("default", description="where the ConfigMap `drkeeper-heartbeat` lies")
    existing: Literal["update", "keep"] = Field("update", description="what a restore does with objects that exist")
    conflicts: Literal["report", "force"] = Field(
        "report", description="fields that another manager owns: left and reported, or taken over"
    )
    missing_kinds: Literal["refuse", "skip"] = Field(
        "refuse", description="objects whose API the target does not serve; `skip` for drills, each is named"
    )
    namespace_map: dict[str, str] = Field(default_factory=dict, description="old namespace to new one")
    transforms: tuple[Transform, ...] = Field((), description="changes of objects on their way back")
    hold: bool = Field(default=True, description="workloads come up at zero until the data systems are back")
    hold_except: tuple[str, ...] = Field(
        (), description="`namespace/name` of workloads that start at once (databases), with `*` and `?`"
    )
    established_seconds: int = Field(60, ge=1, description="how long a CRD may take to become Established")
    made_by_others: tuple[str, ...] = Field(
        MADE_BY_OTHERS, description="`kind/namespace/name` patterns of what others make after a restore"
    )
    dry_run: bool = Field(default=False, description="ask the API server only; nothing is changed (for drills)")
    scratch: Path | None = Field(None, description="folder for the manifests while restoring; default: TMPDIR")
    _only: tuple[str, ...] = PrivateAttr(default=())

    @property
    def only(self) -> tuple[str, ...]:
        """The only namespaces of the point that a restore is about; () for all that is protected."""
        return self._only

    def part(self, only: tuple[str, ...]) -> Self:
        """The same for these namespaces alone: nothing outside of them is meant, but for themselves."""
        if not only:
            return self
        narrowed = self.model_copy(update={"namespaces": only, "cluster_scoped": False})
        narrowed._only = only  # noqa: SLF001 - of our own kind
        return narrowed

    @property
    def url(self) -> str:
        """For people: which cluster is meant."""
        place = str(self.kubeconfig) if self.kubeconfig else "default kubeconfig or in-cluster account"
        place = f"{place}, context {self.context}" if self.context else place
        return f"{place} (only namespaces {', '.join(self._only)})" if self._only else place
