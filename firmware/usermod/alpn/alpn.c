// ALPN (RFC 7301) for MicroPython's TLS, whose ssl module has none.
//
//     import alpn
//     alpn.set(["h2"])         # SSLSockets that are made from now on offer HTTP/2
//     s = context.wrap_socket(...)
//     alpn.set(None)           # later ones offer nothing
//     ...                      # handshake
//     alpn.selected(s)         # "h2", or None when the server chose nothing
//
// MicroPython itself stays as it is. The linker option --wrap turns its calls of two functions of
// mbedTLS into calls of the two __wrap_ functions below; __real_ are mbedTLS's own.
//
// Runs under MicroPython's GIL. The unix port has none: there, use this from one thread only.

#include <string.h>

#include "py/mperrno.h"
#include "py/runtime.h"

#include "mbedtls/ssl.h"

#ifndef NO_QSTR
#ifndef MBEDTLS_SSL_ALPN
#error "mbedTLS is built without ALPN: set CONFIG_MBEDTLS_SSL_ALPN=y in the board's sdkconfig"
#endif
#ifdef CONFIG_MBEDTLS_DYNAMIC_BUFFER
#error "CONFIG_MBEDTLS_DYNAMIC_BUFFER wraps mbedtls_ssl_setup, too: switch it off"
#endif
#endif

int __real_mbedtls_ssl_setup(mbedtls_ssl_context *ssl, const mbedtls_ssl_config *conf);
const char *__real_mbedtls_ssl_get_ciphersuite(const mbedtls_ssl_context *ssl);

// mbedTLS keeps a pointer to the list in the SSLContext's configuration and reads it again during
// each handshake. So a list never changes or goes away once it was used: it is static, written
// once, and found again when the same names are set again. Few programs need two lists.
#define MAX_LISTS (4)
#define MAX_NAMES (4)
#define MAX_TEXT (48) // "h2", "http/1.1" and two longer ones, each with its NUL

typedef struct {
    const char *names[MAX_NAMES + 1]; // ends with NULL
    size_t size;
    char text[MAX_TEXT];
} protocols_t;

static protocols_t lists[MAX_LISTS];
static size_t lists_used;
static const char **offered; // by the next SSLSocket; NULL: nothing

// What alpn.selected() asks for. The answer points into a list above.
static bool asking;
static const char *answer;

int __wrap_mbedtls_ssl_setup(mbedtls_ssl_context *ssl, const mbedtls_ssl_config *conf) {
    if (offered != NULL) {
        // MicroPython's configurations are part of its SSLContext objects, none is constant.
        int ret = mbedtls_ssl_conf_alpn_protocols((mbedtls_ssl_config *)conf, offered);
        if (ret != 0) {
            return ret;
        }
    }
    return __real_mbedtls_ssl_setup(ssl, conf);
}

// SSLSocket.cipher() calls this with its mbedtls_ssl_context. That is how alpn.selected() gets at
// it: what else is in that object differs from version to version.
const char *__wrap_mbedtls_ssl_get_ciphersuite(const mbedtls_ssl_context *ssl) {
    const char *suite = __real_mbedtls_ssl_get_ciphersuite(ssl);
    if (asking) {
        asking = false;
        answer = mbedtls_ssl_get_alpn_protocol(ssl);
        if (suite == NULL) {
            // Without a session, cipher() would read through NULL.
            mp_raise_OSError(MP_ENOTCONN);
        }
    }
    return suite;
}

// alpn.set(names): what SSLSockets offer (clients) or accept (servers) that are made from now on,
// best first; None or [] for no ALPN at all. It sticks to the SSLContext: to connect without
// ALPN, use a context that no SSLSocket was made of while it was on.
static mp_obj_t alpn_set(mp_obj_t names_in) {
    size_t count = 0;
    mp_obj_t *names;
    if (names_in != mp_const_none) {
        mp_obj_get_array(names_in, &count, &names);
    }
    if (count == 0) {
        offered = NULL;
        return mp_const_none;
    }
    if (count > MAX_NAMES) {
        mp_raise_ValueError(MP_ERROR_TEXT("alpn: at most 4 names"));
    }
    char text[MAX_TEXT];
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len;
        const char *name = mp_obj_str_get_data(names[i], &len);
        // RFC 7301, 3.1: 1 to 255 bytes; mbedTLS takes C strings.
        if (len == 0 || memchr(name, 0, len) != NULL) {
            mp_raise_ValueError(MP_ERROR_TEXT("alpn: empty name, or NUL in a name"));
        }
        if (len >= MAX_TEXT - size) {
            mp_raise_ValueError(MP_ERROR_TEXT("alpn: names too long"));
        }
        memcpy(text + size, name, len);
        size += len;
        text[size++] = 0;
    }
    size_t n = 0;
    while (n < lists_used && (lists[n].size != size || memcmp(lists[n].text, text, size) != 0)) {
        n++;
    }
    protocols_t *list = &lists[n];
    if (n == lists_used) {
        if (n == MAX_LISTS) {
            mp_raise_ValueError(MP_ERROR_TEXT("alpn: at most 4 different lists until a reset"));
        }
        memcpy(list->text, text, size);
        list->size = size;
        const char *name = list->text;
        for (size_t i = 0; i < count; i++) {
            list->names[i] = name;
            name += strlen(name) + 1;
        }
        lists_used++;
    }
    offered = list->names;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(alpn_set_obj, alpn_set);

// alpn.selected(socket): the protocol that both sides agreed on, or None. OSError(ENOTCONN)
// before the end of the handshake and after close().
static mp_obj_t alpn_selected(mp_obj_t socket) {
    mp_obj_t method[2];
    mp_load_method(socket, MP_QSTR_cipher, method);
    asking = true;
    mp_call_method_n_kw(0, 0, method);
    if (asking) {
        asking = false;
        mp_raise_TypeError(MP_ERROR_TEXT("alpn: not an SSLSocket"));
    }
    return answer == NULL ? mp_const_none : mp_obj_new_str(answer, strlen(answer));
}
static MP_DEFINE_CONST_FUN_OBJ_1(alpn_selected_obj, alpn_selected);

// At the first import after a start or a soft reset: what the last program set is over.
static mp_obj_t alpn_init(void) {
    offered = NULL;
    asking = false;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(alpn_init_obj, alpn_init);

static const mp_rom_map_elem_t alpn_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_alpn) },
    { MP_ROM_QSTR(MP_QSTR___init__), MP_ROM_PTR(&alpn_init_obj) },
    { MP_ROM_QSTR(MP_QSTR_set), MP_ROM_PTR(&alpn_set_obj) },
    { MP_ROM_QSTR(MP_QSTR_selected), MP_ROM_PTR(&alpn_selected_obj) },
};
static MP_DEFINE_CONST_DICT(alpn_globals, alpn_globals_table);

const mp_obj_module_t alpn_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&alpn_globals,
};
MP_REGISTER_MODULE(MP_QSTR_alpn, alpn_module);
