"""Probe sets: what a model is looked at with. Torch-free, since the web process draws from them too."""

from microtome.probes.base import Concept, Example, ImageSet, ProbeSet, Report, TextSet
from microtome.probes.decode import decode_image
from microtome.probes.generated import Generated
from microtome.probes.imported import write_imported
from microtome.probes.source import check_source, open_probe, split_source

__all__ = [
    "Concept",
    "Example",
    "Generated",
    "ImageSet",
    "ProbeSet",
    "Report",
    "TextSet",
    "check_source",
    "decode_image",
    "open_probe",
    "split_source",
    "write_imported",
]
