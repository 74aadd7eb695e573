"""What `drkeeper.evidence` is made of: the statement that is signed, and how a file of it is verified."""
