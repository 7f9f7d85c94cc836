"""The templates: one folder per driver, one file per command (``*.j2``) or document (``*.xml.j2``)."""
