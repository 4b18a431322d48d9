// A program around firmware/usermod/alpn/alpn.c and mbedTLS: does what its input says, line by
// line, and answers each with a line.   harness CA.pem NAME
//
//     init                     the first import after a reset
//     set None | NAME …        alpn.set(); no NAME: []; "-": ''; "%0": a name with a NUL; "5": no str
//     context C                an SSLContext
//     socket S C PORT          C.wrap_socket() of a connection to 127.0.0.1, without a handshake
//     handshake S
//     selected S | int | liar  alpn.selected(); liar is an object whose cipher() asks mbedTLS nothing
//     cipher S
//     hello S                  HTTP/2's preface and SETTINGS; then what the server says, or closed
//     close S
#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/ssl.h"

#include "py/runtime.h"

#define MAX_THINGS (32)
#define MAX_WORDS (16)
#define MAX_NAME (80)

struct object {
    enum { NONE, INT, STR, LIST, SSL_SOCKET, LIAR, CIPHER, LIAR_CIPHER } kind;
    char text[MAX_NAME];
    size_t size; // of text, or of items
    mp_obj_t items[MAX_WORDS];
};
// As in MicroPython, mbedTLS's context is somewhere inside the object.
struct ssl_socket {
    struct object base;
    char name[MAX_NAME];
    mbedtls_net_context net;
    mbedtls_ssl_context ssl;
};
struct ssl_context {
    char name[MAX_NAME];
    mbedtls_ssl_config conf;
};

extern const mp_obj_module_t *const registered;
const int mp_type_module;
static struct object none = { .kind = NONE };
static struct object cipher_method = { .kind = CIPHER }, liars_method = { .kind = LIAR_CIPHER };
const mp_obj_t mp_const_none = &none;

static jmp_buf failed;
static char problem[256];
static struct object strings[MAX_WORDS];
static size_t strings_used;
static struct ssl_context *contexts[MAX_THINGS];
static struct ssl_socket *sockets[MAX_THINGS];
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context random_bytes;
static mbedtls_x509_crt ca;

_Noreturn static void fail(const char *type, const char *text) {
    snprintf(problem, sizeof problem, "%s: %s", type, text);
    longjmp(failed, 1);
}
_Noreturn void mp_raise_ValueError(const char *text) {
    fail("ValueError", text);
}
_Noreturn void mp_raise_TypeError(const char *text) {
    fail("TypeError", text);
}
_Noreturn void mp_raise_OSError(int number) {
    fail("OSError", strerror(number));
}

mp_obj_t mp_obj_new_str(const char *data, size_t len) {
    assert(strings_used < MAX_WORDS && len < MAX_NAME);
    struct object *o = &strings[strings_used++];
    o->kind = STR;
    o->size = len;
    memcpy(o->text, data, len);
    o->text[len] = 0;
    return o;
}
const char *mp_obj_str_get_data(mp_obj_t o, size_t *len) {
    if (o->kind != STR) {
        mp_raise_TypeError("can't convert to str");
    }
    *len = o->size;
    return o->text;
}
void mp_obj_get_array(mp_obj_t o, size_t *count, mp_obj_t **items) {
    if (o->kind != LIST) {
        mp_raise_TypeError("object isn't a tuple or list");
    }
    *count = o->size;
    *items = (mp_obj_t *)o->items;
}
void mp_load_method(mp_obj_t o, qstr name, mp_obj_t *method) {
    if (strcmp(name, "cipher") != 0 || (o->kind != SSL_SOCKET && o->kind != LIAR)) {
        fail("AttributeError", name);
    }
    method[0] = o->kind == LIAR ? &liars_method : &cipher_method;
    method[1] = o;
}
mp_obj_t mp_call_method_n_kw(size_t n_args, size_t n_kw, const mp_obj_t *method) {
    assert(n_args == 0 && n_kw == 0);
    if (method[0]->kind == LIAR_CIPHER) {
        return mp_const_none;
    }
    const char *suite = mbedtls_ssl_get_ciphersuite(&((const struct ssl_socket *)method[1])->ssl);
    assert(suite != NULL); // MicroPython would read its length
    return mp_obj_new_str(suite, strlen(suite));
}

static const function_t *function(const char *name) {
    for (size_t i = 0; i < registered->globals->used; i++) {
        if (strcmp(registered->globals->table[i].key, name) == 0) {
            return registered->globals->table[i].value;
        }
    }
    fail("AttributeError", name);
}

static void check(int ret) {
    if (ret < 0) {
        char text[16];
        snprintf(text, sizeof text, "-0x%04x", -ret);
        fail("mbedTLS", text);
    }
}

static struct ssl_socket *find_socket(const char *name) {
    for (size_t i = 0; i < MAX_THINGS; i++) {
        if (sockets[i] && strcmp(sockets[i]->name, name) == 0) {
            return sockets[i];
        }
    }
    fail("NameError", name);
}

