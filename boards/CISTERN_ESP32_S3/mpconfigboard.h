#ifndef MICROPY_HW_BOARD_NAME
#define MICROPY_HW_BOARD_NAME "Cistern for ESP32-S3"
#endif
#define MICROPY_HW_MCU_NAME "ESP32-S3"

// Cistern has no use for it; see boards/common/board.cmake.
#define MICROPY_PY_BLUETOOTH (0)

// The REPL on UART0, too, for devkits whose USB socket is a serial converter's.
#define MICROPY_HW_ENABLE_UART_REPL (1)
