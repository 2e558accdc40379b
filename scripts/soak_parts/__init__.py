"""The processes of scripts/soak, and how they are looked after."""
