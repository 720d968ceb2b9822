"""The version, once: the package's metadata takes it from here, and nothing has to look it up."""

VERSION = "0.1.0"
