"""Ways of looking at what a chart rendered, and of doing what a kubelet would do with it."""

import os
import sys
from pathlib import Path

import warm

POLICY = "/etc/drkeeper/drkeeper.yaml"


def of_kind(objects, kind):
    return [each for each in objects if each["kind"] == kind]


def named(objects, kind, name):
    return next(each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)


def pod_templates(objects):
    """By component."""
    found = {}
    for each in objects:
        if each["kind"] == "CronJob":
            template = each["spec"]["jobTemplate"]["spec"]["template"]
        elif each["kind"] in {"Deployment", "Job"}:
            template = each["spec"]["template"]
        else:
            continue
        found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template
    return found


class Kubelet:
    """Runs the command line of a container with what its Pod mounts, each file below a folder of this machine.

    Args:
        folder: Stands for the root of the Pod's file system.
        objects: The cluster's: ConfigMaps and Secrets that the Pod mounts.
        more: Environment, such as a kubeconfig that stands for the mounted account.
    """

    def __init__(self, folder: Path, objects, more):
        self.folder = folder
        self.objects = objects
        self.more = more

    def run(self, template, *, timeout=180):
        """To its end."""
        (program, *words), place = self.prepared(template)
        assert Path(program).name == "drkeeper"
        return warm.run(words, **place, timeout=timeout)

    def prepared(self, template):
        """Mounts what it mounts; its command line, and where it is run."""
        spec = template["spec"]
        (container,) = spec["containers"]
        self._mount(spec, container)
        command = [*container["command"], *container["args"]]
        command = [str(self.folder / POLICY[1:]) if word == POLICY else word for word in command]
        command[0] = str(Path(sys.executable).parent / command[0])
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name == "PATH"}
        environment |= {entry["name"]: self._value(entry) for entry in container["env"]}
        environment |= {"TMPDIR": str(scratch), "HOME": str(scratch), **self.more}
        return command, {"env": environment, "cwd": self.folder / container["workingDir"].lstrip("/")}

    def _mount(self, spec, container):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "configMap" in volume or "secret" in volume:
                target = self.folder / mount["mountPath"].lstrip("/")
                if str(self.folder) in mount["mountPath"]:  # the policy of a test names files where they can lie
                    target = Path(mount["mountPath"])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self._content(volume, mount["subPath"]))

    def _content(self, volume, key):
        if "configMap" in volume:
            return named(self.objects, "ConfigMap", volume["configMap"]["name"])["data"][key]
        return named(self.objects, "Secret", volume["secret"]["secretName"])["stringData"][key]

    def _value(self, entry):
        if "value" in entry:
            return entry["value"]
        reference = entry["valueFrom"]["secretKeyRef"]
        return named(self.objects, "Secret", reference["name"])["stringData"][reference["key"]]
