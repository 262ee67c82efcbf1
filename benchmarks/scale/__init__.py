"""A million rows without a bend: memory, rates, kills, one hot job row, and query plans at ten million images."""
