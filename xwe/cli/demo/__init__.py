"""`xwe demo`: what xwe changes, measured in a terminal in less than half a minute."""
