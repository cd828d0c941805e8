"""What is done to sound, and the consent decision: pure functions, each with a thin stage. No engine, no cloud."""
