"""Characters: made from a text, stored, edited, and restored when deleted by mistake."""
