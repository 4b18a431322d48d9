#include <errno.h>
#define MP_ENOTCONN ENOTCONN
