# What the CISTERN_ boards share. Each names its chip and the board of MicroPython that it is like:
# that one's settings, which differ from version to version, come first, then Cistern's.
set(CISTERN_COMMON_DIR ${CMAKE_CURRENT_LIST_DIR})

# ESP-IDF wants the path of the partition table from its project or in full; only CMake knows it.
macro(cistern_partitions csv)
    file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.partitions
        "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
        "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/${csv}\"\n"
    )
endmacro()

include(boards/${CISTERN_LIKE}/mpconfigboard.cmake)
# No Bluetooth: on an ESP32 its controller alone reserves 31 KB of RAM.
list(FILTER SDKCONFIG_DEFAULTS EXCLUDE REGEX "sdkconfig\\.ble$")
cistern_partitions(partitions.csv)
list(APPEND SDKCONFIG_DEFAULTS
    ${CISTERN_COMMON_DIR}/sdkconfig.cistern
    ${MICROPY_BOARD_DIR}/sdkconfig.board
    ${CMAKE_BINARY_DIR}/sdkconfig.partitions
)
