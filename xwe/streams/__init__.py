"""Live answers: made once, read by whoever joins, leaves and joins again."""
