"""The commands: `ecl NAME` and `ecl_NAME` run the function NAME of the module NAME."""
