"""One file per treatment of personal data that was found, under the name that policies call it by."""
