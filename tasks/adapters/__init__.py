"""One module for each outside system; nothing else in the project talks to it."""