static void new_context(const char *name) {
    size_t i = 0;
    while (contexts[i]) {
        i++;
        assert(i < MAX_THINGS);
    }
    struct ssl_context *c = contexts[i] = calloc(1, sizeof *c);
    snprintf(c->name, MAX_NAME, "%s", name);
    mbedtls_ssl_config_init(&c->conf);
    check(mbedtls_ssl_config_defaults(&c->conf, MBEDTLS_SSL_IS_CLIENT,
        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_rng(&c->conf, mbedtls_ctr_drbg_random, &random_bytes);
    mbedtls_ssl_conf_ca_chain(&c->conf, &ca, NULL);
}

static void new_socket(const char *name, const char *context, const char *port, const char *host) {
    size_t i = 0;
    while (sockets[i]) {
        i++;
        assert(i < MAX_THINGS);
    }
    size_t c = 0;
    while (!contexts[c] || strcmp(contexts[c]->name, context) != 0) {
        c++;
        assert(c < MAX_THINGS);
    }
    struct ssl_socket *s = sockets[i] = calloc(1, sizeof *s);
    s->base.kind = SSL_SOCKET;
    snprintf(s->name, MAX_NAME, "%s", name);
    mbedtls_net_init(&s->net);
    mbedtls_ssl_init(&s->ssl);
    check(mbedtls_net_connect(&s->net, "127.0.0.1", port, MBEDTLS_NET_PROTO_TCP));
    check(mbedtls_ssl_setup(&s->ssl, &contexts[c]->conf));
    check(mbedtls_ssl_set_hostname(&s->ssl, host));
    mbedtls_ssl_set_bio(&s->ssl, &s->net, mbedtls_net_send, mbedtls_net_recv, NULL);
}

static void hello(struct ssl_socket *s) {
    static const unsigned char start[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    unsigned char frame[9];
    check(mbedtls_ssl_write(&s->ssl, start, sizeof start));
    int n = mbedtls_ssl_read(&s->ssl, frame, sizeof frame);
    if (n <= 0) {
        printf("closed\n");
    } else {
        printf("frame of type %d\n", n == sizeof frame ? frame[3] : -1);
    }
}

static void close_socket(struct ssl_socket *s) {
    mbedtls_ssl_free(&s->ssl);
    mbedtls_net_free(&s->net);
}

static mp_obj_t argument(const char *word) {
    static struct object number = { .kind = INT };
    return strcmp(word, "5") == 0 ? &number
        : strcmp(word, "-") == 0 ? mp_obj_new_str("", 0)
        : strcmp(word, "%0") == 0 ? mp_obj_new_str("h\0002", 3)
        : mp_obj_new_str(word, strlen(word));
}

static void print(mp_obj_t o) {
    printf("%s\n", o->kind == STR ? o->text : "None");
}

static void obey(char **words, size_t count, const char *host) {
    static struct object list, integer = { .kind = INT }, liar = { .kind = LIAR };
    const char *command = words[0], *first = count > 1 ? words[1] : "";
    if (strcmp(command, "init") == 0) {
        print(function("__init__")->none());
    } else if (strcmp(command, "set") == 0) {
        list.kind = LIST;
        list.size = count - 1;
        for (size_t i = 1; i < count; i++) {
            list.items[i - 1] = argument(words[i]);
        }
        print(function("set")->one(strcmp(first, "None") == 0 ? mp_const_none : &list));
    } else if (strcmp(command, "selected") == 0) {
        print(function("selected")->one(strcmp(first, "int") == 0 ? &integer
            : strcmp(first, "liar") == 0 ? &liar : &find_socket(first)->base));
    } else if (strcmp(command, "context") == 0) {
        new_context(first);
        printf("ok\n");
    } else if (strcmp(command, "socket") == 0 && count == 4) {
        new_socket(first, words[2], words[3], host);
        printf("ok\n");
    } else if (strcmp(command, "hello") == 0) {
        hello(find_socket(first));
    } else if (strcmp(command, "handshake") == 0) {
        check(mbedtls_ssl_handshake(&find_socket(first)->ssl));
        printf("ok\n");
    } else if (strcmp(command, "cipher") == 0) {
        mp_obj_t method[2];
        mp_load_method(&find_socket(first)->base, "cipher", method);
        print(mp_call_method_n_kw(0, 0, method));
    } else if (strcmp(command, "close") == 0) {
        close_socket(find_socket(first));
        printf("ok\n");
    } else {
        fail("SyntaxError", command);
    }
}

int main(int argc, char **argv) {
    assert(argc == 3);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random_bytes);
    mbedtls_x509_crt_init(&ca);
    assert(mbedtls_ctr_drbg_seed(&random_bytes, mbedtls_entropy_func, &entropy, NULL, 0) == 0);
    assert(mbedtls_x509_crt_parse_file(&ca, argv[1]) == 0);
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        char *words[MAX_WORDS];
        size_t count = 0;
        for (char *w = strtok(line, " \n"); w && count < MAX_WORDS; w = strtok(NULL, " \n")) {
            words[count++] = w;
        }
        strings_used = 0;
        if (setjmp(failed)) {
            printf("%s\n", problem);
        } else {
            obey(words, count, argv[2]);
        }
        fflush(stdout);
    }
    for (size_t i = 0; i < MAX_THINGS; i++) {
        if (sockets[i]) {
            close_socket(sockets[i]);
            free(sockets[i]);
        }
        if (contexts[i]) {
            mbedtls_ssl_config_free(&contexts[i]->conf);
            free(contexts[i]);
        }
    }
    mbedtls_x509_crt_free(&ca);
    mbedtls_ctr_drbg_free(&random_bytes);
    mbedtls_entropy_free(&entropy);
    return 0;
}
