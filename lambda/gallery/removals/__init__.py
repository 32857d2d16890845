"""The function of the table's stream."""
