"""What everything else stands on: errors, seeds, rows, words."""
