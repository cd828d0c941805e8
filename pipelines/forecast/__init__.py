"""What a run will cost, told from a sample of its sources before it starts."""
