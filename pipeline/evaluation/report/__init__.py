"""What was found: its data, the measures in order, a table, `report.json` and a page."""
