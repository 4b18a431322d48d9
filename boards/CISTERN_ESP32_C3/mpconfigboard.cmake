set(IDF_TARGET esp32c3)
set(CISTERN_LIKE ESP32_GENERIC_C3)
include(${CMAKE_CURRENT_LIST_DIR}/../common/board.cmake)
