"""The single pass: one run over a probe set feeds every recorder of every layer at once."""
