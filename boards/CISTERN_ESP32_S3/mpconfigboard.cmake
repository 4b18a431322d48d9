set(IDF_TARGET esp32s3)
set(CISTERN_LIKE ESP32_GENERIC_S3)
include(${CMAKE_CURRENT_LIST_DIR}/../common/board.cmake)
