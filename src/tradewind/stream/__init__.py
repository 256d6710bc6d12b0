"""The stream room: bus topics in, one numbered websocket stream per user out."""
