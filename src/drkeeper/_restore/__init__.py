"""What `drkeeper.restore` is made of: its words, where a plan stands (pure), and the threads that steps run in."""
