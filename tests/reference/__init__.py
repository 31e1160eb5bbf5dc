"""Slow, obvious implementations to compare with. They share no code with the product."""
