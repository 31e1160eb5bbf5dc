"""Hypothesis cards: a prediction that is made before the test, and an outcome that follows from the numbers."""
