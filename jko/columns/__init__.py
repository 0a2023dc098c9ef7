"""The schema of a table: kinds of columns, their ways to real numbers and back, and what tells them."""
