"""The door for visitors who are in."""
