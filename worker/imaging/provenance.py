"""How does a picture file say that a model made it?

As IPTC's ``DigitalSourceType`` in an XMP packet: the mark that Google Merchant Center reads, and
that the EU's AI act asks to be kept. The prompt is never written: it is the shop's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr

TRAINED: Final = "trainedAlgorithmicMedia"
COMPOSITE: Final = "compositeWithTrainedAlgorithmicMedia"

_TERM: Final = re.compile(r"[a-z][A-Za-z]{2,63}")
# http, not https: it is a name in IPTC's vocabulary, compared letter by letter.
_VOCABULARY: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_NAMESPACE: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_CONTROL: Final = re.compile(r"[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a picture's pixels come from.

    ``digital_source_type`` is a term of IPTC's vocabulary without its address: :data:`TRAINED`
    where a model drew every pixel, :data:`COMPOSITE` only where pixels of the product's own photo
    were kept. ``system`` and ``system_version`` name the model; empty ones are not written.
    """

    digital_source_type: str
    system: str = ""
    system_version: str = ""

    def __post_init__(self) -> None:
        """Check the term's form: an address here would be written twice over."""
        if not _TERM.fullmatch(self.digital_source_type):
            message = (
                f"{self.digital_source_type!r} is no term of IPTC's digital source types; "
                f"give the short one, such as {TRAINED}"
            )
            raise ValueError(message)


def xmp_packet(provenance: Provenance) -> bytes:
    """Write the XMP packet: about half a kilobyte, the same bytes for the same provenance."""
    told = {
        "DigitalSourceType": _VOCABULARY + provenance.digital_source_type,
        "AISystemUsed": provenance.system,
        "AISystemVersionUsed": provenance.system_version,
    }
    attributes = "".join(
        f"\n  Iptc4xmpExt:{name}={quoteattr(_CONTROL.sub('', value))}"
        for name, value in told.items()
        if value
    )
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        f' <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_NAMESPACE}"{attributes}/>\n'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    return packet.encode()
