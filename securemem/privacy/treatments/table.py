"""The treatments by the names that policies call them by."""

from __future__ import annotations

from securemem.privacy.treatments.block import block
from securemem.privacy.treatments.generalise import generalise
from securemem.privacy.treatments.keep import keep
from securemem.privacy.treatments.keyed_hash import keyed_hash
from securemem.privacy.treatments.mask import mask
from securemem.privacy.treatments.pseudonymise import pseudonymise
from securemem.privacy.treatments.redact import redact
from securemem.privacy.treatments.treatment import Treatment

TREATMENTS: dict[str, Treatment] = {
    "keep": keep,
    "redact": redact,
    "mask": mask,
    "hash": keyed_hash,
    "pseudonymise": pseudonymise,
    "generalise": generalise,
    "block": block,
}
