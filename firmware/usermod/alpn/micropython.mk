# For ports that are built by make (unix).
SRC_USERMOD_C += $(USERMOD_DIR)/alpn.c
# mbedTLS's structures depend on it, so all of the build must see it.
CFLAGS_USERMOD += -DMBEDTLS_SSL_ALPN
LDFLAGS_USERMOD += -Wl,--wrap=mbedtls_ssl_setup -Wl,--wrap=mbedtls_ssl_get_ciphersuite
