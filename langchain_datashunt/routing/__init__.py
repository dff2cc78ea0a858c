"""The shunt as a Runnable, and what it is made of."""
