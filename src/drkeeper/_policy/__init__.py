"""How a policy is read: YAML with positions, references to secrets, quantities, and errors in words."""
