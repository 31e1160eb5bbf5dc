"""People (stub)."""
from dataclasses import dataclass
@dataclass
class PersonRow:
    id: str
    name: str
