"""The Python client against a real server."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from microtome.api.app import create_app
from microtome.client import Client, ClientError, RunFailed
from tests.api.serve import serving


def test_the_whole_way(settings: Any, engine: Any) -> None:
    with serving(create_app(settings, engine=engine)) as url, Client(url) as lab:
        assert lab.add_model("builtin:fake")["slug"] == "fake"
        assert lab.add_probe("builtin:fake-probe")["slug"] == "fake-probe"
        assert lab.estimate("dissection", model="fake", probe="fake-probe")["cached"] is False
        run = lab.run("dissection", model="fake", probe="fake-probe")
        assert [p["part"] for p in run["parts"]] == ["stage1", "stage2"]
        results = lab.results(run["parts"][0]["key"])
        assert results["iou"].arrays["values"].shape == (6, 5)
        maps = lab.result_set(run["parts"][0]["key"])["results"][3]["arrays"]["maps"]
        np.testing.assert_array_equal(lab.array(maps["sha256"], row=2), results["exemplars"].arrays["maps"][2])
        rows = list(lab.units("fake", "fake-probe", {"layers": ["stage1"]}))
        assert len(rows) == 6
        assert lab.unit("fake", "stage1", 0, "fake-probe")["unit"] == 0
        note = lab.annotate("label", "fake", "stage1", 0, "sky")
        changed = lab.change(note, "blue")
        with pytest.raises(ClientError) as caught:
            lab.change(note, "late")
        assert caught.value.status == 412
        assert caught.value.problem["current"]["body"] == "blue"
        assert len(lab.history(note["id"])) == 2
        assert lab.delete(changed)["deleted"]
        share = lab.share({"model": "fake", "probe": "fake-probe"})
        assert lab.shared(share["id"])["available"]
        out = io.BytesIO()
        Image.new("RGB", (4, 4), "red").save(out, "PNG")
        assert lab.run("grad-cam", model="fake", example=lab.upload(out.getvalue()))["state"] == "done"
        with pytest.raises(RunFailed, match="cable"):
            lab.run("broken", model="fake")
        with pytest.raises(ClientError) as caught:
            lab.submit("dissection", model="nothing", probe="fake-probe")
        assert caught.value.field == "subjects.model"
        assert len(list(lab.examples("fake-probe"))) == 24
        assert lab.methods()
