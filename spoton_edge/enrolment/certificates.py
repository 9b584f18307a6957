"""A site's own certificate authority, and its hubs' certificates: ECDSA on P-256, X.509 v3 (RFC 5280)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from spoton_edge.errors import KeysError

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

YEARS = timedelta(days=3650)
RENEW = timedelta(days=365)
BACK = timedelta(days=1)  # a box whose clock is late believes it, too


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM."""

    certificate: str
    key: str


def make_authority(site: str) -> Pair:
    """A new authority, for this site only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"SpotOn Edge site {site}")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _begun(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def make_server(authority: Pair, address: str) -> Pair:
    """A certificate for the server at `address`, a name or an IP address; also good for calling its own kind.

    Raises:
        KeysError: the authority is none, or its key is another's.
    """
    issuer, issuer_key = _load(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address[:64])])
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _begun(name, issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_names(address)), critical=False)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def is_good(certificate: str, authority: Pair, address: str) -> bool:
    """Whether a server's certificate is by this authority, for this address and for another year."""
    try:
        server = x509.load_pem_x509_certificate(certificate.encode())
        server.verify_directly_issued_by(_load(authority)[0])
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return list(names) == list(x509.SubjectAlternativeName(_names(address))) and (
        server.not_valid_after_utc - datetime.now(UTC) > RENEW
    )


def _names(address: str) -> list[x509.GeneralName]:
    local: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    try:
        return [x509.IPAddress(ipaddress.ip_address(address)), *local]
    except ValueError:
        return [x509.DNSName(address), *local]


def _begun(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACK)
        .not_valid_after(now + YEARS)
    )


def _load(pair: Pair) -> tuple[x509.Certificate, _Key]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
        key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise KeysError(f"the site's authority cannot be read: {error}") from None
    if certificate.public_key() != key.public_key():
        raise KeysError("the site's authority: certificate and key are not of one pair")
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise KeysError("the site's authority: its key must be of ECDSA or RSA")
    return certificate, key


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), text.decode())
