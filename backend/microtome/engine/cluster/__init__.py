"""Ray: the examples of a pass spread over the machines of a cluster. Nothing outside this room knows of it; needs the extra ``ray``."""
