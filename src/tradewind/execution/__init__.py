"""The order's way: decided, recorded, sent once, found out, booked, protected (house.md section 5)."""
