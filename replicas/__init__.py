"""Heat of data, replica counts and replica placement: pure functions over arrays."""
