// What firmware/usermod/alpn/alpn.c uses of MicroPython, for a program of its own (harness.c).
// A qstr is its text, an exception ends the command that raised it.
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef const struct object *mp_obj_t;
typedef const char *qstr;

extern const mp_obj_t mp_const_none;
extern const int mp_type_module;

mp_obj_t mp_obj_new_str(const char *data, size_t len);
const char *mp_obj_str_get_data(mp_obj_t o, size_t *len);
void mp_obj_get_array(mp_obj_t o, size_t *count, mp_obj_t **items);
void mp_load_method(mp_obj_t o, qstr name, mp_obj_t *method);
mp_obj_t mp_call_method_n_kw(size_t n_args, size_t n_kw, const mp_obj_t *method);

_Noreturn void mp_raise_ValueError(const char *text);
_Noreturn void mp_raise_TypeError(const char *text);
_Noreturn void mp_raise_OSError(int number);
#define MP_ERROR_TEXT(text) text

typedef struct {
    const void *key;
    const void *value;
} mp_rom_map_elem_t;
typedef struct {
    size_t used;
    const mp_rom_map_elem_t *table;
} mp_obj_dict_t;
typedef struct {
    struct {
        const void *type;
    } base;
    mp_obj_dict_t *globals;
} mp_obj_module_t;
typedef struct {
    mp_obj_t (*none)(void);
    mp_obj_t (*one)(mp_obj_t);
} function_t;

#define MP_DEFINE_CONST_FUN_OBJ_0(name, f) const function_t name = { .none = f }
#define MP_DEFINE_CONST_FUN_OBJ_1(name, f) const function_t name = { .one = f }
#define MP_DEFINE_CONST_DICT(name, rows) \
    const mp_obj_dict_t name = { sizeof(rows) / sizeof((rows)[0]), rows }
#define MP_ROM_QSTR(q) (q)
#define MP_ROM_PTR(p) (p)
#define MP_REGISTER_MODULE(name, module) const mp_obj_module_t *const registered = &module

#define MP_QSTR___init__ "__init__"
#define MP_QSTR___name__ "__name__"
#define MP_QSTR_alpn "alpn"
#define MP_QSTR_cipher "cipher"
#define MP_QSTR_selected "selected"
#define MP_QSTR_set "set"
