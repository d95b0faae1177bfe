"""The words that say of a number that it is a telephone's, or that it is something else; in lower case."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.context import backwards

_PHONES: Final = """
    phone phones telephone telephones tel mobile mobiles mob cell cellphone cellular fax faxes sms whatsapp
    telegram viber
    imessage call called calling calls callback hotline helpline landline pager desk dial dialed dialled dialing ring
    reach reached contact contacted text texted answering messages registered voicemail
    téléphone telephone portable appelez appeler appelle appel joindre rappeler rappelez
    telefon handy handynummer telefonnummer rufnummer mobilnummer anrufen erreichen erreichbar mobil mobiltelefon
    móvil movil celular llame llama llamar llámame teléfono telefono cellulare chiamare chiama chiamami
    telefone telemóvel telemovel ligue ligar liga
    bel bellen mobiel telefoonnummer telefoon puhelin puhelinnumero komórka komórkowy zadzwoń telefonu telefonszám
    тел телефон телефона телефону звони звоните позвони позвоните
    电话 手机 電話 携帯 전화
"""
_PHRASES: Final = ("my number", "his number", "her number", "our number", "your number", "their number", "new number")
PHONE_WORDS: Final = frozenset((*_PHONES.split(), *_PHRASES))

NOT_CALLS: Final = frozenset({"function", "tool", "api", "method", "procedure"})
"""What is called, but not by telephone."""

_OTHERS: Final = """
    order orders invoice ticket case ref reference id ids isbn issn sku upc ean part model serial version versions build
    tracking shipment parcel account acct policy claim zip postcode uuid hash commit sha bug issue request
    transaction txn
    batch lot item product asset page pages pp line port pid size bytes amount total price cost balance timestamp time
    date epoch iban routing card licence license passport lat lon lng latitude longitude count rfc pmid doi patent room
    suite seed salt nonce offset index rev revision population row rows matrix
    bestellnummer rechnungsnummer kundennummer steuernummer commande facture pedido factura
"""
_BETWEEN: Final = ("no", "nr", "num", "number", "code", "id", "is", "was", "of", "#")


def _behind(words: str) -> str:
    return rf"\W{{0,4}}(?:(?:{backwards(_BETWEEN)})[\s_-]{{0,2}}){{0,2}}(?:(?:{backwards(words.split())})(?![^\W_])|#)"


OTHER_WORDS: Final = _behind(_OTHERS)
"""Right before the number, read backwards."""

OTHER_WORDS_AND_SSN: Final = _behind(f"{_OTHERS} ssn security")
