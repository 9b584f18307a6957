"""Example sites; the demo runs demo-site.yaml."""
