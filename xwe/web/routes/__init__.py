"""The routes, a blueprint for each noun."""
