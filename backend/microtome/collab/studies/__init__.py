"""Study mode: fixed tasks whose answers only the server knows, to measure whether an explanation helps."""
