"""People, annotations, saved selections, shares."""
