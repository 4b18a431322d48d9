# Modules with octal PSRAM (N8R8, N16R8). Without it MicroPython does not find theirs.
include(boards/ESP32_GENERIC_S3/mpconfigvariant_SPIRAM_OCT.cmake)
