"""Characters: made from a text, kept, edited, and brought back when deleted by mistake."""
