"""TLS clients whose bytes the tests hold in their hands."""
import ssl

ALERT_ACCESS_DENIED = bytes([2, 49])  # fatal, RFC 8446 section 6


def context(ca=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        made.load_verify_locations(ca)
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def client_hello(name):
    """The first flight of a real client that asks for `name` (None: no SNI)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context().wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
