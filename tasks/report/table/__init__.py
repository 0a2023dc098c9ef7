"""Pictures of a table: data beside samples, column by column and pair by pair, by the kinds of columns."""
