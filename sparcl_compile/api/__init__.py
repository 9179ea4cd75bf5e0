"""The Python interface: compile a model, learn, predict, export. The commands are thin over it.

``sparcl_compile/__init__.py`` has the public names.
"""
