"""Says what in a policy no engine of personal data is known to find; nothing of an engine is loaded for it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securemem.errors import PolicyError
    from securemem.policy.document import Path
    from securemem.policy.load import Loaded

_NER = frozenset({"PERSON", "LOCATION"})
_BY_PRESIDIO = """
    AU_ABN AU_ACN AU_MEDICARE AU_TFN CA_POSTAL_CODE DE_BSNR DE_FUEHRERSCHEIN DE_HANDELSREGISTER DE_HEALTH_INSURANCE
    DE_KFZ DE_LANR DE_PASSPORT DE_PLZ DE_TAX_NUMBER DE_VAT_ID ES_NIE ES_NIF ES_PASSPORT FI_PERSONAL_IDENTITY_CODE
    IN_AADHAAR IN_GSTIN IN_PAN IN_PASSPORT IN_VEHICLE_REGISTRATION IN_VOTER IT_DRIVER_LICENSE IT_FISCAL_CODE
    IT_IDENTITY_CARD IT_PASSPORT IT_VAT_CODE KR_BRN KR_DRIVER_LICENSE KR_FRN KR_PASSPORT KR_RRN
    MEDICAL_BIOLOGICAL_ATTRIBUTE MEDICAL_BIOLOGICAL_STRUCTURE MEDICAL_CLINICAL_EVENT MEDICAL_DISEASE_DISORDER
    MEDICAL_FAMILY_HISTORY MEDICAL_HISTORY MEDICAL_LICENSE MEDICAL_MEDICATION MEDICAL_THERAPEUTIC_PROCEDURE NG_NIN
    NG_VEHICLE_REGISTRATION NRP ORGANIZATION PHONE_NUMBER PH_PASSPORT PH_TIN PH_UMID PL_PESEL SE_ORGANISATIONSNUMMER
    SE_PERSONNUMMER SG_NRIC_FIN SG_UEN TH_TNIN TR_LICENSE_PLATE TR_NATIONAL_ID UK_PASSPORT UK_POSTCODE
    UK_VEHICLE_REGISTRATION US_BANK_NUMBER US_CLAIM_NUMBER US_DRIVER_LICENSE US_HEALTH_INSURANCE_MEMBER_ID US_MBI
    US_PRESCRIPTION_NUMBER US_PRIOR_AUTHORIZATION_NUMBER US_PROVIDER_TAX_ID US_REFERRAL_NUMBER UUID
    ZA_COMPANY_REGISTRATION ZA_DRIVER_LICENSE ZA_ID_NUMBER ZA_INCOME_TAX_NUMBER ZA_LICENSE_PLATE ZA_MOBILE_NUMBER
    ZA_PASSPORT ZA_TELEPHONE_NUMBER ZA_TRAFFIC_REGISTER_NUMBER ZA_VAT_NUMBER
"""
"""What presidio finds besides, by the recognisers that come with it; `options` can bring others."""
_PRESIDIO = frozenset(_BY_PRESIDIO.split())
_BESIDES = {"patterns": frozenset[str](), "ner": _NER, "accurate": _NER, "presidio": _NER | _PRESIDIO}


def warnings(loaded: Loaded) -> Iterator[PolicyError]:
    """Give a warning for an engine that nobody brings, and for each entity that the engine does not find."""
    from securemem.policy.check import meant  # noqa: PLC0415
    from securemem.privacy.engines.patterns.offers import OFFERS  # noqa: PLC0415

    pii = loaded.file.pii
    if pii is None:
        return
    engines = set(_BESIDES) | entry_points(group="securemem.pii_engines").names
    if pii.engine not in engines:
        there = f"there are {', '.join(sorted(engines))}"
        why = f"no package here brings an engine {pii.engine!r}"
        yield loaded.document.error(("pii", "engine"), why, hint=meant(pii.engine, engines) or there)
        return
    if pii.engine not in _BESIDES or pii.options:
        return  # what it finds is its own to say
    finds = _BESIDES[pii.engine] | OFFERS.keys()
    for path, entity in _named(loaded):
        if entity not in finds:
            hint = "another engine does" if entity in _NER | _PRESIDIO else meant(entity, finds)
            yield loaded.document.error(path, f"the engine {pii.engine!r} does not find {entity}", hint=hint)


def _named(loaded: Loaded) -> Iterator[tuple[Path, str]]:
    """Give where entities are named that are looked for: in `pii`, and by rules that treat them."""
    named = set(loaded.file.pii.entities) if loaded.file.pii is not None else set()
    yield from ((("pii", "entities", entity), entity) for entity in sorted(named))
    for number, rule in enumerate(loaded.policy.rules.rules):
        for entity in sorted(set(rule.on_write) - named):
            yield ("rules", number, "on_write", entity), entity
