"""The door for visitors who are not in yet."""
