"""Labels as data: label sets, ratings by several people and machines, queue, agreement, decisions, exchange as files."""
