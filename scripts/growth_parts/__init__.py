"""The processes of scripts/growth, the faults around them, and measurements of their memory."""
