"""Results computed elsewhere: a folder of Parquet or Arrow tables with a manifest, read and written (docs/bulk-import.md)."""
