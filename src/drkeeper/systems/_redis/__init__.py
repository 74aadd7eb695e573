"""What `drkeeper.systems.redis` is made of: the wire, the RDB format, capture, restore, facts and checks."""
