"""What the routes accept: bodies and queries as checked values. `fields.py` reads every field."""
