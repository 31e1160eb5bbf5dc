"""Browse on the server: which results are shown, their columns, filters, linked views, details, pictures."""
