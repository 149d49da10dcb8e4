"""The one exception that is the user's to mend."""


class UserError(Exception):
    """Bad input or config: the message is one line (what was wrong, where, what to do); the program exits with 2."""
