"""What `drkeeper.audit` is made of: a link, and the pure checks of a chain of them."""
