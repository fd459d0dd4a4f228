"""A cluster, through `kubectl`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.errors import DependencyError
from tests.support import docker_cli
from tests.support.docker_cli import Found

NAMESPACE: Final = "heartstream"
_TIMEOUT_SECONDS: Final = 240.0
_TICK_SECONDS: Final = 0.5


class ClusterError(DependencyError):
    """A command for the cluster failed, or a condition did not hold in time."""


class Cluster(msgspec.Struct, frozen=True):
    """Runs kubectl with the file `kubeconfig`."""

    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
        """Run kubectl and return its output. Raises ClusterError with the error output."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False
            )
        except FileNotFoundError as error:
            raise ClusterError("kubectl is not installed, or not on the PATH") from error
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"kubectl {' '.join(arguments)}: no end after {timeout_seconds:.0f} s") from error
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def here(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
        """Run kubectl in heartstream's namespace."""
        return self.run("-n", NAMESPACE, *arguments, stdin=stdin, timeout_seconds=timeout_seconds)

    def apply(self, *documents: dict[str, Any]) -> None:
        """Create or update objects."""
        self.run("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))

    def get(self, kind: str, *selection: str, namespace: str = NAMESPACE) -> Any:
        """Return the present state of objects."""
        return json.loads(self.run("-n", namespace, "get", kind, *selection, "-o", "json"))

    def pods(self, component: str) -> list[Any]:
        """Return the pods of a component that are not being deleted, oldest first."""
        found = self.get("pods", "-l", f"app.kubernetes.io/name=heartstream,app.kubernetes.io/component={component}")
        living = [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
        return sorted(living, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def ready_pods(self, component: str) -> list[str]:
        """Return the names of a component's ready pods, oldest first."""
        return [pod["metadata"]["name"] for pod in self.pods(component) if is_ready(pod)]

    def rolled_out(self, *names: str) -> None:
        """Wait until these (`deployment/x`) are rolled out and ready."""
        for name in names:
            self.here(
                "rollout", "status", name, f"--timeout={_TIMEOUT_SECONDS:.0f}s", timeout_seconds=_TIMEOUT_SECONDS + 10
            )

    def within(self, pod: str, *command: str, namespace: str = NAMESPACE, timeout_seconds: float = 60.0) -> str:
        """Run a command in a pod."""
        return self.run("-n", namespace, "exec", pod, "--", *command, timeout_seconds=timeout_seconds)

    def logs_of(self, pod: str, namespace: str) -> list[str]:
        """Return a pod's log lines; none before it has started. Raises ClusterError if it failed."""
        phase = self.run("-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.phase}")
        if phase == "Pending":
            return []
        lines = self.run("-n", namespace, "logs", pod).splitlines()
        if phase == "Failed":
            raise ClusterError(f"{pod} failed: {lines[-1:]}")
        return lines


def is_ready(pod: Any) -> bool:
    """Whether a pod is ready."""
    conditions = pod["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def wait_for(what: str, look: Callable[[], Found]) -> Found:
    """Poll until `look` returns something true, and return it; raises ClusterError on a timeout."""
    try:
        return docker_cli.wait_for(what, look, _TIMEOUT_SECONDS, _TICK_SECONDS)
    except TimeoutError as error:
        raise ClusterError(str(error)) from error


def ends_of(pod: Any) -> list[str]:
    """Return how containers of a pod ended, as "Error 65": the last exit of each that has exited."""
    statuses = pod["status"].get("containerStatuses", ())
    states = [status.get(when, {}).get("terminated") for status in statuses for when in ("lastState", "state")]
    return [f"{state['reason']} {state['exitCode']}" for state in states if state]
