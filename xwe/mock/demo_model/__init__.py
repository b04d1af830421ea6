"""The demo model: templates, prepared sheets and a schema filler that stand in for a real model.

Its words are data, in the TOML files beside this one. It never claims to be more than a demo.
"""
