"""What is done to sound, and the consent decision. Pure functions with a thin stage around them; no engine, no cloud."""
