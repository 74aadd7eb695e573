"""What `drkeeper.rebuild` is made of: what is seen, what is written down, how it is carried out and proven."""
