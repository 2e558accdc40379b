"""Alerts: rules over finished intervals, their states, and notifications."""
