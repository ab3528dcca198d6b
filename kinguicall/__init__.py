"""The program: command line, configuration, logs, and the one place where the parts are joined."""
