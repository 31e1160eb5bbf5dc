"""The Python client: everything the browser can ask, with arrays as numpy arrays.

Example::

    from microtome.client import Client

    with Client("http://127.0.0.1:8000") as lab:
        lab.add_model("path:/data/my-resnet")
        run = lab.run("dissection", model="my-resnet", probe="tinyplaces")
        for part in run["parts"]:
            table = lab.results(part["key"])["units"]
            print(part["part"], sum(table.column("detector")), "detectors")
        lab.annotate("label", "my-resnet", "layer3.1", 42, "curtains")
"""

from __future__ import annotations

from microtome.client.annotations import Annotations
from microtome.client.connection import ClientError, Document, RunFailed
from microtome.client.findings import Findings
from microtome.client.hypotheses import Hypotheses
from microtome.client.labels import Labels
from microtome.client.runs import Runs
from microtome.client.sources import Sources
from microtome.client.units import Units

__all__ = ["Client", "ClientError", "Document", "RunFailed"]


class Client(Sources, Runs, Units, Annotations, Labels, Findings, Hypotheses):
    """A connection to one server, as one person; each subject has a file of its own beside this one.

    Args:
        url: address of the server.
        token: an API token of team mode (``mt_...``), or what a server of single-user mode printed that listens beyond its own machine.
        workspace: id of the workspace; one's first if left out.
        timeout: seconds for one request.
        transport: for tests.
    """
