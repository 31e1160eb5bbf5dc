"""Hypotheses and studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from microtome.client.connection import Connection, Document


class Hypotheses(Connection):
    """See the module's docstring."""

    def hypotheses(self, model: str | None = None, state: str | None = None) -> Iterator[Document]:
        """Cards, newest first; ``state``: draft, waiting, supported, refuted, inconclusive or failed."""
        return self._pages("/hypotheses", model=model, state=state)

    def make_hypothesis(
        self, statement: str, prediction: str, test: Mapping[str, Any], control: Mapping[str, Any], reference: Mapping[str, Any],
        comparison: str, threshold: float, **more: Any,
    ) -> Document:  # fmt: skip
        """Write down a prediction. ``test`` is ``{"method", "subjects", "params"}``, ``control`` the same without the method."""
        card = {"statement": statement, "prediction": prediction, "test": dict(test), "control": dict(control)}
        judged = {"reference": dict(reference), "comparison": comparison, "threshold": threshold}
        return dict(self.request("POST", "/hypotheses", json=card | judged | more).json())

    def start_hypothesis(self, hypothesis: Mapping[str, Any], *, wait: bool = False) -> Document:
        """Run the test and its control; with ``wait``, until there is an outcome."""
        headers = {"If-Match": f'"{hypothesis["revision"]}"'}
        started = self.request("POST", f"/hypotheses/{hypothesis['id']}/start", headers=headers).json()
        if wait:
            for side in ("test_side", "control_side"):
                self.wait(started[side]["run"])
            started = self._get(f"/hypotheses/{hypothesis['id']}")
        return dict(started)

    def export_hypotheses(self, format: str = "csv") -> bytes:
        """All cards with what was measured, as ``csv`` or ``json``."""
        return self.request("GET", "/hypotheses/export", params={"format": format}).content

    def studies(self) -> Iterator[Document]:
        """Studies, newest first."""
        return self._pages("/studies")

    def study_results(self, study: str) -> Document:
        """Accuracy by condition and differences, with their intervals."""
        return dict(self._get(f"/studies/{study}/results"))

    def export_study(self, study: str, what: str = "answers", format: str = "csv") -> bytes:
        """``answers`` or ``summary`` of a study, as ``csv`` or ``json``."""
        return self.request("GET", f"/studies/{study}/export", params={"what": what, "format": format}).content
