"""What both programs share; it knows no room and no stock."""
