"""Which worker runs what: subjects of one's own travel by fingerprint, their files never.

Each worker looks for the subject by its name in the folder that its own LACUNA_SUBJECTS names, compares fingerprints,
and notes the answer as a resource of Dask's. So the scheduler gives the runs to workers that have the very subject,
also to those that come later or take the place of one that died.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Literal

from distributed import Client, Worker, WorkerPlugin

from unlearn_core.study.cluster import WITHOUT_SECONDS
from unlearn_core.study.run import engine
from unlearn_core.subjects.subject import FOLDER, bundled, subject, subjects

State = Literal["has", "lacks", "has another"]
PLENTY = 1e9


def state(name: str, fingerprint: str) -> State:
    """Whether this process has the subject of that name and fingerprint; subjects prepared meanwhile are taken up."""
    if name not in subjects() or subject(name).fingerprint != fingerprint:
        engine().look_again()
    if name not in subjects():
        return "lacks"
    return "has" if subject(name).fingerprint == fingerprint else "has another"


def _resource(state: str, name: str, fingerprint: str) -> str:
    return f"lacuna {state} {name} {fingerprint}"


class _Note(WorkerPlugin):  # type: ignore[misc]  # Dask is typed in part only
    """Notes, on every worker there is and every one that comes, which of some subjects it has."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.wanted = dict(wanted)
        self.name = "lacuna " + " ".join(f"{name} {said}" for name, said in sorted(wanted.items()))

    async def setup(self, worker: Worker) -> None:
        await worker.set_resources(**{_resource(state(name, said), name, said): PLENTY
                                      for name, said in self.wanted.items()})


class Placement:
    """Where the runs on some networks may go; asks nothing of the workers where all of these are bundled.

    Args:
        client: of the cluster.
        networks: names of subjects.

    Attributes:
        own: fingerprints of those that are not bundled, by name.
    """

    def __init__(self, client: Client, networks: Iterable[str]) -> None:
        self._client = client
        self.own = {name: subject(name).fingerprint for name in networks if name not in bundled()}
        self._told: set[tuple[str, str]] = set()
        self._without: dict[str, float] = {}
        if self.own:
            client.register_plugin(_Note(self.own))

    def needs(self, network: str) -> dict[str, float]:
        """The resources that `Client.submit` wants for a run on a network."""
        return {_resource("has", network, self.own[network]): 1} if network in self.own else {}

    def threads(self, network: str) -> int:
        """How many threads there are for runs on a network, on workers that have it."""
        needed = self.needs(network)
        return sum(about["nthreads"] for about in self._client.scheduler_info(n_workers=-1)["workers"].values()
                   if needed.keys() <= about["resources"].keys())

    def look(self) -> list[str]:
        """What has to be said of workers that have come since the last look, in sentences."""
        said = []
        workers = self._client.scheduler_info(n_workers=-1)["workers"] if self.own else {}
        for name, fingerprint in self.own.items():
            states: dict[str, list[str]] = {"has": [], "lacks": [], "has another": []}
            for address, about in workers.items():
                for kind, found in states.items():
                    if _resource(kind, name, fingerprint) in about["resources"]:
                        found.append(address)
            if states["has"]:
                self._without.pop(name, None)
            else:
                self._without.setdefault(name, time.monotonic())
            for instead, other in (("no such subject", "lacks"), ("another of that name", "has another")):
                for address in states[other]:
                    if (name, address) not in self._told:
                        self._told.add((name, address))
                        said.append(f"worker at {address}: subject {name} with fingerprint {fingerprint[:8]} expected "
                                    f"in its {FOLDER}, got {instead}; its runs go to workers that have it.")
        return said

    def hopeless(self, network: str) -> str:
        """Why no run on a network can go on, as a sentence; empty while one can, or there is hope."""
        if time.monotonic() < self._without.get(network, float("inf")) + WITHOUT_SECONDS:
            return ""
        return (f"subject: {network} with fingerprint {self.own[network][:8]} expected in the {FOLDER} of at least one "
                "worker, got none; copy its prepared folder to a worker, or prepare it there from the same files, and "
                "start again.")
