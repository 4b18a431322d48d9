set(IDF_TARGET esp32)
set(CISTERN_LIKE ESP32_GENERIC)
include(${CMAKE_CURRENT_LIST_DIR}/../common/board.cmake)
