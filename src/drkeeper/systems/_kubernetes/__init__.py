"""Parts of the kind kubernetes: capture, git, secrets, restore, checks."""
