"""From a table of numbers to the rows that a chain is trained on."""
