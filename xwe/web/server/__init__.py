"""Between the socket and the application: gunicorn's worker, and what wraps every request."""
