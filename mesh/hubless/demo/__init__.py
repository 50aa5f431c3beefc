"""The demo: five nodes read, extract and summarise real documents, one is killed, and every answer is checked."""
