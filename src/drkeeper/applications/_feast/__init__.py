"""What drkeeper knows of Feast: its registry's references, how its online store lies in Redis, and what proves both."""
