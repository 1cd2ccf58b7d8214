"""Whether a document was put back to an older state: witnesses, and the auditor."""
