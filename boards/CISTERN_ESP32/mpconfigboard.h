#ifndef MICROPY_HW_BOARD_NAME
#define MICROPY_HW_BOARD_NAME "Cistern for ESP32"
#endif
#define MICROPY_HW_MCU_NAME "ESP32"

// Cistern has no use for it; see boards/common/board.cmake.
#define MICROPY_PY_BLUETOOTH (0)
