"""AI-timelines forecasts."""
