"""Pages in the reader's language."""
