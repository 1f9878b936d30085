"""What the people of the house may do: one blueprint per noun, all behind the same door (`doors.py`)."""
