"""The project's cores behind Maelstrom's protocol: JSON messages, one a line, on stdin and stdout."""
