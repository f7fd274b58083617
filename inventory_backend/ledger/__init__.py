"""The truth about holds, orders and money, in SQL: nothing is promised before it is written here."""
