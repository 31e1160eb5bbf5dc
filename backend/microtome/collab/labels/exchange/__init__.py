"""Label sets as files and back, without loss: flat rows, one per revision, as CSV, JSON or Parquet."""
