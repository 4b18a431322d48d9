"""What a caller learns from an error."""

from cistern.errors import GrpcError, LinkError


def test_a_link_error_says_layer_and_whether_a_retry_helps():
    e = LinkError("tls", "the certificate of cloud.example expired", retry=False)
    assert e.layer == "tls" and not e.retry and not e.maybe_seen
    assert str(e) == "the certificate of cloud.example expired"


def test_a_grpc_error_is_a_link_error_with_a_status():
    e = GrpcError(16, "who are you")
    assert isinstance(e, LinkError) and e.layer == "grpc" and e.status == 16
