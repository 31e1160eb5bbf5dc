"""Findings on the wire: made from requests, shown with their state, exported."""
