"""Findings: claims with their evidence, what they pin, and whether they still hold."""
