"""What clients are told, one file for each of their dialects: events in, bytes out."""
