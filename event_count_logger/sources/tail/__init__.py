"""Log files: each of their lines is counted once, whatever happens to the files and to this program."""
