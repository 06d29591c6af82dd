"""What a configuration may say of TLS and of proxies."""

import pytest

from firedoor.config import Listen, from_text, notices
from firedoor.core.errors import BadConfig

BOTH = 'certificate = "/tls/server.pem"\nkey = "/tls/server.key"\n'


def test_a_certificate_and_its_key_make_a_listener_speak_tls():
    """Each role by itself."""
    config = from_text(f'[gate]\n{BOTH}listen_plain = "10.0.0.5:8079"')

    assert config.gate.tls is not None
    assert str(config.gate.tls.key) == "/tls/server.key"
    assert config.gate.tls.listen_plain == Listen("10.0.0.5", 8079)
    assert config.intake.tls is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[gate]\nkey = "/tls/server.key"', 'needs "certificate"'),
        ('[intake]\ncertificate = "/tls/server.pem"', 'needs "key"'),
        ('[gate]\nclient_ca = "/tls/ca.pem"', "there is no certificate"),
        ('[gate]\nlisten_plain = "0.0.0.0:8079"', "there is no certificate"),
        (f'[gate]\n{BOTH}listen_plain = "0.0.0.0:8081"', "taken already"),
        ('[gate]\ncertificate = "server.pem"', "an absolute path"),
        ('[gate]\nproxies = ["10.0.0.5/8"]', "addresses and networks"),
        ('[gate]\nproxies = ["proxy.example"]', "addresses and networks"),
    ],
)
def test_half_of_it_is_refused(text, said):
    """A gate that somebody believes to speak TLS must not send tokens in clear."""
    with pytest.raises(BadConfig) as refused:
        from_text(text)

    assert said in str(refused.value)


def test_an_authority_that_nobody_asks_is_told():
    """Certificates would be verified and then say nothing."""
    useless = from_text(f'[gate]\n{BOTH}client_ca = "/tls/ca.pem"\nidentify = ["basic"]')
    useful = from_text(f'[gate]\n{BOTH}client_ca = "/tls/ca.pem"\nidentify = ["certificate"]')

    assert any("client_ca" in notice for notice in notices(useless))
    said = "".join(notices(useful))
    assert "certificate" not in said
    assert "no way to identify" not in said
